// What a formula can give while its unknowns run through ranges: interval arithmetic that follows every
// rounding. An operation that is monotone in each operand takes its least and greatest result at ends of the
// operands' ranges, and rounding is monotone, so the ends of a result are results themselves. Where every
// unknown enters a formula once, the range of the result is exact (the corners of SEARCH.md); where one
// enters twice it is wider, and still holds every result. At a single point it is the result.
//
// The same code runs on hardware floats, which search, and on exact values, which confirm.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "oracle/box_search/line.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle::box_search {

// The fp32 operations of the formulas in hardware; T is one of the three activation formats.
// Within a StandardFloatEnvironment.
struct HardwareNumbers {
  using Number = float;
  static float add(float a, float b) { return a + b; }
  static float multiply(float a, float b) { return a * b; }
  static float fused(float a, float b, float c) { return std::fma(a, b, c); }
  static float negate(float a) { return -a; }
  static float from_float(float a) { return a; }
  static bool less(float a, float b) { return order_of(a) < order_of(b); }
  static bool is_nan(float a) { return a != a; }
  static bool is_zero(float a) { return a == 0; }
  static bool is_infinite(float a) { return std::isinf(a); }
  static bool is_negative(float a) { return std::signbit(a); }

  explicit HardwareNumbers(DType output)
      : round_values(row_kernels().round_values[static_cast<std::size_t>(output)]) {}
  // Both ends of a range at once.
  void round(float& a, float& b) const {
    float ends[2] = {a, b};
    round_values(ends, 2, ActivationRounding::nearest_even);
    a = ends[0];
    b = ends[1];
  }
  RowKernels::RoundValues round_values;
};

// The same by integers alone.
struct ExactNumbers {
  using Number = Value;
  static Value fl(const Value& a) { return round_to(DType::fp32, a); }
  static Value add(const Value& a, const Value& b) { return fl(a + b); }
  static Value multiply(const Value& a, const Value& b) { return fl(a * b); }
  static Value fused(const Value& a, const Value& b, const Value& c) { return fl(a * b + c); }
  static Value negate(const Value& a) { return -a; }
  static Value from_float(float a) { return decode(DType::fp32, std::bit_cast<std::uint32_t>(a)); }
  static bool less(const Value& a, const Value& b) {
    if (a.is_zero() && b.is_zero()) return a.negative() && !b.negative();
    return a < b;
  }
  static bool is_nan(const Value& a) { return a.is_nan(); }
  static bool is_zero(const Value& a) { return a.is_zero(); }
  static bool is_infinite(const Value& a) { return a.is_infinite(); }
  static bool is_negative(const Value& a) { return a.negative(); }

  explicit ExactNumbers(DType output) : output_(output) {}
  void round(Value& a, Value& b) const {
    a = round_to(output_, a);
    b = round_to(output_, b);
  }

 private:
  DType output_;
};

// Results: the numbers from `low` to `high` (-0 below +0) if `numbers`, NaN if `nan`.
template <typename Number>
struct Range {
  Number low{};
  Number high{};
  bool numbers = true;
  bool nan = false;
};

// The shares of cut_to_shifted's slack.
inline constexpr float kShiftedReach = 0x1p-24f * (1 + 0x1p-10f);
inline constexpr float kShiftedSize = 0x1p-21f;
inline constexpr float kShiftedLeast = 0x1p-140f;

// The operations of a formula over ranges. A formula is a template over such a class.
template <typename Numbers>
class RangeArithmetic {
 public:
  using Number = typename Numbers::Number;
  using Result = Range<Number>;
  struct Constant {
    Number value;
  };

  explicit RangeArithmetic(DType output) : numbers_(output) {}

  Constant constant(const float* values, std::int64_t index) const {
    return {Numbers::from_float(values[index])};
  }
  Constant constant(float value) const { return {Numbers::from_float(value)}; }
  Result range(const Constant& c) const { return single(c.value); }
  Result range(Position low, Position high) const {
    if (low == kNanPosition) return {{}, {}, false, true};
    return {Numbers::from_float(number_at(low)), Numbers::from_float(number_at(high)), true, false};
  }

  Result negate(const Result& a) const {
    return {Numbers::negate(a.high), Numbers::negate(a.low), a.numbers, a.nan};
  }

  Result add(const Result& a, const Result& b) const {
    if (!a.numbers || !b.numbers) return {{}, {}, false, true};
    Result sum{Numbers::add(a.low, b.low), Numbers::add(a.high, b.high), true, a.nan || b.nan};
    return settle_infinities(sum, a.low, a.high, b.low, b.high);
  }
  Result subtract(const Result& a, const Result& b) const { return add(a, negate(b)); }

  Result multiply(const Result& a, const Result& b) const {
    if (!a.numbers || !b.numbers) return {{}, {}, false, true};
    Result product{{}, {}, false, a.nan || b.nan};
    include_corners(product, a, b);
    if (infinity_times_zero(a, b)) {
      product.nan = true;
      include_finite_corners(product, a, b);
    }
    return product;
  }
  Result multiply(const Result& a, const Constant& b) const {
    if (!a.numbers || Numbers::is_nan(b.value)) return {{}, {}, false, true};
    if (Numbers::is_infinite(b.value) || has_infinity(a)) return multiply(a, single(b.value));
    Result product{{}, {}, false, a.nan};
    include(product, Numbers::multiply(a.low, b.value));
    include(product, Numbers::multiply(a.high, b.value));
    return product;
  }

  // fl(a * b + c), one rounding.
  Result fused(const Result& a, const Constant& b, const Result& c) const {
    if (!a.numbers || !c.numbers || Numbers::is_nan(b.value)) return {{}, {}, false, true};
    // With an infinite operand nothing is rounded but the sum of two numbers.
    if (Numbers::is_infinite(b.value) || Numbers::is_infinite(a.low) || Numbers::is_infinite(a.high)) {
      return fused_with_infinities(a, b, c);
    }
    const bool falls = Numbers::is_negative(b.value);
    Result result{Numbers::fused(falls ? a.high : a.low, b.value, c.low),
                  Numbers::fused(falls ? a.low : a.high, b.value, c.high), true, a.nan || c.nan};
    return result;
  }

  // The same of three ranges. Next to an infinity it is wide, but at a point the result.
  Result fused(const Result& a, const Result& b, const Result& c) const {
    if (!a.numbers || !b.numbers || !c.numbers) return {{}, {}, false, true};
    const bool nan = a.nan || b.nan || c.nan;
    if (is_point(a) && is_point(b) && is_point(c)) {
      Result result = single(Numbers::fused(a.low, b.low, c.low));
      result.nan = result.nan || nan;
      return result;
    }
    if (has_infinity(a) || has_infinity(b) || has_infinity(c))
      return {infinity(true), infinity(false), true, true};
    Result result{{}, {}, false, nan};
    for (const Number& p : {a.low, a.high}) {
      for (const Number& q : {b.low, b.high}) {
        include(result, Numbers::fused(p, q, c.low));
        include(result, Numbers::fused(p, q, c.high));
      }
    }
    return result;
  }

  // Of n = x r - m r, whose range is wide since r enters twice, what lies near (x - m) r (`centred`,
  // rounded). With u = 2^-24 and t = (x - m) r, x r and m r are off by u of themselves, n by u (|t| + that)
  // besides, and `centred` by 2 u |t|. `slack` exceeds the sum of these, its own roundings and underflow
  // included.
  Result cut_to_shifted(Result n, const Result& centred, const Constant& x, const Result& mean,
                        const Result& root) const {
    if (!n.numbers || n.nan || !centred.numbers || centred.nan || has_infinity(n) || has_infinity(centred))
      return n;
    const Number reach =
        Numbers::multiply(Numbers::add(magnitude(single(x.value)), magnitude(mean)), root.high);
    const auto part = [](const Number& of, float share) {
      return Numbers::multiply(of, Numbers::from_float(share));
    };
    const Number slack =
        Numbers::add(Numbers::add(part(reach, kShiftedReach), part(magnitude(centred), kShiftedSize)),
                     Numbers::from_float(kShiftedLeast));
    const Number low = Numbers::add(centred.low, Numbers::negate(slack));
    const Number high = Numbers::add(centred.high, slack);
    if (Numbers::less(n.low, low)) n.low = low;
    if (Numbers::less(high, n.high)) n.high = high;
    return n;
  }

  // rnd_T of an fp32 number.
  Result round(Result a) const {
    if (a.numbers) numbers_.round(a.low, a.high);
    return a;
  }

 private:
  static Result single(const Number& value) {
    return Numbers::is_nan(value) ? Result{{}, {}, false, true} : Result{value, value, true, false};
  }
  static bool has_zero(const Result& a) {
    return Numbers::is_zero(a.low) || Numbers::is_zero(a.high) ||
           (Numbers::is_negative(a.low) && !Numbers::is_negative(a.high));
  }
  static bool is_point(const Result& a) {
    return !Numbers::less(a.low, a.high) && !Numbers::less(a.high, a.low);
  }
  static bool has_infinity(const Result& a) {
    return Numbers::is_infinite(a.low) || Numbers::is_infinite(a.high);
  }
  static Number magnitude(const Result& a) {
    const Number low = Numbers::is_negative(a.low) ? Numbers::negate(a.low) : a.low;
    const Number high = Numbers::is_negative(a.high) ? Numbers::negate(a.high) : a.high;
    return Numbers::less(low, high) ? high : low;
  }
  static bool infinity_times_zero(const Result& a, const Result& b) {
    return (has_infinity(a) && has_zero(b)) || (has_zero(a) && has_infinity(b));
  }
  static bool has_minus_infinity(const Number& low) {
    return Numbers::is_infinite(low) && Numbers::is_negative(low);
  }
  static bool has_plus_infinity(const Number& high) {
    return Numbers::is_infinite(high) && !Numbers::is_negative(high);
  }

  static void include_corners(Result& product, const Result& a, const Result& b) {
    include(product, Numbers::multiply(a.low, b.low));
    include(product, Numbers::multiply(a.low, b.high));
    include(product, Numbers::multiply(a.high, b.low));
    include(product, Numbers::multiply(a.high, b.high));
  }
  // Where 0 * infinity leaves corners without a number, those of the finite parts of the ranges.
  static void include_finite_corners(Result& product, const Result& a, const Result& b) {
    const Result finite_a = finite_part(a), finite_b = finite_part(b);
    if (finite_a.numbers) include_corners(product, finite_a, b);
    if (finite_b.numbers) include_corners(product, a, finite_b);
    if (finite_a.numbers && finite_b.numbers) include_corners(product, finite_a, finite_b);
  }
  static Result finite_part(Result a) {
    const Number largest = Numbers::from_float(number_at(kPlusInfinity - 1));
    if (has_minus_infinity(a.low)) a.low = Numbers::negate(largest);
    if (has_plus_infinity(a.high)) a.high = largest;
    a.numbers = !Numbers::less(a.high, a.low) && !has_infinity(a);
    return a;
  }

  // A corner that is NaN stands for no number.
  static void include(Result& product, const Number& corner) {
    if (Numbers::is_nan(corner)) return;
    if (!product.numbers || Numbers::less(corner, product.low)) product.low = corner;
    if (!product.numbers || Numbers::less(product.high, corner)) product.high = corner;
    product.numbers = true;
  }

  // `sum` of two ranges where infinities of both signs may meet. Where the lower ends are -infinity and
  // +infinity one range is +infinity alone, and so is every sum that is a number; likewise above.
  static Result settle_infinities(Result sum, const Number& a_low, const Number& a_high, const Number& b_low,
                                  const Number& b_high) {
    if ((has_plus_infinity(a_high) && has_minus_infinity(b_low)) ||
        (has_minus_infinity(a_low) && has_plus_infinity(b_high))) {
      sum.nan = true;
    }
    if (Numbers::is_nan(sum.low)) sum.low = infinity(false);
    if (Numbers::is_nan(sum.high)) sum.high = infinity(true);
    if (Numbers::less(sum.high, sum.low)) sum.numbers = false;
    return sum;
  }
  static Number infinity(bool negative) {
    return Numbers::from_float(number_at(negative ? kMinusInfinity : kPlusInfinity));
  }

  // The finite part of `a` is followed as it is, infinities by a product and a sum.
  Result fused_with_infinities(const Result& a, const Constant& b, const Result& c) const {
    Result result{{}, {}, false, false};
    const auto join = [&](const Result& part) {
      result.nan = result.nan || part.nan;
      if (!part.numbers) return;
      include(result, part.low);
      include(result, part.high);
    };
    for (const bool negative : {true, false}) {
      const bool reached = negative ? has_minus_infinity(a.low) : has_plus_infinity(a.high);
      if (reached) join(add(multiply(single(infinity(negative)), b), c));
    }
    const Result finite = finite_part(a);
    if (finite.numbers)
      join(Numbers::is_infinite(b.value) ? add(multiply(finite, b), c) : fused(finite, b, c));
    result.nan = result.nan || a.nan || c.nan;
    return result;
  }

  Numbers numbers_;
};

using HardwareRanges = RangeArithmetic<HardwareNumbers>;
using ExactRanges = RangeArithmetic<ExactNumbers>;

}  // namespace normproof::oracle::box_search
