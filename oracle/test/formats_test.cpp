// The format table against a plain reading of each format's definition, for every 8- and 16-bit pattern.
#include "oracle/formats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "oracle/exact.h"

namespace normproof::oracle {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Sign, exponent and mantissa by hand; special patterns spelled out per format.
double plain_value(int bits, int exponent_bits, int mantissa_bits, int bias, std::uint32_t pattern) {
  const std::uint32_t sign = pattern >> (bits - 1);
  const std::uint32_t exponent = (pattern >> mantissa_bits) & ((1u << exponent_bits) - 1);
  const std::uint32_t mantissa = pattern & ((1u << mantissa_bits) - 1);
  const double fraction = static_cast<double>(mantissa) / static_cast<double>(1u << mantissa_bits);
  const double magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias)
                                         : std::ldexp(1 + fraction, static_cast<int>(exponent) - bias);
  return sign != 0 ? -magnitude : magnitude;
}

double reference_value(DType dtype, std::uint32_t pattern) {
  switch (dtype) {
    case DType::fp32:
      return static_cast<double>(std::bit_cast<float>(pattern));
    case DType::bf16:
      return static_cast<double>(std::bit_cast<float>(pattern << 16));
    case DType::fp16:
      if ((pattern & 0x7c00) == 0x7c00) {
        if ((pattern & 0x03ff) != 0) return kNan;
        return pattern == 0x7c00 ? kInfinity : -kInfinity;
      }
      return plain_value(16, 5, 10, 15, pattern);
    case DType::fp8_e4m3fn:
      if (pattern == 0x7f || pattern == 0xff) return kNan;
      return plain_value(8, 4, 3, 7, pattern);
    case DType::fp8_e5m2:
      if (pattern == 0x7c) return kInfinity;
      if (pattern == 0xfc) return -kInfinity;
      if ((pattern & 0x7f) > 0x7c) return kNan;
      return plain_value(8, 5, 2, 15, pattern);
    case DType::fp8_e4m3fnuz:
      return pattern == 0x80 ? kNan : plain_value(8, 4, 3, 8, pattern);
    case DType::fp8_e5m2fnuz:
      return pattern == 0x80 ? kNan : plain_value(8, 5, 2, 16, pattern);
    case DType::int8:
      return static_cast<double>(static_cast<std::int8_t>(pattern));
    case DType::uint8:  // no numbers
      break;
  }
  return kNan;
}

constexpr std::array kAllDTypes = {DType::fp32,        DType::fp16,     DType::bf16,
                                   DType::fp8_e4m3fn,  DType::fp8_e5m2, DType::fp8_e4m3fnuz,
                                   DType::fp8_e5m2fnuz};

std::vector<std::uint32_t> patterns(DType dtype) {
  std::vector<std::uint32_t> result;
  if (dtype != DType::fp32) {
    for (std::uint32_t p = 0; p < 1u << format_of(dtype).bits; ++p) result.push_back(p);
    return result;
  }
  for (std::uint32_t exponent = 0; exponent < 512; ++exponent) {
    for (const std::uint32_t mantissa : {0u, 1u, 2u, 0x400000u, 0x3fffffu, 0x7ffffeu, 0x7fffffu, 0x2aaaaau}) {
      result.push_back(exponent << 23 | mantissa);
    }
  }
  return result;
}

TEST(Formats, DecodeEveryPattern) {
  for (const DType dtype : kAllDTypes) {
    const Format& format = format_of(dtype);
    for (const std::uint32_t pattern : patterns(dtype)) {
      const double reference = reference_value(dtype, pattern);
      const double decoded = to_double(decode(format, pattern));
      ASSERT_EQ(std::isnan(reference), is_nan(format, pattern))
          << format.name << " " << hex_bits(format, pattern);
      ASSERT_EQ(std::isinf(reference), is_infinite(format, pattern))
          << format.name << " " << hex_bits(format, pattern);
      ASSERT_EQ(reference == 0, is_zero(format, pattern)) << format.name << " " << hex_bits(format, pattern);
      if (std::isnan(reference)) continue;
      ASSERT_EQ(std::bit_cast<std::uint64_t>(reference), std::bit_cast<std::uint64_t>(decoded))
          << format.name << " " << hex_bits(format, pattern);
    }
  }
}

TEST(Formats, RoundingARepresentableNumberGivesItsOwnBits) {
  for (const DType dtype : kAllDTypes) {
    const Format& format = format_of(dtype);
    for (const std::uint32_t pattern : patterns(dtype)) {
      for (const Rounding rounding :
           {Rounding::nearest_even, Rounding::toward_zero, Rounding::up, Rounding::down}) {
        ASSERT_TRUE(same(format, round_bits(format, decode(format, pattern), rounding), pattern))
            << format.name << " " << hex_bits(format, pattern);
      }
    }
  }
}

TEST(Formats, LargestNumbers) {
  const auto maximum = [](DType dtype) {
    return to_double(decode(format_of(dtype), format_of(dtype).max_finite_bits()));
  };
  EXPECT_EQ(maximum(DType::fp32), static_cast<double>(std::numeric_limits<float>::max()));
  EXPECT_EQ(maximum(DType::fp16), 65504);
  EXPECT_EQ(maximum(DType::fp8_e4m3fn), 448);
  EXPECT_EQ(maximum(DType::fp8_e5m2), 57344);
  EXPECT_EQ(maximum(DType::fp8_e4m3fnuz), 240);
  EXPECT_EQ(maximum(DType::fp8_e5m2fnuz), 57344);
}

// Walks from the lowest to the highest number of a format.
TEST(Formats, StepsVisitEveryNumberInOrder) {
  for (const DType dtype : kAllDTypes) {
    if (dtype == DType::fp32) continue;
    const Format& format = format_of(dtype);
    const std::uint64_t top = format.has_infinity() ? format.infinity_bits() : format.max_finite_bits();
    std::uint64_t bits = top | format.sign_bit();
    std::size_t steps = 0;
    while (bits != top) {
      const std::uint64_t next = next_up(format, bits);
      ASSERT_LT(to_double(decode(format, bits)), to_double(decode(format, next))) << hex_bits(format, bits);
      ASSERT_EQ(ulp_distance(format, bits, next), 1u) << hex_bits(format, bits);
      if (!is_zero(format, next)) {
        ASSERT_EQ(next_down(format, next), is_zero(format, bits) ? 0 : bits);
      }
      bits = next;
      ++steps;
      if (is_zero(format, bits)) bits = 0;  // -0 and +0 are one number for nextUp
    }
    EXPECT_EQ(steps, 2 * top) << format.name;
  }
}

TEST(Formats, UlpDistance) {
  EXPECT_EQ(ulp_distance(DType::bf16, 0x0000, 0x8000), 1u);
  EXPECT_EQ(ulp_distance(DType::bf16, 0x0001, 0x8001), 3u);
  EXPECT_EQ(ulp_distance(DType::fp8_e4m3fnuz, 0x01, 0x81), 2u);
  EXPECT_EQ(ulp_distance(DType::bf16, 0x3f80, 0x3f85), 5u);
  EXPECT_EQ(ulp_distance(DType::bf16, 0x3f85, 0x3f80), 5u);
  EXPECT_EQ(ulp_distance(DType::fp32, 0xff800000u, 0x7f800000u), 0xff000001u);
  EXPECT_EQ(ulp_distance(DType::bf16, 0x3f85, 0x7fc1), std::numeric_limits<std::uint64_t>::max());
}

TEST(Formats, SameKnowsNansAndSignedZeros) {
  EXPECT_TRUE(same(DType::bf16, 0x7fc0, 0xff81));
  EXPECT_FALSE(same(DType::bf16, 0x7f80, 0x7f81));  // an infinity is no NaN
  EXPECT_FALSE(same(DType::bf16, 0x0000, 0x8000));
  EXPECT_TRUE(same(DType::fp8_e4m3fn, 0x7f, 0xff));
  EXPECT_FALSE(same(DType::fp8_e4m3fnuz, 0x00, 0x80));
}

TEST(Formats, ValueText) {
  EXPECT_EQ(value_text(DType::bf16, 0x3fa4), "1.28125");
  EXPECT_EQ(value_text(DType::bf16, 0x8000), "-0");
  EXPECT_EQ(value_text(DType::fp16, 0xfc00), "-inf");
  EXPECT_EQ(value_text(DType::fp8_e4m3fnuz, 0x80), "NaN");
}

TEST(Formats, UnknownDTypeIsRefused) {
  EXPECT_THROW(format_of(static_cast<DType>(8)), std::invalid_argument);
}

// Exponents, or two codes.
TEST(Formats, BytesAreEqualToThemselvesAlone) {
  for (std::uint32_t bits = 0; bits < 256; ++bits) {
    EXPECT_FALSE(is_nan(DType::uint8, bits));
    EXPECT_TRUE(same(DType::uint8, bits, bits));
    EXPECT_FALSE(same(DType::uint8, bits, bits ^ 0x80));
  }
  EXPECT_EQ(value_text(DType::uint8, 0x0f), "0x0f");
  EXPECT_EQ(hex_bits(DType::uint8, 0xf0), "0xf0");
}

TEST(Formats, Int8IsALineOfIntegers) {
  for (std::uint32_t pattern = 0; pattern < 256; ++pattern) {
    const double value = reference_value(DType::int8, pattern);
    EXPECT_EQ(to_double(decode(DType::int8, pattern)), value);
    EXPECT_EQ(static_cast<double>(line_position(kInt8, pattern)), value);
    EXPECT_EQ(value_text(DType::int8, pattern), std::to_string(static_cast<int>(value)));
    EXPECT_EQ(round_bits(kInt8, from_double(value)), pattern);
    EXPECT_FALSE(is_nan(kInt8, pattern) || is_infinite(kInt8, pattern) || is_subnormal(kInt8, pattern));
    EXPECT_EQ(is_zero(kInt8, pattern), pattern == 0);
    for (std::uint32_t other = 0; other < 256; ++other)
      EXPECT_EQ(same(kInt8, pattern, other), pattern == other);
    const auto next = [](std::uint64_t bits) {
      return reference_value(DType::int8, static_cast<std::uint32_t>(bits));
    };
    EXPECT_EQ(next(next_up(kInt8, pattern)), std::min(value + 1, 127.0));
    EXPECT_EQ(next(next_down(kInt8, pattern)), std::max(value - 1, -128.0));
  }
  EXPECT_EQ(ulp_distance(DType::int8, 0x80, 0x7f), 255u);
  EXPECT_EQ(round_bits(kInt8, Value::nan()), 0u);
  EXPECT_EQ(round_bits(kInt8, Value::infinity(true)), 0x80u);
  // Directed, as a step is explained: the neighbours of what is no integer.
  for (const double value : {0.25, -0.25, 63.5, -63.5, 126.999, -127.5, 1e-30, -1e-30}) {
    EXPECT_EQ(to_double(round_to(kInt8, from_double(value), Rounding::down)), std::floor(value)) << value;
    EXPECT_EQ(to_double(round_to(kInt8, from_double(value), Rounding::up)), std::ceil(value)) << value;
    EXPECT_EQ(to_double(round_to(kInt8, from_double(value), Rounding::toward_zero)), std::trunc(value))
        << value;
    EXPECT_EQ(to_double(round_to(kInt8, from_double(value), Rounding::nearest_away)), std::round(value))
        << value;
  }
}

}  // namespace
}  // namespace normproof::oracle
