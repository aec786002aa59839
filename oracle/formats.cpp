// Classification of bit patterns and steps along the line of a format's numbers.
#include "oracle/formats.h"

#include <fmt/format.h>

#include <limits>
#include <stdexcept>

namespace normproof::oracle {
namespace {

std::uint64_t magnitude(const Format& format, std::uint64_t bits) { return bits & format.magnitude_mask(); }

// Of a two's complement integer.
std::int64_t integer_of(const Format& format, std::uint64_t bits) {
  const auto value = static_cast<std::int64_t>(magnitude(format, bits));
  return is_negative(format, bits) ? value - static_cast<std::int64_t>(format.sign_bit()) : value;
}
std::uint64_t integer_bits(const Format& format, std::int64_t value) {
  return static_cast<std::uint64_t>(value) & (format.sign_bit() | format.magnitude_mask());
}

}  // namespace

const Format& format_of(DType dtype) {
  if (dtype == DType::int8) return kInt8;
  if (dtype == DType::uint8) throw std::invalid_argument("dtype: uint8 is no number format");
  const auto index = static_cast<std::size_t>(dtype);
  if (index >= kFormats.size()) throw std::invalid_argument(fmt::format("dtype: {} is not a DType", index));
  return kFormats[index];
}

bool is_nan(const Format& format, std::uint64_t bits) {
  if (format.is_integer) return false;
  switch (format.nan_encoding) {
    case NanEncoding::ieee:
      return magnitude(format, bits) > format.infinity_bits();
    case NanEncoding::all_ones:
      return magnitude(format, bits) == format.magnitude_mask();
    case NanEncoding::none:
      return false;
    case NanEncoding::negative_zero:
      break;
  }
  return bits == format.sign_bit();
}

bool is_infinite(const Format& format, std::uint64_t bits) {
  return format.has_infinity() && magnitude(format, bits) == format.infinity_bits();
}

bool is_zero(const Format& format, std::uint64_t bits) {
  if (format.is_integer) return bits == 0;
  return magnitude(format, bits) == 0 && !is_nan(format, bits);
}

bool is_subnormal(const Format& format, std::uint64_t bits) {
  if (format.is_integer) return false;
  const std::uint64_t m = magnitude(format, bits);
  return m != 0 && m <= format.mantissa_mask();
}

bool same(const Format& format, std::uint64_t a, std::uint64_t b) {
  return a == b || (is_nan(format, a) && is_nan(format, b));
}

std::int64_t line_position(const Format& format, std::uint64_t bits) {
  if (format.is_integer) return integer_of(format, bits);
  const auto m = static_cast<std::int64_t>(magnitude(format, bits));
  if (!is_negative(format, bits)) return m;
  return format.has_negative_zero() ? -m - 1 : -m;
}

std::uint64_t ulp_distance(const Format& format, std::uint64_t a, std::uint64_t b) {
  if (is_nan(format, a) || is_nan(format, b)) return std::numeric_limits<std::uint64_t>::max();
  const auto difference = static_cast<std::uint64_t>(line_position(format, a)) -
                          static_cast<std::uint64_t>(line_position(format, b));
  return line_position(format, a) >= line_position(format, b) ? difference : 0 - difference;
}

std::uint64_t next_up(const Format& format, std::uint64_t bits) {
  if (format.is_integer) {
    const std::int64_t value = integer_of(format, bits);
    return bits == format.max_finite_bits() ? bits : integer_bits(format, value + 1);
  }
  if (is_nan(format, bits)) return bits;
  const std::uint64_t m = magnitude(format, bits);
  if (m == 0) return 1;
  if (is_negative(format, bits)) {
    if (m == 1) return format.has_negative_zero() ? format.sign_bit() : 0;
    return bits - 1;
  }
  const std::uint64_t outermost = format.has_infinity() ? format.infinity_bits() : format.max_finite_bits();
  return m == outermost ? bits : bits + 1;
}

std::uint64_t next_down(const Format& format, std::uint64_t bits) {
  if (format.is_integer) {
    const std::int64_t value = integer_of(format, bits);
    return bits == format.sign_bit() ? bits : integer_bits(format, value - 1);
  }
  if (is_nan(format, bits)) return bits;
  const std::uint64_t m = magnitude(format, bits);
  if (m == 0) return format.sign_bit() | 1;
  if (!is_negative(format, bits)) return bits - 1;
  const std::uint64_t outermost = format.has_infinity() ? format.infinity_bits() : format.max_finite_bits();
  return m == outermost ? bits : bits + 1;
}

std::string hex_bits(const Format& format, std::uint64_t bits) {
  return fmt::format("0x{:0{}x}", bits, format.bits / 4);
}

std::string hex_bits(DType dtype, std::uint64_t bits) {
  return dtype == DType::uint8 ? fmt::format("{:#04x}", bits) : hex_bits(format_of(dtype), bits);
}

bool is_nan(DType dtype, std::uint64_t bits) {
  return dtype != DType::uint8 && is_nan(format_of(dtype), bits);
}

bool same(DType dtype, std::uint64_t a, std::uint64_t b) {
  return dtype == DType::uint8 ? a == b : same(format_of(dtype), a, b);
}

}  // namespace normproof::oracle
