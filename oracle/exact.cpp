// Exact arithmetic on Boost.Multiprecision integers and the one rounding routine of the oracle.
#include "oracle/exact.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace normproof::oracle {
namespace {

constexpr int kSurrogateBits = 80;

int bit_length(const cpp_int& magnitude) {
  return static_cast<int>(boost::multiprecision::msb(magnitude)) + 1;
}

// Compares |a| with |b| for finite non-zero numbers.
int compare_magnitudes(const Value& a, const Value& b) {
  const std::int64_t top_a = a.exponent() + bit_length(a.magnitude());
  const std::int64_t top_b = b.exponent() + bit_length(b.magnitude());
  if (top_a != top_b) return top_a < top_b ? -1 : 1;
  if (a.exponent() == b.exponent()) return a.magnitude().compare(b.magnitude());
  if (a.exponent() < b.exponent()) {
    return a.magnitude().compare(b.magnitude() << static_cast<unsigned>(b.exponent() - a.exponent()));
  }
  return cpp_int(a.magnitude() << static_cast<unsigned>(a.exponent() - b.exponent())).compare(b.magnitude());
}

// 1 / sqrt(numerator / denominator * 2^exponent), cut off with a sticky bit.
Value inverse_root_of_ratio(const cpp_int& numerator, const cpp_int& denominator, std::int64_t exponent) {
  cpp_int n = numerator;
  if (exponent % 2 != 0) {
    n <<= 1;
    exponent -= 1;
  }
  // floor(2^k * sqrt(d / n)) = floor(sqrt(floor(4^k * d / n))), with k such that kSurrogateBits bits remain.
  const int missing = bit_length(n) - bit_length(denominator) + 2 * kSurrogateBits;
  const int k = missing > 0 ? missing / 2 + 1 : 0;
  const cpp_int scaled = denominator << static_cast<unsigned>(2 * k);
  cpp_int root = boost::multiprecision::sqrt(cpp_int(scaled / n));
  const bool is_exact = root * root * n == scaled;
  root <<= 1;
  if (!is_exact) root |= 1;
  return Value::finite(false, std::move(root), -k - exponent / 2 - 1);
}

}  // namespace

Value Value::nan() {
  Value value;
  value.kind_ = Kind::nan;
  return value;
}

Value Value::infinity(bool negative) {
  Value value;
  value.kind_ = Kind::infinite;
  value.negative_ = negative;
  return value;
}

Value Value::zero(bool negative) {
  Value value;
  value.negative_ = negative;
  return value;
}

Value Value::finite(bool negative, cpp_int magnitude, std::int64_t exponent) {
  Value value;
  value.negative_ = negative;
  if (magnitude.is_zero()) return value;
  value.kind_ = Kind::finite;
  value.magnitude_ = std::move(magnitude);
  value.exponent_ = exponent;
  return value;
}

Value Value::integer(std::int64_t value) {
  return finite(value < 0, boost::multiprecision::abs(cpp_int(value)), 0);
}

Value Value::operator-() const {
  Value result = *this;
  result.negative_ = !negative_;
  return result;
}

Value operator+(const Value& a, const Value& b) {
  if (a.is_nan() || b.is_nan()) return Value::nan();
  if (a.is_infinite() || b.is_infinite()) {
    if (a.is_infinite() && b.is_infinite() && a.negative() != b.negative()) return Value::nan();
    return a.is_infinite() ? a : b;
  }
  if (a.is_zero() && b.is_zero()) return Value::zero(a.negative() && b.negative());
  if (a.is_zero()) return b;
  if (b.is_zero()) return a;
  const std::int64_t exponent = std::min(a.exponent(), b.exponent());
  cpp_int x = a.magnitude() << static_cast<unsigned>(a.exponent() - exponent);
  cpp_int y = b.magnitude() << static_cast<unsigned>(b.exponent() - exponent);
  if (a.negative() == b.negative()) return Value::finite(a.negative(), x + y, exponent);
  const int order = x.compare(y);
  if (order == 0) return Value::zero(false);
  return order > 0 ? Value::finite(a.negative(), x - y, exponent)
                   : Value::finite(b.negative(), y - x, exponent);
}

Value operator*(const Value& a, const Value& b) {
  const bool negative = a.negative() != b.negative();
  if (a.is_nan() || b.is_nan()) return Value::nan();
  if (a.is_infinite() || b.is_infinite()) {
    return a.is_zero() || b.is_zero() ? Value::nan() : Value::infinity(negative);
  }
  if (a.is_zero() || b.is_zero()) return Value::zero(negative);
  return Value::finite(negative, a.magnitude() * b.magnitude(), a.exponent() + b.exponent());
}

Value quotient(const Value& a, const Value& b) {
  const bool negative = a.negative() != b.negative();
  if (a.is_nan() || b.is_nan()) return Value::nan();
  if (a.is_infinite()) return b.is_infinite() ? Value::nan() : Value::infinity(negative);
  if (b.is_infinite()) return Value::zero(negative);
  if (b.is_zero()) return a.is_zero() ? Value::nan() : Value::infinity(negative);
  if (a.is_zero()) return Value::zero(negative);
  const int shift = std::max(0, kSurrogateBits + 1 + bit_length(b.magnitude()) - bit_length(a.magnitude()));
  cpp_int result;
  cpp_int remainder;
  const cpp_int scaled = a.magnitude() << static_cast<unsigned>(shift);
  boost::multiprecision::divide_qr(scaled, b.magnitude(), result, remainder);
  result <<= 1;
  if (!remainder.is_zero()) result |= 1;
  return Value::finite(negative, std::move(result), a.exponent() - b.exponent() - shift - 1);
}

Value inverse_root(const Value& a) { return inverse_root(a, Value::integer(1)); }

Value inverse_root(const Value& a, const Value& b) {
  if (a.is_nan() || b.is_nan()) return Value::nan();
  if (a.is_zero()) return Value::infinity(a.negative());
  if (a.negative()) return Value::nan();
  if (a.is_infinite()) return Value::zero(false);
  return inverse_root_of_ratio(a.magnitude(), b.magnitude(), a.exponent() - b.exponent());
}

Value square_root(const Value& a, const Value& b) {
  if (a.is_nan() || b.is_nan() || a.is_zero()) return b.is_nan() ? b : a;
  if (a.negative()) return Value::nan();
  return a.is_infinite() ? a : inverse_root(b, a);
}

std::partial_ordering operator<=>(const Value& a, const Value& b) {
  if (a.is_nan() || b.is_nan()) return std::partial_ordering::unordered;
  const auto sign = [](const Value& v) { return v.is_zero() ? 0 : v.negative() ? -1 : 1; };
  if (sign(a) != sign(b)) return sign(a) <=> sign(b);
  if (sign(a) == 0) return std::partial_ordering::equivalent;
  int order = 0;
  if (a.is_infinite() || b.is_infinite()) {
    order = static_cast<int>(a.is_infinite()) - static_cast<int>(b.is_infinite());
  } else {
    order = compare_magnitudes(a, b);
  }
  return (a.negative() ? -order : order) <=> 0;
}

bool operator==(const Value& a, const Value& b) { return (a <=> b) == std::partial_ordering::equivalent; }

bool identical(const Value& a, const Value& b) {
  if (a.is_nan() || b.is_nan()) return a.is_nan() && b.is_nan();
  return a == b && a.negative() == b.negative();
}

namespace {

// To a two's complement integer: saturates, and NaN becomes 0.
std::uint64_t round_to_integer(const Format& format, const Value& value, Rounding rounding) {
  if (value.is_nan() || value.is_zero()) return 0;
  const auto least = static_cast<std::int64_t>(format.sign_bit());  // its magnitude
  const Value bound = value.negative() ? Value::integer(least) : Value::integer(least - 1);
  const Value magnitude = value.negative() ? -value : value;
  if (!(magnitude < bound)) return value.negative() ? format.sign_bit() : format.max_finite_bits();
  // The whole part, the bit below it, and whether anything follows.
  const cpp_int& digits = magnitude.magnitude();
  const std::int64_t exponent = magnitude.exponent();
  std::int64_t whole = 0;
  bool half = false, rest = false;
  if (exponent >= 0) {
    whole = static_cast<std::int64_t>(digits << static_cast<unsigned>(exponent));
  } else {
    const auto cut = static_cast<unsigned>(std::min<std::int64_t>(-exponent, bit_length(digits) + 2));
    whole = static_cast<std::int64_t>(cpp_int(digits >> cut));
    half = bit_test(digits, cut - 1);
    rest = static_cast<std::int64_t>(boost::multiprecision::lsb(digits)) < static_cast<std::int64_t>(cut) - 1;
  }
  const bool away = rounding == (value.negative() ? Rounding::down : Rounding::up);
  const bool goes_up = rounding == Rounding::nearest_even   ? half && (rest || (whole & 1) != 0)
                       : rounding == Rounding::nearest_away ? half
                                                            : away && (half || rest);
  const std::int64_t rounded = whole + (goes_up ? 1 : 0);
  const std::int64_t result = value.negative() ? -rounded : std::min(rounded, least - 1);
  return static_cast<std::uint64_t>(result) & (format.sign_bit() | format.magnitude_mask());
}

}  // namespace

std::uint64_t round_bits(const Format& format, const Value& value, Rounding rounding) {
  if (format.is_integer) return round_to_integer(format, value, rounding);
  if (value.is_nan()) return format.nan_bits();
  const std::uint64_t sign = value.negative() ? format.sign_bit() : 0;
  const std::uint64_t overflow = format.has_infinity() ? format.infinity_bits() | sign : format.nan_bits();
  if (value.is_infinite()) return overflow;
  if (value.is_zero()) return format.has_negative_zero() ? sign : 0;

  const cpp_int& magnitude = value.magnitude();
  const std::int64_t leading = value.exponent() + bit_length(magnitude) - 1;
  const bool subnormal = leading < format.min_exponent();
  // The spacing of the format's numbers around `value` is 2^spacing.
  const std::int64_t spacing =
      (subnormal ? format.min_exponent() : leading) - static_cast<std::int64_t>(format.mantissa_bits());
  const std::int64_t cut = spacing - value.exponent();  // bits of the magnitude below the spacing
  const bool away = rounding == (value.negative() ? Rounding::down : Rounding::up);
  const bool nearest = rounding == Rounding::nearest_even || rounding == Rounding::nearest_away;
  std::uint64_t kept = 0;
  if (cut <= 0) {
    kept = static_cast<std::uint64_t>(magnitude << static_cast<unsigned>(-cut));
  } else {
    const auto lowest = static_cast<std::int64_t>(boost::multiprecision::lsb(magnitude));
    const bool inexact = lowest < cut;
    if (cut <= bit_length(magnitude))
      kept = static_cast<std::uint64_t>(magnitude >> static_cast<unsigned>(cut));
    if (nearest) {
      const bool half = cut <= bit_length(magnitude) && bit_test(magnitude, static_cast<unsigned>(cut - 1));
      const bool goes_up = lowest < cut - 1 || (kept & 1) != 0 || rounding == Rounding::nearest_away;
      if (half && goes_up) ++kept;
    } else if (away && inexact) {
      ++kept;
    }
  }
  // Exponent field and mantissa are adjacent, so a carry out of the mantissa
  // steps into the next binade by itself.
  std::uint64_t magnitude_bits = kept;
  if (!subnormal) {
    const std::int64_t field =
        leading - format.min_exponent();  // one less than the field: `kept` carries the hidden bit
    if (field > format.max_exponent() - format.min_exponent()) {
      magnitude_bits = format.max_finite_bits() + 1;
    } else {
      magnitude_bits = (static_cast<std::uint64_t>(field) << format.mantissa_bits()) + kept;
    }
  }
  if (magnitude_bits > format.max_finite_bits()) {
    if (nearest || away) return overflow;
    return format.max_finite_bits() | sign;
  }
  if (magnitude_bits == 0 && !format.has_negative_zero()) return 0;
  return magnitude_bits | sign;
}

Value decode(const Format& format, std::uint64_t bits) {
  if (format.is_integer) return Value::integer(line_position(format, bits));
  const bool negative = is_negative(format, bits);
  if (is_nan(format, bits)) return Value::nan();
  if (is_infinite(format, bits)) return Value::infinity(negative);
  const std::uint64_t field = (bits & format.magnitude_mask()) >> format.mantissa_bits();
  const std::uint64_t mantissa = bits & format.mantissa_mask();
  if (field == 0) {
    return Value::finite(negative, mantissa, format.min_exponent() - format.mantissa_bits());
  }
  return Value::finite(negative, mantissa | (format.mantissa_mask() + 1),
                       static_cast<std::int64_t>(field) - format.bias - format.mantissa_bits());
}

Value round_to(const Format& format, const Value& value, Rounding rounding) {
  return decode(format, round_bits(format, value, rounding));
}

double to_double(const Value& value) {
  if (value.is_nan()) return std::numeric_limits<double>::quiet_NaN();
  const double sign = value.negative() ? -1.0 : 1.0;
  if (value.is_infinite()) return sign * std::numeric_limits<double>::infinity();
  if (value.is_zero()) return sign * 0.0;
  // Keep 64 bits: enough for display, and far inside the range of a double before the exponent is applied.
  const int excess = std::max(0, bit_length(value.magnitude()) - 64);
  const auto head = static_cast<std::uint64_t>(value.magnitude() >> static_cast<unsigned>(excess));
  const std::int64_t exponent = value.exponent() + excess;
  return sign * std::ldexp(static_cast<double>(head), static_cast<int>(std::max<std::int64_t>(
                                                          -5000, std::min<std::int64_t>(5000, exponent))));
}

std::string value_text(const Format& format, std::uint64_t bits) {
  if (is_nan(format, bits)) return "NaN";
  const double value = to_double(decode(format, bits));
  if (format.bits > 32) return fmt::format("{}", value);
  return fmt::format("{}", static_cast<float>(value));  // every narrower format's numbers fit in fp32
}

std::string value_text(DType dtype, std::uint32_t bits) {
  return dtype == DType::uint8 ? hex_bits(dtype, bits) : value_text(format_of(dtype), bits);
}

std::string to_decimal(const Value& value) {
  if (value.is_nan()) return "NaN";
  return fmt::format("{:.17g}", to_double(value));
}

}  // namespace normproof::oracle
