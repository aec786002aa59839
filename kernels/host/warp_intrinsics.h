// CUDA's barriers, votes and shuffles under their CUDA names.
#ifndef NORMPROOF_KERNELS_HOST_WARP_INTRINSICS_H
#define NORMPROOF_KERNELS_HOST_WARP_INTRINSICS_H

#include <atomic>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "kernels/host/block_collectives.h"
#include "kernels/host/wave_lanes.h"

inline void __syncthreads(std::source_location site = std::source_location::current()) {
  normproof::host::wait_at_barrier(normproof::host::Collective::kSyncthreads, false, site);
}
inline int __syncthreads_count(int predicate, std::source_location site = std::source_location::current()) {
  return static_cast<int>(
      normproof::host::wait_at_barrier(normproof::host::Collective::kSyncthreadsCount, predicate != 0, site)
          .true_count);
}
inline int __syncthreads_or(int predicate, std::source_location site = std::source_location::current()) {
  return normproof::host::wait_at_barrier(normproof::host::Collective::kSyncthreadsOr, predicate != 0, site)
             .true_count != 0;
}
inline int __syncthreads_and(int predicate, std::source_location site = std::source_location::current()) {
  const auto vote =
      normproof::host::wait_at_barrier(normproof::host::Collective::kSyncthreadsAnd, predicate != 0, site);
  return vote.true_count == vote.arrivals;
}

// Barriers that a block has by number: this one waits for the whole block, whatever its number.
inline void __barrier_sync(unsigned, std::source_location site = std::source_location::current()) {
  normproof::host::wait_at_barrier(normproof::host::Collective::kSyncthreads, false, site);
}

inline void __syncwarp(normproof::host::LaneMask mask = normproof::host::kEveryLane,
                       std::source_location site = std::source_location::current()) {
  normproof::host::sync_lanes(mask, site);
}

inline normproof::host::LaneMask __ballot_sync(normproof::host::LaneMask mask, int predicate,
                                               std::source_location site = std::source_location::current()) {
  return static_cast<normproof::host::LaneMask>(
      normproof::host::vote(normproof::host::Collective::kBallot, mask, predicate != 0, site).true_lanes);
}
inline int __any_sync(normproof::host::LaneMask mask, int predicate,
                      std::source_location site = std::source_location::current()) {
  return normproof::host::vote(normproof::host::Collective::kAny, mask, predicate != 0, site).true_lanes != 0;
}
inline int __all_sync(normproof::host::LaneMask mask, int predicate,
                      std::source_location site = std::source_location::current()) {
  const auto vote = normproof::host::vote(normproof::host::Collective::kAll, mask, predicate != 0, site);
  return vote.true_lanes == vote.lanes;
}

// Whether the predicate is the same in all lanes of the mask.
inline int __uni_sync(normproof::host::LaneMask mask, int predicate,
                      std::source_location site = std::source_location::current()) {
  const auto vote = normproof::host::vote(normproof::host::Collective::kAll, mask, predicate != 0, site);
  return vote.true_lanes == vote.lanes || vote.true_lanes == 0;
}

// CUDA promises no more than that the calling lane is in it: a kernel that expects
// others is wrong, and fails here.
inline normproof::host::LaneMask __activemask() {
  return normproof::host::LaneMask{1} << normproof::host::lane_index();
}

namespace normproof::host {
// Types that are no numbers of the language but whose bits a shuffle moves, up to 8 bytes.
template <class T>
inline constexpr bool kIsShuffledAsBits = false;

namespace internal {
template <class T>
concept Shuffleable = (std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8)) || kIsShuffledAsBits<T>;
// CUDA has no overload for them: they become int.
template <class T>
concept Promoted = std::is_integral_v<T> && sizeof(T) < 4;

template <Shuffleable T>
T shuffle_value(Collective collective, Lanes mask, T value, int operand, int width,
                std::source_location site) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = shuffle(collective, mask, bits, operand, width, site);
  std::memcpy(static_cast<void*>(&value), &bits, sizeof value);
  return value;
}
}  // namespace internal
}  // namespace normproof::host

// A width of the warp or a smaller power of two splits it into segments.
#define NORMPROOF_HOST_SHUFFLE(name, collective, Operand, operand)                                        \
  template <normproof::host::internal::Shuffleable T>                                                     \
  T name(normproof::host::LaneMask mask, T value, Operand operand, int width = NORMPROOF_WAVE_LANES,      \
         std::source_location site = std::source_location::current()) {                                   \
    return normproof::host::internal::shuffle_value(normproof::host::Collective::collective, mask, value, \
                                                    static_cast<int>(operand), width, site);              \
  }                                                                                                       \
  template <normproof::host::internal::Promoted T>                                                        \
  int name(normproof::host::LaneMask mask, T value, Operand operand, int width = NORMPROOF_WAVE_LANES,    \
           std::source_location site = std::source_location::current()) {                                 \
    return name(mask, static_cast<int>(value), operand, width, site);                                     \
  }
NORMPROOF_HOST_SHUFFLE(__shfl_sync, kShuffle, int, source_lane)
NORMPROOF_HOST_SHUFFLE(__shfl_up_sync, kShuffleUp, unsigned, delta)
NORMPROOF_HOST_SHUFFLE(__shfl_down_sync, kShuffleDown, unsigned, delta)
NORMPROOF_HOST_SHUFFLE(__shfl_xor_sync, kShuffleXor, int, lane_mask)
#undef NORMPROOF_HOST_SHUFFLE

// --- reductions over the lanes of a mask, and lanes with the same value ---

#define NORMPROOF_HOST_REDUCE(name, type, collective)                                                \
  inline type name(normproof::host::LaneMask mask, type value,                                       \
                   std::source_location site = std::source_location::current()) {                    \
    return static_cast<type>(normproof::host::combine(normproof::host::Collective::collective, mask, \
                                                      static_cast<unsigned>(value), site));          \
  }
NORMPROOF_HOST_REDUCE(__reduce_add_sync, unsigned, kReduceAdd)
NORMPROOF_HOST_REDUCE(__reduce_add_sync, int, kReduceAdd)
NORMPROOF_HOST_REDUCE(__reduce_min_sync, unsigned, kReduceMin)
NORMPROOF_HOST_REDUCE(__reduce_min_sync, int, kReduceMinSigned)
NORMPROOF_HOST_REDUCE(__reduce_max_sync, unsigned, kReduceMax)
NORMPROOF_HOST_REDUCE(__reduce_max_sync, int, kReduceMaxSigned)
NORMPROOF_HOST_REDUCE(__reduce_and_sync, unsigned, kReduceAnd)
NORMPROOF_HOST_REDUCE(__reduce_or_sync, unsigned, kReduceOr)
NORMPROOF_HOST_REDUCE(__reduce_xor_sync, unsigned, kReduceXor)
#undef NORMPROOF_HOST_REDUCE

template <class T>
  requires(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8))
normproof::host::LaneMask __match_any_sync(normproof::host::LaneMask mask, T value,
                                           std::source_location site = std::source_location::current()) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return static_cast<normproof::host::LaneMask>(
      normproof::host::combine(normproof::host::Collective::kMatchAny, mask, bits, site));
}
template <class T>
  requires(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8))
normproof::host::LaneMask __match_all_sync(normproof::host::LaneMask mask, T value, int* all,
                                           std::source_location site = std::source_location::current()) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  const auto lanes = static_cast<normproof::host::LaneMask>(
      normproof::host::combine(normproof::host::Collective::kMatchAll, mask, bits, site));
  *all = lanes != 0;
  return lanes;
}

// All threads of a block live on one OS thread, so only the compiler must be held.
inline void __threadfence_block() { std::atomic_signal_fence(std::memory_order_seq_cst); }
inline void __threadfence() { std::atomic_signal_fence(std::memory_order_seq_cst); }

#endif
