#include "properties/bits.h"

#include <cmath>
#include <limits>

namespace normproof::bits {
namespace {

// `special`: the all-ones exponent holds infinity and NaN (ieee), only the all-ones mantissa is NaN (fn), or
// the pattern of -0 is the only NaN (fnuz).
// An integer in two's complement has none of them.
enum class Special { ieee, fn, fnuz, integer };
struct Format {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  Special special;
};

constexpr Format format_of(DType dtype) {
  switch (dtype) {
    case DType::fp32:
      return {8, 23, 127, Special::ieee};
    case DType::fp16:
      return {5, 10, 15, Special::ieee};
    case DType::bf16:
      return {8, 7, 127, Special::ieee};
    case DType::fp8_e4m3fn:
      return {4, 3, 7, Special::fn};
    case DType::fp8_e5m2:
      return {5, 2, 15, Special::ieee};
    case DType::fp8_e4m3fnuz:
      return {4, 3, 8, Special::fnuz};
    case DType::fp8_e5m2fnuz:
      return {5, 2, 16, Special::fnuz};
    case DType::int8:
      return {0, 7, 0, Special::integer};
    case DType::uint8:  // no number
      break;
  }
  return {};
}

constexpr std::uint32_t sign_bit(const Format& format) {
  return 1u << (format.exponent_bits + format.mantissa_bits);
}
constexpr std::uint32_t magnitude(const Format& format, std::uint32_t bits) {
  return bits & (sign_bit(format) - 1);
}
bool is_integer(DType dtype) { return format_of(dtype).special == Special::integer; }
std::int64_t signed_value(std::uint32_t bits) { return static_cast<std::int8_t>(bits); }

constexpr std::uint32_t infinity_magnitude(const Format& format) {
  return ((1u << format.exponent_bits) - 1) << format.mantissa_bits;
}

}  // namespace

bool is_nan(DType dtype, std::uint32_t bits) {
  const Format format = format_of(dtype);
  switch (format.special) {
    case Special::ieee:
      return magnitude(format, bits) > infinity_magnitude(format);
    case Special::fn:
      return magnitude(format, bits) == sign_bit(format) - 1;
    case Special::fnuz:
      return bits == sign_bit(format);
    case Special::integer:
      break;
  }
  return false;
}

bool is_infinite(DType dtype, std::uint32_t bits) {
  const Format format = format_of(dtype);
  return format.special == Special::ieee && magnitude(format, bits) == infinity_magnitude(format);
}

bool is_zero(DType dtype, std::uint32_t bits) {
  if (is_integer(dtype)) return bits == 0;
  return magnitude(format_of(dtype), bits) == 0 && !is_nan(dtype, bits);
}

bool is_negative(DType dtype, std::uint32_t bits) { return (bits & sign_bit(format_of(dtype))) != 0; }

bool equal(DType dtype, std::uint32_t left, std::uint32_t right) {
  return left == right || (is_nan(dtype, left) && is_nan(dtype, right));
}

std::uint32_t negated(DType dtype, std::uint32_t bits) {
  const Format format = format_of(dtype);
  if (format.special == Special::integer) return (0x100 - bits) & 0xff;
  if (format.special == Special::fnuz && magnitude(format, bits) == 0) return bits;  // zero, or the NaN
  return bits ^ sign_bit(format);
}

std::uint32_t one(DType dtype) {
  const Format format = format_of(dtype);
  if (format.special == Special::integer) return 1;
  return static_cast<std::uint32_t>(format.bias) << format.mantissa_bits;
}

std::uint32_t nan(DType dtype) {
  const Format format = format_of(dtype);
  switch (format.special) {
    case Special::ieee:
      return infinity_magnitude(format) | (1u << (format.mantissa_bits - 1));
    case Special::fn:
      return sign_bit(format) - 1;
    case Special::fnuz:
      break;
    case Special::integer:
      return 0;  // what it becomes
  }
  return sign_bit(format);
}

std::uint32_t zero(DType dtype, bool negative) {
  const Format format = format_of(dtype);
  const bool has_negative_zero = format.special == Special::ieee || format.special == Special::fn;
  return negative && has_negative_zero ? sign_bit(format) : 0;
}

std::uint32_t infinity(DType dtype, bool negative) {
  const Format format = format_of(dtype);
  return infinity_magnitude(format) | (negative ? sign_bit(format) : 0);
}

std::uint32_t largest(DType dtype, bool negative) {
  const Format format = format_of(dtype);
  if (format.special == Special::integer) return negative ? 0x80 : 0x7f;
  const std::uint32_t finite = format.special == Special::ieee ? infinity_magnitude(format) - 1
                               : format.special == Special::fn ? sign_bit(format) - 2
                                                               : sign_bit(format) - 1;
  return finite | (negative ? sign_bit(format) : 0);
}

std::int64_t ordinal(DType dtype, std::uint32_t bits) {
  if (is_integer(dtype)) return signed_value(bits);
  const auto position = static_cast<std::int64_t>(magnitude(format_of(dtype), bits));
  return is_negative(dtype, bits) ? -position - 1 : position;
}

std::uint64_t ulp_distance(DType dtype, std::uint32_t left, std::uint32_t right) {
  if (is_nan(dtype, left) || is_nan(dtype, right)) return std::numeric_limits<std::uint64_t>::max();
  const std::int64_t distance = ordinal(dtype, left) - ordinal(dtype, right);
  return static_cast<std::uint64_t>(distance < 0 ? -distance : distance);
}

double value(DType dtype, std::uint32_t bits) {
  if (is_nan(dtype, bits)) return std::numeric_limits<double>::quiet_NaN();
  if (is_integer(dtype)) return static_cast<double>(signed_value(bits));
  const Format format = format_of(dtype);
  const double sign = is_negative(dtype, bits) ? -1 : 1;
  if (is_infinite(dtype, bits)) return sign * std::numeric_limits<double>::infinity();
  const std::uint32_t exponent = magnitude(format, bits) >> format.mantissa_bits;
  const std::uint32_t mantissa = magnitude(format, bits) & ((1u << format.mantissa_bits) - 1);
  const std::uint32_t integer = exponent == 0 ? mantissa : mantissa | (1u << format.mantissa_bits);
  const int lowest = static_cast<int>(exponent == 0 ? 1 : exponent) - format.bias - format.mantissa_bits;
  return sign * std::ldexp(static_cast<double>(integer), lowest);
}

std::optional<std::uint32_t> exactly(DType dtype, double number) {
  if (std::isnan(number)) return nan(dtype);
  if (is_integer(dtype)) {
    if (number < -128 || number > 127 || number != std::floor(number)) return std::nullopt;
    return static_cast<std::uint32_t>(static_cast<std::int32_t>(number)) & 0xff;
  }
  const bool negative = std::signbit(number);
  if (std::isinf(number)) return infinity(dtype, negative);
  if (number == 0) return zero(dtype, negative);
  const Format format = format_of(dtype);
  int exponent = 0;
  std::frexp(number, &exponent);  // |number| in [2^(exponent - 1), 2^exponent)
  const int lowest_normal = 1 - format.bias;
  const int binade = exponent - 1 < lowest_normal ? lowest_normal : exponent - 1;
  const double scaled = std::ldexp(std::fabs(number), format.mantissa_bits - binade);
  const auto integer = static_cast<std::uint64_t>(scaled);
  if (static_cast<double>(integer) != scaled) return std::nullopt;
  const std::uint64_t result =
      (static_cast<std::uint64_t>(binade - lowest_normal) << format.mantissa_bits) + integer;
  if (result > magnitude(format, largest(dtype, false))) return std::nullopt;
  return static_cast<std::uint32_t>(result) | (negative ? sign_bit(format) : 0);
}

std::optional<std::uint32_t> times_power_of_two(DType dtype, std::uint32_t bits, int power) {
  if (is_nan(dtype, bits) || is_infinite(dtype, bits)) return bits;
  return exactly(dtype, std::ldexp(value(dtype, bits), power));
}

}  // namespace normproof::bits
