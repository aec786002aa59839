// Rounding, sums, products, quotients and inverse roots in 64-bit and 128-bit integers, for proofs over
// billions of inputs. The same numbers as exact.h, against which a test holds it; no floating-point
// operation, and nothing of the kernels' code. Compiles for the CPU and for CUDA devices.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define NORMPROOF_EVERYWHERE __host__ __device__
#else
#define NORMPROOF_EVERYWHERE
#endif

namespace normproof::oracle::integer {

// The rows of the table in formats.h that proofs need, as types. kNan: 0 ieee, 1 all ones, 2 negative zero.
template <int kBits_, int kPrecision_, int kBias_, int kNan_>
struct Format {
  static constexpr int kBits = kBits_;
  static constexpr int kPrecision = kPrecision_;
  static constexpr int kBias = kBias_;
  static constexpr int kMinimumExponent = 1 - kBias_;
  static constexpr bool kHasInfinity = kNan_ == 0;
  static constexpr bool kHasNegativeZero = kNan_ != 2;
  static constexpr bool kHasNan = kNan_ != 3;
  static constexpr std::uint32_t kSign = std::uint32_t{1} << (kBits_ - 1);
  static constexpr std::uint32_t kMagnitude = kSign - 1;
  static constexpr std::uint32_t kHidden = std::uint32_t{1} << (kPrecision_ - 1);
  static constexpr std::uint32_t kInfinity = kMagnitude & ~(kHidden - 1);
  static constexpr std::uint32_t kNan = kNan_ == 0   ? kInfinity | kHidden >> 1
                                        : kNan_ == 2 ? kSign
                                                     : kMagnitude;
  static constexpr std::uint32_t kLargest = kNan_ == 0   ? kInfinity - 1
                                            : kNan_ == 1 ? kMagnitude - 1
                                                         : kMagnitude;
};
using Fp32 = Format<32, 24, 127, 0>;
using Fp16 = Format<16, 11, 15, 0>;
using Bf16 = Format<16, 8, 127, 0>;
using Fp8E4m3fn = Format<8, 4, 7, 1>;
using Fp8E5m2 = Format<8, 3, 15, 0>;
using Fp8E4m3fnuz = Format<8, 4, 8, 2>;
using Fp8E5m2fnuz = Format<8, 3, 16, 2>;
using E2m1 = Format<4, 2, 1, 3>;  // NaN becomes the largest number

template <class F>
NORMPROOF_EVERYWHERE constexpr bool is_nan(std::uint32_t bits) {
  if (!F::kHasNan) return false;
  if (F::kHasInfinity) return (bits & F::kMagnitude) > F::kInfinity;
  return F::kHasNegativeZero ? (bits & F::kMagnitude) == F::kMagnitude : bits == F::kSign;
}

// +-magnitude * 2^exponent, an infinity or a NaN.
struct Number {
  bool nan = false;
  bool infinite = false;
  bool negative = false;
  std::uint64_t magnitude = 0;
  int exponent = 0;
};

template <class F>
NORMPROOF_EVERYWHERE constexpr Number decode(std::uint32_t bits) {
  Number number;
  number.negative = (bits & F::kSign) != 0;
  const std::uint32_t magnitude = bits & F::kMagnitude;
  if (is_nan<F>(bits)) {
    number.nan = true;
  } else if (F::kHasInfinity && magnitude == F::kInfinity) {
    number.infinite = true;
  } else {
    const int biased = static_cast<int>(magnitude >> (F::kPrecision - 1));
    number.magnitude = (magnitude & (F::kHidden - 1)) | (biased == 0 ? 0 : F::kHidden);
    number.exponent = (biased == 0 ? 1 : biased) - F::kBias - (F::kPrecision - 1);
  }
  return number;
}

NORMPROOF_EVERYWHERE constexpr int bit_length(std::uint64_t value) {
  int length = 0;
  for (int step = 32; step > 0; step /= 2) {
    if (value >> step != 0) {
      value >>= step;
      length += step;
    }
  }
  return length + (value != 0 ? 1 : 0);
}

// To nearest, ties to even, with gradual underflow. Too large a number becomes an infinity, or the NaN where
// there is none; the largest number instead if `saturates`, infinities too.
template <class F>
NORMPROOF_EVERYWHERE constexpr std::uint32_t round(const Number& number, bool saturates = false) {
  if (number.nan) return F::kNan;
  const std::uint32_t sign = number.negative ? F::kSign : 0;
  const std::uint32_t too_large = saturates         ? sign | F::kLargest
                                  : F::kHasInfinity ? sign | F::kInfinity
                                                    : F::kNan;
  if (number.infinite) return too_large;
  const int width = bit_length(number.magnitude);
  const int top = number.exponent + width - 1;
  const int quantum = (top > F::kMinimumExponent ? top : F::kMinimumExponent) - (F::kPrecision - 1);
  const int dropped = quantum - number.exponent;
  std::uint64_t kept = 0;
  if (width > 0 && dropped <= 0) {
    kept = number.magnitude << -dropped;
  } else if (width > 0 && dropped <= width) {  // else zero, or less than half of the smallest step
    const std::uint64_t half = std::uint64_t{1} << (dropped - 1);
    const std::uint64_t rest = dropped == 64 ? number.magnitude : number.magnitude & (2 * half - 1);
    kept = dropped == 64 ? 0 : number.magnitude >> dropped;
    if (rest > half || (rest == half && (kept & 1) != 0)) ++kept;
  }
  if (kept == 0) return F::kHasNegativeZero ? sign : 0;
  std::uint64_t bits = kept;
  if (kept >= F::kHidden) {
    const int biased = quantum + F::kPrecision - 1 + F::kBias;
    bits = (static_cast<std::uint64_t>(biased) << (F::kPrecision - 1)) + (kept - F::kHidden);
  }
  return bits > F::kLargest ? too_large : sign | static_cast<std::uint32_t>(bits);
}

// rnd_F(a * b).
template <class F>
NORMPROOF_EVERYWHERE constexpr std::uint32_t multiply(std::uint32_t a_bits, std::uint32_t b_bits) {
  const Number a = decode<F>(a_bits), b = decode<F>(b_bits);
  Number product;
  product.negative = a.negative != b.negative;
  const bool a_zero = !a.nan && !a.infinite && a.magnitude == 0,
             b_zero = !b.nan && !b.infinite && b.magnitude == 0;
  product.nan = a.nan || b.nan || (a.infinite && b_zero) || (b.infinite && a_zero);
  product.infinite = a.infinite || b.infinite;
  product.magnitude = a.magnitude * b.magnitude;
  product.exponent = a.exponent + b.exponent;
  return round<F>(product);
}

// rnd_F(a + b).
template <class F>
NORMPROOF_EVERYWHERE constexpr std::uint32_t add(std::uint32_t a_bits, std::uint32_t b_bits) {
  Number large = decode<F>(a_bits), small = decode<F>(b_bits);
  Number sum;
  sum.nan = large.nan || small.nan || (large.infinite && small.infinite && large.negative != small.negative);
  if (sum.nan) return round<F>(sum);
  if (large.infinite || small.infinite) return round<F>(large.infinite ? large : small);
  if (large.exponent < small.exponent) {
    const Number swapped = large;
    large = small;
    small = swapped;
  }
  // The larger exponent's number has 24 bits at most; far below them, one bit tells whether anything is left.
  constexpr int kRoom = 36;
  const int distance = large.exponent - small.exponent;
  std::uint64_t added = small.magnitude;
  if (distance > kRoom) {
    const int beyond = distance - kRoom;
    const bool left = beyond >= 32 ? added != 0 : (added & ((std::uint64_t{1} << beyond) - 1)) != 0;
    added = (beyond >= 32 ? 0 : added >> beyond) | (left ? 1 : 0);
  }
  const int shift = distance > kRoom ? kRoom : distance;
  const auto first = static_cast<std::int64_t>(large.magnitude << shift),
             second = static_cast<std::int64_t>(added);
  const std::int64_t total = (large.negative ? -first : first) + (small.negative ? -second : second);
  sum.negative = total < 0 || (total == 0 && large.negative && small.negative);
  sum.magnitude = static_cast<std::uint64_t>(total < 0 ? -total : total);
  sum.exponent = large.exponent - shift;
  return round<F>(sum);
}

// rnd_F(a / b).
template <class F>
NORMPROOF_EVERYWHERE constexpr std::uint32_t divide(std::uint32_t a_bits, std::uint32_t b_bits) {
  Number a = decode<F>(a_bits);
  const Number b = decode<F>(b_bits);
  Number quotient;
  quotient.negative = a.negative != b.negative;
  const bool a_zero = !a.nan && !a.infinite && a.magnitude == 0,
             b_zero = !b.nan && !b.infinite && b.magnitude == 0;
  quotient.nan = a.nan || b.nan || (a.infinite && b.infinite) || (a_zero && b_zero);
  quotient.infinite = a.infinite || b_zero;
  if (quotient.nan || quotient.infinite || a_zero || b.infinite) return round<F>(quotient);
  // a gets so many bits that the quotient has more than a format's, and one
  // bit tells whether anything is left.
  constexpr int kBits = 62;
  const int shift = kBits - bit_length(a.magnitude);
  a.magnitude <<= shift;
  quotient.magnitude = a.magnitude / b.magnitude << 1 | (a.magnitude % b.magnitude != 0 ? 1 : 0);
  quotient.exponent = a.exponent - shift - b.exponent - 1;
  return round<F>(quotient);
}

// rnd_F of an fp32 number; fp8 formats clamp.
template <class F>
NORMPROOF_EVERYWHERE constexpr std::uint32_t convert(std::uint32_t fp32_bits) {
  return round<F>(decode<Fp32>(fp32_bits), F::kBits <= 8);
}

// rnd_fp32(1 / sqrt(m)) of a non-negative m or NaN.
NORMPROOF_EVERYWHERE constexpr std::uint32_t inverse_root(std::uint32_t fp32_bits) {
  const Number m = decode<Fp32>(fp32_bits);
  if (m.nan) return Fp32::kNan;
  if (m.infinite) return 0;
  if (m.magnitude == 0) return Fp32::kInfinity;
  // m = significand * 2^exponent with an even exponent and a significand of 24 or 25 bits. The root is R *
  // 2^f with R of 24 bits, where R^2 * significand = 2^scale.
  std::uint64_t significand = m.magnitude;
  int exponent = m.exponent;
  while (significand < Fp32::kHidden) {
    significand <<= 1;
    --exponent;
  }
  if (exponent % 2 != 0) {
    significand <<= 1;
    --exponent;
  }
  const int scale = significand <= (std::uint64_t{1} << 24) ? 70 : 72;
  __extension__ typedef unsigned __int128 Wide;
  const auto reaches = [&](std::uint64_t root, int extra) {  // root^2 * significand against 2^(scale + extra)
    return static_cast<Wide>(root * root) * significand <= static_cast<Wide>(1) << (scale + extra);
  };
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << 24; bit != 0; bit >>= 1) {
    if (reaches(root | bit, 0)) root |= bit;
  }
  // root is cut off; the midpoint above it is (2 * root + 1) / 2, which 1 / sqrt(m) never equals.
  Number result;
  result.magnitude = reaches(2 * root + 1, 2) ? root + 1 : root;
  result.exponent = -(scale + exponent) / 2;
  return round<Fp32>(result);
}

}  // namespace normproof::oracle::integer
