// Loops over blocks of elements, one table of functions per instruction set.
#pragma once

#include <cstdint>

namespace normproof::oracle::box_search {

inline constexpr int kBlock = 64;  // elements

struct LaneRange {  // kBlock numbers each
  const float* low;
  const float* high;
};

// In fp64, in a fixed order of eight lanes.
struct Moments {
  double sum = 0;       // of value - shift
  double absolute = 0;  // of |value|
  double squares = 0;   // of (value - shift)^2
  float largest = 0;    // |value|; infinite or NaN where any value is
};

struct ProductSums {
  double two = 0;
  double two_absolute = 0;
  double all = 0;
  double all_absolute = 0;
};

struct LaneKernels {
  using Binary = void (*)(LaneRange a, LaneRange b, float* low, float* high);
  Binary add;
  Binary subtract;
  Binary multiply;
  void (*scale)(LaneRange a, const float* factor, float* low, float* high);
  void (*fused)(LaneRange a, const float* factor, LaneRange b, float* low, float* high);  // a * factor + b
  // One bit per lane that is not, at both ends, the finite number `got`.
  std::uint64_t (*unsatisfied)(LaneRange a, const float* got);
  void (*moments)(const float* values, std::int64_t count, double shift, Moments* result);
  // Sums of a[j] * b[j] and of a[j] * b[j] * (values[j] - shift) * factor; the products are off by at most
  // three roundings of fp64.
  void (*products)(const float* a, const float* b, const float* values, double shift, double factor,
                   std::int64_t count, ProductSums* result);
};

// The fastest table that this processor can run.
const LaneKernels& lane_kernels();
const LaneKernels& baseline_lane_kernels();

}  // namespace normproof::oracle::box_search
