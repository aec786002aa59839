// Bits of every dtype, against values that stand in the formats' definitions.
#include "properties/bits.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "oracle/exact.h"

namespace normproof {
namespace {

constexpr std::array kAllDTypes = {DType::fp32,        DType::fp16,     DType::bf16,
                                   DType::fp8_e4m3fn,  DType::fp8_e5m2, DType::fp8_e4m3fnuz,
                                   DType::fp8_e5m2fnuz};

TEST(Bits, LargestNumbersOfTheFp8Dtypes) {
  EXPECT_EQ(bits::value(DType::fp8_e4m3fn, bits::largest(DType::fp8_e4m3fn, false)), 448);
  EXPECT_EQ(bits::value(DType::fp8_e5m2, bits::largest(DType::fp8_e5m2, true)), -57344);
  EXPECT_EQ(bits::value(DType::fp8_e4m3fnuz, bits::largest(DType::fp8_e4m3fnuz, false)), 240);
  EXPECT_EQ(bits::value(DType::fp8_e5m2fnuz, bits::largest(DType::fp8_e5m2fnuz, false)), 57344);
}

TEST(Bits, SpecialPatterns) {
  for (const std::uint32_t nan : {0x7fu, 0xffu}) EXPECT_TRUE(bits::is_nan(DType::fp8_e4m3fn, nan));
  EXPECT_FALSE(bits::is_nan(DType::fp8_e4m3fn, 0x78));
  EXPECT_TRUE(bits::is_nan(DType::fp8_e4m3fnuz, 0x80));
  EXPECT_FALSE(bits::is_nan(DType::fp8_e4m3fnuz, 0x7f));
  EXPECT_TRUE(bits::is_infinite(DType::fp8_e5m2, 0xfc));
  EXPECT_FALSE(bits::is_infinite(DType::fp8_e5m2fnuz, 0x7c));
  EXPECT_EQ(bits::negated(DType::fp8_e4m3fnuz, 0), 0u);
  EXPECT_EQ(bits::negated(DType::fp8_e4m3fn, 0), 0x80u);
  EXPECT_EQ(bits::zero(DType::bf16, true), 0x8000u);
  EXPECT_EQ(bits::one(DType::bf16), 0x3f80u);
  EXPECT_EQ(bits::one(DType::fp32), 0x3f800000u);
}

// Of all patterns of the small dtypes, value() agrees with the oracle, exactly() is its inverse, and
// ordinal() grows with it.
TEST(Bits, AllPatternsOfTheSmallDtypes) {
  for (const DType dtype : kAllDTypes) {
    if (dtype == DType::fp32) continue;
    const std::uint32_t patterns = 1u << (8 * size_of(dtype));
    for (std::uint32_t bits = 0; bits < patterns; ++bits) {
      const oracle::Value exact = oracle::decode(dtype, bits);
      ASSERT_EQ(bits::is_nan(dtype, bits), exact.is_nan()) << name_of(dtype) << ' ' << bits;
      if (exact.is_nan()) continue;
      const double value = bits::value(dtype, bits);
      ASSERT_EQ(value, oracle::to_double(exact)) << name_of(dtype) << ' ' << bits;
      ASSERT_EQ(std::signbit(value), exact.negative());
      if (!bits::is_infinite(dtype, bits)) {
        ASSERT_EQ(bits::exactly(dtype, value), bits) << name_of(dtype);
      }
      if (!bits::is_nan(dtype, bits + 1) && bits + 1 < patterns / 2) {
        ASSERT_LT(value, bits::value(dtype, bits + 1));
        ASSERT_EQ(bits::ordinal(dtype, bits) + 1, bits::ordinal(dtype, bits + 1));
      }
    }
  }
}

TEST(Bits, DistancesCountTheZerosAsTwo) {
  EXPECT_EQ(bits::ulp_distance(DType::bf16, 0x0000, 0x8000), 1u);
  EXPECT_EQ(bits::ulp_distance(DType::bf16, 0x3f80, 0x3f82), 2u);
  EXPECT_EQ(bits::ulp_distance(DType::bf16, 0x7fc0, 0x3f82), UINT64_MAX);
}

TEST(Bits, PowersOfTwoAreExactOrNothing) {
  EXPECT_EQ(bits::times_power_of_two(DType::bf16, 0x3f81, 3), 0x4101u);
  EXPECT_EQ(bits::times_power_of_two(DType::bf16, 0x7f00, 1), std::nullopt);   // overflow
  EXPECT_EQ(bits::times_power_of_two(DType::bf16, 0x0081, -1), std::nullopt);  // a bit falls off
  EXPECT_EQ(bits::times_power_of_two(DType::bf16, 0x0082, -1), 0x0041u);       // subnormal, exact
  EXPECT_EQ(bits::times_power_of_two(DType::bf16, 0x8000, 5), 0x8000u);
  EXPECT_EQ(bits::times_power_of_two(DType::bf16, 0x7f80, -5), 0x7f80u);
  EXPECT_EQ(bits::exactly(DType::fp16, 65520.0), std::nullopt);
  EXPECT_EQ(bits::exactly(DType::fp32, 0.1), std::nullopt);
  EXPECT_EQ(bits::exactly(DType::fp32, 0.1f), 0x3dcccccdu);
}

TEST(Bits, Int8IsAnIntegerInTwosComplement) {
  for (int value = -128; value <= 127; ++value) {
    const auto code = static_cast<std::uint32_t>(value) & 0xff;
    EXPECT_EQ(bits::value(DType::int8, code), value);
    EXPECT_EQ(bits::ordinal(DType::int8, code), value);
    EXPECT_EQ(bits::exactly(DType::int8, value), code);
    EXPECT_FALSE(bits::is_nan(DType::int8, code) || bits::is_infinite(DType::int8, code));
    EXPECT_EQ(bits::is_zero(DType::int8, code), value == 0);
    EXPECT_EQ(bits::is_negative(DType::int8, code), value < 0);
    if (value > -128) {
      EXPECT_EQ(bits::value(DType::int8, bits::negated(DType::int8, code)), -value);
    }
  }
  for (const double none : {0.5, 128.0, -129.0}) EXPECT_EQ(bits::exactly(DType::int8, none), std::nullopt);
  EXPECT_EQ(bits::ulp_distance(DType::int8, 0x80, 0x7f), 255u);
  EXPECT_EQ(bits::largest(DType::int8, false), 0x7fu);
  EXPECT_EQ(bits::largest(DType::int8, true), 0x80u);
  EXPECT_EQ(bits::zero(DType::int8, true), 0u);
}

}  // namespace
}  // namespace normproof
