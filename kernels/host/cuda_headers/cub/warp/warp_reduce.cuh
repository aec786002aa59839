// Stands in for CUB's WarpReduce. A tree of shuffles: lane i adds what lane i + 1 has, then i + 2, i + 4, ...
// . CUB promises no order; the result is valid in lane 0 alone, and here any other lane gets 0xFF bytes, a
// NaN for floats.
#pragma once

#include <cuda_runtime.h>
#include <cub/util_operators.cuh>
#include <cub/version.cuh>

#include <cstring>
#include <source_location>

namespace cub {

namespace internal {
// Any trivially copyable type, in words of 32 bits, from this lane.
template <class T>
T shuffled_words(const T& value, normproof::host::LaneMask mask, int source, std::source_location site) {
  static_assert(std::is_trivially_copyable_v<T>);
  unsigned words[(sizeof(T) + 3) / 4] = {};
  std::memcpy(words, &value, sizeof(T));
  for (unsigned& word : words) word = __shfl_sync(mask, word, source, NORMPROOF_WAVE_LANES, site);
  T result;
  std::memcpy(static_cast<void*>(&result), words, sizeof(T));
  return result;
}
// The first `lanes` lanes of a warp.
constexpr normproof::host::LaneMask first_lanes(int lanes) {
  return normproof::host::kEveryLane >> (NORMPROOF_WAVE_LANES - lanes);
}
}  // namespace internal

template <class T, int LOGICAL_WARP_THREADS = NORMPROOF_WAVE_LANES>
class WarpReduce {
  static_assert(LOGICAL_WARP_THREADS >= 1 && LOGICAL_WARP_THREADS <= NORMPROOF_WAVE_LANES);

 public:
  struct TempStorage {
    char unused;
  };

  explicit WarpReduce(TempStorage&) {}

  T Sum(T input, std::source_location site = std::source_location::current()) {
    return Reduce(input, cub::Sum(), LOGICAL_WARP_THREADS, site);
  }
  T Sum(T input, int valid_items, std::source_location site = std::source_location::current()) {
    return Reduce(input, cub::Sum(), valid_items, site);
  }
  template <class Operation>
  T Reduce(T input, Operation operation, std::source_location site = std::source_location::current()) {
    return Reduce(input, operation, LOGICAL_WARP_THREADS, site);
  }
  // Every lane of the logical warp takes part; the first `valid_items` have a value.
  template <class Operation>
  T Reduce(T input, Operation operation, int valid_items,
           std::source_location site = std::source_location::current()) {
    const int lane = static_cast<int>(normproof::host::lane_index()) % LOGICAL_WARP_THREADS;
    const int first = static_cast<int>(normproof::host::lane_index()) - lane;
    constexpr normproof::host::LaneMask all = internal::first_lanes(LOGICAL_WARP_THREADS);
    const int count = valid_items < LOGICAL_WARP_THREADS ? valid_items : LOGICAL_WARP_THREADS;
    T reduced = input;
    for (int offset = 1; offset < LOGICAL_WARP_THREADS; offset *= 2) {
      // From the own lane where no lane so far away has a value: what comes back is not used.
      const int source = lane + offset < count ? lane + offset : lane;
      const T other = internal::shuffled_words(reduced, all << first, first + source, site);
      if (lane + offset < count && lane % (2 * offset) == 0) reduced = operation(reduced, other);
    }
    if (lane == 0) return reduced;
    T nothing;
    std::memset(static_cast<void*>(&nothing), 0xFF, sizeof nothing);
    return nothing;
  }
};

}  // namespace cub
