// The canonical sum of squares of a row: its order depends on the row's length and dtype alone.
//
// A row is cut into chunks of 16 bytes. Chunk c belongs to lane c mod 1024; a lane adds its squares by fma
// from 0 in increasing element order. The 1024 lanes form 32 groups of 32. Within a group, lanes that differ
// in bit 4 of their index are added first, then bits 3, 2, 1, 0; then the 32 group sums in the same way.
// Lanes and groups that a row does not reach are 0, and adding 0 changes no bit of a sum of squares, so short
// rows skip the upper part of the tree.
//
// Addition is commutative, so both partners of a butterfly hold the same
// bits, and any warp may own any group.
#pragma once

#include <cstdint>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/norm_arguments.h"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

inline constexpr int kGroups = 32;
inline constexpr int kLanes = kGroups * kWarpThreads;
inline constexpr unsigned kWholeWarp = 0xffffffffu;

// lane_sum + the squares of a chunk, in element order.
template <typename T>
__device__ inline float add_squares(float lane_sum, const Chunk<T>& chunk) {
#pragma unroll
  for (int i = 0; i < kChunkElements<T>; ++i) {
    const float x = to_float(chunk.elements[i]);
    lane_sum = __fmaf_rn(x, x, lane_sum);
  }
  return lane_sum;
}

// The tree over `width` neighbouring threads of a warp (a power of two); every one of them gets the sum.
__device__ inline float tree_sum(float value, int width) {
#pragma unroll
  for (int bit = kWarpThreads / 2; bit > 0; bit /= 2) {
    if (bit < width) value = __fadd_rn(value, __shfl_xor_sync(kWholeWarp, value, bit));
  }
  return value;
}

// The tree of `kSlots` groups at once (a power of two): lane_sums[s] is this thread's lane of the group in
// slot s. While several slots are left, each step halves them: a thread keeps the slots of its own half and
// hands the others to its partner, so a step costs one shuffle per remaining slot instead of one per slot.
// Returns the sum of the group in slot `slot_of_sum<kSlots>(thread)`.
template <int kSlots>
__device__ inline float tree_sums(const float (&lane_sums)[kSlots], int thread) {
  static_assert((kSlots & (kSlots - 1)) == 0 && kSlots <= kWarpThreads);
  float sums[kSlots];
#pragma unroll
  for (int slot = 0; slot < kSlots; ++slot) sums[slot] = lane_sums[slot];
  int bit = kWarpThreads / 2;
#pragma unroll
  for (int left = kSlots / 2; left > 0; left /= 2, bit /= 2) {
    const bool upper = (thread & bit) != 0;
#pragma unroll
    for (int slot = 0; slot < left; ++slot) {
      const float kept = upper ? sums[slot + left] : sums[slot];
      const float given = upper ? sums[slot] : sums[slot + left];
      sums[slot] = __fadd_rn(kept, __shfl_xor_sync(kWholeWarp, given, bit));
    }
  }
  float sum = sums[0];
#pragma unroll
  for (; bit > 0; bit /= 2) sum = __fadd_rn(sum, __shfl_xor_sync(kWholeWarp, sum, bit));
  return sum;
}

// Neighbouring threads that get the sum of the same slot.
template <int kSlots>
inline constexpr int kThreadsPerSlot = kWarpThreads / kSlots;

template <int kSlots>
__device__ inline int slot_of_sum(int thread) {
  return thread / kThreadsPerSlot<kSlots>;
}

// The tree over the sums of `groups` groups; every thread of the calling warp gets the row's sum. `width` is
// `groups` rounded up to a power of two.
__device__ inline float tree_over_groups(const float* group_sums, int groups, int width, int thread) {
  const int group = thread & (width - 1);
  return tree_sum(group < groups ? group_sums[group] : 0.0f, width);
}

// r = rnd(1 / sqrt(fl(fl(sum / H) + epsilon))).
__device__ inline float inverse_rms(float sum, float hidden, float epsilon) {
  return __frsqrt_rn(__fadd_rn(__fdiv_rn(sum, hidden), epsilon));
}

}  // namespace normproof::kernels
