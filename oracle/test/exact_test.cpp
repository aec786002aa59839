// Exact operations and the one rounding routine, against hardware, against Boost's quad float and against a
// search for the nearest number.
#include "oracle/exact.h"

#include <gtest/gtest.h>

#include <bit>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "oracle/test/case_builder.h"

namespace normproof::oracle {
namespace {

using boost::multiprecision::cpp_bin_float_quad;

constexpr Format kBinary64 = {"fp64", 64, 53, 1023, NanEncoding::ieee};

Value exact(float x) { return decode(DType::fp32, std::bit_cast<std::uint32_t>(x)); }
Value exact(double x) { return decode(kBinary64, std::bit_cast<std::uint64_t>(x)); }
std::uint64_t raw_bits(float x) { return std::bit_cast<std::uint32_t>(x); }
std::uint64_t raw_bits(double x) { return std::bit_cast<std::uint64_t>(x); }

template <typename Float>
void expect_operations_like_hardware(const Format& format, Float a, Float b, Float c) {
  const auto agrees = [&](const char* what, const Value& value, Float hardware) {
    const std::uint64_t rounded = round_bits(format, value);
    ASSERT_TRUE(same(format, rounded, raw_bits(hardware)))
        << what << " of " << a << ", " << b << ", " << c << ": " << hex_bits(format, rounded) << " and "
        << hex_bits(format, raw_bits(hardware));
  };
  agrees("sum", exact(a) + exact(b), a + b);
  agrees("difference", exact(a) + -exact(b), a - b);
  agrees("product", exact(a) * exact(b), a * b);
  agrees("fma", exact(a) * exact(b) + exact(c), std::fma(a, b, c));
  agrees("quotient", quotient(exact(a), exact(b)), a / b);
  const bool less = exact(a) < exact(b);
  ASSERT_EQ(less, a < b) << a << " " << b;
  ASSERT_EQ(exact(a) == exact(b), a == b) << a << " " << b;
}

TEST(Exact, OperationsRoundLikeHardware) {
  test::RandomCases random(1);
  std::mt19937_64 bits(2);
  for (int i = 0; i < 60000; ++i) {
    const auto single = [&] { return std::bit_cast<float>(random.any_bits(format_of(DType::fp32))); };
    expect_operations_like_hardware(format_of(DType::fp32), single(), single(), single());
    const auto wide = [&] { return std::bit_cast<double>(bits()); };
    expect_operations_like_hardware(kBinary64, wide(), wide(), wide());
    const auto close = [&] {
      return std::ldexp(static_cast<double>(bits() >> 11), -52 + static_cast<int>(bits() % 8));
    };
    expect_operations_like_hardware(kBinary64, close(), -close(), close());
  }
}

TEST(Exact, FiftyThreeBitsToFp32LikeHardware) {
  std::mt19937_64 bits(3);
  for (int i = 0; i < 300000; ++i) {
    std::uint64_t pattern = bits();
    if (i % 2 == 0) {  // the range of fp32, ties among them
      pattern = (pattern & 0x800fffffffffffffull) | (1023 - 160 + bits() % 300) << 52;
      if (i % 4 == 0) pattern &= ~0x1fffffffull;
      if (i % 8 == 0) pattern |= 0x10000000ull;
    }
    const double wide = std::bit_cast<double>(pattern);
    ASSERT_TRUE(same(DType::fp32, round_bits(format_of(DType::fp32), exact(wide)),
                     raw_bits(static_cast<float>(wide))))
        << wide;
  }
}

TEST(Exact, RootsRoundLikeQuad) {
  std::mt19937_64 bits(4);
  for (int i = 0; i < 20000; ++i) {
    const float m = std::bit_cast<float>(static_cast<std::uint32_t>(bits()) & 0x7fffffffu);
    if (!(m > 0) || std::isinf(m)) continue;
    const cpp_bin_float_quad root = 1 / sqrt(cpp_bin_float_quad(m));
    ASSERT_EQ(round_bits(format_of(DType::fp32), inverse_root(exact(m))), raw_bits(root.convert_to<float>()))
        << m;
  }
}

TEST(Exact, ProductsAndSumsRoundLikeQuad) {
  std::mt19937_64 bits(5);
  for (int i = 0; i < 50000; ++i) {
    const auto draw = [&] {
      return std::ldexp(static_cast<float>(bits() & 0xffffff) * (bits() % 2 == 0 ? 1.0f : -1.0f),
                        static_cast<int>(bits() % 16) - 32);
    };
    const float a = draw(), b = draw(), c = draw();
    const cpp_bin_float_quad wide = cpp_bin_float_quad(a) * b + c;  // at most 113 bits here: exact
    if (wide == 0) continue;
    ASSERT_EQ(round_bits(format_of(DType::fp32), exact(a) * exact(b) + exact(c)),
              raw_bits(wide.convert_to<float>()))
        << a << " " << b << " " << c;
  }
}

// What is cut off below 80 bits still decides between a tie and a trace more.
TEST(Exact, QuotientsAndRootsATraceAboveAMidpoint) {
  const Format& format = format_of(DType::fp32);
  const Value midpoint = Value::integer((1 << 24) + 1);
  const Value trace = Value::finite(false, 1, -100);
  const Value divisor = Value::finite(false, (cpp_int(1) << 90) + 1, 0);
  EXPECT_EQ(round_bits(format, quotient(midpoint * divisor, divisor)), 0x4b800000u);
  EXPECT_EQ(round_bits(format, quotient(midpoint * divisor + trace, divisor)), 0x4b800001u);
  EXPECT_EQ(round_bits(format, inverse_root(Value::integer(1), midpoint * midpoint)), 0x4b800000u);
  EXPECT_EQ(round_bits(format, inverse_root(Value::integer(1), midpoint * midpoint + trace)), 0x4b800001u);
}

// The definition itself: no number of the format is closer, and of two equally
// close ones the even one is taken.
void expect_nearest(const Format& format, const Value& value) {
  const std::uint64_t rounded = round_bits(format, value);
  const auto distance = [&](std::uint64_t bits) {
    const Value difference = decode(format, bits) + -value;
    return difference.negative() ? -difference : difference;
  };
  std::uint64_t best = 0;
  for (std::uint64_t bits = 0; bits < std::uint64_t{1} << format.bits; ++bits) {
    if (!decode(format, bits).is_finite()) continue;
    const auto order = distance(bits) <=> distance(best);
    const bool even = (bits & 1) == 0;
    if (order < 0 || (order == 0 && even && (best & 1) != 0)) best = bits;
  }
  ASSERT_TRUE(decode(format, rounded) == decode(format, best))
      << format.name << " " << to_decimal(value) << ": " << hex_bits(format, rounded) << " and "
      << hex_bits(format, best);
}

TEST(Exact, RoundingFindsTheNearestNumberOfSmallFormats) {
  std::mt19937_64 bits(6);
  for (const DType dtype : kQuantizedDTypes) {
    const Format& format = format_of(dtype);
    const Value maximum = decode(format, format.max_finite_bits());
    for (int i = 0; i < 600; ++i) {
      Value value;
      if (i % 3 == 0) {  // midpoints and their surroundings
        const std::uint64_t magnitude = bits() % format.max_finite_bits();
        const Value midpoint =
            (decode(format, magnitude) + decode(format, magnitude + 1)) * Value::finite(false, 1, -1);
        value = midpoint + Value::finite(bits() % 2 == 0, bits() % 3, -60);
      } else {
        value = Value::finite(bits() % 2 == 0, bits() >> 11, -static_cast<int>(bits() % 24) - 40);
      }
      if (value > maximum || value < -maximum) continue;
      expect_nearest(format, value);
    }
  }
}

// Exact neighbours decide for the 16-bit formats: the result is one of them and the closer one.
TEST(Exact, SixteenBitProductsAndSums) {
  test::RandomCases random(7);
  for (const DType dtype : {DType::bf16, DType::fp16}) {
    const Format& format = format_of(dtype);
    for (int i = 0; i < 60000; ++i) {
      const std::uint32_t a = random.any_bits(format), b = random.any_bits(format);
      const float x = static_cast<float>(to_double(decode(format, a)));
      const float y = static_cast<float>(to_double(decode(format, b)));
      // Hardware fp32 first, then the 16-bit format: innocuous for one operation.
      const auto twice = [&](float hardware) { return round_bits(format, exact(hardware)); };
      ASSERT_TRUE(same(format, round_bits(format, decode(format, a) * decode(format, b)), twice(x * y)))
          << x << " " << y;
      ASSERT_TRUE(same(format, round_bits(format, decode(format, a) + decode(format, b)), twice(x + y)))
          << x << " " << y;
    }
  }
}

TEST(Exact, OverflowFollowsTheFormat) {
  const auto rounded = [](DType dtype, double value) { return round_bits(format_of(dtype), exact(value)); };
  EXPECT_EQ(rounded(DType::fp16, 65519.999), 0x7bffu);
  EXPECT_EQ(rounded(DType::fp16, 65520), 0x7c00u);
  EXPECT_EQ(rounded(DType::fp16, -65520), 0xfc00u);
  EXPECT_EQ(rounded(DType::bf16, 3.3895313892515355e38), 0x7f7fu);
  EXPECT_EQ(rounded(DType::bf16, 3.4e38), 0x7f80u);
  EXPECT_EQ(rounded(DType::fp8_e5m2, 61439), 0x7bu);
  EXPECT_EQ(rounded(DType::fp8_e5m2, 61440), 0x7cu);
  EXPECT_EQ(rounded(DType::fp8_e4m3fn, 463), 0x7eu);
  EXPECT_TRUE(is_nan(DType::fp8_e4m3fn, rounded(DType::fp8_e4m3fn, 465)));
  EXPECT_TRUE(is_nan(DType::fp8_e4m3fnuz, rounded(DType::fp8_e4m3fnuz, 1e9)));
  EXPECT_EQ(round_bits(format_of(DType::fp16), exact(1e9), Rounding::toward_zero), 0x7bffu);
}

TEST(Exact, UnderflowKeepsTheSignWhereThereIsNegativeZero) {
  const Value tiny = Value::finite(true, 1, -2000);
  EXPECT_EQ(round_bits(format_of(DType::bf16), tiny), 0x8000u);
  EXPECT_EQ(round_bits(format_of(DType::fp8_e4m3fnuz), tiny), 0x00u);
  EXPECT_EQ(round_bits(format_of(DType::bf16), tiny, Rounding::down), 0x8001u);
  // Half of the smallest subnormal is a tie and goes to the even zero; a trace more does not.
  EXPECT_EQ(round_bits(format_of(DType::bf16), Value::finite(false, 1, -134)), 0x0000u);
  EXPECT_EQ(round_bits(format_of(DType::bf16), Value::finite(false, (cpp_int(1) << 200) + 1, -334)), 0x0001u);
}

TEST(Exact, SignsOfZero) {
  const Value plus = Value::zero(false), minus = Value::zero(true), two = Value::integer(2);
  EXPECT_FALSE((two + -two).negative());
  EXPECT_FALSE((plus + minus).negative());
  EXPECT_TRUE((minus + minus).negative());
  EXPECT_TRUE((minus * two).negative());
  EXPECT_FALSE((minus * -two).negative());
  EXPECT_TRUE(quotient(plus, -two).negative());
  EXPECT_TRUE(quotient(two, minus).is_infinite() && quotient(two, minus).negative());
  EXPECT_TRUE((plus * Value::infinity(false)).is_nan());
  EXPECT_TRUE(quotient(plus, plus).is_nan());
  EXPECT_TRUE((Value::infinity(false) + Value::infinity(true)).is_nan());
  EXPECT_TRUE(inverse_root(plus).is_infinite());
  EXPECT_TRUE(inverse_root(-two).is_nan());
  EXPECT_TRUE(inverse_root(Value::infinity(false)).is_zero());
  EXPECT_FALSE(identical(plus, minus));
  EXPECT_TRUE(plus == minus);
}

}  // namespace
}  // namespace normproof::oracle
