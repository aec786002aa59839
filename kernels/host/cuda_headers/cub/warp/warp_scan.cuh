// Stands in for CUB's WarpScan: lane after lane of the logical warp.
#pragma once

#include <cub/warp/warp_reduce.cuh>

namespace cub {

template <class T, int LOGICAL_WARP_THREADS = NORMPROOF_WAVE_LANES>
class WarpScan {
  using Site = std::source_location;

 public:
  struct TempStorage {
    char unused;
  };

  explicit WarpScan(TempStorage&) {}

  void InclusiveSum(T input, T& output, Site site = Site::current()) {
    InclusiveScan(input, output, cub::Sum(), site);
  }
  void InclusiveSum(T input, T& output, T& aggregate, Site site = Site::current()) {
    InclusiveScan(input, output, cub::Sum(), aggregate, site);
  }
  void ExclusiveSum(T input, T& output, Site site = Site::current()) {
    ExclusiveScan(input, output, T(), cub::Sum(), site);
  }
  void ExclusiveSum(T input, T& output, T& aggregate, Site site = Site::current()) {
    ExclusiveScan(input, output, T(), cub::Sum(), aggregate, site);
  }
  template <class Operation>
  void InclusiveScan(T input, T& output, Operation operation, Site site = Site::current()) {
    T aggregate;
    InclusiveScan(input, output, operation, aggregate, site);
  }
  template <class Operation>
  void InclusiveScan(T input, T& output, Operation operation, T& aggregate, Site site = Site::current()) {
    T before;
    scan(input, before, output, operation, aggregate, site);
  }
  template <class Operation>
  void ExclusiveScan(T input, T& output, T initial, Operation operation, Site site = Site::current()) {
    T aggregate;
    ExclusiveScan(input, output, initial, operation, aggregate, site);
  }
  template <class Operation>
  void ExclusiveScan(T input, T& output, T initial, Operation operation, T& aggregate,
                     Site site = Site::current()) {
    T before, inclusive;
    scan(input, before, inclusive, operation, aggregate, site);
    output = lane() == 0 ? initial : operation(initial, before);
  }
  T Broadcast(T input, unsigned source, Site site = Site::current()) {
    return internal::shuffled_words(input, mask(), first() + static_cast<int>(source), site);
  }

 private:
  static int lane() { return static_cast<int>(normproof::host::lane_index()) % LOGICAL_WARP_THREADS; }
  static int first() { return static_cast<int>(normproof::host::lane_index()) - lane(); }
  static normproof::host::LaneMask mask() { return internal::first_lanes(LOGICAL_WARP_THREADS) << first(); }
  template <class Operation>
  void scan(T input, T& before, T& inclusive, Operation operation, T& aggregate, Site site) {
    T sum = internal::shuffled_words(input, mask(), first(), site);
    before = inclusive = sum;
    for (int other = 1; other < LOGICAL_WARP_THREADS; ++other) {
      const T value = internal::shuffled_words(input, mask(), first() + other, site);
      if (other == lane()) before = sum;
      sum = operation(sum, value);
      if (other == lane()) inclusive = sum;
    }
    aggregate = sum;
  }
};

}  // namespace cub
