// HIP's operations of a wave. They have no mask: the lanes that run together take part, which are those of
// one branch. Included by the stand-in for hip_runtime.h, as are the compiler's functions, amd_builtins.h.
#ifndef NORMPROOF_KERNELS_HOST_HIP_FUNCTIONS_H
#define NORMPROOF_KERNELS_HOST_HIP_FUNCTIONS_H

#include <source_location>

#include "kernels/host/warp_intrinsics.h"

#define NORMPROOF_HIP_SHUFFLE(name, collective, Operand, operand)                            \
  template <normproof::host::internal::Shuffleable T>                                        \
  T name(T value, Operand operand, int width = NORMPROOF_WAVE_LANES,                         \
         std::source_location site = std::source_location::current()) {                      \
    return normproof::host::internal::shuffle_value(normproof::host::Collective::collective, \
                                                    normproof::host::kLanesTogether, value,  \
                                                    static_cast<int>(operand), width, site); \
  }                                                                                          \
  template <normproof::host::internal::Promoted T>                                           \
  int name(T value, Operand operand, int width = NORMPROOF_WAVE_LANES,                       \
           std::source_location site = std::source_location::current()) {                    \
    return name(static_cast<int>(value), operand, width, site);                              \
  }
NORMPROOF_HIP_SHUFFLE(__shfl, kShuffle, int, source_lane)
NORMPROOF_HIP_SHUFFLE(__shfl_up, kShuffleUp, unsigned, delta)
NORMPROOF_HIP_SHUFFLE(__shfl_down, kShuffleDown, unsigned, delta)
NORMPROOF_HIP_SHUFFLE(__shfl_xor, kShuffleXor, int, lane_mask)
#undef NORMPROOF_HIP_SHUFFLE

inline unsigned long long __ballot(int predicate,
                                   std::source_location site = std::source_location::current()) {
  return normproof::host::vote(normproof::host::Collective::kBallot, normproof::host::kLanesTogether,
                               predicate != 0, site)
      .true_lanes;
}
inline unsigned long long __ballot64(int predicate,
                                     std::source_location site = std::source_location::current()) {
  return __ballot(predicate, site);
}
inline int __any(int predicate, std::source_location site = std::source_location::current()) {
  return __ballot(predicate, site) != 0;
}
inline int __all(int predicate, std::source_location site = std::source_location::current()) {
  const auto vote = normproof::host::vote(normproof::host::Collective::kAll, normproof::host::kLanesTogether,
                                          predicate != 0, site);
  return vote.true_lanes == vote.lanes;
}
inline unsigned __lane_id() { return normproof::host::lane_index(); }

#endif
