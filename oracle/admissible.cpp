// Rigorous bounds on the inverse root, outward at the one place where the order of summation is unknown.
#include "oracle/admissible.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "oracle/inverse_root.h"

namespace normproof::oracle {
namespace {

// A format wide enough for bounds whose own rounding does not matter.
constexpr Format kBound = kFp64;

// Plain additions that join 1024 lanes of a compensated sum.
constexpr std::int64_t kLongestJoin = 10;

Value power(const Value& base, std::int64_t exponent, Rounding rounding) {
  Value result = Value::integer(1);
  Value square = base;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 != 0) result = round_to(kBound, result * square, rounding);
    square = round_to(kBound, square * square, rounding);
  }
  return result;
}

Value power_of_two(std::int64_t exponent) { return Value::finite(false, 1, exponent); }

// The fp32 number next to a positive fp64 number on either side.
float fp32_up(double value) {
  const auto nearest = static_cast<float>(value);
  return static_cast<double>(nearest) < value ? std::nextafter(nearest, INFINITY) : nearest;
}
float fp32_down(double value) {
  const auto nearest = static_cast<float>(value);
  return static_cast<double>(nearest) > value ? std::nextafter(nearest, 0.0f) : nearest;
}

bool is_subnormal(const Format& format, const Value& value) {
  const Value magnitude = value.negative() ? -value : value;
  return !value.is_zero() && magnitude < power_of_two(format.min_exponent());
}

}  // namespace

AdmissibleModel::AdmissibleModel(const Formula& formula)
    : formula_(formula),
      format_(row_of(formula.policy.variance).format(formula.formats.activation)),
      of_terms_(row_of(formula.policy.mean).of_terms),
      flushes_(formula.policy.inverse_root.flush_to_zero && format_.bits <= 32),
      roundings_(formula.hidden_size) {
  const InverseRootModel& model = formula.policy.inverse_root;
  const bool compensated = row_of(formula.policy.variance).compensated;
  if (compensated) roundings_ = std::min(roundings_, std::int64_t{kLongestJoin + 1});
  if (model.sum_depth) roundings_ = std::min(roundings_, *model.sum_depth + 1);
  if (of_terms_) roundings_ += 2;
  const Value one = Value::integer(1);
  const Value unit = power_of_two(-format_.precision);
  shrinking_ = power(one + -unit, roundings_, Rounding::down);
  growing_ = power(one + unit, roundings_, Rounding::up);
  if (compensated) {
    const Value off = unit * (Value::integer(2) + Value::integer(8 * (formula.hidden_size + 2)) * unit);
    shrinking_ = shrinking_ * (one + -off);
    growing_ = growing_ * (one + off);
  }
  if (of_terms_) {
    const Value count = Value::integer(formula.hidden_size);
    const Value inverse = count * round_to(format_, quotient(one, count));  // of the rounded 1 / H, times H
    if (inverse < one) shrinking_ = shrinking_ * inverse;
    if (inverse > one) growing_ = growing_ * inverse;
  }
  fp64_shrinking_ = to_double(shrinking_);
  fp64_growing_ = to_double(growing_);
}

// Whether every order of summation gives the same sum.
bool AdmissibleModel::is_exact(const SquareSum& squares, bool underflow) const {
  const std::int64_t spacing = format_.min_exponent() - format_.mantissa_bits();  // of subnormals
  if (*squares.lowest_bit < spacing || (flushes_ && underflow)) return false;
  if (squares.sum > power_of_two(*squares.lowest_bit + format_.precision)) return false;
  if (!of_terms_) return true;
  const auto count = static_cast<std::uint64_t>(formula_.hidden_size);
  const std::int64_t shift = std::bit_width(count) - 1;
  return std::has_single_bit(count) && *squares.lowest_bit - shift >= spacing &&
         (*squares.lowest_bit >> 1) - shift >= spacing && !underflow &&
         round_to(format_, squares.largest).is_finite();
}

AdmissibleModel::SumRange AdmissibleModel::sum_range(const SquareSum& squares) const {
  if (squares.has_infinity) return {Value::infinity(false), Value::infinity(false)};
  if (squares.sum.is_zero()) return {Value(), Value()};

  const Value count = Value::integer(squares.count);
  const std::int64_t spacing = format_.min_exponent() - format_.mantissa_bits();  // of subnormals
  std::int64_t smallest_top = *squares.smallest_top;
  // Of x / H and x * x / H, whichever is smaller.
  if (of_terms_) {
    const std::int64_t shift = std::bit_width(static_cast<std::uint64_t>(formula_.hidden_size));
    smallest_top = std::min({smallest_top, smallest_top - shift, (smallest_top >> 1) - shift});
  }
  const bool underflow = smallest_top < format_.min_exponent();
  const auto share = [&](Rounding rounding) {
    return of_terms_ ? round_to(kBound, quotient(squares.sum, count), rounding) : squares.sum;
  };
  if (is_exact(squares, underflow)) {
    const Value sum = round_to(format_, share(Rounding::down));  // an infinity beyond the largest number
    return {sum, sum};
  }

  Value low = share(Rounding::down);
  Value high = share(Rounding::up);
  if (underflow) {
    const Value half_spacing = power_of_two(spacing - 1);
    Value times = count;
    // x / H is off by half a spacing, where |x| < H * 2^min_exponent, and then multiplied by x.
    if (of_terms_) times = count * (Value::integer(2) + count * power_of_two(format_.min_exponent()));
    high = high + times * half_spacing;
    low = low + -(times * (flushes_ ? power_of_two(format_.min_exponent()) : half_spacing));
  }
  low = low.negative() ? Value() : low * shrinking_;
  high = high * growing_;
  // Sums of non-negative numbers never fall below any of their terms. Only low precision makes this the
  // better bound.
  if (!of_terms_ && roundings_ >= std::int64_t{1} << (format_.precision - 1) && !(flushes_ && underflow)) {
    low = std::max(low, round_to(format_, squares.largest),
                   [](const Value& a, const Value& b) { return a < b; });
  }
  // The computed sum is itself a number of the format.
  const bool overflow = high.is_infinite() || is_infinite(format_, round_bits(format_, high)) ||
                        (of_terms_ && round_to(format_, squares.largest).is_infinite());
  return {round_to(format_, low, Rounding::up),
          overflow ? Value::infinity(false) : round_to(format_, high, Rounding::toward_zero)};
}

Value AdmissibleModel::mean(const Value& sum, bool highest) const {
  const auto flushed = [&](const Value& value) {
    return !highest && flushes_ && is_subnormal(format_, value) ? Value() : value;
  };
  if (of_terms_) return flushed(sum);
  const Value one = Value::integer(1);
  const Value count = round_to(DType::fp32, Value::integer(formula_.hidden_size));
  std::vector<Value> candidates = {round_to(format_, quotient(sum, count)),
                                   round_to(format_, sum * round_to(format_, quotient(one, count)))};
  const Value rounded_count = round_to(format_, count);
  if (rounded_count.is_finite()) candidates.push_back(round_to(format_, quotient(sum, rounded_count)));
  const auto less = [](const Value& a, const Value& b) { return a < b; };
  return flushed(highest ? *std::ranges::max_element(candidates, less)
                         : *std::ranges::min_element(candidates, less));
}

Value AdmissibleModel::mean_plus_epsilon(const Value& sum, bool highest, const Value& epsilon) const {
  if (row_of(formula_.policy.epsilon).takes_maximum) {
    const Value v = mean(sum, highest);
    return v < epsilon ? epsilon : v;
  }
  if (row_of(formula_.policy.mean).fused) {
    const Value count = round_to(DType::fp32, Value::integer(formula_.hidden_size));
    return round_to(format_, sum * round_to(format_, quotient(Value::integer(1), count)) + epsilon);
  }
  return round_to(format_, mean(sum, highest) + epsilon);
}

RootInterval AdmissibleModel::unknowns(const Value& low_m, const Value& high_m) const {
  const std::int64_t ulp_bound = formula_.policy.inverse_root.ulp_bound;
  const auto ends = [&](const Value& for_low, const Value& for_high) {
    // Zero and infinity are exact.
    const auto end = [&](const Value& m, std::int64_t off) {
      const auto bits =
          static_cast<std::int64_t>(round_bits(format_of(DType::fp32), exact_unknown(formula_, m)));
      return m.is_zero() || m.is_infinite() ? bits : bits + off;
    };
    return RootInterval{std::max<std::int64_t>(end(for_low, -ulp_bound), 0),
                        std::min(end(for_high, ulp_bound), kInfiniteRoot)};
  };
  RootInterval result = row_of(formula_.policy.root).divides ? ends(low_m, high_m) : ends(high_m, low_m);
  constexpr std::int64_t kSmallestNormal = 0x00800000;
  if (formula_.policy.inverse_root.flush_to_zero && result.low < kSmallestNormal) result.low = 0;
  return result;
}

Admissible AdmissibleModel::admissible(const SquareSum& squares, const std::optional<Value>& known) const {
  Admissible result;
  Arithmetic arithmetic;
  const Value epsilon =
      row_of(formula_.policy.epsilon)
          .operand(arithmetic, formula_.formats.activation,
                   round_to(format_, decode(DType::fp32, formula_.bits_of(Parameter::epsilon))));
  if (squares.has_nan || epsilon.is_nan()) {
    result.nan = true;
    return result;
  }
  const SumRange sum = known ? SumRange{*known, *known} : sum_range(squares);
  Value low = mean_plus_epsilon(sum.low, false, epsilon);
  Value high = mean_plus_epsilon(sum.high, true, epsilon);
  const Format& format_of_epsilon = format_.bits > 32 ? format_of(DType::fp32) : format_;
  if (formula_.policy.inverse_root.flush_to_zero && is_subnormal(format_of_epsilon, epsilon)) {
    // eps itself may be read as zero
    const Value without_low = mean_plus_epsilon(sum.low, false, Value());
    const Value without_high = mean_plus_epsilon(sum.high, true, Value());
    if (without_low < low) low = without_low;
    if (without_high > high) high = without_high;
  }
  if (flushes_ && !low.negative() && is_subnormal(format_, low)) low = Value();
  if (flushes_ && high.negative() && is_subnormal(format_, high)) high = Value();
  // The correction of a compensated sum that is infinite is inf - inf.
  if (row_of(formula_.policy.variance).compensated && sum.high.is_infinite()) result.nan = true;
  if (low.is_nan() || high.is_nan() || low < Value()) {  // an infinite mean and eps = -infinity, or m < 0
    result.nan = true;
    if (low.is_nan() || high.is_nan() || high < Value()) return result;
    low = Value();
  }
  result.interval = unknowns(low, high);
  return result;
}

// Far from overflow, and so far from underflow that what the squares could lose
// to it is below 2^-41 of the sum.
bool AdmissibleModel::hardware_can_follow(double sum) const {
  const float epsilon = std::bit_cast<float>(formula_.bits_of(Parameter::epsilon));
  const Policy& policy = formula_.policy;
  return policy.variance == VariancePolicy::fp32 && policy.mean == MeanPolicy::of_sum &&
         policy.epsilon == EpsilonPolicy::added && !row_of(policy.root).divides &&
         formula_.hidden_size <= 1 << 20 && sum > 0x1p-60 && sum < 0x1p110 && epsilon >= 0 &&
         epsilon < 0x1p60f;
}

// From the bounds of the computed sum on, the hardware's operations are those of the model.
RootInterval AdmissibleModel::interval_by_hardware(float low_sum, float high_sum) const {
  const float epsilon = std::bit_cast<float>(formula_.bits_of(Parameter::epsilon));
  const auto count = static_cast<float>(formula_.hidden_size);
  const float inverse_count = 1.0f / count;
  const float low_m = std::min(low_sum / count, low_sum * inverse_count) + epsilon;
  const float high_m = std::max(high_sum / count, high_sum * inverse_count) + epsilon;
  const auto root = [](float m) {
    const double r = 1 / std::sqrt(static_cast<double>(m));
    return static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(static_cast<float>(r)));
  };
  const std::int64_t ulp_bound = formula_.policy.inverse_root.ulp_bound;
  return RootInterval{std::max<std::int64_t>(root(high_m) - ulp_bound, 0),
                      std::min(root(low_m) + ulp_bound, kInfiniteRoot)};
}

std::optional<RootInterval> AdmissibleModel::admissible_by_fp64(double sum) const {
  if (!hardware_can_follow(sum)) return std::nullopt;
  const auto count = static_cast<float>(formula_.hidden_size);
  const double error = 0x1p-40 + static_cast<double>(count) * 0x1p-51;
  // The bounds of the computed sum as fp32, where fp64's own error does not reach the next number.
  const float low = fp32_up(sum * fp64_shrinking_ * (1 - error));
  const float high = fp32_down(sum * fp64_growing_ * (1 + error));
  if (low != fp32_up(sum * fp64_shrinking_ * (1 + error))) return std::nullopt;
  if (high != fp32_down(sum * fp64_growing_ * (1 - error))) return std::nullopt;
  return interval_by_hardware(low, high);
}

std::optional<RootInterval> AdmissibleModel::admissible_of_exact_sum(std::span<const float> operands,
                                                                     double sum) const {
  if (!hardware_can_follow(sum)) return std::nullopt;
  int lowest = 128;  // exponent of the lowest bit of any operand
  for (const float operand : operands) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(operand) & 0x7fffffffu;
    if (magnitude == 0) continue;
    if (magnitude < 0x800000u) return std::nullopt;
    lowest =
        std::min(lowest, static_cast<int>(magnitude >> 23) - 150 + std::countr_zero(magnitude | 0x800000u));
  }
  // Squares are multiples of 2^(2 lowest), and none of them is subnormal. So is every partial sum, which is
  // then exact in fp64 too.
  if (2 * lowest < -126 || sum > std::ldexp(1.0, 2 * lowest + 24)) return std::nullopt;
  const auto exact = static_cast<float>(sum);
  return interval_by_hardware(exact, exact);
}

std::optional<RootInterval> AdmissibleModel::admissible_of_known_sum(double sum) const {
  if (!hardware_can_follow(sum)) return std::nullopt;
  const auto rounded = static_cast<float>(sum);
  return interval_by_hardware(rounded, rounded);
}

bool AdmissibleModel::needs_more_bits(std::span<const float> operands, double sum) const {
  if (!(sum > 0) || std::isinf(sum)) return false;
  // One square whose lowest bit lies more than 24 bits below the top of the sum is enough.
  const int top = std::ilogb(sum) - 1;  // generous: the sum is at least 2^top
  for (const float operand : operands) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(operand) & 0x7fffffffu;
    if (magnitude < 0x800000u) continue;
    const int lowest = static_cast<int>(magnitude >> 23) - 150 + std::countr_zero(magnitude | 0x800000u);
    if (2 * lowest + 24 < top) return true;
  }
  return false;
}

std::uint32_t correctly_rounded_root(const Formula& formula, const SquareSum& squares) {
  if (squares.has_nan) return static_cast<std::uint32_t>(format_of(DType::fp32).nan_bits());
  const Value count = Value::integer(formula.hidden_size);
  const Value sum = squares.has_infinity ? Value::infinity(false) : squares.sum;
  const EpsilonRow& row = row_of(formula.policy.epsilon);
  Arithmetic arithmetic;
  const Value epsilon = count * row.operand(arithmetic, formula.formats.activation,
                                            decode(DType::fp32, formula.bits_of(Parameter::epsilon)));
  const Value m = !row.takes_maximum ? sum + epsilon : sum < epsilon || epsilon.is_nan() ? epsilon : sum;
  return static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), exact_unknown(formula, m, count)));
}

std::string to_text(const RootInterval& interval) {
  if (interval.empty()) return "nothing";
  const auto value = [](std::int64_t bits) {
    return value_text(DType::fp32, static_cast<std::uint32_t>(bits));
  };
  return fmt::format("[0x{:08x}, 0x{:08x}] = [{}, {}]", interval.low, interval.high, value(interval.low),
                     value(interval.high));
}

std::string to_text(const Admissible& admissible) {
  if (!admissible.nan) return to_text(admissible.interval);
  return admissible.interval.empty() ? "NaN" : fmt::format("{} or NaN", to_text(admissible.interval));
}

}  // namespace normproof::oracle
