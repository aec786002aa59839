// Rounding to fp16, bf16 and fp8: to the nearest, ties to even, gradual underflow, from a double so that one
// rounding is all there is. For the stand-ins of CUDA's headers.
#ifndef NORMPROOF_KERNELS_HOST_SMALL_FLOATS_H
#define NORMPROOF_KERNELS_HOST_SMALL_FLOATS_H

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace normproof::host {

// A format with a sign, exponents and a mantissa, in the manner of IEEE 754.
struct SmallFloat {
  int mantissa_bits;
  int bias;
  std::uint32_t infinity;  // the bits above the largest finite number: what an overflow rounds to
  std::uint32_t nan;
};
inline constexpr SmallFloat kFp16{10, 15, 0x7c00, 0x7fff};
inline constexpr SmallFloat kBf16{7, 127, 0x7f80, 0x7fff};
inline constexpr SmallFloat kE4m3{3, 7, 0x7f, 0x7f};
inline constexpr SmallFloat kE5m2{2, 15, 0x7c, 0x7f};

// `value` rounded to the format, as its bits, the sign above `sign_bit - 1` others.
inline std::uint32_t round_to_bits(double value, const SmallFloat& format, int sign_bit) {
  if (std::isnan(value)) return format.nan;
  const std::uint32_t sign = static_cast<std::uint32_t>(std::signbit(value)) << sign_bit;
  const double magnitude = std::fabs(value);
  if (magnitude == 0) return sign;
  if (std::isinf(magnitude)) return sign | format.infinity;
  constexpr int kDoubleBias = 1023, kDoubleMantissa = 52;
  const int exponent =
      static_cast<int>(std::bit_cast<std::uint64_t>(magnitude) >> kDoubleMantissa) - kDoubleBias;
  const int least = 1 - format.bias;
  const int unit = std::max(exponent, least) - format.mantissa_bits;  // 2^unit: one unit in the last place
  if (exponent > format.bias + 1) return sign | format.infinity;
  // Beside 2^52 units doubles lie one unit apart, so that the addition rounds; its low bits count the units.
  const double aligner = std::bit_cast<double>(
      static_cast<std::uint64_t>(unit + kDoubleMantissa + kDoubleBias) << kDoubleMantissa);
  const auto units = static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(magnitude + aligner) -
                                                std::bit_cast<std::uint64_t>(aligner));
  // A carry out of the mantissa moves into the exponent, as it should.
  const std::uint32_t steps = static_cast<std::uint32_t>(std::max(exponent, least) - least)
                              << format.mantissa_bits;
  return sign | std::min(steps + units, format.infinity);
}

// Exact for every value of the format. Whatever lies from `infinity` on is read as infinity or NaN of IEEE
// 754.
inline float value_of_bits(std::uint32_t bits, const SmallFloat& format, int sign_bit) {
  const std::uint32_t magnitude = bits & ((std::uint32_t{1} << sign_bit) - 1);
  const float sign = (bits >> sign_bit & 1) != 0 ? -1.0f : 1.0f;
  if (magnitude > format.infinity || magnitude == format.nan)
    return std::copysign(std::bit_cast<float>(0x7fffffffu), sign);
  if (magnitude == format.infinity) return sign * std::bit_cast<float>(0x7f800000u);
  const auto exponent = static_cast<int>(magnitude >> format.mantissa_bits);
  const auto fraction = static_cast<int>(magnitude & ((std::uint32_t{1} << format.mantissa_bits) - 1));
  const int implied = exponent == 0 ? 0 : 1 << format.mantissa_bits;
  return sign * std::ldexp(static_cast<float>(implied + fraction),
                           std::max(exponent, 1) - format.bias - format.mantissa_bits);
}

// a * b + c, rounded to odd in double: rounding that to a narrower format gives what one rounding of the
// exact value gives. For factors of at most 26 bits each.
inline double fma_to_odd(double a, double b, double c) {
  const double product = a * b;
  const double sum = product + c;
  const double virtual_addend = sum - product;
  const double lost = (product - (sum - virtual_addend)) + (c - virtual_addend);
  if (!(lost < 0 || lost > 0)) return sum;
  const auto bits = std::bit_cast<std::uint64_t>(sum);
  return std::bit_cast<double>((bits - (std::signbit(lost) != std::signbit(sum))) | 1);
}

}  // namespace normproof::host

#endif
