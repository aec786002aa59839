// CUDA's correctly rounded fp32 intrinsics and bit reinterpretations, bit for bit, on any CPU.
// Compile without contraction (-ffp-contract=off, which target `host` hands on) and without -ffast-math.
#ifndef NORMPROOF_KERNELS_HOST_FLOAT_INTRINSICS_H
#define NORMPROOF_KERNELS_HOST_FLOAT_INTRINSICS_H

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#ifdef __FAST_MATH__
#error "exact intrinsics need IEEE arithmetic: compile without -ffast-math"
#endif

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }

// a * b + c with one rounding, for every float including subnormal results, overflow, infinities and NaN.
// The product of two floats is exact in double. The double sum may be inexact, and rounding it again to float
// is wrong only if it fell on a midpoint between two floats (finer below 2^-126), so only there the lost part
// is recovered (Knuth's two-sum) and the sum rounded to odd, which makes the second rounding right (Boldo and
// Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
inline float __fmaf_rn(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = c;
  double sum = product + addend;
  const auto bits = std::bit_cast<std::uint64_t>(sum);
  constexpr std::uint64_t kTail = (std::uint64_t{1} << 29) - 1;  // the double bits that a float lacks
  constexpr std::uint64_t kMidpoint = std::uint64_t{1} << 28;
  constexpr std::uint64_t kSmallestNormal = std::uint64_t{1023 - 126} << 52;
  const bool may_be_midpoint = (bits & kTail) == kMidpoint || (bits << 1) < (kSmallestNormal << 1);
  if (may_be_midpoint) [[unlikely]] {
    const double virtual_addend = sum - product;
    const double lost = (product - (sum - virtual_addend)) + (addend - virtual_addend);
    if (lost < 0 || lost > 0) {  // false for NaN, that is for an infinite or NaN sum
      const std::uint64_t towards_zero = bits - (std::signbit(lost) != std::signbit(sum));
      sum = std::bit_cast<double>(towards_zero | 1);
    }
  }
  return static_cast<float>(sum);
#endif
}

// 1 / sqrt(a) correctly rounded: +-0 -> +-infinity, negative -> NaN, infinity -> +0. The double evaluation
// never comes close enough to a midpoint between two floats to round wrongly: the unit test proves it for all
// 2^24 pairs of significand and exponent parity with integer arithmetic.
inline float __frsqrt_rn(float a) {
  if (a == 0) return std::copysign(std::numeric_limits<float>::infinity(), a);
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(a)));
}

inline unsigned int __float_as_uint(float a) { return std::bit_cast<unsigned int>(a); }
inline int __float_as_int(float a) { return std::bit_cast<int>(a); }
inline float __uint_as_float(unsigned int a) { return std::bit_cast<float>(a); }
inline float __int_as_float(int a) { return std::bit_cast<float>(a); }
inline long long __double_as_longlong(double a) { return std::bit_cast<long long>(a); }
inline double __longlong_as_double(long long a) { return std::bit_cast<double>(a); }

inline int __popc(unsigned int a) { return std::popcount(a); }
inline int __clz(int a) { return std::countl_zero(static_cast<unsigned int>(a)); }
inline int __ffs(int a) { return a == 0 ? 0 : std::countr_zero(static_cast<unsigned int>(a)) + 1; }

#endif
