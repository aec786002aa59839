// The inverse root: correctly rounded for every fp32 number, on the exact path
// and on the fast path's fp64 detour.
#include "oracle/inverse_root.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

namespace normproof::oracle {
namespace {

__extension__ using Wide = unsigned __int128;

Value fp32(std::uint32_t bits) { return decode(DType::fp32, bits); }
std::uint32_t by_fp64(float m) {
  return std::bit_cast<std::uint32_t>(static_cast<float>(1.0 / std::sqrt(static_cast<double>(m))));
}

// For m = M * 2^-23 in [1, 4) and r = R * 2^-24 in (1/2, 1]: whether the midpoints around r enclose 1 /
// sqrt(m), by comparing (2R -+ 1)^2 * M with 2^73 in 128-bit integers. No fp32 m has its root on a midpoint.
bool is_correctly_rounded(std::uint64_t m, std::uint64_t r) {
  const Wide one = Wide{1} << 73;
  const Wide low = Wide{2 * r - 1} * (2 * r - 1) * m;
  const Wide high = Wide{2 * r + 1} * (2 * r + 1) * m;
  return low < one && one < high;
}

// Two adjacent binades hold every mantissa with both parities of the exponent; scaling m by 4^k scales r by
// 2^-k exactly.
TEST(InverseRoot, Fp64DetourIsCorrectlyRoundedForEveryMantissa) {
  for (std::uint64_t i = 0; i < std::uint64_t{1} << 24; ++i) {
    const auto m_bits = static_cast<std::uint32_t>(0x3f800000u + i);
    const std::uint32_t r_bits = by_fp64(std::bit_cast<float>(m_bits));
    std::uint64_t m = (m_bits & 0x7fffffu) | 0x800000u;
    if (m_bits >= 0x40000000u) m <<= 1;
    if (m == 0x800000u) {  // 1 / sqrt(1): the spacing changes at 1
      ASSERT_EQ(r_bits, 0x3f800000u);
      continue;
    }
    const std::uint64_t r = (r_bits & 0x7fffffu) | 0x800000u;
    ASSERT_EQ(r_bits >> 23, 126u) << m_bits;
    ASSERT_TRUE(is_correctly_rounded(m, r)) << m_bits;
  }
}

TEST(InverseRoot, ExactEqualsFp64DetourInEveryBinade) {
  std::mt19937 random(1);
  const auto expect_equal = [](std::uint32_t bits) {
    ASSERT_EQ(inverse_root_bits(fp32(bits)), by_fp64(std::bit_cast<float>(bits)))
        << hex_bits(kFormats[0], bits);
  };
  for (std::uint32_t binade = 0; binade < 255; ++binade) {
    for (const std::uint32_t mantissa : {1u, 2u, 0x7fffffu, 0x400000u}) expect_equal(binade << 23 | mantissa);
    if (binade != 0) expect_equal(binade << 23);
    for (int i = 0; i < 200; ++i)
      expect_equal(binade << 23 | (static_cast<std::uint32_t>(random()) & 0x7fffffu));
  }
  // Subnormals of every length.
  for (std::uint32_t bits = 1; bits < 0x800000u; bits = bits * 2 + random() % 2) expect_equal(bits);
}

TEST(InverseRoot, SpecialValues) {
  EXPECT_EQ(inverse_root_bits(Value::zero(false)), 0x7f800000u);
  EXPECT_EQ(inverse_root_bits(Value::infinity(false)), 0u);
  EXPECT_TRUE(is_nan(DType::fp32, inverse_root_bits(Value::integer(-1))));
  EXPECT_TRUE(is_nan(DType::fp32, inverse_root_bits(Value::nan())));
}

TEST(InverseRoot, ComparisonAgreesWithRounding) {
  std::mt19937 random(2);
  for (int i = 0; i < 3000; ++i) {
    const Value numerator = Value::finite(false, 1 + random() % 100000, static_cast<int>(random() % 60) - 30);
    const Value denominator = Value::integer(1 + static_cast<std::int64_t>(random() % 9999));
    const std::uint32_t r = inverse_root_bits(numerator, denominator);
    const Value below = (fp32(r) + fp32(r - 1)) * Value::finite(false, 1, -1);
    const Value above = (fp32(r) + fp32(r + 1)) * Value::finite(false, 1, -1);
    ASSERT_TRUE(compare_with_inverse_root(below, numerator, denominator) <= 0);
    ASSERT_TRUE(compare_with_inverse_root(above, numerator, denominator) >= 0);
  }
  const Value four = Value::integer(4);
  EXPECT_TRUE(compare_with_inverse_root(Value::finite(false, 1, -1), four, Value::integer(1)) == 0);
  EXPECT_TRUE(compare_with_inverse_root(Value::infinity(false), four, four) > 0);
  EXPECT_TRUE(compare_with_inverse_root(four, Value(), four) < 0);
  EXPECT_TRUE(compare_with_inverse_root(Value::infinity(false), Value(), four) == 0);
}

}  // namespace
}  // namespace normproof::oracle
