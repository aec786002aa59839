// The gradients of RMSNorm and LayerNorm for few aligned rows: a cluster of blocks has a group of rows in
// registers, all of them on their way at once, a thread one chunk of each. So the sums over the rows of a
// group stay with the thread that has the column, and the sums over each row are exchanged together. The
// same arithmetic and order as norm_gradient_kernel.cuh.
#pragma once

#include <cstdint>

#include "kernels/block_reduction.cuh"
#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/dependent_launch.cuh"
#include "kernels/family/cluster_exchange.cuh"
#include "kernels/family/norm_gradient_arguments.h"
#include "kernels/family/norm_gradient_kernel.cuh"
#include "kernels/family/norm_gradient_ring.cuh"
#include "kernels/family/quick_row.cuh"
#include "kernels/family/raw_numbers.cuh"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/register_kernel.cuh"
#include "kernels/register_shape.h"

namespace normproof::kernels {

// kRows: 1, or those of a group.
template <typename T_, bool kCentred_, int kRows_>
struct GroupVariant {
  using T = T_;
  static constexpr bool kCentred = kCentred_;
  static constexpr Team kTeam = Team::cluster;
  static constexpr int kRows = kRows_;
  static constexpr int kSlots = 1;
  static constexpr int kRounds = 1;
  static constexpr int kPieces = 1;
  static constexpr int kElements = kChunkElements<T>;
  static constexpr int kSums = kCentred ? 2 : 1;
  static constexpr int kMaximumThreads = kRows == 1 ? 1024 : 256;
};

inline constexpr int kMostBlocksOfRow = 8;

// A number for each sum over each row, those of products first.
template <class V>
using RowSums = float[V::kSums][V::kRows];

// The sums over all rows from those of the calling thread's lanes, divided by H. Every thread gets them.
// Calls meanwhile() before it waits for those of others.
template <class V, class Meanwhile>
__device__ inline void average_rows(const NormGradientArguments& arguments, const RowBlocks& blocks,
                                    const RowSums<V>& lane_sums, GroupSums* group_sums, Arrivals* arrivals,
                                    RowSums<V>& means, const Meanwhile& meanwhile) {
  const int thread = static_cast<int>(threadIdx.x % kWarpThreads);
  const int group = blocks.rank * static_cast<int>(blockDim.x / kWarpThreads) +
                    static_cast<int>(threadIdx.x / kWarpThreads);
  // A block that is alone is not launched as a cluster, and may send nothing.
  const bool is_alone = blocks.count == 1;
  float own[V::kSums];
#pragma unroll
  for (int i = 0; i < V::kSums; ++i) own[i] = tree_sums(lane_sums[i], thread);
  if (!is_alone) wait_at_cluster_barrier<V::kTeam>();  // then all blocks exist
#pragma unroll
  for (int i = 0; i < V::kSums; ++i) {
    const int sum = i * V::kRows + slot_of_sum<V::kRows>(thread);
    float* const place = &sum_of_group(group_sums + sum * kSharers, group);
    if (is_alone) {
      *place = own[i];
      continue;
    }
    // Of the threads that hold a sum, each gives it to a few blocks.
    constexpr int kCopies = kThreadsPerSlot<V::kRows>;
#pragma unroll
    for (int first = 0; first < kMostBlocksOfRow; first += kCopies) {
      const int block = first + thread % kCopies;
      if (block < blocks.count) send_number(block, place, own[i], arrivals);
    }
  }
  meanwhile();
  if (is_alone) {
    __syncthreads();
  } else {
    await_numbers(arrivals);
  }
  const auto sum_of = [&](int index) {
    const GroupSums quarter = group_sums[index * kSharers + thread % kSharers];
    return tree_sum(tree_over_own(quarter.elements), kSharers);
  };
  // Of many sums a few neighbouring threads have one, and give it to the others.
  constexpr int kAtOnce = kWarpThreads / kSharers;
  constexpr bool kShared = V::kRows == kAtOnce;
  static_assert(kShared || V::kRows == 1);
#pragma unroll
  for (int i = 0; i < V::kSums; ++i) own[i] = sum_of(i * V::kRows + (kShared ? thread / kSharers : 0));
  row_means(own, arguments.shape.hidden_as_float, arguments.inverse_hidden);
#pragma unroll
  for (int i = 0; i < V::kSums; ++i) {
#pragma unroll
    for (int row = 0; row < V::kRows; ++row)
      means[i][row] = kShared ? __shfl_sync(kWholeWarp, own[i], row * kSharers) : own[i];
  }
}

// The quotient by a number that the compiler does not know would take longer.
__device__ inline unsigned number_of_cluster([[maybe_unused]] const RowBlocks& blocks) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  unsigned cluster = 0;
  asm("mov.u32 %0, %%clusterid.x;" : "=r"(cluster));
  return blocks.count == 1 ? blockIdx.x : cluster;
#else
  return blockIdx.x;  // on the CPU a cluster is one block
#endif
}

// What a thread has of the rows.
template <class V>
class GroupRows {
 public:
  using T = typename V::T;

  // Finds where the first of them lies, while the kernel before still runs.
  __device__ void aim(const NormGradientArguments& arguments, std::int64_t first, int element) {
    const std::int64_t left = arguments.rows.count - first;
    count_ = left < V::kRows ? static_cast<int>(left) : V::kRows;
    has_added_ = arguments.dresidual.data != nullptr;
    const auto place = [&](const void* data, const RowStrides& strides) {
      return settle(static_cast<const T*>(data) + first * strides.inner + element);
    };
    const auto statistic = [&](const RowStatistic& rows) {
      const auto bytes = static_cast<std::int64_t>(rows.is_fp32 ? sizeof(float) : sizeof(T));
      RowStatistic at_first = rows;
      at_first.data =
          const_cast<char*>(settle(static_cast<const char*>(rows.data) + first * rows.strides.inner * bytes));
      return at_first;
    };
    dy_place_ = place(arguments.dy.data, arguments.dy.strides);
    x_place_ = place(arguments.x.data, arguments.x.strides);
    // In place of what the call does not have comes dy, of which then nothing is used.
    const RowsOf<const void*>& added = has_added_ ? arguments.dresidual : arguments.dy;
    added_place_ = place(added.data, added.strides);
    const bool has_dx = arguments.dx.data != nullptr;
    dx_place_ = const_cast<T*>(place(has_dx ? arguments.dx.data : arguments.dy.data, arguments.dx.strides));
    rstd_ = statistic(arguments.rstd);
    if constexpr (V::kCentred) mean_ = statistic(arguments.mean);
  }

  // For the end of the kernel before.
  __device__ void wait(const char* weight_place) const {
    wait_with_addresses(dy_place_, x_place_, added_place_, dx_place_, weight_place,
                        static_cast<const char*>(rstd_.data), static_cast<const char*>(mean_.data));
  }

  // Starts to read them. In place of one that does not exist comes the first, of which then nothing is used.
  __device__ void fetch(const NormGradientArguments& arguments) {
    const auto number = [&](int i) -> std::int64_t { return exists(i) ? i : 0; };
#pragma unroll
    for (int i = 0; i < V::kRows; ++i) {
      dy_[i] = load_pack<true, V::kElements>(dy_place_ + number(i) * arguments.dy.strides.inner, 0, 0);
      x_[i] = load_pack<true, V::kElements>(x_place_ + number(i) * arguments.x.strides.inner, 0, 0);
    }
#pragma unroll
    for (int i = 0; i < V::kRows; ++i) {
      added_[i] = load_chunk_if(has_added_, added_place_, number(i) * arguments.dresidual.strides.inner);
      factors_[i].rstd = read_statistic<T>(rstd_, number(i) * rstd_.strides.inner);
      if constexpr (V::kCentred) factors_[i].mean = read_statistic<T>(mean_, number(i) * mean_.strides.inner);
    }
  }

  // Adds them to the sums over rows and of the thread's lanes.
  __device__ void add(const float (&weight)[V::kElements], ColumnSums<V>& columns, RowSums<V>& lane_sums) {
#pragma unroll
    for (int i = 0; i < V::kRows; ++i) {
      float dy[V::kElements], normalized[V::kElements], products = 0.0f, total = 0.0f;
      unpack<T>(dy_[i], dy);
      unpack<T>(x_[i], normalized);
#pragma unroll
      for (int k = 0; k < V::kElements; ++k) {
        normalized[k] = factors_[i].normalize(normalized[k]);
        const float weighted = __fmul_rn(dy[k], weight[k]);
        products = __fmaf_rn(normalized[k], weighted, products);
        if constexpr (V::kCentred) total = __fadd_rn(total, weighted);
      }
      if (exists(i)) columns.add(0, dy, normalized);
      lane_sums[0][i] = products;
      if constexpr (V::kCentred) lane_sums[1][i] = total;
      if constexpr (V::kRows > 1) {
        settle(dy_[i]);
        settle(x_[i]);
      }
    }
  }

  // Stores dx.
  __device__ void finish(const NormGradientArguments& arguments, const float (&weight)[V::kElements],
                         const RowSums<V>& means) const {
#pragma unroll
    for (int i = 0; i < V::kRows; ++i) {
      float dy[V::kElements], values[V::kElements], added[V::kElements];
      unpack<T>(dy_[i], dy);
      unpack<T>(x_[i], values);
      if (has_added_) unpack<T>(added_[i], added);
#pragma unroll
      for (int k = 0; k < V::kElements; ++k) {
        values[k] = factors_[i].gradient(factors_[i].normalize(values[k]), __fmul_rn(dy[k], weight[k]),
                                         means[0][i], means[V::kSums - 1][i]);
        if (has_added_) values[k] = __fadd_rn(values[k], added[k]);
      }
      if (exists(i))
        store_pack<true>(dx_place_ + i * arguments.dx.strides.inner, 0, 0, round_chunk<T>(values));
    }
  }

 private:
  // A kernel of one row has it.
  __device__ bool exists(int i) const { return V::kRows == 1 || i < count_; }

  int count_ = 0;
  bool has_added_ = false;
  // Of the first row: the thread's chunk, and what the row has once.
  const T *dy_place_ = nullptr, *x_place_ = nullptr, *added_place_ = nullptr;
  T* dx_place_ = nullptr;
  RowStatistic rstd_, mean_;
  RowFactors<V::kCentred> factors_[V::kRows];
  Chunk<T> dy_[V::kRows], x_[V::kRows], added_[V::kRows];
};

// Of rows whose leading dimensions are one, up to as many chunks as there are lanes. A cluster has one unit,
// which is a group, or of one row the row.
template <class V>
__global__ void __launch_bounds__(V::kMaximumThreads) group_gradient_kernel(NormGradientArguments arguments) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  using T = typename V::T;
  constexpr int kRowSums = V::kSums * V::kRows;
  NORMPROOF_SHARED(GroupSums, group_sums, kRowSums * kSharers);
  NORMPROOF_SHARED(Arrivals, arrivals, 1);
  const RowBlocks blocks = row_blocks<V::kTeam>();
  const int warps = blocks.count * static_cast<int>(blockDim.x / kWarpThreads);
  const int index = static_cast<int>(threadIdx.x);
  if (index >= warps && index < kGroups) {  // of groups that no warp has
#pragma unroll
    for (int i = 0; i < kRowSums; ++i) sum_of_group(group_sums + i * kSharers, index) = 0.0f;
  }
  if (blocks.count > 1) {
    if (index == 0) expect_numbers(arrivals, 1, warps * kRowSums);
    arrive_at_cluster_barrier<V::kTeam>();
  }
  const RingChunks<V> chunks(arguments, blocks);
  const std::int64_t first = std::int64_t{number_of_cluster(blocks)} * V::kRows;
  // In place of a chunk that does not exist comes the last one, of which then nothing is used.
  const bool exists = chunks.exists(0);
  const auto hidden = static_cast<int>(arguments.shape.hidden);
  const int element = exists ? chunks.element(0, 0) : hidden - V::kElements;
  GroupRows<V> rows;
  rows.aim(arguments, first, element);
  const bool has_weight = arguments.weight.kind != AffineKind::absent;
  const bool is_fp32 = arguments.weight.kind == AffineKind::fp32;
  const char* const weight_place =
      settle(static_cast<const char*>(has_weight ? arguments.weight.data : arguments.x.data) +
             element * static_cast<int>(is_fp32 ? sizeof(float) : sizeof(T)));
  rows.wait(weight_place);
  let_the_next_kernel_start();
  rows.fetch(arguments);
  RawNumbers<T, V::kElements> raw_weight;  // anything where there is none
  raw_weight.load(weight_place, is_fp32, 0);

  float weight[V::kElements];
  raw_weight.unpack(weight);
#pragma unroll
  for (float& each : weight) each = has_weight ? each : kAbsentWeight;
  ColumnSums<V> columns;
  RowSums<V> lane_sums, means;
  rows.add(weight, columns, lane_sums);
#pragma unroll
  for (auto& sums : lane_sums) {
#pragma unroll
    for (float& sum : sums) sum = exists ? sum : 0.0f;
  }
  average_rows<V>(arguments, blocks, lane_sums, group_sums, arrivals, means, [&] {
    if (arguments.weight_sums.data != nullptr || arguments.bias_sums.data != nullptr)
      store_unit<V>(arguments, chunks, columns, first);
  });
  if (exists && arguments.dx.data != nullptr) rows.finish(arguments, weight, means);
#endif
}

}  // namespace normproof::kernels
