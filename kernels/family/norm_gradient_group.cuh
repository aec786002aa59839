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

// What a thread has of the rows.
template <class V>
class GroupRows {
 public:
  using T = typename V::T;

  // Starts to read them. In place of one that does not exist comes the first, of which then nothing is used.
  __device__ void fetch(const NormGradientArguments& arguments, std::int64_t first, int element) {
    const std::int64_t left = arguments.rows.count - first;
    count_ = left < V::kRows ? static_cast<int>(left) : V::kRows;
    has_added_ = arguments.dresidual.data != nullptr;
    const auto row_of_number = [&](int i) { return first + (i < count_ ? i : 0); };
    const auto data = [](const RowsOf<const void*>& rows) { return static_cast<const T*>(rows.data); };
    const auto offset = [&](const RowsOf<const void*>& rows, int i) {
      return row_of_number(i) * rows.strides.inner + element;
    };
#pragma unroll
    for (int i = 0; i < V::kRows; ++i) {
      dy_[i] = load_pack<true, V::kElements>(data(arguments.dy) + offset(arguments.dy, i), 0, 0);
      x_[i] = load_pack<true, V::kElements>(data(arguments.x) + offset(arguments.x, i), 0, 0);
    }
#pragma unroll
    for (int i = 0; i < V::kRows; ++i) {
      added_[i] = load_chunk_if(has_added_, data(arguments.dresidual), offset(arguments.dresidual, i));
      factors_[i] = factors_of_row<T, V::kCentred>(
          arguments, [&](const RowStrides& strides) { return row_of_number(i) * strides.inner; });
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
      if (i < count_) columns.add(0, dy, normalized);
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
                         const RowSums<V>& means, std::int64_t first, int element) const {
    T* const dx = static_cast<T*>(arguments.dx.data);
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
      if (i < count_)
        store_pack<true>(dx + (first + i) * arguments.dx.strides.inner, element, 0, round_chunk<T>(values));
    }
  }

 private:
  int count_ = 0;
  bool has_added_ = false;
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
  const std::int64_t first = std::int64_t{blockIdx.x / static_cast<unsigned>(blocks.count)} * V::kRows;
  // In place of a chunk that does not exist comes the last one, of which then nothing is used.
  const bool exists = chunks.exists(0);
  const auto hidden = static_cast<int>(arguments.shape.hidden);
  const int element = exists ? chunks.element(0, 0) : hidden - V::kElements;
  wait_for_the_kernel_before();
  let_the_next_kernel_start();
  GroupRows<V> rows;
  rows.fetch(arguments, first, element);
  const bool has_weight = arguments.weight.kind != AffineKind::absent;
  RawNumbers<T, V::kElements> raw_weight;  // anything where there is none
  raw_weight.load(has_weight ? arguments.weight.data : arguments.x.data,
                  arguments.weight.kind == AffineKind::fp32, element);

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
  if (exists && arguments.dx.data != nullptr) rows.finish(arguments, weight, means, first, element);
#endif
}

}  // namespace normproof::kernels
