// Storage types: how bf16, fp16 and fp8 lie in memory, and the rounding of an fp32 number to each of them.
// Rounding is to the nearest, ties to even, with gradual underflow (docs: the numeric contract). The device
// uses the hardware's conversions where these were found exact; the host
// computes the same bits with integers.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"
#include "kernels/norm_arguments.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#endif

namespace normproof::kernels {

struct Bf16 {
  std::uint16_t bits;
};
struct Fp16 {
  std::uint16_t bits;
};
// Also a code of int8.
struct Fp8 {
  std::uint8_t bits;
};

__device__ inline std::uint32_t bits_of(float value) { return __float_as_uint(value); }
__device__ inline float float_of(std::uint32_t bits) { return __uint_as_float(bits); }

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(Bf16 value) { return float_of(std::uint32_t{value.bits} << 16); }

__device__ inline float to_float(Fp16 value) {
#if defined(__CUDACC__)
  return __half2float(__ushort_as_half(value.bits));
#else
  constexpr std::uint32_t kInfinity = 0x7c00;
  const std::uint32_t sign = std::uint32_t{value.bits} << 16 & 0x80000000u;
  const std::uint32_t magnitude = value.bits & 0x7fffu;
  if (magnitude >= kInfinity) return float_of(sign | 0x7f800000u | magnitude << 13);
  // The exponent biases differ by 112; the product is exact, for subnormal numbers too.
  return float_of(sign | bits_of(__fmul_rn(float_of(magnitude << 13), 0x1p112f)));
#endif
}

// |value| rounded to a format with `mantissa_bits` and exponent bias `bias`, as that format's bits without a
// sign. `magnitude` are the fp32 bits of |value|, which must be finite and below the format's overflow.
__device__ inline std::uint32_t round_magnitude(std::uint32_t magnitude, int mantissa_bits, int bias) {
  const int dropped = 23 - mantissa_bits;
  const std::uint32_t smallest_normal = static_cast<std::uint32_t>(128 - bias) << 23;
  if (magnitude < smallest_normal) {
    // The format's subnormal numbers lie as far apart as the fp32 numbers just above `aligner`, so one fp32
    // addition rounds, and the low bits of the sum are the count of steps.
    const std::uint32_t aligner = smallest_normal + (static_cast<std::uint32_t>(dropped) << 23);
    return bits_of(__fadd_rn(float_of(magnitude), float_of(aligner))) - aligner;
  }
  const std::uint32_t odd = magnitude >> dropped & 1u;
  const std::uint32_t rounded = (magnitude + (1u << (dropped - 1)) - 1u + odd) >> dropped;
  return rounded - (static_cast<std::uint32_t>(127 - bias) << mantissa_bits);
}

__device__ inline Bf16 round_to_bf16(float value) {
#if defined(__CUDACC__)
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
#else
  const std::uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
#endif
}

__device__ inline Fp16 round_to_fp16(float value) {
#if defined(__CUDACC__)
  return {__half_as_ushort(__float2half_rn(value))};
#else
  constexpr std::uint32_t kOverflow = 0x477ff000u;  // 65520, half way between the largest fp16 and 2^16
  const std::uint32_t sign = bits_of(value) >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits_of(value) & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {0x7fff};
  if (magnitude >= kOverflow) return {static_cast<std::uint16_t>(sign | 0x7c00u)};
  return {static_cast<std::uint16_t>(sign | round_magnitude(magnitude, 10, 15))};
#endif
}

// `value` rounded to T: float, Bf16 or Fp16.
template <typename T>
__device__ inline T round_to(float value);
template <>
__device__ inline float round_to<float>(float value) {
  return value;
}
template <>
__device__ inline Bf16 round_to<Bf16>(float value) {
  return round_to_bf16(value);
}
template <>
__device__ inline Fp16 round_to<Fp16>(float value) {
  return round_to_fp16(value);
}

// The largest finite number of a format.
__device__ inline float maximum_of(Fp8Format format) {
  switch (format) {
    case Fp8Format::e4m3fn:
      return 448.0f;
    case Fp8Format::e4m3fnuz:
      return 240.0f;
    default:
      return 57344.0f;
  }
}

// Rounds a value that is NaN or lies within [-maximum_of(format), maximum_of(format)].
__device__ inline Fp8 round_to_fp8(float value, Fp8Format format) {
#if defined(__CUDACC__)
  if (format == Fp8Format::e4m3fn) return {__nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3)};
  if (format == Fp8Format::e5m2) return {__nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E5M2)};
#endif
  const bool unsigned_zero = format == Fp8Format::e4m3fnuz || format == Fp8Format::e5m2fnuz;
  const bool four_exponent_bits = format == Fp8Format::e4m3fn || format == Fp8Format::e4m3fnuz;
  const std::uint32_t sign = bits_of(value) >> 24 & 0x80u;
  const std::uint32_t magnitude = bits_of(value) & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<std::uint8_t>(unsigned_zero ? 0x80 : 0x7f)};
  const int bias = (four_exponent_bits ? 7 : 15) + (unsigned_zero ? 1 : 0);
  const std::uint32_t rounded = round_magnitude(magnitude, four_exponent_bits ? 3 : 2, bias);
  // The fnuz formats have no negative zero: its bits are their NaN.
  if (unsigned_zero && rounded == 0) return {0};
  return {static_cast<std::uint8_t>(sign | rounded)};
}

// The nearest integer from -128 to 127, NaN being 0.
__device__ inline std::uint8_t round_to_int8(float value) {
  if (value > 127.0f) value = 127.0f;
  if (value < -128.0f) value = -128.0f;
  if (!(value >= -128.0f)) return 0;
  // Where the last bit is worth 1, the number's low byte is the integer's.
  return static_cast<std::uint8_t>(bits_of(__fadd_rn(value, 0x1.8p23f)));
}

// max_Q of a code with a scale for each row.
__device__ inline float largest_code(CodeFormat format) {
  return format == CodeFormat::int8 ? 127.0f : maximum_of(static_cast<Fp8Format>(format));
}

}  // namespace normproof::kernels
