// Rounded arithmetic of fp32 and fp64, conversions, and functions of integers, against exact arithmetic of
// another making.
#include <boost/multiprecision/cpp_bin_float.hpp>  // first: under __CUDACC__ it believes the compiler to be an old one

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace {

// Wide enough for every sum and product of doubles, and for the question on which side of it an inexact
// quotient lies.
using Exact = boost::multiprecision::number<boost::multiprecision::cpp_bin_float<
    4400, boost::multiprecision::digit_base_2, void, std::int32_t, -20000, 20000>>;

enum WordDirection { kNearest, kZero, kDown, kUp };

// The neighbours of the exact value, found by steps from the converted one.
template <class T>
T rounded(const Exact& exact, WordDirection direction) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  T below = static_cast<T>(exact);
  if (std::isinf(below)) below = std::copysign(std::numeric_limits<T>::max(), below);
  while (Exact(below) > exact) below = std::nextafter(below, -kInfinity);
  while (std::nextafter(below, kInfinity) < kInfinity && Exact(std::nextafter(below, kInfinity)) <= exact)
    below = std::nextafter(below, kInfinity);
  if (Exact(below) == exact) return below;
  const T above = std::nextafter(below, kInfinity);
  if (direction == kDown) return below;
  if (direction == kUp) return above;
  if (direction == kZero) return exact > 0 ? below : above;
  return static_cast<T>(exact);
}

template <class T>
T any_number(std::mt19937_64& random, int exponents) {
  const T significand = static_cast<T>(static_cast<std::int64_t>(random()) >> (random() % 40));
  return std::ldexp(significand,
                    static_cast<int>(random() % static_cast<unsigned>(2 * exponents)) - exponents - 40);
}

#define EXPECT_ROUNDED(T, name, exact, ...)                                                       \
  {                                                                                               \
    const Exact value = exact;                                                                    \
    ASSERT_EQ(name##_rn(__VA_ARGS__), rounded<T>(value, kNearest)) << #name " " << a << " " << b; \
    ASSERT_EQ(name##_rz(__VA_ARGS__), rounded<T>(value, kZero)) << #name " " << a << " " << b;    \
    ASSERT_EQ(name##_rd(__VA_ARGS__), rounded<T>(value, kDown)) << #name " " << a << " " << b;    \
    ASSERT_EQ(name##_ru(__VA_ARGS__), rounded<T>(value, kUp)) << #name " " << a << " " << b;      \
  }

TEST(RoundedArithmetic, OfFloats) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1500; ++i) {
    const int exponents = i % 3 == 0 ? 8 : i % 3 == 1 ? 60 : 120;
    const float a = any_number<float>(random, exponents), b = any_number<float>(random, exponents),
                c = i % 2 == 0 ? -a * b : any_number<float>(random, exponents);
    if (!std::isfinite(a) || !std::isfinite(b) || !std::isfinite(c) || a == 0 || b == 0) continue;
    EXPECT_ROUNDED(float, __fadd, Exact(a) + Exact(b), a, b)
    EXPECT_ROUNDED(float, __fsub, Exact(a) - Exact(b), a, b)
    EXPECT_ROUNDED(float, __fmul, Exact(a) * Exact(b), a, b)
    EXPECT_ROUNDED(float, __fdiv, Exact(a) / Exact(b), a, b)
    EXPECT_ROUNDED(float, __frcp, Exact(1) / Exact(a), a)
    EXPECT_ROUNDED(float, __fsqrt, sqrt(Exact(std::fabs(a))), std::fabs(a))
    EXPECT_ROUNDED(float, __fmaf, Exact(a) * Exact(b) + Exact(c), a, b, c)
  }
}

TEST(RoundedArithmetic, OfDoubles) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 600; ++i) {
    const int exponents = i % 3 == 0 ? 8 : i % 3 == 1 ? 300 : 1000;
    const double a = any_number<double>(random, exponents), b = any_number<double>(random, exponents),
                 c = i % 2 == 0 ? -a * b : any_number<double>(random, exponents);
    if (!std::isfinite(a) || !std::isfinite(b) || !std::isfinite(c) || a == 0 || b == 0) continue;
    EXPECT_ROUNDED(double, __dadd, Exact(a) + Exact(b), a, b)
    EXPECT_ROUNDED(double, __dsub, Exact(a) - Exact(b), a, b)
    EXPECT_ROUNDED(double, __dmul, Exact(a) * Exact(b), a, b)
    EXPECT_ROUNDED(double, __ddiv, Exact(a) / Exact(b), a, b)
    EXPECT_ROUNDED(double, __dsqrt, sqrt(Exact(std::fabs(a))), std::fabs(a))
    EXPECT_ROUNDED(double, __fma, Exact(a) * Exact(b) + Exact(c), a, b, c)
    EXPECT_ROUNDED(float, __double2float, Exact(a), a)
  }
}

TEST(RoundedArithmetic, ZerosKeepTheirSigns) {
  EXPECT_TRUE(std::signbit(__fadd_rd(1.0f, -1.0f)));
  EXPECT_FALSE(std::signbit(__fadd_ru(1.0f, -1.0f)));
  EXPECT_FALSE(std::signbit(__fadd_rd(0.0f, 0.0f)));
  EXPECT_TRUE(std::signbit(__fmaf_rd(1.0f, 2.0f, -2.0f)));
  EXPECT_TRUE(std::isnan(__fsqrt_rd(-1.0f)) && std::isnan(__fdiv_ru(0.0f, 0.0f)));
  EXPECT_EQ(__fdiv_rd(1.0f, 0.0f), INFINITY);
}

TEST(Conversions, AtTheEndsOfTheRange) {
  EXPECT_EQ(__float2int_rn(2.5f), 2);
  EXPECT_EQ(__float2int_ru(2.25f), 3);
  EXPECT_EQ(__float2int_rd(-2.25f), -3);
  EXPECT_EQ(__float2int_rz(-2.75f), -2);
  EXPECT_EQ(__float2int_rn(3e9f), 0x7fffffff);
  EXPECT_EQ(__float2int_rn(-3e9f), -0x7fffffff - 1);
  EXPECT_EQ(__float2uint_rn(-1.0f), 0u);
  EXPECT_EQ(__float2uint_rz(5e9f), 0xffffffffu);
  EXPECT_EQ(__float2int_rn(NAN), 0);
  EXPECT_EQ(__float2uint_rn(NAN), 0u);
  EXPECT_EQ(__float2ll_rn(NAN), std::numeric_limits<long long>::min());
  EXPECT_EQ(__double2int_rn(std::nan("")), std::numeric_limits<int>::min());
  EXPECT_EQ(__double2uint_rn(std::nan("")), 0x80000000u);
  EXPECT_EQ(__float2ull_rz(1e20f), ~0ull);
  EXPECT_EQ(__ull2float_rn(~0ull), 0x1p64f);
  EXPECT_EQ(__ull2float_rz(~0ull), 0x1.fffffep63f);
  EXPECT_EQ(__int2float_rd(-16777217), -16777218.0f);
  EXPECT_EQ(__ll2double_ru((1ll << 53) + 1), 0x1p53 + 2);
  EXPECT_EQ(__hiloint2double(__double2hiint(-1.25e-300), __double2loint(-1.25e-300)), -1.25e-300);
}

TEST(Integers, BitsAndBytes) {
  EXPECT_EQ(__byte_perm(0x33221100, 0x77665544, 0x7531), 0x77553311u);
  EXPECT_EQ(__byte_perm(0x80ff7f00, 0, 0xba98), 0xffff0000u) << "the sign of each byte";
  EXPECT_EQ(__dp4a(0x01ff0380, 0x02020202, 10), 10 + 2 * (1 - 1 + 3 - 128));
  EXPECT_EQ(__dp4a(0x01ff0380u, 0x02020202u, 10u), 10 + 2 * (1 + 255 + 3 + 128u));
  EXPECT_EQ(__dp4a(make_char4(1, -1, 3, -128), make_char4(2, 2, 2, 2), 0), 2 * (1 - 1 + 3 - 128));
  EXPECT_EQ(__dp2a_lo(make_short2(1000, -1000), make_char4(1, 2, 3, 4), 0), 1000 - 2000);
  EXPECT_EQ(__dp2a_hi(make_short2(1000, -1000), make_char4(1, 2, 3, 4), 0), 3000 - 4000);
  EXPECT_EQ(__funnelshift_l(0x80000000u, 1, 33), 3u) << "the shift is taken modulo 32";
  EXPECT_EQ(__funnelshift_lc(0x80000000u, 1, 33), 0x80000000u) << "the shift is at most 32";
  EXPECT_EQ(__funnelshift_r(0x80000000u, 1, 1), 0xc0000000u);
  EXPECT_EQ(__funnelshift_rc(7u, 9u, 40), 9u);
  EXPECT_EQ(__brevll(1), 1ull << 63);
  EXPECT_EQ(__fns(0b101100, 0, 2), 3u);
  EXPECT_EQ(__fns(0b101100, 5, -2), 3u);
  EXPECT_EQ(__fns(0b101100, 2, 0), 2u);
  EXPECT_EQ(__fns(0b101100, 0, 4), ~0u);
  EXPECT_EQ(__mul24(-3, 0x1000001), -3);
  EXPECT_EQ(__mulhi(-1, 1), -1);
  EXPECT_EQ(__umul64hi(~0ull, ~0ull), ~0ull - 1);
  EXPECT_EQ(__rhadd(-3, 2), 0);
  EXPECT_EQ(__hadd(-3, 2), -1);
  EXPECT_EQ(__sad(-0x7fffffff - 1, 0x7fffffff, 1), 0u);
}

// All pairs of bytes, in each of the four places.
TEST(Integers, FourBytesAtOnce) {
  const auto each = [](unsigned (*simd)(unsigned, unsigned), auto of_one) {
    for (int a = 0; a < 256; ++a) {
      for (int b = 0; b < 256; ++b) {
        const auto x = static_cast<unsigned>(a) * 0x01010101u, y = static_cast<unsigned>(b) * 0x01010101u;
        const auto part = static_cast<unsigned>(of_one(a, b)) & 0xff;
        if (simd(x, y) != part * 0x01010101u) return a * 256 + b;
      }
    }
    return -1;
  };
  const auto s = [](int a) { return a < 128 ? a : a - 256; };
  EXPECT_EQ(each(__vadd4, [](int a, int b) { return a + b; }), -1);
  EXPECT_EQ(each(__vaddss4, [&](int a, int b) { return std::min(127, std::max(-128, s(a) + s(b))); }), -1);
  EXPECT_EQ(each(__vsubus4, [](int a, int b) { return std::max(0, a - b); }), -1);
  EXPECT_EQ(each(__vavgu4, [](int a, int b) { return (a + b + 1) / 2; }), -1);
  EXPECT_EQ(each(__vmaxs4, [&](int a, int b) { return std::max(s(a), s(b)); }), -1);
  EXPECT_EQ(each(__vminu4, [](int a, int b) { return std::min(a, b); }), -1);
  EXPECT_EQ(each(__vcmpgts4, [&](int a, int b) { return s(a) > s(b) ? 255 : 0; }), -1);
  EXPECT_EQ(each(__vsetleu4, [](int a, int b) { return a <= b; }), -1);
  EXPECT_EQ(each(__vabsdiffs4, [&](int a, int b) { return std::abs(s(a) - s(b)); }), -1);
  EXPECT_EQ(__vsadu4(0x01020304, 0x04030201), 8u);
  EXPECT_EQ(__vabs2(0xffff8000), 0x00018000u);
  EXPECT_EQ(__vabsss2(0xffff8000), 0x00017fffu);
  bool high = false, low = false;
  EXPECT_EQ(__vibmax_s16x2(0x0005fff0, 0x00060001, &high, &low), 0x00060001u);
  EXPECT_TRUE(!high && !low);
  EXPECT_EQ(__viaddmin_s32_relu(-5, 2, 7), 0);
  EXPECT_EQ(__vimax3_u32(1, 0xffffffffu, 3), 0xffffffffu);
}

}  // namespace
