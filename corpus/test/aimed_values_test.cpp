// Values aimed at rounding midpoints do lie there, and random cases have many of them.
#include "corpus/aimed_values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "corpus/bit_classes.h"
#include "corpus/float_format.h"
#include "corpus/generate.h"

namespace normproof {
namespace {

TEST(AimedValues, PowerOfFourMeansAreExactAndVaried) {
  Random random(6);
  for (const std::int64_t columns : {1, 2, 5, 16, 17, 64, 100, 333, 1024}) {
    const int bits = std::min(bits_for_exact_squares(columns), 11);
    EXPECT_GE(bits, 8) << columns;
    EXPECT_LE(columns << (2 * (bits - 1)), 1 << 24);
    std::vector<std::uint32_t> integers(static_cast<std::size_t>(columns));
    int varied = 0;
    for (int i = 0; i < 50; ++i) {
      fill_power_of_four_mean(random, bits, integers);
      std::int64_t squares = 0;
      for (const std::uint32_t integer : integers) {
        ASSERT_LT(integer, 1u << bits);
        squares += std::int64_t{integer} * integer;
      }
      ASSERT_EQ(squares, columns << (2 * (bits - 1))) << columns;
      varied += std::set<std::uint32_t>(integers.begin(), integers.end()).size() > 1 ? 1 : 0;
    }
    if (columns >= 16) {
      EXPECT_GE(varied, 45) << columns;
    }
  }
}

TEST(AimedValues, TiePartnersPutProductsWhereTheyAreAimed) {
  Random random(7);
  int found = 0;
  for (int i = 0; i < 20000; ++i) {
    const int partner_bits = random.pick(std::array{8, 11, 24});
    const int result_bits = std::min(partner_bits, random.pick(std::array{8, 11}));
    const auto integer = static_cast<std::uint32_t>(random.between(1, 2047));
    const std::int64_t nudge = random.between(-2, 2);
    const auto partner = tie_partner(random, integer, partner_bits, result_bits, nudge);
    if (!partner) continue;
    ++found;
    ASSERT_EQ(bit_length(*partner), partner_bits);
    const std::uint64_t product = std::uint64_t{integer} * *partner;
    const int dropped = bit_length(product) - result_bits;
    ASSERT_GT(dropped, 0);
    const std::int64_t below = static_cast<std::int64_t>(product & ((std::uint64_t{1} << dropped) - 1));
    const std::int64_t modulus = std::int64_t{1} << dropped;
    // The distance from the midpoint is the nudge, modulo the last place where that is only a few units wide.
    ASSERT_EQ(((below - modulus / 2 - nudge) % modulus + modulus) % modulus, 0);
  }
  EXPECT_GT(found, 5000);
}

double value_by_hand(const FloatFormat& format, std::uint32_t bits) {
  const std::uint32_t magnitude = format.magnitude(bits);
  const auto field = static_cast<int>(magnitude >> format.mantissa_bits);
  const std::uint32_t mantissa = magnitude & format.mantissa_mask();
  const double value = std::ldexp(field == 0 ? mantissa : mantissa + (1u << format.mantissa_bits),
                                  std::max(field, 1) - format.bias() - format.mantissa_bits);
  return (bits & format.sign_bit()) != 0 ? -value : value;
}

// The exact sum as an integer of 2^-30 units, rounded to the format.
std::uint32_t rounded_sum(const FloatFormat& format, std::uint32_t a, std::uint32_t b, bool* exact) {
  const double sum =
      value_by_hand(format, a) + value_by_hand(format, b);  // exact: both have at most 11 bits nearby
  const auto integer = static_cast<std::uint64_t>(std::ldexp(std::abs(sum), 30));
  EXPECT_EQ(std::ldexp(static_cast<double>(integer), -30), std::abs(sum));
  const std::uint32_t rounded = format.round(sum < 0, integer, -30);
  *exact = value_by_hand(format, rounded) == sum;
  return rounded;
}

TEST(AimedValues, SplitSumsRoundBackToTheSum) {
  Random random(8);
  for (const FloatFormat& format : {kBf16, kFp16}) {
    int inexact = 0;
    for (int i = 0; i < 5000; ++i) {
      const std::uint32_t sum = draw_near(random, format, -2, 4);
      const Addends addends = split_sum(random, format, sum);
      bool exact = false;
      ASSERT_EQ(rounded_sum(format, addends.first, addends.second, &exact), sum) << std::hex << sum;
      inexact += exact ? 0 : 1;
    }
    EXPECT_EQ(inexact, 5000);
  }
}

TEST(AimedValues, TieAddendsMakeInexactSumsAndTies) {
  Random random(9);
  int inexact = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::uint32_t bits = draw_near(random, kBf16, -2, 4);
    bool exact = false;
    rounded_sum(kBf16, bits, tie_addend(random, kBf16, bits), &exact);
    inexact += exact ? 0 : 1;
  }
  EXPECT_GT(inexact, 4500);
}

// What the aiming is for: with the known inverse RMS, products (and sums) that fall
// exactly on midpoints are common.
TEST(RandomCase, HitsTiesOfProducts) {
  Random random(10);
  CaseLimits limits;
  limits.operation = Operation::rms_norm;
  limits.dtype = DType::bf16;
  limits.weight = WeightKind::activation;
  limits.max_hidden = 64;
  limits.special_percent = 0;
  std::int64_t ties = 0;
  std::int64_t products = 0;
  for (int i = 0; i < 2000; ++i) {
    const Case test_case = random_case(random, limits);
    if (test_case[Role::input].data.bytes.empty()) continue;
    const std::int64_t hidden = test_case.hidden_size();
    double squares = 0;
    for (std::int64_t j = 0; j < hidden; ++j) {
      const double x =
          std::abs(value_by_hand(kBf16, load_bits(test_case[Role::input].data.bytes, DType::bf16, j)));
      squares += x * x;
    }
    int exponent = 0;
    if (!(squares > 0) || std::frexp(squares / static_cast<double>(hidden), &exponent) != 0.5) continue;
    for (std::int64_t j = 0; j < hidden; ++j) {
      const double n = value_by_hand(kBf16, load_bits(test_case[Role::input].data.bytes, DType::bf16, j));
      const double w = value_by_hand(kBf16, load_bits(test_case[Role::weight].data.bytes, DType::bf16, j));
      int ignored = 0;
      const double significand = std::abs(std::frexp(n * w, &ignored)) * 256;  // 8 bits before the point
      ++products;
      ties += significand - std::floor(significand) == 0.5 ? 1 : 0;
    }
  }
  EXPECT_GT(products, 5000);
  EXPECT_GT(ties * 10, products);  // random mantissas give about one in 128
}

}  // namespace
}  // namespace normproof
