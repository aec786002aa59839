// The stand-in headers against exact arithmetic that shares nothing with them: a table of all numbers of a
// format, in which the neighbours of an exact value are looked up. Where a CUDA toolkit is installed,
// compare.sh compares more.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace {

enum class Direction { nearest, zero, down, up };

// The finite numbers of a format with a sign, in order, by its widths alone.
class Numbers {
 public:
  Numbers(int exponent_bits, int mantissa_bits) {
    const int bias = (1 << (exponent_bits - 1)) - 1;
    infinity_ = ((1u << exponent_bits) - 1) << mantissa_bits;
    for (unsigned bits = 0; bits < infinity_; ++bits) {
      const int exponent = static_cast<int>(bits >> mantissa_bits);
      const int fraction = static_cast<int>(bits & ((1u << mantissa_bits) - 1));
      const int significand = exponent == 0 ? fraction : fraction + (1 << mantissa_bits);
      values_.push_back(
          std::ldexp(static_cast<long double>(significand), std::max(exponent, 1) - bias - mantissa_bits));
    }
    overflow_ = values_.back() + (values_.back() - values_[values_.size() - 2]) / 2;
  }
  // The magnitude bits of |exact| rounded; `negative` says what down and up mean.
  unsigned rounded(long double exact, Direction direction) const {
    const bool negative = std::signbit(exact);
    const long double magnitude = std::fabs(exact);
    const bool away = direction == (negative ? Direction::down : Direction::up);
    const unsigned sign = negative ? 0x8000u : 0u;
    if (std::isinf(magnitude)) return sign | infinity_;
    const auto above =
        static_cast<unsigned>(std::lower_bound(values_.begin(), values_.end(), magnitude) - values_.begin());
    if (above < values_.size() && values_[above] == magnitude) return sign | above;
    const unsigned below = above - 1;
    if (direction != Direction::nearest) return sign | (away ? above : below);
    const long double limit =
        above < values_.size() ? values_[above] : overflow_ + (overflow_ - values_.back());
    const long double down = magnitude - values_[below], up = limit - magnitude;
    return sign | (down < up || (down == up && below % 2 == 0) ? below : above);
  }
  unsigned infinity() const { return infinity_; }

 private:
  std::vector<long double> values_;
  unsigned infinity_ = 0;
  long double overflow_ = 0;
};

template <class T>
struct Format;
template <>
struct Format<__half> {
  static const Numbers& numbers() {
    static const Numbers table(5, 10);
    return table;
  }
  static float value(__half a) { return __half2float(a); }
  static __half of(unsigned bits) { return __ushort_as_half(static_cast<unsigned short>(bits)); }
  static unsigned bits(__half a) { return __half_as_ushort(a); }
  static __half from(float a, Direction d) {
    return d == Direction::nearest ? __float2half_rn(a)
           : d == Direction::zero  ? __float2half_rz(a)
           : d == Direction::down  ? __float2half_rd(a)
                                   : __float2half_ru(a);
  }
  static __half from(long long a, Direction d) {
    return d == Direction::nearest ? __ll2half_rn(a)
           : d == Direction::zero  ? __ll2half_rz(a)
           : d == Direction::down  ? __ll2half_rd(a)
                                   : __ll2half_ru(a);
  }
  static long long integer(__half a, Direction d) {
    return d == Direction::nearest ? __half2ll_rn(a)
           : d == Direction::zero  ? __half2ll_rz(a)
           : d == Direction::down  ? __half2ll_rd(a)
                                   : __half2ll_ru(a);
  }
};
template <>
struct Format<__nv_bfloat16> {
  static const Numbers& numbers() {
    static const Numbers table(8, 7);
    return table;
  }
  static float value(__nv_bfloat16 a) { return __bfloat162float(a); }
  static __nv_bfloat16 of(unsigned bits) { return __ushort_as_bfloat16(static_cast<unsigned short>(bits)); }
  static unsigned bits(__nv_bfloat16 a) { return __bfloat16_as_ushort(a); }
  static __nv_bfloat16 from(float a, Direction d) {
    return d == Direction::nearest ? __float2bfloat16_rn(a)
           : d == Direction::zero  ? __float2bfloat16_rz(a)
           : d == Direction::down  ? __float2bfloat16_rd(a)
                                   : __float2bfloat16_ru(a);
  }
  static __nv_bfloat16 from(long long a, Direction d) {
    return d == Direction::nearest ? __ll2bfloat16_rn(a)
           : d == Direction::zero  ? __ll2bfloat16_rz(a)
           : d == Direction::down  ? __ll2bfloat16_rd(a)
                                   : __ll2bfloat16_ru(a);
  }
  static long long integer(__nv_bfloat16 a, Direction d) {
    return d == Direction::nearest ? __bfloat162ll_rn(a)
           : d == Direction::zero  ? __bfloat162ll_rz(a)
           : d == Direction::down  ? __bfloat162ll_rd(a)
                                   : __bfloat162ll_ru(a);
  }
};

constexpr Direction kDirections[] = {Direction::nearest, Direction::zero, Direction::down, Direction::up};

template <class T>
class SixteenBits : public testing::Test {
 protected:
  using F = Format<T>;
  static bool is_nan(unsigned bits) { return (bits & 0x7fff) > F::numbers().infinity(); }
  static void expect(T result, long double exact, const char* what, unsigned a, unsigned b = 0,
                     Direction direction = Direction::nearest) {
    if (std::isnan(exact)) {
      ASSERT_TRUE(is_nan(F::bits(result))) << what << " of " << a << " and " << b;
    } else {
      ASSERT_EQ(F::bits(result), F::numbers().rounded(exact, direction))
          << what << " of " << a << " and " << b;
    }
  }
};
using HalfTypes = testing::Types<__half, __nv_bfloat16>;
TYPED_TEST_SUITE(SixteenBits, HalfTypes);

// Every number, and around every boundary between two: the float there, below and above.
TYPED_TEST(SixteenBits, RoundsFloatsAtEveryBoundary) {
  using F = Format<TypeParam>;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    if (this->is_nan(bits)) continue;
    const float value = F::value(F::of(bits));
    ASSERT_EQ(F::bits(F::from(value, Direction::nearest)), bits) << "there and back";
    if ((bits & 0x7fff) + 1 > F::numbers().infinity()) continue;
    const float next = (bits & 0x7fff) + 1 == F::numbers().infinity()
                           ? value + (value - F::value(F::of(bits - 1)))
                           : F::value(F::of(bits + 1));
    const float middle = value / 2 + next / 2;
    for (const float a : {value, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, next),
                          std::nextafter(value, next)}) {
      for (const Direction direction : kDirections) {
        this->expect(F::from(a, direction), a, "float", bits, 0, direction);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TYPED_TEST(SixteenBits, OperationsOfAllNumbersWithMany) {
  using F = Format<TypeParam>;
  std::mt19937 random(26);
  for (unsigned a = 0; a < 0x10000; ++a) {
    for (int i = 0; i < 4; ++i) {
      const unsigned b = random() & 0xffff,
                     c = i % 2 == 0 ? random() & 0xffff : (a ^ 0x8000 ^ (random() & 3));
      const TypeParam x = F::of(a), y = F::of(b), z = F::of(c);
      const long double u = F::value(x), v = F::value(y), w = F::value(z);
      this->expect(__hadd(x, y), u + v, "sum", a, b);
      this->expect(__hsub(x, z), u - w, "difference", a, c);
      this->expect(__hmul(x, y), u * v, "product", a, b);
      this->expect(__hdiv(x, y), u / v, "quotient", a, b);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// One rounding: products are chosen so that they nearly cancel or lie near a tie, which two roundings get
// wrong.
TYPED_TEST(SixteenBits, FusedOperationsRoundOnce) {
  using F = Format<TypeParam>;
  std::mt19937 random(27);
  int two_roundings_differ = 0;
  for (int i = 0; i < 300000; ++i) {
    const unsigned one = F::bits(F::from(1.0f, Direction::nearest));
    const TypeParam x = F::of(one + random() % 512), y = F::of(one + random() % 512);
    const long double product = static_cast<long double>(F::value(x)) * F::value(y);
    const TypeParam z = F::from(
        static_cast<float>(i % 2 == 0 ? -product : std::ldexp(product, -static_cast<int>(random() % 14))),
        Direction::nearest);
    const long double exact = product + F::value(z);  // both have few bits: exact in 64
    this->expect(__hfma(x, y, z), exact, "fma", F::bits(x), F::bits(y));
    if (testing::Test::HasFatalFailure()) return;
    two_roundings_differ += F::bits(__hfma(x, y, z)) != F::bits(__hadd(__hmul(x, y), z));
    ASSERT_EQ(F::value(__hfma_relu(x, y, z)), std::max(F::value(__hfma(x, y, z)), 0.0f));
    ASSERT_EQ(F::value(__hfma_sat(x, y, z)), std::clamp(F::value(__hfma(x, y, z)), 0.0f, 1.0f));
  }
  EXPECT_GT(two_roundings_differ, 1000);
}

TYPED_TEST(SixteenBits, FunctionsOfAllNumbers) {
  using F = Format<TypeParam>;
  for (unsigned a = 0; a < 0x10000; ++a) {
    const TypeParam x = F::of(a);
    const long double u = F::value(x);
    this->expect(hceil(x), std::ceil(u), "hceil", a);
    this->expect(hfloor(x), std::floor(u), "hfloor", a);
    this->expect(htrunc(x), std::trunc(u), "htrunc", a);
    this->expect(hrint(x), std::nearbyint(u), "hrint", a);
    this->expect(hsqrt(x), std::sqrt(u), "hsqrt", a);
    this->expect(hrcp(x), 1 / u, "hrcp", a);
    this->expect(hrsqrt(x), u == 0 ? std::copysign(HUGE_VALL, u) : 1 / std::sqrt(u), "hrsqrt", a);
    this->expect(hexp(x), std::exp(u), "hexp", a);
    this->expect(hexp2(x), std::exp2(u), "hexp2", a);
    this->expect(hlog(x), std::log(u), "hlog", a);
    this->expect(hlog2(x), std::log2(u), "hlog2", a);
    this->expect(htanh(x), std::tanh(u), "htanh", a);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TYPED_TEST(SixteenBits, MinimaAndMaximaOfSpecialNumbers) {
  using F = Format<TypeParam>;
  const unsigned infinity = F::numbers().infinity(), nan = infinity + 1;
  const auto of = [](unsigned bits) { return F::of(bits); };
  EXPECT_EQ(F::bits(__hmax(of(0x8000), of(0))), 0u) << "+0 is above -0";
  EXPECT_EQ(F::bits(__hmin(of(0), of(0x8000))), 0x8000u);
  EXPECT_EQ(F::bits(__hmin_nan(of(0), of(0x8000))), 0x8000u);
  EXPECT_EQ(F::bits(__hmax(of(nan), of(5))), 5u);
  EXPECT_EQ(F::bits(__hmin(of(5), of(nan))), 5u);
  EXPECT_TRUE(__hisnan(__hmax_nan(of(nan), of(5))));
  EXPECT_TRUE(__hisnan(__hmin_nan(of(5), of(nan))));
  EXPECT_EQ(__hisinf(of(infinity | 0x8000)), -1);
  EXPECT_TRUE(__hequ(of(nan), of(1)) && __hneu(of(nan), of(nan)) && __hltu(of(nan), of(0)));
  EXPECT_FALSE(__heq(of(nan), of(nan)) || __hne(of(nan), of(1)) || __hge(of(1), of(nan)));
  EXPECT_EQ(F::bits(__hadd_sat(of(nan), of(1))), 0u);
}

TYPED_TEST(SixteenBits, IntegersInAllDirections) {
  using F = Format<TypeParam>;
  std::mt19937_64 random(28);
  for (int i = 0; i < 40000; ++i) {
    const auto a = static_cast<long long>(random()) >> (random() % 63);
    for (const Direction direction : kDirections)
      this->expect(F::from(a, direction), static_cast<long double>(a), "integer", static_cast<unsigned>(i), 0,
                   direction);
    if (testing::Test::HasFatalFailure()) return;
  }
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const long double u = F::value(F::of(bits));
    const long double exact[] = {std::nearbyint(u), std::trunc(u), std::floor(u), std::ceil(u)};
    for (int d = 0; d < 4; ++d) {
      long long wanted = std::isnan(u) ? std::numeric_limits<long long>::min() : 0;
      if (!std::isnan(u)) {
        wanted = exact[d] >= 0x1p63L   ? std::numeric_limits<long long>::max()
                 : exact[d] < -0x1p63L ? std::numeric_limits<long long>::min()
                                       : static_cast<long long>(exact[d]);
      }
      ASSERT_EQ(F::integer(F::of(bits), kDirections[d]), wanted) << bits << " " << d;
    }
  }
}

}  // namespace
