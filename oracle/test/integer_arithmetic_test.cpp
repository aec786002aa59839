// The integer arithmetic of the proofs against the oracle's exact path.
#include "oracle/integer_arithmetic.h"

#include <gtest/gtest.h>

#include <random>

#include "oracle/exact.h"
#include "oracle/formats.h"
#include "oracle/inverse_root.h"

namespace normproof::oracle {
namespace {

template <class F, DType kDType>
struct Pair {
  using Integer = F;
  static constexpr DType dtype = kDType;
};

template <class P>
class IntegerArithmetic : public testing::Test {};

using Formats =
    testing::Types<Pair<integer::Fp32, DType::fp32>, Pair<integer::Fp16, DType::fp16>,
                   Pair<integer::Bf16, DType::bf16>, Pair<integer::Fp8E4m3fn, DType::fp8_e4m3fn>,
                   Pair<integer::Fp8E5m2, DType::fp8_e5m2>, Pair<integer::Fp8E4m3fnuz, DType::fp8_e4m3fnuz>,
                   Pair<integer::Fp8E5m2fnuz, DType::fp8_e5m2fnuz>>;
TYPED_TEST_SUITE(IntegerArithmetic, Formats);

// Bits of any class: few set bits, long runs and the middle between two numbers come up often.
std::uint32_t draw(std::mt19937& random, int bits) {
  const std::uint32_t mask = bits == 32 ? 0xffffffffu : (1u << bits) - 1;
  std::uint32_t value = random() & mask;
  switch (random() % 4) {
    case 0:
      value &= mask << (random() % static_cast<unsigned>(bits));
      break;
    case 1:
      value |= mask >> (random() % static_cast<unsigned>(bits));
      break;
    default:
      break;
  }
  return value & mask;
}

TYPED_TEST(IntegerArithmetic, HasTheFormatsOfTheTable) {
  using F = typename TypeParam::Integer;
  const Format& format = format_of(TypeParam::dtype);
  EXPECT_EQ(F::kLargest, format.max_finite_bits());
  EXPECT_EQ(F::kNan, format.nan_bits());
  EXPECT_EQ(F::kHasInfinity, format.has_infinity());
  EXPECT_EQ(F::kHasNegativeZero, format.has_negative_zero());
}

TYPED_TEST(IntegerArithmetic, MultipliesAddsAndDividesLikeTheExactPath) {
  using F = typename TypeParam::Integer;
  const Format& format = format_of(TypeParam::dtype);
  std::mt19937 random(1);
  for (int i = 0; i < 60000; ++i) {
    const std::uint32_t a = draw(random, F::kBits);
    // Now and then of nearly the same size, so that sums cancel and ties come up.
    const std::uint32_t b = random() % 3 == 0 ? (a ^ (random() % 8)) ^ (random() % 2 != 0 ? F::kSign : 0)
                                              : draw(random, F::kBits);
    const Value x = decode(format, a), y = decode(format, b);
    ASSERT_TRUE(same(format, integer::multiply<F>(a, b), round_bits(format, x * y)))
        << hex_bits(format, a) << " * " << hex_bits(format, b) << " gave " << integer::multiply<F>(a, b);
    ASSERT_TRUE(same(format, integer::add<F>(a, b), round_bits(format, x + y)))
        << hex_bits(format, a) << " + " << hex_bits(format, b) << " gave " << integer::add<F>(a, b);
    ASSERT_TRUE(same(format, integer::divide<F>(a, b), round_bits(format, quotient(x, y))))
        << hex_bits(format, a) << " / " << hex_bits(format, b) << " gave " << integer::divide<F>(a, b);
  }
}

TYPED_TEST(IntegerArithmetic, ConvertsLikeTheExactPath) {
  using F = typename TypeParam::Integer;
  const Format& format = format_of(TypeParam::dtype);
  std::mt19937 random(2);
  for (int i = 0; i < 200000; ++i) {
    std::uint32_t bits = draw(random, 32);
    if (i % 2 == 0) {
      // A number of the format or the middle between two, or just beside: its
      // bits as fp32, moved by one at most.
      const Value value = decode(format, draw(random, F::kBits));
      bits = static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), value)) ^
             (random() % 2 << (23 - F::kPrecision + (F::kPrecision == 24 ? 1 : 0)));
      bits += random() % 3 - 1;
    }
    Value value = decode(DType::fp32, bits);
    if (F::kBits == 8 && !value.is_nan()) {
      const Value largest = decode(format, format.max_finite_bits());
      if (value > largest) value = largest;
      if (value < -largest) value = -largest;
    }
    ASSERT_TRUE(same(format, integer::convert<F>(bits), round_bits(format, value)))
        << hex_bits(DType::fp32, bits) << " gave " << hex_bits(format, integer::convert<F>(bits));
  }
}

TEST(IntegerInverseRoot, IsTheExactOne) {
  std::mt19937 random(3);
  for (int i = 0; i < 60000; ++i) {
    const std::uint32_t bits = i < 4 ? std::uint32_t{0x7f800000} - 1 + static_cast<std::uint32_t>(i % 2)
                                     : draw(random, 32) & 0x7fffffffu;
    ASSERT_TRUE(same(DType::fp32, integer::inverse_root(bits), inverse_root_bits(decode(DType::fp32, bits))))
        << hex_bits(DType::fp32, bits) << " gave " << hex_bits(DType::fp32, integer::inverse_root(bits));
  }
  EXPECT_EQ(integer::inverse_root(0), 0x7f800000u);
  EXPECT_EQ(integer::inverse_root(0x7f800000u), 0u);
  EXPECT_EQ(integer::inverse_root(1), inverse_root_bits(decode(DType::fp32, 1)));
}

}  // namespace
}  // namespace normproof::oracle
