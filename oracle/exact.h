// Exact numbers: IEEE values without a format. Every operation is exact; rounding is a step of its own
// (round_bits), so that each rounding of the contract is one visible call. Nothing
// here uses floating-point hardware.
#pragma once

#include <bit>
#include <boost/multiprecision/cpp_int.hpp>
#include <compare>
#include <cstdint>
#include <string>

#include "oracle/formats.h"

namespace normproof::oracle {

using boost::multiprecision::cpp_int;

// NaN, an infinity, a signed zero, or +-magnitude * 2^exponent with magnitude > 0.
class Value {
 public:
  enum class Kind : std::uint8_t { nan, infinite, zero, finite };

  Value() = default;  // +0
  static Value nan();
  static Value infinity(bool negative);
  static Value zero(bool negative);
  // magnitude * 2^exponent; a zero magnitude gives a signed zero.
  static Value finite(bool negative, cpp_int magnitude, std::int64_t exponent);
  static Value integer(std::int64_t value);

  bool is_nan() const { return kind_ == Kind::nan; }
  bool is_infinite() const { return kind_ == Kind::infinite; }
  bool is_zero() const { return kind_ == Kind::zero; }
  bool is_finite() const { return kind_ == Kind::finite || kind_ == Kind::zero; }
  bool negative() const { return negative_; }
  // Of a finite number; 0 where it is zero.
  const cpp_int& magnitude() const { return magnitude_; }
  std::int64_t exponent() const { return exponent_; }

  Value operator-() const;

 private:
  Kind kind_ = Kind::zero;
  bool negative_ = false;
  cpp_int magnitude_ = 0;
  std::int64_t exponent_ = 0;
};

// IEEE 754 operations without the rounding: special values as the standard says, an exact zero sum is +0
// unless both terms are -0 (round-to-nearest rule), a product's sign is the exclusive or of the signs.
Value operator+(const Value& a, const Value& b);
Value operator*(const Value& a, const Value& b);

// a / b and 1 / sqrt(a), cut off after at least 80 significant bits with a sticky bit appended where
// something was cut: the result lies on the same side of every number and every midpoint of any format of at
// most 64 bits of precision as the real quotient or root, so rounding it once rounds the real number.
Value quotient(const Value& a, const Value& b);
Value inverse_root(const Value& a);
// 1 / sqrt(a / b) in the same way, for a >= 0 and b > 0.
Value inverse_root(const Value& a, const Value& b);
// sqrt(a / b) in the same way, for b > 0; of a zero the same zero, of a negative number NaN.
Value square_root(const Value& a, const Value& b);

// Of the real numbers: -0 equals +0, an infinity lies outside all finite numbers; unordered where one is NaN.
std::partial_ordering operator<=>(const Value& a, const Value& b);
bool operator==(const Value& a, const Value& b);
// Value and sign of zero; any NaN is identical to any NaN.
bool identical(const Value& a, const Value& b);

enum class Rounding : std::uint8_t { nearest_even, nearest_away, toward_zero, up, down };

// `value` rounded to `format`, as bits. Gradual underflow keeps the sign where the format has -0. Overflow
// goes to infinity, in a format without infinities to NaN (the contract always clamps before it can happen).
std::uint64_t round_bits(const Format& format, const Value& value,
                         Rounding rounding = Rounding::nearest_even);

Value decode(const Format& format, std::uint64_t bits);
inline Value decode(DType dtype, std::uint64_t bits) { return decode(oracle::format_of(dtype), bits); }

Value round_to(const Format& format, const Value& value, Rounding rounding = Rounding::nearest_even);
inline Value round_to(DType dtype, const Value& value, Rounding rounding = Rounding::nearest_even) {
  return round_to(oracle::format_of(dtype), value, rounding);
}

inline constexpr std::uint32_t kFp32Infinity = 0x7f800000u, kFp32Nan = 0x7fc00000u;  // bits
// As the nearest fp32 number; every NaN as the same one.
inline std::uint32_t fp32_bits(const Value& value) {
  return static_cast<std::uint32_t>(round_bits(oracle::format_of(DType::fp32), value));
}
inline std::uint32_t fp32_bits(float value) { return std::bit_cast<std::uint32_t>(value); }
inline float to_float(const Value& value) { return std::bit_cast<float>(fp32_bits(value)); }

// Up to 17 significant decimal digits, for people. Not part of any decision.
std::string to_decimal(const Value& value);
double to_double(const Value& value);
inline Value from_double(double number) { return decode(kFp64, std::bit_cast<std::uint64_t>(number)); }
// The number of T nearest to `number`, as bits.
inline std::uint32_t bits_of(DType dtype, double number) {
  return static_cast<std::uint32_t>(round_bits(oracle::format_of(dtype), from_double(number)));
}

}  // namespace normproof::oracle
