// The bit layout of the activation dtypes, and an integer-only rounding for making test data. Judges nothing:
// the oracle has its own.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "corpus/case.h"

namespace normproof {

// Bits up to the leading one; 0 for 0. (Standard libraries differ in the return type of std::bit_width.)
constexpr int bit_length(std::uint64_t integer) { return static_cast<int>(std::bit_width(integer)); }

// An IEEE-like binary format: sign, exponent, mantissa; the all-ones exponent holds infinity and NaN.
struct FloatFormat {
  int exponent_bits;
  int mantissa_bits;  // without the implicit bit

  constexpr int precision() const { return mantissa_bits + 1; }
  constexpr int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  constexpr int min_exponent() const { return 1 - bias(); }  // of the smallest normal number
  constexpr int max_exponent() const { return bias(); }      // of the largest finite number
  constexpr std::uint32_t sign_bit() const { return 1u << (exponent_bits + mantissa_bits); }
  constexpr std::uint32_t mantissa_mask() const { return (1u << mantissa_bits) - 1; }
  constexpr std::uint32_t infinity() const { return ((1u << exponent_bits) - 1) << mantissa_bits; }
  constexpr std::uint32_t quiet_nan() const { return infinity() | (1u << (mantissa_bits - 1)); }
  constexpr std::uint32_t one() const { return static_cast<std::uint32_t>(bias()) << mantissa_bits; }

  constexpr std::uint32_t magnitude(std::uint32_t bits) const { return bits & (sign_bit() - 1); }
  constexpr bool is_nan(std::uint32_t bits) const { return magnitude(bits) > infinity(); }
  constexpr bool is_infinite(std::uint32_t bits) const { return magnitude(bits) == infinity(); }
  constexpr bool is_zero(std::uint32_t bits) const { return magnitude(bits) == 0; }
  constexpr bool is_subnormal(std::uint32_t bits) const {
    return magnitude(bits) != 0 && magnitude(bits) <= mantissa_mask();
  }

  // Bits of +-2^exponent; requires min_exponent() <= exponent <= max_exponent().
  constexpr std::uint32_t power_of_two(int exponent, bool negative = false) const {
    return (negative ? sign_bit() : 0) | static_cast<std::uint32_t>(exponent + bias()) << mantissa_bits;
  }
  // Bits of the number that is `magnitude` * 2^exponent, rounded to nearest, ties to even, with gradual
  // underflow; overflow goes to infinity. Requires magnitude < 2^63.
  constexpr std::uint32_t round(bool negative, std::uint64_t integer, int exponent) const {
    const std::uint32_t sign = negative ? sign_bit() : 0;
    if (integer == 0) return sign;
    const int leading = bit_length(integer) - 1 + exponent;
    const int binade = std::max(leading, min_exponent());
    if (binade > max_exponent()) return sign | infinity();
    const int dropped = binade - mantissa_bits - exponent;  // bits of `integer` below the last place
    if (dropped > 63) return sign;
    std::uint64_t quotient = 0;
    if (dropped <= 0) {
      quotient = integer << -dropped;
    } else {
      const std::uint64_t half = std::uint64_t{1} << (dropped - 1);
      quotient = (integer + half - 1 + ((integer >> dropped) & 1)) >> dropped;
    }
    // The implicit bit of a normal quotient, or a carry out of the mantissa, adds one to the exponent field.
    const std::uint64_t field = static_cast<std::uint64_t>(binade - min_exponent()) << mantissa_bits;
    return sign | static_cast<std::uint32_t>(std::min<std::uint64_t>(field + quotient, infinity()));
  }

  friend constexpr bool operator==(const FloatFormat&, const FloatFormat&) = default;
};

inline constexpr FloatFormat kFp32 = {8, 23};
inline constexpr FloatFormat kFp16 = {5, 10};
inline constexpr FloatFormat kBf16 = {8, 7};

// The number that `bits` stand for, exactly.
inline double value_of(const FloatFormat& format, std::uint32_t bits) {
  if (format == kFp32) return std::bit_cast<float>(bits);
  if (format == kBf16) return std::bit_cast<float>(bits << 16);
  const std::uint32_t magnitude = format.magnitude(bits);
  const double sign = magnitude == bits ? 1 : -1;
  const auto field = static_cast<int>(magnitude >> format.mantissa_bits);
  const std::uint32_t mantissa = magnitude & format.mantissa_mask();
  if (magnitude >= format.infinity()) return mantissa != 0 ? std::nan("") : sign * HUGE_VAL;
  return sign * std::ldexp(field == 0 ? mantissa : mantissa | 1u << format.mantissa_bits,
                           std::max(field, 1) - format.bias() - format.mantissa_bits);
}

// Bits of `value` rounded as FloatFormat::round() does.
inline std::uint32_t rounded(const FloatFormat& format, double value) {
  if (std::isnan(value)) return format.quiet_nan();
  const bool negative = std::signbit(value);
  if (std::isinf(value)) return format.infinity() | (negative ? format.sign_bit() : 0);
  int exponent = 0;
  const double fraction = std::frexp(std::abs(value), &exponent);
  return format.round(negative, static_cast<std::uint64_t>(std::ldexp(fraction, 53)), exponent - 53);
}

// Throws std::invalid_argument for the fp8 dtypes, which are never inputs.
constexpr FloatFormat format_of(DType dtype) {
  switch (dtype) {
    case DType::fp32:
      return kFp32;
    case DType::fp16:
      return kFp16;
    case DType::bf16:
      return kBf16;
    default:
      throw std::invalid_argument("dtype: test data is made in fp32, fp16 or bf16, not in fp8");
  }
}

}  // namespace normproof
