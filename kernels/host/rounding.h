// The four rounding directions of CUDA's intrinsics: arithmetic of floats and doubles, conversions between
// floats and integers. Each is one rounding of the exact value.
#ifndef NORMPROOF_KERNELS_HOST_ROUNDING_H
#define NORMPROOF_KERNELS_HOST_ROUNDING_H

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace normproof::host {

enum class Rounding : std::uint8_t { kNearest, kZero, kDown, kUp };  // _rn, _rz, _rd, _ru

namespace internal {
// Twice as many bits and more: products of two T are exact in it, and a quotient or a root that is rounded to
// it first is rounded right afterwards, in any direction.
template <class T>
struct Wider {
  using type = double;
};
#if defined(__x86_64__)
template <>
struct Wider<double> {
  __extension__ typedef __float128 type;
};
#else
template <>
struct Wider<double> {
  using type = long double;
};
#endif

template <class T>
T towards(T from, T to) {
  return std::nextafter(from, to);
}
}  // namespace internal

template <class T>
using Wide = typename internal::Wider<T>::type;

// Zero, with its sign, in place of a subnormal number.
inline float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}

// `value`, which is exact or rounded to odd, as a T.
template <class T, class W>
T rounded(W value, Rounding rounding) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const T nearest = static_cast<T>(value);
  if (rounding == Rounding::kNearest || nearest != nearest || static_cast<W>(nearest) == value)
    return nearest;
  const bool below = static_cast<W>(nearest) < value;
  if (rounding == Rounding::kDown) return below ? nearest : internal::towards(nearest, -kInfinity);
  if (rounding == Rounding::kUp) return below ? internal::towards(nearest, kInfinity) : nearest;
  return below == (value > 0) ? nearest : internal::towards(nearest, T(0));
}

// The sum of two, with its last bit set where it is not exact (Knuth's two-sum; Boldo and Melquiond, 2008):
// what has a few bits less can be rounded from it as from the exact sum.
template <class W>
W sum_to_odd(W a, W b) {
  const W sum = a + b;
  const W virtual_b = sum - a;
  const W lost = (a - (sum - virtual_b)) + (b - virtual_b);
  if (!(lost < 0 || lost > 0)) return sum;
  if constexpr (sizeof(W) == 8) {
    const auto bits = std::bit_cast<std::uint64_t>(sum);
    return std::bit_cast<W>((bits - (std::signbit(lost) != std::signbit(sum))) | 1);
  } else {
    __extension__ typedef unsigned __int128 Bits;
    const auto bits = std::bit_cast<Bits>(sum);
    return std::bit_cast<W>((bits - ((lost < 0) != (sum < 0) ? 1 : 0)) | 1);
  }
}
// a * b + c, rounded to odd in double: for factors of at most 26 bits each.
inline double fma_to_odd(double a, double b, double c) { return sum_to_odd(a * b, c); }

// --- arithmetic; a sum that is zero though its terms are not is -0 when rounded down ---

namespace internal {
template <class T>
T signed_zero(T sum, T a, T b, Rounding rounding) {
  if (sum != 0 || rounding != Rounding::kDown) return sum;
  return std::signbit(a) || std::signbit(b) ? -T(0) : sum;
}
}  // namespace internal

template <std::floating_point T>
T add(T a, T b, Rounding rounding) {
  const T sum = rounded<T>(sum_to_odd<Wide<T>>(a, b), rounding);
  return internal::signed_zero(sum, a, b, rounding);
}
template <std::floating_point T>
T multiply(T a, T b, Rounding rounding) {
  return rounded<T>(Wide<T>(a) * Wide<T>(b), rounding);
}
template <std::floating_point T>
T divide(T a, T b, Rounding rounding) {
  return rounded<T>(Wide<T>(a) / Wide<T>(b), rounding);
}
template <std::floating_point T>
T fused_multiply_add(T a, T b, T c, Rounding rounding) {
  const Wide<T> product = Wide<T>(a) * Wide<T>(b);
  const T sum = rounded<T>(sum_to_odd<Wide<T>>(product, c), rounding);
  const T sign_of_product =
      product < 0 || (product == 0 && std::signbit(a) != std::signbit(b)) ? -T(0) : T(0);
  return internal::signed_zero(sum, sign_of_product, c, rounding);
}
template <std::floating_point T>
T square_root(T a, Rounding rounding) {
  const T nearest = std::sqrt(a);
  if (rounding == Rounding::kNearest || !(nearest < std::numeric_limits<T>::infinity())) return nearest;
  const Wide<T> square = Wide<T>(nearest) * Wide<T>(nearest);
  if (rounding == Rounding::kUp) {
    return square < a ? internal::towards(nearest, std::numeric_limits<T>::infinity()) : nearest;
  }
  return square > a ? internal::towards(nearest, T(0)) : nearest;
}

// --- integers ---

inline double to_integral(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::kZero:
      return std::trunc(value);
    case Rounding::kDown:
      return std::floor(value);
    case Rounding::kUp:
      return std::ceil(value);
    default:
      return std::nearbyint(value);
  }
}

// Out of range to the end of the range. NaN is what the PTX manual says of cvt: 0, but the highest bit alone
// if a double or a number of 64 bits takes part.
template <std::integral To, std::floating_point From>
To to_integer(From value, Rounding rounding) {
  constexpr bool kWide = sizeof(To) == 8 || sizeof(From) == 8;
  using Bits = std::make_unsigned_t<To>;
  if (value != value) return kWide ? static_cast<To>(Bits{1} << (sizeof(To) * 8 - 1)) : To{0};
  const double integral = to_integral(value, rounding);
  // Both bounds are powers of two, or zero: exact.
  const double above = std::ldexp(1.0, std::numeric_limits<To>::digits);
  if (integral >= above) return std::numeric_limits<To>::max();
  if (integral < static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  return static_cast<To>(integral);
}

// As a double with its last bit set where the number has more bits than that.
template <std::integral T>
double integer_to_odd(T value) {
  const bool negative = value < 0;
  auto magnitude = static_cast<std::uint64_t>(value);
  if (negative) magnitude = -magnitude;
  const int excess = 64 - std::countl_zero(magnitude) - 53;
  if (excess > 0) {
    const std::uint64_t lost = magnitude & ((std::uint64_t{1} << excess) - 1);
    magnitude = (magnitude >> excess | (lost != 0 ? 1 : 0)) << excess;
  }
  return negative ? -static_cast<double>(magnitude) : static_cast<double>(magnitude);
}
template <std::integral T>
float to_float(T value, Rounding rounding) {
  return rounded<float>(integer_to_odd(value), rounding);
}
template <std::integral T>
double to_double(T value, Rounding rounding) {
  return rounded<double>(Wide<double>(value), rounding);
}

}  // namespace normproof::host

#endif
