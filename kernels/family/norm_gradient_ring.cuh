// The gradients of RMSNorm and LayerNorm for aligned rows that fit into a block, or a cluster of blocks, by
// as many blocks as a GPU has room for. A block takes one unit of rows after the other; rows stream through
// a ring in shared memory. The sums over rows stay in the registers of the thread that has the column, sums
// of groups wait in shared memory until they have a partner. The same arithmetic and order as
// norm_gradient_kernel.cuh.
#pragma once

#include <cstdint>

#include "kernels/block_reduction.cuh"
#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/dependent_launch.cuh"
#include "kernels/family/norm_gradient_arguments.h"
#include "kernels/family/norm_gradient_kernel.cuh"
#include "kernels/family/row_ring.cuh"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/register_shape.h"
#include "kernels/row_reduction.cuh"

namespace normproof::kernels {

// A thread has kSlots chunks, and with two rounds as many again, 1024 chunks on.
template <typename T_, bool kCentred_, Team kTeam_, int kSlots_, int kRounds_, int kMaximumThreads_>
struct RingVariant {
  using T = T_;
  static constexpr bool kCentred = kCentred_;
  static constexpr Team kTeam = kTeam_;
  static constexpr int kSlots = kSlots_;
  static constexpr int kRounds = kRounds_;
  static constexpr int kMaximumThreads = kMaximumThreads_;
  static constexpr int kElements = kChunkElements<T>;
  static constexpr int kPieces = kSlots * kRounds;  // chunks of a thread
  static constexpr int kSums = kCentred ? 2 : 1;    // over a row, and over rows
};

inline constexpr int kMostStages = 8;
inline constexpr std::int64_t kChunkBytes = 16;

// Bytes of shared memory: a stage has a row of each tensor; for each step of the tree over the groups of a
// unit there is a place for the sums that wait there.
struct RingMemory {
  std::int64_t stage_bytes = 0;
  std::int64_t waiting_bytes = 0;  // of one step
};

template <class V>
__device__ inline RingMemory ring_memory(const NormGradientArguments& arguments, int threads) {
  const int tensors = arguments.dresidual.data != nullptr ? 3 : 2;
  return {tensors * V::kPieces * threads * kChunkBytes,
          V::kSums * V::kPieces * V::kElements * threads * std::int64_t{sizeof(float)}};
}

// The chunks of a block's threads, piece by piece.
template <class V>
class RingChunks {
 public:
  __device__ RingChunks(const NormGradientArguments& arguments, const RowBlocks& blocks)
      : chunks_(static_cast<int>(arguments.shape.chunks)),
        first_(blocks.rank * static_cast<int>(blockDim.x)),
        stride_(blocks.count * static_cast<int>(blockDim.x)) {}

  // The first chunk of a piece, that of thread 0.
  __device__ int first(int round, int slot) const { return round * kLanes + first_ + slot * stride_; }
  // How many of the row's chunks a piece has.
  __device__ int count(int round, int slot) const {
    const int left = chunks_ - first(round, slot), threads = static_cast<int>(blockDim.x);
    return left < 0 ? 0 : left < threads ? left : threads;
  }
  // Calls visit_piece(piece, round, slot) for all pieces, rounds outside: a lane's chunks come in order.
  template <class Visit>
  static __device__ void visit(const Visit& visit_piece) {
#pragma unroll
    for (int round = 0; round < V::kRounds; ++round) {
#pragma unroll
      for (int slot = 0; slot < V::kSlots; ++slot) visit_piece(round * V::kSlots + slot, round, slot);
    }
  }

 private:
  int chunks_;
  int first_;
  int stride_;
};

// The rows in shared memory.
template <class V>
class GradientRing {
 public:
  using T = typename V::T;

  __device__ GradientRing(const NormGradientArguments& arguments, const RowBlocks& blocks, char* memory,
                          ArrivalBarrier* barriers)
      : arguments_(arguments), chunks_(arguments, blocks), memory_(memory), barriers_(barriers) {}

  // By one thread: starts to bring a row.
  __device__ void fill(int stage, std::int64_t row) {
    const int tensors = arguments_.dresidual.data != nullptr ? 3 : 2;
    std::uint32_t bytes = 0;
    RingChunks<V>::visit([&](int, int round, int slot) {
      bytes += static_cast<std::uint32_t>(tensors * chunks_.count(round, slot) * kChunkBytes);
    });
    barriers_[stage].expect(bytes);
    bring(stage, 0, row_of<T>(arguments_.rows, arguments_.dy, row));
    bring(stage, 1, row_of<T>(arguments_.rows, arguments_.x, row));
    if (tensors == 3) bring(stage, 2, row_of<T>(arguments_.rows, arguments_.dresidual, row));
  }
  // The next stage, once it is there.
  __device__ void take() { barriers_[stage_].wait(phase_); }
  // To the stage after it.
  __device__ void next() {
    if (++stage_ < arguments_.stages) return;
    stage_ = 0;
    phase_ ^= 1;
  }
  __device__ int stage() const { return stage_; }

  // The thread's chunk of a tensor, dy, x, dresidual; not set where `exists` is not.
  __device__ Chunk<T> chunk(int tensor, int piece) const {
    Chunk<T> result;
    const auto vector =
        load_aligned<uint4>(place(stage_, tensor, piece) + static_cast<int>(threadIdx.x) * kChunkBytes);
    __builtin_memcpy(&result, &vector, sizeof result);
    return result;
  }
  __device__ bool exists(int round, int slot) const {
    return static_cast<int>(threadIdx.x) < chunks_.count(round, slot);
  }
  // The index in the row of the first element of the thread's chunk.
  __device__ std::int64_t element(int round, int slot) const {
    return std::int64_t{chunks_.first(round, slot) + static_cast<int>(threadIdx.x)} * V::kElements;
  }

 private:
  __device__ char* place(int stage, int tensor, int piece) const {
    const int threads = static_cast<int>(blockDim.x);
    return memory_ + stage * ring_memory<V>(arguments_, threads).stage_bytes +
           (tensor * V::kPieces + piece) * threads * kChunkBytes;
  }
  __device__ void bring(int stage, int tensor, const T* row) {
    RingChunks<V>::visit([&](int piece, int round, int slot) {
      const int count = chunks_.count(round, slot);
      if (count == 0) return;
      barriers_[stage].copy(place(stage, tensor, piece),
                            row + std::int64_t{chunks_.first(round, slot)} * V::kElements,
                            static_cast<std::uint32_t>(count * kChunkBytes));
    });
  }

  const NormGradientArguments& arguments_;
  RingChunks<V> chunks_;
  char* memory_;
  ArrivalBarrier* barriers_;
  int stage_ = 0;
  std::uint32_t phase_ = 0;
};

// A thread's part of the sums over rows.
template <class V>
class ColumnSums {
 public:
  // `waiting` is the block's memory for sums that wait.
  __device__ explicit ColumnSums(float* waiting) : waiting_(waiting) { clear(); }

  __device__ void add(int piece, const float (&dy)[V::kElements], const float (&normalized)[V::kElements]) {
#pragma unroll
    for (int i = 0; i < V::kElements; ++i) {
      sums_[0][piece][i] = __fmaf_rn(dy[i], normalized[i], sums_[0][piece][i]);
      if constexpr (V::kCentred) sums_[1][piece][i] = __fadd_rn(sums_[1][piece][i], dy[i]);
    }
  }

  // After the last row of a group, the one with this number in its unit. Leaves +0 unless the unit ends here,
  // and then the unit's sums.
  __device__ void end_group(int group, bool unit_ends) {
    int step = 0;
    for (; unit_ends ? group >> step != 0 : (group >> step & 1) != 0; ++step) {
      if ((group >> step & 1) == 0) continue;
      visit([&](float& sum, float* place) { sum = __fadd_rn(*place, sum); }, step);
    }
    if (unit_ends) return;
    visit([&](float& sum, float* place) { *place = sum; }, step);
    clear();
  }

  // Stores the sums of a piece from `to` on, and starts over with them.
  __device__ void store(int which, int piece, float* to) {
    constexpr int kQuads = V::kElements / 4;
#pragma unroll
    for (int quad = 0; quad < kQuads; ++quad) {
      Pack<float, 4> pack;
#pragma unroll
      for (int i = 0; i < 4; ++i) pack.elements[i] = sums_[which][piece][4 * quad + i];
      store_pack<true>(to, 4 * quad, 0, pack);
    }
  }
  __device__ void clear() {
#pragma unroll
    for (int which = 0; which < V::kSums; ++which) {
#pragma unroll
      for (int piece = 0; piece < V::kPieces; ++piece) {
#pragma unroll
        for (int i = 0; i < V::kElements; ++i) sums_[which][piece][i] = 0.0f;
      }
    }
  }

 private:
  // Calls visit_sum(sum, its place among those that wait for a step of the tree). Neighbouring threads have
  // neighbouring quads.
  template <class Visit>
  __device__ void visit(const Visit& visit_sum, int step) {
    constexpr int kQuads = V::kElements / 4;
    const int threads = static_cast<int>(blockDim.x), index = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int which = 0; which < V::kSums; ++which) {
#pragma unroll
      for (int piece = 0; piece < V::kPieces; ++piece) {
#pragma unroll
        for (int quad = 0; quad < kQuads; ++quad) {
          const int line = ((step * V::kSums + which) * V::kPieces + piece) * kQuads + quad;
          float* place = waiting_ + (line * threads + index) * 4;
#pragma unroll
          for (int i = 0; i < 4; ++i) visit_sum(sums_[which][piece][4 * quad + i], place + i);
        }
      }
    }
  }

  float* waiting_;
  float sums_[V::kSums][V::kPieces][V::kElements];
};

// Where the group sums of two rows are, one after the other.
template <class V>
inline constexpr int kRowGroupSums = V::kSums * kSharers;

// The sums of a row from those of its lanes, first those of products, then those of wdy. Every thread gets
// them, and all have read the row then. Rows take turns with two places: who writes to one has passed the
// barrier of the row between, and nobody comes there who has not read the sums before.
template <class V>
__device__ inline void add_up_row(const RowBlocks& blocks, const float (&lane_sums)[V::kSums * V::kSlots],
                                  GroupSums* group_sums, float (&sums)[V::kSums]) {
  constexpr int kAll = V::kSums * V::kSlots;
  const int thread = static_cast<int>(threadIdx.x % kWarpThreads);
  const int warps_per_block = static_cast<int>(blockDim.x / kWarpThreads);
  const int warp = blocks.rank * warps_per_block + static_cast<int>(threadIdx.x / kWarpThreads);
  const float own = tree_sums(lane_sums, thread);
  const int which = slot_of_sum<kAll>(thread) / V::kSlots;
  const int group = warp + slot_of_sum<kAll>(thread) % V::kSlots * blocks.count * warps_per_block;
  // Of the threads that hold the sum, one for each block writes it there.
  const int copy = thread % kThreadsPerSlot<kAll>;
  if (copy < blocks.count && group < kGroups)
    *in_block<V::kTeam>(copy, &sum_of_group(group_sums + which * kSharers, group)) = own;
  if constexpr (V::kTeam == Team::cluster) {
    arrive_at_cluster_barrier<V::kTeam>();
    wait_at_cluster_barrier<V::kTeam>();
  } else {
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < V::kSums; ++i) {
    const GroupSums quarter = group_sums[i * kSharers + thread % kSharers];
    sums[i] = tree_sum(tree_over_own(quarter.elements), kSharers);
  }
}

// The rows of a block in their order: those of one unit, then those of the next that it has.
class RowWalk {
 public:
  __device__ RowWalk(const NormGradientArguments& arguments, const RowBlocks& blocks)
      : log2_(arguments.unit_rows_log2),
        first_unit_(static_cast<int>(blockIdx.x) / blocks.count),
        units_apart_(static_cast<int>(gridDim.x) / blocks.count) {}
  __device__ std::int64_t unit(std::int64_t step) const {
    return first_unit_ + (step >> log2_) * units_apart_;
  }
  __device__ int within_unit(std::int64_t step) const {
    return static_cast<int>(step & ((std::int64_t{1} << log2_) - 1));
  }
  __device__ std::int64_t row(std::int64_t step) const { return (unit(step) << log2_) + within_unit(step); }
  __device__ bool is_last_of_unit(std::int64_t step) const { return within_unit(step + 1) == 0; }

 private:
  int log2_;
  int first_unit_;
  int units_apart_;
};

// What a thread does with a row.
template <class V>
class RingRow {
 public:
  using T = typename V::T;

  // Reads the row out of its stage, and adds it to the sums over rows and of the thread's lanes.
  __device__ void take(const GradientRing<V>& ring, const RowFactors<V::kCentred>& factors,
                       const float (&weight)[V::kPieces][V::kElements], bool has_added,
                       ColumnSums<V>& columns, float (&lane_sums)[V::kSums * V::kSlots]) {
    RingChunks<V>::visit([&](int piece, int round, int slot) {
      float dy[V::kElements];
      unpack<T>(ring.chunk(0, piece), dy);
      unpack<T>(ring.chunk(1, piece), normalized_[piece]);
      if (has_added) added_[piece] = ring.chunk(2, piece);
      float products = lane_sums[slot], total = lane_sums[(V::kSums - 1) * V::kSlots + slot];
#pragma unroll
      for (int i = 0; i < V::kElements; ++i) {
        normalized_[piece][i] = factors.normalize(normalized_[piece][i]);
        weighted_[piece][i] = __fmul_rn(dy[i], weight[piece][i]);
        products = __fmaf_rn(normalized_[piece][i], weighted_[piece][i], products);
        if constexpr (V::kCentred) total = __fadd_rn(total, weighted_[piece][i]);
      }
      columns.add(piece, dy, normalized_[piece]);
      if (ring.exists(round, slot)) {
        if constexpr (V::kCentred) lane_sums[V::kSlots + slot] = total;
        lane_sums[slot] = products;
      }
    });
  }

  // Stores dx.
  __device__ void finish(const GradientRing<V>& ring, const RowFactors<V::kCentred>& factors,
                         const float (&means)[V::kSums], bool has_added, T* dx) {
    RingChunks<V>::visit([&](int piece, int round, int slot) {
      float(&values)[V::kElements] = normalized_[piece];
#pragma unroll
      for (int i = 0; i < V::kElements; ++i)
        values[i] = factors.gradient(values[i], weighted_[piece][i], means[0], means[V::kSums - 1]);
      if (has_added) {
        float added[V::kElements];
        unpack<T>(added_[piece], added);
#pragma unroll
        for (int i = 0; i < V::kElements; ++i) values[i] = __fadd_rn(values[i], added[i]);
      }
      if (ring.exists(round, slot))
        store_pack<true>(dx, ring.element(round, slot), 0, round_chunk<T>(values));
    });
  }

 private:
  float normalized_[V::kPieces][V::kElements];  // xh
  float weighted_[V::kPieces][V::kElements];    // wdy
  Chunk<T> added_[V::kPieces];
};

template <class V>
__global__ void __launch_bounds__(V::kMaximumThreads, 1)
    ring_gradient_kernel(NormGradientArguments arguments) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  using T = typename V::T;
  NORMPROOF_DYNAMIC_SHARED(char, memory);
  NORMPROOF_SHARED(ArrivalBarrier, barriers, kMostStages);
  NORMPROOF_SHARED(GroupSums, group_sums, 2 * kRowGroupSums<V>);
  const RowBlocks blocks = row_blocks<V::kTeam>();
  const bool is_first = threadIdx.x == 0;
  if (is_first) {
    for (int stage = 0; stage < arguments.stages; ++stage) barriers[stage].start();
  }
  const int group = static_cast<int>(threadIdx.x);
  if (group < kGroups) {
    for (int i = 0; i < 2 * V::kSums; ++i) sum_of_group(group_sums + i * kSharers, group) = 0.0f;
  }
  if constexpr (V::kTeam == Team::cluster) {  // before anybody writes there
    arrive_at_cluster_barrier<V::kTeam>();
    wait_at_cluster_barrier<V::kTeam>();
  } else {
    __syncthreads();
  }

  const std::int64_t rows = arguments.rows.count;
  const RowWalk walk(arguments, blocks);
  GradientRing<V> ring(arguments, blocks, memory, barriers);
  const std::int64_t stage_bytes = ring_memory<V>(arguments, static_cast<int>(blockDim.x)).stage_bytes;
  ColumnSums<V> columns(reinterpret_cast<float*>(memory + arguments.stages * stage_bytes));
  const auto fill = [&](int stage, std::int64_t step) {
    if (walk.row(step) < rows) ring.fill(stage, walk.row(step));
  };
  const auto factors_of = [&](std::int64_t step) {
    const std::int64_t row = walk.row(step);
    return factors_of_row<T, V::kCentred>(arguments, row < rows ? row : rows - 1);
  };
  wait_for_the_kernel_before();
  let_the_next_kernel_start();
  if (is_first) {
    for (int stage = 0; stage < arguments.stages; ++stage) fill(stage, stage);
  }
  RowFactors<V::kCentred> factors = factors_of(0), next_factors = factors_of(1);
  float weight[V::kPieces][V::kElements] = {};
  RingChunks<V>::visit([&](int piece, int round, int slot) {
    if (ring.exists(round, slot))
      load_affine<true, T>(arguments.weight, kAbsentWeight, ring.element(round, slot), arguments.shape.hidden,
                           weight[piece]);
  });
#if !defined(__CUDACC__)
  __syncthreads();  // until the first rows are there
#endif

  const bool has_added = arguments.dresidual.data != nullptr;
  for (std::int64_t step = 0; walk.row(step) < rows; ++step) {
    const std::int64_t row = walk.row(step);
    const RowFactors<V::kCentred> later_factors = factors_of(step + 2);
    RingRow<V> values;
    float lane_sums[V::kSums * V::kSlots] = {}, means[V::kSums];
    ring.take();
    values.take(ring, factors, weight, has_added, columns, lane_sums);
    add_up_row<V>(blocks, lane_sums, group_sums + step % 2 * kRowGroupSums<V>, means);
    if (is_first) fill(ring.stage(), step + arguments.stages);
    if (arguments.dx.data != nullptr) {
#pragma unroll
      for (int i = 0; i < V::kSums; ++i) means[i] = __fdiv_rn(means[i], arguments.shape.hidden_as_float);
      values.finish(
          ring, factors, means, has_added,
          static_cast<T*>(arguments.dx.data) + row_offset(arguments.rows, arguments.dx.strides, row));
    }
    const bool unit_ends = walk.is_last_of_unit(step) || row + 1 == rows;
    if ((arguments.weight_sums != nullptr || arguments.bias_sums != nullptr) &&
        (unit_ends || (walk.within_unit(step) + 1) % kGroupRows == 0)) {
      columns.end_group(walk.within_unit(step) >> kGroupRowsLog2, unit_ends);
      if (unit_ends) {
        RingChunks<V>::visit([&](int piece, int round, int slot) {
          if (!ring.exists(round, slot)) return;
          const std::int64_t at = walk.unit(step) * arguments.shape.hidden + ring.element(round, slot);
          if (arguments.weight_sums != nullptr) columns.store(0, piece, arguments.weight_sums + at);
          if (arguments.bias_sums != nullptr) columns.store(V::kSums - 1, piece, arguments.bias_sums + at);
        });
        columns.clear();
      }
    }
    factors = next_factors;
    next_factors = later_factors;
    ring.next();
  }
#endif
}

}  // namespace normproof::kernels
