// The gated RMSNorm of rows that fit into the registers of a block: all loads of a row are in flight at once,
// then come the gates, which do not wait for the sum, then the stores. The arithmetic and the order of the
// sum are those of gated_norm_kernel.cuh, which runs every other row; vectorized only.
#pragma once

#include <cstdint>

#include "kernels/block_reduction.cuh"
#include "kernels/family/cluster_exchange.cuh"
#include "kernels/family/gated_norm_kernel.cuh"
#include "kernels/family/quick_row.cuh"
#include "kernels/register_kernel.cuh"

namespace normproof::kernels {

// kLikeX: the weight is there, in T. Others are read late, whatever the shape says.
template <typename T, class Shape_, bool kLikeX>
class GatedNormRegisters {
 public:
  using Shape = Shape_;
  static constexpr int kElements = kChunkElements<T>;
  static constexpr int kSlots = Shape::kSlots;
  static constexpr int kRounds = Shape::kRounds;
  static constexpr bool kEarly = kLikeX && Shape::kWeights == Weights::early;
  // Where registers suffice, gates are made while the block waits for its sum.
  static constexpr bool kKeepsGates = kSlots * kRounds <= 2;

  // As RegisterRow::aim().
  __device__ void aim(const GatedNormArguments& arguments, std::int64_t row, int first, int stride,
                      bool present) {
    arguments_ = &arguments;
    first_ = first;
    stride_ = stride;
    present_ = present;
    quick_ = arguments.inverse_hidden != 0.0f;
    const auto start = [&](const RowStrides& strides) {
      const std::int64_t offset =
          arguments.rows.inner_size == arguments.rows.count
              ? row * strides.inner
              : uneven_row_offset(arguments.rows.middle_size, arguments.rows.inner_size, strides, row);
      return offset + (Shape::kFull ? first * kElements : 0);
    };
    x_address_ = settle(static_cast<const T*>(arguments.x) + start(arguments.x_strides));
    z_address_ = settle(static_cast<const T*>(arguments.gate) + start(arguments.gate_strides));
    out_address_ = static_cast<T*>(arguments.out) + start(arguments.out_strides);
  }

  // Starts to read the row.
  __device__ void fetch() {
    load(x_address_, x_);
    load(z_address_, z_);
    if constexpr (kEarly) {
      visit([&](int round, int slot, std::int64_t element, bool) {
        weight_[round][slot] = load_constant_pack<kElements>(weight_address(), element);
        settle(weight_[round][slot]);
      });
    }
  }

  // Leaves the sums of squares of this thread's lanes.
  __device__ void sum(float (&lane_sums)[kSlots]) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) lane_sums[slot] = 0.0f;
    visit([&](int round, int slot, std::int64_t, bool exists) {
      const float with_chunk = add_squares(lane_sums[slot], x_[round][slot]);
      lane_sums[slot] = exists ? with_chunk : lane_sums[slot];
      settle(x_[round][slot]);
    });
  }

  // Between the loads and the sum.
  __device__ void prepare() {
    if constexpr (kKeepsGates) {
      visit([&](int round, int slot, std::int64_t, bool) {
        unpack<T>(z_[round][slot], gates_[round][slot]);
        make_gates(quick_, gates_[round][slot]);
      });
    }
  }

  __device__ void finish(float r) {
    visit([&](int round, int slot, std::int64_t element, bool exists) {
      float weight[kElements];
      weights_of(round, slot, element, weight);
      if constexpr (!kKeepsGates) {
        settle(z_[round][slot]);  // or all gates are made before the sum, and registers run out
        unpack<T>(z_[round][slot], gates_[0][0]);
        make_gates(quick_, gates_[0][0]);
      }
      const auto& gate = kKeepsGates ? gates_[round][slot] : gates_[0][0];
      const Chunk<T> y = gated<T>(x_[round][slot], r, weight, gate);
      if (exists && present_) store_pack<true>(out_address_, element, 0, y);
    });
  }

 private:
  __device__ void weights_of(int round, int slot, std::int64_t element, float (&weight)[kElements]) const {
    if constexpr (!kLikeX) {
      const std::int64_t first = (Shape::kFull ? std::int64_t{first_} * kElements : 0) + element;
      load_affine<true, T>(arguments_->weight, kAbsentWeight, first, 0, weight);
    } else if constexpr (kEarly) {
      unpack<T>(weight_[round][slot], weight);
    } else {
      unpack<T>(load_constant_pack<kElements>(weight_address(), element), weight);
    }
  }

  // To which visit()'s indices lead.
  __device__ const T* weight_address() const {
    return static_cast<const T*>(arguments_->weight.data) + (Shape::kFull ? first_ * kElements : 0);
  }

  template <class Visit>
  __device__ void visit(const Visit& visit_chunk) const {
    visit_chunks<Shape, kElements>(static_cast<int>(arguments_->shape.chunks), first_, stride_, visit_chunk);
  }

  __device__ void load(const T* array, Chunk<T> (&chunks)[kRounds][kSlots]) const {
    visit([&](int round, int slot, std::int64_t element, bool) {
      if constexpr (Shape::kEviction == Eviction::last) {
        chunks[round][slot] = load_chunk_and_evict_last(array, element);
      } else {
        chunks[round][slot] = load_pack<true, kElements>(array, element, 0);
      }
    });
  }

  const GatedNormArguments* arguments_ = nullptr;
  int first_ = 0;
  int stride_ = 0;
  bool present_ = false;
  bool quick_ = false;
  const T* x_address_ = nullptr;
  const T* z_address_ = nullptr;
  T* out_address_ = nullptr;
  Chunk<T> x_[kRounds][kSlots], z_[kRounds][kSlots], weight_[kRounds][kSlots];
  float gates_[kRounds][kSlots][kElements];
};

// A grid covers all rows at once.
template <typename T, class Shape, bool kLikeX>
__global__ void __launch_bounds__(Shape::kMaximumThreads, Shape::kBlocks)
    gated_norm_register_kernel(GatedNormArguments arguments) {
  static_assert(Shape::kTeam != Team::warp);
  constexpr int kSlots = Shape::kSlots;
  const int index = static_cast<int>(threadIdx.x), thread = index % kWarpThreads;
  GatedNormRegisters<T, Shape, kLikeX> values;
  // `add_up` makes the row's sum of the sums of lanes.
  const auto give_row = [&](const auto& add_up) {
    // Fetched before the wait, not where the row waits for them.
    const float hidden = settle(arguments.shape.hidden_as_float);
    const float inverse_hidden = settle(arguments.inverse_hidden);
    const float epsilon = settle(arguments.epsilon);
    wait_for_the_kernel_before();
    let_the_next_kernel_start();
    float lane_sums[kSlots];
    values.fetch();
    values.sum(lane_sums);
    values.prepare();
    values.finish(row_inverse_root(add_up(lane_sums), hidden, inverse_hidden, epsilon));
  };

  if constexpr (!Shape::kBlockPerRow) {
    const int row_threads_log2 = arguments.shape.row_threads_log2 - kLog2<kSlots>;
    const int row_threads = 1 << row_threads_log2;
    const std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) >> row_threads_log2;
    const bool present = row < arguments.rows.count;
    values.aim(arguments, present ? row : 0, thread & (row_threads - 1), row_threads, present);
    give_row([&](auto& lane_sums) { return tree_sum(tree_over_own(lane_sums), row_threads); });
  } else {
    NORMPROOF_SHARED(GroupSums, group_sums, kSharers);
    NORMPROOF_SHARED(Arrivals, arrivals, 1);
    const RowBlocks blocks = row_blocks<Shape::kTeam>();
    if constexpr (Shape::kTeam == Team::cluster) expect_group_sums<Shape>(blocks, arrivals, 1);
    clear_absent_groups<Shape>(blocks, group_sums);
    arrive_at_cluster_barrier<Shape::kTeam>();
    const int threads = static_cast<int>(blockDim.x), row = static_cast<int>(blockIdx.x) / blocks.count;
    if constexpr (Shape::kFull) {
      values.aim(arguments, row, (blocks.rank * threads + index - thread) * kSlots + thread, 0, true);
    } else {
      values.aim(arguments, row, blocks.rank * threads + index, blocks.count * threads, true);
    }
    give_row([&](auto& lane_sums) {
      if constexpr (Shape::kTeam == Team::cluster) {
        return cluster_sum<Shape, true>(blocks, lane_sums, group_sums, arrivals);
      } else {
        return row_sum<Shape>(blocks, lane_sums, group_sums);
      }
    });
  }
}

}  // namespace normproof::kernels
