// The sum over a row that the threads of a block, or of a cluster of blocks, hold in registers.
#pragma once

#if defined(__CUDACC__)
#include <cooperative_groups.h>
#endif

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/register_shape.h"
#include "kernels/row_reduction.cuh"
#include "kernels/row_scale.cuh"

namespace normproof::kernels {

// The tree over the sums that one thread holds of kCount lanes or groups, absent ones being 0.
template <int kCount>
__device__ inline float tree_over_own(const float (&own)[kCount]) {
  static_assert((kCount & (kCount - 1)) == 0);
  float sums[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) sums[i] = own[i];
#pragma unroll
  for (int left = kCount / 2; left > 0; left /= 2) {
#pragma unroll
    for (int i = 0; i < left; ++i) sums[i] = __fadd_rn(sums[i], sums[i + left]);
  }
  return sums[0];
}

// A quarter of the group sums, those of the groups q, q + 4, q + 8, ...: a thread reads them by two accesses
// and adds them up itself, which leaves two steps of the tree between threads. A shuffle takes as long as
// eight additions.
inline constexpr int kSharers = 4;
using GroupSums = Pack<float, kGroups / kSharers>;

// Where the sum of a group is.
__device__ inline float& sum_of_group(GroupSums* sums, int group) {
  return sums[group % kSharers].elements[group / kSharers];
}

// The blocks that hold a row together, as many as a cluster has.
struct RowBlocks {
  int count = 1;
  int rank = 0;  // of this one
};

template <Team kTeam>
__device__ inline RowBlocks row_blocks() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if constexpr (kTeam == Team::cluster) {
    const auto cluster = cooperative_groups::this_cluster();
    return {static_cast<int>(cluster.num_blocks()), static_cast<int>(cluster.block_rank())};
  }
#endif
  return {};
}

// Tells the other blocks of the cluster that this one has come here; what it has written is theirs to read
// once they have waited for it.
template <Team kTeam>
__device__ inline void arrive_at_cluster_barrier() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if constexpr (kTeam == Team::cluster) asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}

template <Team kTeam>
__device__ inline void wait_at_cluster_barrier() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if constexpr (kTeam == Team::cluster) asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#else
  if constexpr (kTeam == Team::cluster) __syncthreads();  // where a cluster is one block
#endif
}

// The place of a number of shared memory in block `rank` of the cluster.
template <Team kTeam, typename Number>
__device__ inline Number* in_block([[maybe_unused]] int rank, Number* place) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if constexpr (kTeam == Team::cluster)
    return cooperative_groups::this_cluster().map_shared_rank(place, rank);
#endif
  return place;
}

// Sets the sums to 0 of groups that no warp has.
template <class Shape>
__device__ inline void clear_absent_groups(const RowBlocks& blocks, GroupSums* sums) {
  const int group = static_cast<int>(threadIdx.x);
  const int present = blocks.count * static_cast<int>(blockDim.x) / kWarpThreads * Shape::kSlots;
  if (group >= present && group < kGroups) sum_of_group(sums, group) = 0.0f;
}

// The sum of one of a warp's groups, of the threads that hold it one for each block of the cluster.
struct GroupSum {
  float sum;
  int group;
  int block;  // to which the thread gives it
  bool is_given;
};
template <class Shape>
__device__ inline GroupSum own_group_sum(const RowBlocks& blocks, const float (&lane_sums)[Shape::kSlots]) {
  constexpr int kSlots = Shape::kSlots;
  const int thread = static_cast<int>(threadIdx.x % kWarpThreads);
  const int warps_per_block = static_cast<int>(blockDim.x / kWarpThreads);
  const int warp = blocks.rank * warps_per_block + static_cast<int>(threadIdx.x / kWarpThreads);
  const int warps = blocks.count * warps_per_block;
  constexpr int kPaddedSlots = kSlots <= 2 ? kSlots : kSlots <= 4 ? 4 : 8;
  float padded[kPaddedSlots] = {};
#pragma unroll
  for (int slot = 0; slot < kSlots; ++slot) padded[slot] = lane_sums[slot];
  const float own = tree_sums(padded, thread);
  const int slot = slot_of_sum<kPaddedSlots>(thread);
  const int group = Shape::kFull ? warp * kSlots + slot : warp + slot * warps;
  const int copy = thread % kThreadsPerSlot<kPaddedSlots>;
  return {own, group, copy, copy < blocks.count && slot < kSlots && group < kGroups};
}

// The tree over the sums of groups.
__device__ inline float sum_of_groups(const GroupSums* group_sums) {
  const GroupSums quarter = group_sums[threadIdx.x % kSharers];
  return tree_sum(tree_over_own(quarter.elements), kSharers);
}

// The sum over a row that whole blocks hold, from the sums of its lanes; every thread gets it. A kernel's
// first sum waits until all blocks of the cluster exist; each sum needs memory of its own.
template <class Shape, bool kIsFirst = true>
__device__ inline float row_sum(const RowBlocks& blocks, const float (&lane_sums)[Shape::kSlots],
                                GroupSums* group_sums) {
  const GroupSum own = own_group_sum<Shape>(blocks, lane_sums);
  if constexpr (kIsFirst) wait_at_cluster_barrier<Shape::kTeam>();
  if (own.is_given) *in_block<Shape::kTeam>(own.block, &sum_of_group(group_sums, own.group)) = own.sum;
  if constexpr (Shape::kTeam == Team::cluster) {
    arrive_at_cluster_barrier<Shape::kTeam>();
    wait_at_cluster_barrier<Shape::kTeam>();
  } else {
    __syncthreads();
  }
  return sum_of_groups(group_sums);
}

// Over all threads of a warp, by the instruction that a GPU has for it.
__device__ inline std::uint32_t largest_of_warp(std::uint32_t value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  return __reduce_max_sync(kWholeWarp, value);
#else
  return largest_of_threads(value, kWarpThreads);
#endif
}

// The largest over all threads of a row that whole blocks hold; every thread gets it. `largest_of_warps` is
// shared memory of kGroups numbers that nothing else uses. Warps that have no group have no element.
template <class Shape>
__device__ inline std::uint32_t row_largest(const RowBlocks& blocks, std::uint32_t own,
                                            std::uint32_t* largest_of_warps) {
  const int thread = static_cast<int>(threadIdx.x % kWarpThreads);
  const int warps_per_block = static_cast<int>(blockDim.x / kWarpThreads);
  const int warp = blocks.rank * warps_per_block + static_cast<int>(threadIdx.x / kWarpThreads);
  own = largest_of_warp(own);
  if (thread < blocks.count && warp < kGroups) *in_block<Shape::kTeam>(thread, &largest_of_warps[warp]) = own;
  if constexpr (Shape::kTeam == Team::cluster) {
    arrive_at_cluster_barrier<Shape::kTeam>();
    wait_at_cluster_barrier<Shape::kTeam>();
  } else {
    __syncthreads();
  }
  return largest_of_warp(thread < blocks.count * warps_per_block ? largest_of_warps[thread] : 0);
}

}  // namespace normproof::kernels
