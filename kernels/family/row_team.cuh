// The threads that share a row of any length and alignment: they add it up in the canonical order
// (row_reduction.cuh) as often as a kernel needs a sum, and each meets its own chunks, always the same ones,
// in every pass over the row.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"
#include "kernels/row_reduction.cuh"
#include "kernels/row_scale.cuh"
#include "kernels/row_shape.h"

namespace normproof::kernels {

// A few neighbouring threads of a warp have a row of at most 32 chunks, one each.
class PartOfWarp {
 public:
  __device__ PartOfWarp(const RowShape& shape, bool row_exists)
      : width_(1 << shape.row_threads_log2),
        thread_(static_cast<int>(threadIdx.x) & (width_ - 1)),
        present_(row_exists && thread_ < shape.chunks),
        exists_(row_exists) {}

  // The sum over the row, where `add_chunk(lane sum, chunk)` adds one; every thread gets it. All threads of
  // the warp call it.
  template <class AddChunk>
  __device__ float sum(const AddChunk& add_chunk) {
    return tree_sum(present_ ? add_chunk(0.0f, std::int64_t{thread_}) : 0.0f, width_);
  }
  // Calls visit_chunk(chunk) for the thread's own chunks.
  template <class Visit>
  __device__ void visit(const Visit& visit_chunk) const {
    if (present_) visit_chunk(std::int64_t{thread_});
  }
  __device__ std::uint32_t largest(std::uint32_t own) const { return largest_of_threads(own, width_); }
  // Whether the thread is the one to store what a row has once.
  __device__ bool is_first() const { return exists_ && thread_ == 0; }
  // Calls visit_index(i) for the thread's share of the numbers below `count`, whatever they are.
  template <class Visit>
  __device__ void visit_indices(std::int64_t count, const Visit& visit_index) const {
    for (std::int64_t i = thread_; exists_ && i < count; i += width_) visit_index(i);
  }

 private:
  int width_;
  int thread_;
  bool present_;
  bool exists_;
};

// All threads of the block have a row. Warp w owns the groups w, w + warps, w + 2 * warps, ...
template <int kSlots>
class WholeBlock {
 public:
  // `group_sums` is shared memory of 2 * kGroups numbers.
  __device__ WholeBlock(const RowShape& shape, float* group_sums)
      : shape_(shape),
        group_sums_(group_sums),
        thread_(static_cast<int>(threadIdx.x) % kWarpThreads),
        warp_(static_cast<int>(threadIdx.x) / kWarpThreads),
        warps_(static_cast<int>(blockDim.x) / kWarpThreads) {}

  // Sums take turns with two places. Who writes to one has passed the barrier of the sum between, and nobody
  // comes there who has not read the sum before.
  template <class AddChunk>
  __device__ float sum(const AddChunk& add_chunk) {
    for (int first_group = warp_; first_group < shape_.groups; first_group += warps_ * kSlots) {
      float lane_sums[kSlots] = {};
      for (std::int64_t round = 0; round * kLanes < shape_.chunks; ++round) {
#pragma unroll
        for (int slot = 0; slot < kSlots; ++slot) {
          const int group = first_group + slot * warps_;
          const std::int64_t chunk = round * kLanes + group * kWarpThreads + thread_;
          if (group < kGroups && chunk < shape_.chunks) lane_sums[slot] = add_chunk(lane_sums[slot], chunk);
        }
      }
      const float own = tree_sums(lane_sums, thread_);
      const int group = first_group + slot_of_sum<kSlots>(thread_) * warps_;
      if (thread_ % kThreadsPerSlot<kSlots> == 0 && group < kGroups) group_sums_[next_ + group] = own;
    }
    __syncthreads();
    const float total =
        tree_over_groups(group_sums_ + next_, shape_.groups, shape_.group_tree_width, thread_);
    next_ = kGroups - next_;
    return total;
  }
  template <class Visit>
  __device__ void visit(const Visit& visit_chunk) const {
    for (int group = warp_; group < shape_.groups; group += warps_) {
      for (std::int64_t chunk = group * kWarpThreads + thread_; chunk < shape_.chunks; chunk += kLanes)
        visit_chunk(chunk);
    }
  }
  __device__ std::uint32_t largest(std::uint32_t own) const {
    return largest_of_block(own, warp_, warps_, thread_);
  }
  __device__ bool is_first() const { return threadIdx.x == 0; }
  template <class Visit>
  __device__ void visit_indices(std::int64_t count, const Visit& visit_index) const {
    for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) visit_index(i);
  }

 private:
  const RowShape& shape_;
  float* group_sums_;
  int next_ = 0;  // where the next sum's group sums go
  int thread_;
  int warp_;
  int warps_;
};

// Calls give_row(team, row) for every row that this block has, the rows of a warp at the same time.
template <bool kBlockPerRow, int kSlots, class GiveRow>
__device__ inline void for_each_row(const RowShape& shape, std::int64_t rows, const GiveRow& give_row) {
  if constexpr (kBlockPerRow) {
    NORMPROOF_SHARED(float, group_sums, 2 * kGroups);
    WholeBlock<kSlots> team(shape, group_sums);
    for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) give_row(team, row);
  } else {
    const int log2 = shape.row_threads_log2;
    const std::int64_t rows_per_block = blockDim.x >> log2, rows_per_warp = kWarpThreads >> log2;
    std::int64_t row = blockIdx.x * rows_per_block + (threadIdx.x >> log2);
    // A warp goes on as long as its first row exists, because all of its threads must take part in a shuffle.
    for (; row - (row & (rows_per_warp - 1)) < rows; row += gridDim.x * rows_per_block) {
      const bool exists = row < rows;
      PartOfWarp team(shape, exists);
      give_row(team, exists ? row : 0);
    }
  }
}

}  // namespace normproof::kernels
