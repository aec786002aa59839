// Rounding to fp16, bf16, fp8, fp6 and fp4: from a double so that one rounding is all there is, with gradual
// underflow. For the stand-ins of CUDA's headers.
#ifndef NORMPROOF_KERNELS_HOST_SMALL_FLOATS_H
#define NORMPROOF_KERNELS_HOST_SMALL_FLOATS_H

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/host/rounding.h"

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
// Formats with one zero and no infinity: NaN is what would be the negative zero.
inline constexpr SmallFloat kE4m3fnuz{3, 8, 0x80, 0x80};
inline constexpr SmallFloat kE5m2fnuz{2, 16, 0x80, 0x80};
// Formats without infinity and NaN: whoever rounds to them clamps first.
inline constexpr SmallFloat kE2m3{3, 1, 0x20, 0x1f};
inline constexpr SmallFloat kE3m2{2, 3, 0x20, 0x1f};
inline constexpr SmallFloat kE2m1{1, 1, 0x8, 0x7};

// Of the formats with one zero: the sign alone is NaN.
constexpr bool has_one_zero(const SmallFloat& format, int sign_bit) {
  return format.nan == std::uint32_t{1} << sign_bit;
}

// Exact for every value of the format. Whatever lies from `infinity` on is read as infinity or NaN of IEEE
// 754, where the format has these.
constexpr float value_of_bits(std::uint32_t bits, const SmallFloat& format, int sign_bit) {
  if (format.mantissa_bits == kBf16.mantissa_bits) return std::bit_cast<float>(bits << 16);
  constexpr int kFloatMantissa = 23, kFloatBias = 127;
  const std::uint32_t sign = (bits >> sign_bit & 1) << 31;
  const std::uint32_t magnitude = bits & ((std::uint32_t{1} << sign_bit) - 1);
  if (has_one_zero(format, sign_bit) && magnitude == 0) {
    return std::bit_cast<float>(sign != 0 ? 0x7fffffffu : 0u);
  }
  if (magnitude >= format.infinity) {
    const bool infinite = magnitude == format.infinity && magnitude != format.nan;
    return std::bit_cast<float>(sign | (infinite ? 0x7f800000u : 0x7fffffffu));
  }
  const int shift = kFloatMantissa - format.mantissa_bits;
  if (magnitude >> format.mantissa_bits == 0) {  // a multiple of the smallest number
    const int exponent = 1 - format.bias - format.mantissa_bits + kFloatBias;
    const float unit = std::bit_cast<float>(static_cast<std::uint32_t>(exponent) << kFloatMantissa);
    const float value = static_cast<float>(magnitude) * unit;
    return sign != 0 ? -value : value;
  }
  const std::uint32_t rebias = static_cast<std::uint32_t>(kFloatBias - format.bias) << kFloatMantissa;
  return std::bit_cast<float>(sign | ((magnitude << shift) + rebias));
}

// `value` rounded to the format, as its bits, with the sign at `sign_bit`. Rounded toward zero, and away from
// where it lies in the direction of a directed rounding, an overflow is the largest finite number.
inline std::uint32_t round_to_bits(double value, const SmallFloat& format, int sign_bit,
                                   Rounding rounding = Rounding::kNearest) {
  if (std::isnan(value)) return format.nan;
  const bool negative = std::signbit(value);
  const std::uint32_t sign = static_cast<std::uint32_t>(negative) << sign_bit;
  const double magnitude = std::fabs(value);
  if (magnitude == 0) return has_one_zero(format, sign_bit) ? 0 : sign;
  if (std::isinf(magnitude)) return sign | format.infinity;
  const bool away = rounding == (negative ? Rounding::kDown : Rounding::kUp);
  constexpr int kDoubleBias = 1023, kDoubleMantissa = 52;
  const int exponent =
      static_cast<int>(std::bit_cast<std::uint64_t>(magnitude) >> kDoubleMantissa) - kDoubleBias;
  const int least = 1 - format.bias;
  const int unit = std::max(exponent, least) - format.mantissa_bits;  // 2^unit: one unit in the last place
  if (exponent > format.bias + 1)
    return sign | (rounding == Rounding::kNearest || away ? format.infinity : format.infinity - 1);
  std::uint32_t units = 0;
  if (rounding == Rounding::kNearest) {
    // Beside 2^52 units doubles lie one unit apart, so that the addition
    // rounds; its low bits count the units.
    const double aligner = std::bit_cast<double>(
        static_cast<std::uint64_t>(unit + kDoubleMantissa + kDoubleBias) << kDoubleMantissa);
    units = static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(magnitude + aligner) -
                                       std::bit_cast<std::uint64_t>(aligner));
  } else {
    const double exact = std::ldexp(magnitude, -unit);
    units = static_cast<std::uint32_t>(exact);
    if (away && exact > units) ++units;
  }
  // A carry out of the mantissa moves into the exponent, as it should.
  const std::uint32_t steps = static_cast<std::uint32_t>(std::max(exponent, least) - least)
                              << format.mantissa_bits;
  const std::uint32_t most = rounding == Rounding::kNearest || away ? format.infinity : format.infinity - 1;
  if (steps + units == 0 && has_one_zero(format, sign_bit)) return 0;
  return sign | std::min(steps + units, most);
}

}  // namespace normproof::host

#endif
