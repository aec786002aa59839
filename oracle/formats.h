// The number formats of the contract as one table; everything else about a format follows from its row.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "corpus/case.h"

namespace normproof::oracle {

// How a format spends its topmost bit patterns.
enum class NanEncoding : std::uint8_t {
  ieee,           // exponent all ones: zero mantissa is an infinity, any other mantissa a NaN
  all_ones,       // only the pattern with exponent and mantissa all ones is a NaN (either sign); no infinity
  negative_zero,  // the pattern of -0 is the only NaN; no infinity and no negative zero
  none            // every pattern is a number; a NaN that is rounded becomes the largest one
};

// A binary floating-point format: sign bit, biased exponent, mantissa, gradual underflow.
struct Format {
  std::string_view name;
  int bits;
  int precision;  // significant bits of a normal number, the hidden one included
  int bias;
  NanEncoding nan_encoding;
  bool is_integer = false;  // two's complement: no exponent, NaN, infinity or -0

  constexpr int mantissa_bits() const { return precision - 1; }
  constexpr int min_exponent() const { return 1 - bias; }  // of the smallest normal number
  constexpr int max_exponent() const {                     // of the largest finite number
    return static_cast<int>(max_finite_bits() >> mantissa_bits()) - bias;
  }
  constexpr bool has_infinity() const { return nan_encoding == NanEncoding::ieee; }
  constexpr bool has_negative_zero() const { return nan_encoding != NanEncoding::negative_zero; }
  constexpr std::uint64_t sign_bit() const { return std::uint64_t{1} << (bits - 1); }
  constexpr std::uint64_t magnitude_mask() const { return sign_bit() - 1; }
  constexpr std::uint64_t mantissa_mask() const { return (std::uint64_t{1} << mantissa_bits()) - 1; }
  // Exponent all ones. An infinity only where has_infinity().
  constexpr std::uint64_t infinity_bits() const { return magnitude_mask() & ~mantissa_mask(); }
  constexpr std::uint64_t nan_bits() const {  // the quiet NaN that the oracle writes; of an integer 0
    if (is_integer) return 0;
    switch (nan_encoding) {
      case NanEncoding::ieee:
        return infinity_bits() | (std::uint64_t{1} << (mantissa_bits() - 1));
      case NanEncoding::all_ones:
      case NanEncoding::none:
        return magnitude_mask();
      case NanEncoding::negative_zero:
        break;
    }
    return sign_bit();
  }
  constexpr std::uint64_t max_finite_bits() const {
    if (is_integer) return magnitude_mask();
    switch (nan_encoding) {
      case NanEncoding::ieee:
        return infinity_bits() - 1;
      case NanEncoding::all_ones:
        return magnitude_mask() - 1;
      case NanEncoding::negative_zero:
      case NanEncoding::none:
        break;
    }
    return magnitude_mask();
  }
};

// One row per floating-point DType, in the order of the enumeration.
inline constexpr std::array<Format, 7> kFormats = {{
    {"fp32", 32, 24, 127, NanEncoding::ieee},
    {"fp16", 16, 11, 15, NanEncoding::ieee},
    {"bf16", 16, 8, 127, NanEncoding::ieee},
    {"fp8_e4m3fn", 8, 4, 7, NanEncoding::all_ones},
    {"fp8_e5m2", 8, 3, 15, NanEncoding::ieee},
    {"fp8_e4m3fnuz", 8, 4, 8, NanEncoding::negative_zero},
    {"fp8_e5m2fnuz", 8, 3, 16, NanEncoding::negative_zero},
}};

// Integers as `cvt.rni.sat` makes them: what is beyond saturates, NaN becomes 0.
inline constexpr Format kInt8 = {"int8", 8, 7, 0, NanEncoding::negative_zero, true};

// Four bits, two to a byte in tensors of bytes.
inline constexpr Format kE2m1 = {"e2m1", 4, 2, 1, NanEncoding::none};

// The format of wider accumulators; no tensor has it.
inline constexpr Format kFp64 = {"fp64", 64, 53, 1023, NanEncoding::ieee};

// Throws std::invalid_argument for a value outside the enumeration.
const Format& format_of(DType dtype);

bool is_nan(const Format& format, std::uint64_t bits);
bool is_infinite(const Format& format, std::uint64_t bits);
bool is_zero(const Format& format, std::uint64_t bits);
bool is_subnormal(const Format& format, std::uint64_t bits);
inline bool is_negative(const Format& format, std::uint64_t bits) { return (bits & format.sign_bit()) != 0; }

// Equality of results: bitwise, but any NaN equals any NaN. Signed zeros differ.
bool same(const Format& format, std::uint64_t a, std::uint64_t b);

// Position of a number that is not NaN on the line of all representable numbers,
// -0 just below +0 where it exists.
std::int64_t line_position(const Format& format, std::uint64_t bits);

// Steps on that line from `a` to `b`; the largest uint64 where one of them is NaN.
std::uint64_t ulp_distance(const Format& format, std::uint64_t a, std::uint64_t b);

// The next number up or down, as in IEEE 754 nextUp and nextDown: both zeros go to the smallest subnormal,
// the outermost number of the format and NaN stay.
std::uint64_t next_up(const Format& format, std::uint64_t bits);
std::uint64_t next_down(const Format& format, std::uint64_t bits);

// "0x3f80", as wide as the format.
std::string hex_bits(const Format& format, std::uint64_t bits);
// The shortest decimal that reads back as the same number: "1.28125", "-0", "inf", "NaN".
std::string value_text(const Format& format, std::uint64_t bits);

// The same of an element of a tensor. Those of uint8 are bytes, exponents or two codes, and no numbers: each
// is equal to itself alone, and is written as its bits.
std::string hex_bits(DType dtype, std::uint64_t bits);
std::string value_text(DType dtype, std::uint32_t bits);
bool is_nan(DType dtype, std::uint64_t bits);
bool same(DType dtype, std::uint64_t a, std::uint64_t b);
inline std::uint64_t ulp_distance(DType dtype, std::uint64_t a, std::uint64_t b) {
  return ulp_distance(oracle::format_of(dtype), a, b);
}

}  // namespace normproof::oracle
