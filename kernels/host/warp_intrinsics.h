// CUDA's barriers, votes and shuffles under their CUDA names.
#ifndef NORMPROOF_KERNELS_HOST_WARP_INTRINSICS_H
#define NORMPROOF_KERNELS_HOST_WARP_INTRINSICS_H

#include <atomic>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "kernels/host/block_operations.h"

inline void __syncthreads(std::source_location site = std::source_location::current()) {
  normproof::host::wait_at_barrier(normproof::host::Operation::kSyncthreads, false, site);
}
inline int __syncthreads_count(int predicate, std::source_location site = std::source_location::current()) {
  return static_cast<int>(
      normproof::host::wait_at_barrier(normproof::host::Operation::kSyncthreadsCount, predicate != 0, site)
          .true_count);
}
inline int __syncthreads_or(int predicate, std::source_location site = std::source_location::current()) {
  return normproof::host::wait_at_barrier(normproof::host::Operation::kSyncthreadsOr, predicate != 0, site)
             .true_count != 0;
}
inline int __syncthreads_and(int predicate, std::source_location site = std::source_location::current()) {
  const auto vote =
      normproof::host::wait_at_barrier(normproof::host::Operation::kSyncthreadsAnd, predicate != 0, site);
  return vote.true_count == vote.arrivals;
}

inline void __syncwarp(unsigned mask = 0xffffffffu,
                       std::source_location site = std::source_location::current()) {
  normproof::host::sync_lanes(mask, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location site = std::source_location::current()) {
  return normproof::host::vote(normproof::host::Operation::kBallot, mask, predicate != 0, site).true_lanes;
}
inline int __any_sync(unsigned mask, int predicate,
                      std::source_location site = std::source_location::current()) {
  return normproof::host::vote(normproof::host::Operation::kAny, mask, predicate != 0, site).true_lanes != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      std::source_location site = std::source_location::current()) {
  const auto vote = normproof::host::vote(normproof::host::Operation::kAll, mask, predicate != 0, site);
  return vote.true_lanes == vote.lanes;
}

// CUDA promises no more than that the calling lane is in it: a kernel that expects others is wrong, and fails
// here.
inline unsigned __activemask() { return 1u << normproof::host::lane_index(); }

namespace normproof::host::internal {
template <class T>
concept Shuffleable = std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8);

template <Shuffleable T>
T shuffle_value(Operation operation, unsigned mask, T value, int operand, int width,
                std::source_location site) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = shuffle(operation, mask, bits, operand, width, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
}  // namespace normproof::host::internal

// 32-bit and 64-bit numbers. A width of 32 or a smaller power of two splits the warp into segments.
template <normproof::host::internal::Shuffleable T>
T __shfl_sync(unsigned mask, T value, int source_lane, int width = 32,
              std::source_location site = std::source_location::current()) {
  return normproof::host::internal::shuffle_value(normproof::host::Operation::kShuffle, mask, value,
                                                  source_lane, width, site);
}
template <normproof::host::internal::Shuffleable T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 std::source_location site = std::source_location::current()) {
  return normproof::host::internal::shuffle_value(normproof::host::Operation::kShuffleUp, mask, value,
                                                  static_cast<int>(delta), width, site);
}
template <normproof::host::internal::Shuffleable T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   std::source_location site = std::source_location::current()) {
  return normproof::host::internal::shuffle_value(normproof::host::Operation::kShuffleDown, mask, value,
                                                  static_cast<int>(delta), width, site);
}
template <normproof::host::internal::Shuffleable T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  std::source_location site = std::source_location::current()) {
  return normproof::host::internal::shuffle_value(normproof::host::Operation::kShuffleXor, mask, value,
                                                  lane_mask, width, site);
}

// All threads of a block live on one OS thread, so only the compiler must be held.
inline void __threadfence_block() { std::atomic_signal_fence(std::memory_order_seq_cst); }
inline void __threadfence() { std::atomic_signal_fence(std::memory_order_seq_cst); }

#endif
