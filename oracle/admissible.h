// Which r an honest evaluation of 1 / sqrt(mean(x^2) + eps) can arrive at, whatever its order of summation.
//
// The sum S of n squares is evaluated by a tree of additions, with or without fma, each rounded to the
// policy's format of unit roundoff u: a term passes through at most d = n roundings (its square's among
// them), or sum_depth + 1 where the policy bounds the depth. So the computed sum lies between S * (1 - u)^d
// and S * (1 + u)^d, widened by half a smallest subnormal per operation where squares can underflow; it is S
// itself where no partial sum can need more bits than there are. From there every operation is monotone and
// is followed exactly: division by H or multiplication by the rounded 1 / H, the addition of eps, and a root
// at most `ulp_bound` representable numbers away from the correctly rounded one. What policies change:
//   variance=fp64   u = 2^-53, and fp32 squares neither overflow nor underflow
//   variance=kahan  d = 11, the square and 10 plain additions that join 1024 lanes, and a relative 2u +
//   8(n+2)u^2 for
//                   the compensated sum, whose terms are off by 2u + (4n+2)u^2 and smaller powers (Goldberg,
//                   "What every computer scientist should know about floating-point arithmetic", theorem 8);
//                   an infinite sum may be NaN, because the correction then is inf - inf
//   mean=of_terms   d + 2 and the error of the rounded 1 / H, for x * (x / H), x * (x * (1 / H)) and (x * x)
//   * (1 / H) mean=fma, epsilon=...  followed exactly root=divide     the interval is one of rms = sqrt(m)
// The interval of fp64 or kahan is no part of that of fp32 where an fp32 sum overflows or underflows.
// Those `ulp_bound` numbers are 2 ulp, but just
// below a power of two, where numbers lie twice as dense as the ulp above it; that 2 are enough there too for
// the roots of GPUs is proved for every m by properties/proofs (near-root).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>

#include "oracle/canonical.h"
#include "oracle/square_sum.h"

namespace normproof::oracle {

inline constexpr std::int64_t kInfiniteRoot = 0x7f800000;  // bits of +infinity, the largest r

// An interval of the row's unknown >= 0 (r, or rms where the policy divides) as fp32 bits, which are in the
// order of the numbers: 0 to kInfiniteRoot. Empty if low > high.
struct RootInterval {
  std::int64_t low = 0;
  std::int64_t high = -1;
  bool empty() const { return low > high; }
  bool contains(std::int64_t bits) const { return low <= bits && bits <= high; }
  friend bool operator==(const RootInterval&, const RootInterval&) = default;
};

inline RootInterval intersection(const RootInterval& a, const RootInterval& b) {
  return {std::max(a.low, b.low), std::min(a.high, b.high)};
}
inline float root_value(std::int64_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits)); }

// What r may be. Where the sum may overflow the interval begins at r = 0 and so includes the numbers between
// 0 and the smallest r of a finite sum.
struct Admissible {
  RootInterval interval;
  bool nan = false;  // r may be NaN: a NaN operand, or m < 0
  friend bool operator==(const Admissible&, const Admissible&) = default;
};

class AdmissibleModel {
 public:
  explicit AdmissibleModel(const Formula& formula);

  // Exact. For variance in T, `squares` must be those of the operands rounded to T. `sum`: the computed sum,
  // where the policy's order says it (known_sum.h).
  Admissible admissible(const SquareSum& squares, const std::optional<Value>& sum = {}) const;

  // The same interval from the fp64 sum of squares, for the fast path: nothing where fp64 cannot tell for
  // sure. The caller has made sure that the sum is not exact in every order (see needs_more_bits).
  std::optional<RootInterval> admissible_by_fp64(double sum) const;
  // The same where fp32 holds every partial sum in any order, such as of a row
  // of ones; nothing where it may not.
  std::optional<RootInterval> admissible_of_exact_sum(std::span<const float> operands, double sum) const;
  // The same of a sum that the policy's order gives; `sum` is it, computed in the variance's precision.
  std::optional<RootInterval> admissible_of_known_sum(double sum) const;
  // Bounds of the computed sum as a multiple of the exact one (where a term is divided by H before it is
  // added, of the computed mean), in any order the policy allows, where nothing underflows or overflows.
  const Value& least_of_sum() const { return shrinking_; }
  const Value& greatest_of_sum() const { return growing_; }
  // Whether adding all squares up certainly needs more bits than fp32 has, so
  // that the sum depends on the order.
  bool needs_more_bits(std::span<const float> operands, double sum) const;

 private:
  struct SumRange {
    Value low;
    Value high;
  };
  SumRange sum_range(const SquareSum& squares) const;
  bool is_exact(const SquareSum& squares, bool underflow) const;
  Value mean(const Value& sum, bool highest) const;
  Value mean_plus_epsilon(const Value& sum, bool highest, const Value& epsilon) const;
  RootInterval unknowns(const Value& low_m, const Value& high_m) const;
  bool hardware_can_follow(double sum) const;
  RootInterval interval_by_hardware(float low_sum, float high_sum) const;

  Formula formula_;
  const Format& format_;  // of the variance
  bool of_terms_;         // a term is divided by H before it is added
  bool flushes_;
  std::int64_t roundings_;
  Value shrinking_;  // a lower bound of (1 - u)^d
  Value growing_;    // an upper bound of (1 + u)^d
  double fp64_shrinking_;
  double fp64_growing_;
};

// The correctly rounded 1 / sqrt(S / H + eps) of the exact mean (or its inverse, where the policy divides),
// as fp32 bits.
std::uint32_t correctly_rounded_root(const Formula& formula, const SquareSum& squares);

// "[0x3f7c081e, 0x3f7c0820] = [0.98449886, 0.984499]", "nothing", "NaN", ...
std::string to_text(const RootInterval& interval);
std::string to_text(const Admissible& admissible);

}  // namespace normproof::oracle
