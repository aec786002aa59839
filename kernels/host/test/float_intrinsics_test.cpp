// The exact intrinsics against integer arithmetic.
#include "kernels/host/float_intrinsics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>

namespace {

__extension__ using Wide = unsigned __int128;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A finite float as significand * 2^exponent.
struct Parts {
  bool negative;
  std::uint32_t significand;
  int exponent;
};

Parts parts_of(float value) {
  const std::uint32_t bits = __float_as_uint(value);
  const auto biased = static_cast<int>(bits >> 23 & 0xff);
  const std::uint32_t fraction = bits & 0x7fffff;
  return {bits >> 31 != 0, biased == 0 ? fraction : fraction | 0x800000, std::max(biased, 1) - 150};
}

int bit_length(Wide value) {
  int length = 0;
  for (; value != 0; value >>= 1) ++length;
  return length;
}

// magnitude * 2^exponent rounded to nearest even; magnitude is below 2^120, and its bit 0 may stand for any
// lost tail.
float round_to_float(bool negative, Wide magnitude, int exponent) {
  if (magnitude == 0) return negative ? -0.0f : 0.0f;
  const int length = bit_length(magnitude);
  const int drop = std::max(length - 24, -149 - exponent);
  if (drop > 0) {
    const int shift = std::min(drop, 126);
    const Wide half = Wide{1} << (shift - 1), rest = magnitude & ((Wide{1} << shift) - 1);
    magnitude >>= shift;
    if (rest > half || (rest == half && (magnitude & 1) != 0)) ++magnitude;
    exponent += drop;
  }
  const float result = std::ldexp(static_cast<float>(static_cast<std::uint64_t>(magnitude)), exponent);
  return negative ? -result : result;
}

// a * b + c rounded once, for finite arguments, by aligning exact integers: the larger operand's leading bit
// goes to bit 100, and what the other loses to the right is kept as a sticky bit.
float exact_fma(float a, float b, float c) {
  const Parts x = parts_of(a), y = parts_of(b), z = parts_of(c);
  const bool product_negative = x.negative != y.negative;
  const Wide product = Wide{x.significand} * y.significand;
  if (product == 0 || z.significand == 0) {
    if (product == 0 && z.significand == 0) {
      return product_negative == z.negative ? round_to_float(z.negative, 0, 0) : 0.0f;
    }
    return product == 0 ? c : round_to_float(product_negative, product, x.exponent + y.exponent);
  }
  const int top =
      std::max(bit_length(product) + x.exponent + y.exponent, bit_length(z.significand) + z.exponent);
  const int unit = top - 100;
  const auto align = [&](Wide magnitude, int exponent) {
    const int shift = exponent - unit;
    if (shift >= 0) return magnitude << shift;
    if (shift <= -127) return Wide{1};
    return magnitude >> -shift | ((magnitude & ((Wide{1} << -shift) - 1)) != 0);
  };
  const Wide aligned_product = align(product, x.exponent + y.exponent);
  const Wide aligned_addend = align(z.significand, z.exponent);
  if (product_negative == z.negative)
    return round_to_float(z.negative, aligned_product + aligned_addend, unit);
  if (aligned_product == aligned_addend) return 0.0f;
  return aligned_product > aligned_addend
             ? round_to_float(product_negative, aligned_product - aligned_addend, unit)
             : round_to_float(z.negative, aligned_addend - aligned_product, unit);
}

bool same(float a, float b) {
  return __float_as_uint(a) == __float_as_uint(b) || (std::isnan(a) && std::isnan(b));
}

class HardTriples {
 public:
  struct Triple {
    float a, b, c;
  };
  Triple next() {
    switch (random_() % 7) {
      case 0:  // any finite bits
        return {finite(), finite(), finite()};
      case 1: {  // exponents that overlap
        const int shift = between(-60, 60);
        return {scaled(between(-30, 30)), scaled(shift), scaled(shift + between(-50, 50))};
      }
      case 2: {  // cancellation
        const float a = scaled(between(-60, 60)), b = scaled(between(-60, 60));
        return {a, b, -(a * b)};
      }
      case 3: {  // the product is half an ulp of c but for 2^-46 of it, which double loses
        const std::uint32_t i = random_() % 64;
        const int exponent = between(-126, 100);
        const float c = sign(std::ldexp(significand(), exponent));
        return {sign(std::ldexp(static_cast<float>(0x800000 + i), -23)),
                std::ldexp(static_cast<float>(0x1000000 - 2 * i), -24 + exponent - 24), c};
      }
      case 4: {  // the product is a midpoint, c a little more or less than nothing
        const int exponent = between(-100, 90);
        const auto a = static_cast<float>(random_() % 0x1000 | 0x801),
                   b = static_cast<float>(random_() % 0x2000 | 0x1001);
        return {sign(std::ldexp(a, exponent)), b,
                sign(std::ldexp(significand(), exponent - between(10, 150)))};
      }
      case 5: {  // the same among subnormal numbers: the product is half of 2^-149 but for 2^-46 of it
        const std::uint32_t i = random_() % 64;
        return {sign(std::ldexp(static_cast<float>(0x800000 + i), -23 - 75)),
                std::ldexp(static_cast<float>(0x1000000 - 2 * i), -24 - 75),
                __uint_as_float(random_() % 0x1000000 | (random_() & 0x80000000u))};
      }
      default: {  // subnormal results, near ties between them
        const int half = between(-80, -60);
        const auto a = static_cast<float>(random_() % 0x2000 | 1),
                   b = static_cast<float>(random_() % 0x2000 | 1);
        return {sign(std::ldexp(a, half)), std::ldexp(b, -150 - half + between(-20, 6)),
                __uint_as_float(random_() % 0x1000000 | (random_() & 0x80000000u))};
      }
    }
  }

 private:
  int between(int low, int high) {
    return low + static_cast<int>(random_() % static_cast<unsigned>(high - low + 1));
  }
  float significand() { return __uint_as_float(0x3f800000u | (random_() & 0x7fffff)); }
  float sign(float value) { return (random_() & 1) != 0 ? -value : value; }
  float scaled(int exponent) { return sign(std::ldexp(significand(), exponent)); }
  float finite() {
    const float value = __uint_as_float(random_());
    return std::isfinite(value) ? value : 0.0f;
  }
  std::mt19937 random_{20240607};
};

TEST(FloatIntrinsics, FmaIsExactOnHardTriples) {
  HardTriples triples;
  int naive_wrong = 0;
  for (int i = 0; i < 10'000'000; ++i) {
    const auto [a, b, c] = triples.next();
    const float wanted = exact_fma(a, b, c);
    const float got = __fmaf_rn(a, b, c);
    ASSERT_TRUE(same(got, wanted)) << std::hexfloat << a << " * " << b << " + " << c << ": got " << got
                                   << ", wanted " << wanted;
    naive_wrong += !same(static_cast<float>(static_cast<double>(a) * b + c), wanted);
  }
  EXPECT_GE(naive_wrong, 10'000) << "the triples are not hard: plain double arithmetic gets them right";
}

TEST(FloatIntrinsics, FmaOfSpecialValues) {
  const float largest = std::numeric_limits<float>::max();
  EXPECT_TRUE(same(__fmaf_rn(largest, 2.0f, -largest), largest));
  EXPECT_TRUE(same(__fmaf_rn(largest, largest, -largest), kInfinity));
  EXPECT_TRUE(
      same(__fmaf_rn(largest, -1.0f, -0x1p103f), -kInfinity));  // the midpoint to 2^128: even is infinity
  EXPECT_TRUE(same(__fmaf_rn(largest, -1.0f, -0x1.fffffep102f), -largest));  // just below it
  EXPECT_TRUE(same(__fmaf_rn(kInfinity, 1.0f, -kInfinity), kNan));
  EXPECT_TRUE(same(__fmaf_rn(kInfinity, 0.0f, 1.0f), kNan));
  EXPECT_TRUE(same(__fmaf_rn(kInfinity, -2.0f, 1.0f), -kInfinity));
  EXPECT_TRUE(same(__fmaf_rn(1.0f, 1.0f, kInfinity), kInfinity));
  EXPECT_TRUE(same(__fmaf_rn(kNan, 1.0f, 1.0f), kNan));
  EXPECT_TRUE(same(__fmaf_rn(1.0f, 1.0f, kNan), kNan));
  EXPECT_TRUE(same(__fmaf_rn(-0.0f, 1.0f, -0.0f), -0.0f));
  EXPECT_TRUE(same(__fmaf_rn(-0.0f, 1.0f, 0.0f), 0.0f));
  EXPECT_TRUE(same(__fmaf_rn(1.0f, 1.0f, -1.0f), 0.0f));
  EXPECT_TRUE(same(__fmaf_rn(0x1p-149f, 0.5f, 0.0f), 0.0f));  // the midpoint to zero
  EXPECT_TRUE(same(__fmaf_rn(0x1.000002p-149f * 2, 0.75f, 0.0f), 0x1p-148f));
  EXPECT_TRUE(same(__fmaf_rn(-0x1p-149f, 0x1p-149f, 0.0f), -0.0f));
  EXPECT_TRUE(same(__fmaf_rn(0x1p-149f, 0x1p-149f, 0x1p-149f), 0x1p-149f));
}

// Whether `root` is the float nearest to 1 / sqrt(value): the midpoints to its neighbours enclose the exact
// root, that is midpoint^2 * value lies on the right side of 1. Integers of at most 76 bits. A tie cannot
// occur.
bool is_inverse_root(float root, float value) {
  const Parts r = parts_of(root), v = parts_of(value);
  if (r.negative || r.significand == 0) return false;
  const bool at_binade = r.significand == 0x800000;  // the lower neighbour is half as far
  const int exponent = -(2 * (r.exponent - 2) + v.exponent);
  if (exponent < 1 || exponent > 120) return false;
  const Wide lower = 4 * Wide{r.significand} - (at_binade ? 1 : 2), upper = 4 * Wide{r.significand} + 2;
  const Wide one = Wide{1} << exponent;
  return lower * lower * v.significand < one && one < upper * upper * v.significand;
}

TEST(FloatIntrinsics, InverseRootIsExactForAllSignificands) {
  // 4^k more or less only moves the exponent, so one pair of exponents stands for all normal numbers.
  for (std::uint32_t bits = 0x3f800000; bits < 0x40800000; ++bits) {
    const float value = __uint_as_float(bits);
    ASSERT_TRUE(is_inverse_root(__frsqrt_rn(value), value)) << std::hexfloat << value;
  }
}

TEST(FloatIntrinsics, InverseRootIsExactForAllExponents) {
  std::mt19937 random(7);
  for (int i = 0; i < 1'000'000; ++i) {
    const std::uint32_t bits = random() % 0x7f800000u;
    const std::uint32_t subnormal = 1 + random() % 0x7fffff;
    for (const float value : {__uint_as_float(std::max(bits, 1u)), __uint_as_float(subnormal)}) {
      ASSERT_TRUE(is_inverse_root(__frsqrt_rn(value), value)) << std::hexfloat << value;
    }
  }
  EXPECT_TRUE(is_inverse_root(__frsqrt_rn(0x1p-149f), 0x1p-149f));
  EXPECT_TRUE(
      is_inverse_root(__frsqrt_rn(std::numeric_limits<float>::max()), std::numeric_limits<float>::max()));
  EXPECT_FALSE(is_inverse_root(1.0f, __uint_as_float(0x3f800001)));
  EXPECT_TRUE(is_inverse_root(__uint_as_float(0x3f7fffff), __uint_as_float(0x3f800001)));
}

TEST(FloatIntrinsics, InverseRootOfSpecialValues) {
  EXPECT_TRUE(same(__frsqrt_rn(0.0f), kInfinity));
  EXPECT_TRUE(same(__frsqrt_rn(-0.0f), -kInfinity));
  EXPECT_TRUE(same(__frsqrt_rn(kInfinity), 0.0f));
  EXPECT_TRUE(same(__frsqrt_rn(-1.0f), kNan));
  EXPECT_TRUE(same(__frsqrt_rn(-0x1p-149f), kNan));
  EXPECT_TRUE(same(__frsqrt_rn(-kInfinity), kNan));
  EXPECT_TRUE(same(__frsqrt_rn(kNan), kNan));
}

TEST(FloatIntrinsics, OneRoundingEach) {
  // fl(a * b) = fma(a, b, -0) and fl(a + b) = fma(a, 1, b), which the integer reference computes.
  std::mt19937 random(11);
  for (int i = 0; i < 1'000'000; ++i) {
    const float a = __uint_as_float(random()), b = __uint_as_float(random());
    if (!std::isfinite(a) || !std::isfinite(b)) continue;
    ASSERT_TRUE(same(__fadd_rn(a, b), exact_fma(a, 1.0f, b)));
    ASSERT_TRUE(same(__fsub_rn(a, b), exact_fma(-b, 1.0f, a)));
    const bool negative_product = std::signbit(a) != std::signbit(b);
    ASSERT_TRUE(same(__fmul_rn(a, b), exact_fma(a, b, negative_product ? -0.0f : 0.0f)));
  }
  EXPECT_TRUE(same(__fdiv_rn(1.0f, 3.0f), 0x1.555556p-2f));
  EXPECT_TRUE(same(__frcp_rn(3.0f), 0x1.555556p-2f));
  EXPECT_TRUE(same(__fsqrt_rn(2.0f), 0x1.6a09e6p+0f));
}

}  // namespace
