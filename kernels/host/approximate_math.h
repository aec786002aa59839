// CUDA's approximate functions. Nobody documents their bits, only how far they may lie from the exact value;
// so each result is drawn from what that bound allows.
#ifndef NORMPROOF_KERNELS_HOST_APPROXIMATE_MATH_H
#define NORMPROOF_KERNELS_HOST_APPROXIMATE_MATH_H

#include <cmath>
#include <cstdint>

#include "kernels/host/float_intrinsics.h"

namespace normproof::host {

// 0, as at first: every approximate function gives the correctly rounded value. Any other seed chooses, for
// the calling OS thread, one of the functions that the documented bounds allow: the same argument gives the
// same result until the seed changes.
void set_approximation_seed(std::uint64_t seed);
std::uint64_t approximation_seed();

enum class Approximation : std::uint8_t {
  kRsqrt,
  kDivide,
  kExp,
  kExp2,
  kExp10,
  kLog,
  kLog2,
  kLog10,
  kSin,
  kCos,
  kReciprocal,
  kRoot,
  kTanh,
};

namespace internal {
extern constinit thread_local std::uint64_t current_approximation_seed;

// A float at most `units` units in the last place from `exact`, chosen by the
// seed, the function and its argument.
float draw_approximation(Approximation function, std::uint64_t argument, double exact, double units);

inline float approximate(Approximation function, std::uint64_t argument, double exact, double units) {
  if (current_approximation_seed == 0) [[likely]]
    return static_cast<float>(exact);
  return draw_approximation(function, argument, exact, units);
}
}  // namespace internal
}  // namespace normproof::host

// The bounds are those of the CUDA C++ Programming Guide, "Mathematical Functions".
inline float rsqrtf(float a) {
  if (normproof::host::internal::current_approximation_seed == 0) return __frsqrt_rn(a);
  return normproof::host::internal::draw_approximation(
      normproof::host::Approximation::kRsqrt, __float_as_uint(a), 1.0 / std::sqrt(static_cast<double>(a)), 2);
}
inline double rsqrt(double a) { return 1.0 / std::sqrt(a); }

// 2 ulp for divisors of a magnitude from 2^-126 to 2^126; above, 0, and NaN of an infinite dividend.
inline float __fdividef(float a, float b) {
  const float magnitude = std::fabs(b);
  if (magnitude > 0x1p126f && magnitude < std::numeric_limits<float>::infinity()) return a * 0.0f;
  const std::uint64_t argument = std::uint64_t{__float_as_uint(a)} << 32 | __float_as_uint(b);
  return normproof::host::internal::approximate(normproof::host::Approximation::kDivide, argument,
                                                static_cast<double>(a) / static_cast<double>(b), 2);
}

inline float __expf(float a) {
  const double x = a;
  return normproof::host::internal::approximate(normproof::host::Approximation::kExp, __float_as_uint(a),
                                                std::exp(x), 2 + std::floor(std::fabs(1.173 * x)));
}
inline float __exp10f(float a) {
  const double x = a;
  return normproof::host::internal::approximate(normproof::host::Approximation::kExp10, __float_as_uint(a),
                                                std::pow(10.0, x), 2 + std::floor(std::fabs(2.97 * x)));
}
inline float __logf(float a) {
  return normproof::host::internal::approximate(normproof::host::Approximation::kLog, __float_as_uint(a),
                                                std::log(static_cast<double>(a)), 3);
}
inline float __log2f(float a) {
  return normproof::host::internal::approximate(normproof::host::Approximation::kLog2, __float_as_uint(a),
                                                std::log2(static_cast<double>(a)), 2);
}
inline float __log10f(float a) {
  return normproof::host::internal::approximate(normproof::host::Approximation::kLog10, __float_as_uint(a),
                                                std::log10(static_cast<double>(a)), 3);
}
inline float __sinf(float a) {
  return normproof::host::internal::approximate(normproof::host::Approximation::kSin, __float_as_uint(a),
                                                std::sin(static_cast<double>(a)), 2);
}
inline float __cosf(float a) {
  return normproof::host::internal::approximate(normproof::host::Approximation::kCos, __float_as_uint(a),
                                                std::cos(static_cast<double>(a)), 2);
}
inline float __powf(float a, float b) {
  return static_cast<float>(std::exp2(static_cast<double>(b) * static_cast<double>(__log2f(a))));
}

#endif
