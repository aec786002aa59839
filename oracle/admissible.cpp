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
constexpr Format kBound = {"bound", 64, 53, 1023, NanEncoding::ieee};

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
      format_(row_of(formula.policy.variance).in_activation_dtype ? formula.formats.activation : DType::fp32),
      roundings_(formula.hidden_size) {
  const InverseRootModel& model = formula.policy.inverse_root;
  if (model.sum_depth) roundings_ = std::min(roundings_, *model.sum_depth + 1);
  const Value one = Value::integer(1);
  const Value unit = power_of_two(-format_of(format_).precision);
  shrinking_ = power(one + -unit, roundings_, Rounding::down);
  growing_ = power(one + unit, roundings_, Rounding::up);
  fp64_shrinking_ = to_double(shrinking_);
  fp64_growing_ = to_double(growing_);
}

AdmissibleModel::SumRange AdmissibleModel::sum_range(const SquareSum& squares) const {
  const Format& format = format_of(format_);
  const bool flushes = formula_.policy.inverse_root.flush_to_zero;
  if (squares.has_infinity) return {Value::infinity(false), Value::infinity(false)};
  if (squares.sum.is_zero()) return {Value(), Value()};

  const std::int64_t spacing = format.min_exponent() - format.mantissa_bits();  // of subnormals
  const bool underflow = *squares.smallest_top < format.min_exponent();
  const bool exact = *squares.lowest_bit >= spacing && !(flushes && underflow) &&
                     squares.sum <= power_of_two(*squares.lowest_bit + format.precision);
  if (exact) {
    const Value sum = round_to(format, squares.sum);  // an infinity beyond the largest number
    return {sum, sum};
  }

  const Value count = Value::integer(squares.count);
  Value low = squares.sum;
  Value high = squares.sum;
  if (underflow) {
    const Value half_spacing = power_of_two(spacing - 1);
    high = high + count * half_spacing;
    low = low + -(count * (flushes ? power_of_two(format.min_exponent()) : half_spacing));
  }
  low = low.negative() ? Value() : low * shrinking_;
  high = high * growing_;
  // Sums of non-negative numbers never fall below any of their terms. Only low precision makes this the
  // better bound.
  if (roundings_ >= std::int64_t{1} << (format.precision - 1) && !(flushes && underflow)) {
    low = std::max(low, round_to(format, squares.largest),
                   [](const Value& a, const Value& b) { return a < b; });
  }
  // The computed sum is itself a number of the format.
  const bool overflow = high.is_infinite() || is_infinite(format, round_bits(format, high));
  return {round_to(format, low, Rounding::up),
          overflow ? Value::infinity(false) : round_to(format, high, Rounding::toward_zero)};
}

Value AdmissibleModel::mean(const Value& sum, bool highest) const {
  const Format& format = format_of(format_);
  const Value one = Value::integer(1);
  const Value count = round_to(DType::fp32, Value::integer(formula_.hidden_size));
  std::vector<Value> candidates = {round_to(format, quotient(sum, count)),
                                   round_to(format, sum * round_to(format, quotient(one, count)))};
  const Value rounded_count = round_to(format, count);
  if (rounded_count.is_finite()) candidates.push_back(round_to(format, quotient(sum, rounded_count)));
  const auto less = [](const Value& a, const Value& b) { return a < b; };
  Value result =
      highest ? *std::ranges::max_element(candidates, less) : *std::ranges::min_element(candidates, less);
  if (!highest && formula_.policy.inverse_root.flush_to_zero && is_subnormal(format, result))
    result = Value();
  return result;
}

Admissible AdmissibleModel::admissible(const SquareSum& squares) const {
  const Format& format = format_of(format_);
  const bool flushes = formula_.policy.inverse_root.flush_to_zero;
  const std::int64_t ulp_bound = formula_.policy.inverse_root.ulp_bound;
  Admissible result;
  const Value epsilon = round_to(format, decode(DType::fp32, formula_.epsilon_bits));
  if (squares.has_nan || epsilon.is_nan()) {
    result.nan = true;
    return result;
  }
  const SumRange sum = sum_range(squares);
  Value low = round_to(format, mean(sum.low, false) + epsilon);
  Value high = round_to(format, mean(sum.high, true) + epsilon);
  if (flushes && is_subnormal(format, epsilon)) {  // eps itself may be read as zero
    const Value without_low = mean(sum.low, false);
    const Value without_high = mean(sum.high, true);
    if (without_low < low) low = without_low;
    if (without_high > high) high = without_high;
  }
  if (flushes && !low.negative() && is_subnormal(format, low)) low = Value();
  if (flushes && high.negative() && is_subnormal(format, high)) high = Value();
  if (low.is_nan() || high.is_nan() || low < Value()) {  // an infinite mean and eps = -infinity, or m < 0
    result.nan = true;
    if (low.is_nan() || high.is_nan() || high < Value()) return result;
    low = Value();
  }
  const auto root = [](const Value& m) { return static_cast<std::int64_t>(inverse_root_bits(m)); };
  result.interval.low = high.is_infinite() ? 0 : high.is_zero() ? kInfiniteRoot : root(high) - ulp_bound;
  result.interval.high = low.is_infinite() ? 0 : low.is_zero() ? kInfiniteRoot : root(low) + ulp_bound;
  result.interval.low = std::max<std::int64_t>(result.interval.low, 0);
  result.interval.high = std::min(result.interval.high, kInfiniteRoot);
  return result;
}

// Far from overflow, and so far from underflow that what the squares could lose to it is below 2^-41 of the
// sum.
bool AdmissibleModel::hardware_can_follow(double sum) const {
  const float epsilon = std::bit_cast<float>(formula_.epsilon_bits);
  return format_ == DType::fp32 && formula_.hidden_size <= 1 << 20 && sum > 0x1p-60 && sum < 0x1p110 &&
         epsilon >= 0 && epsilon < 0x1p60f;
}

// From the bounds of the computed sum on, the hardware's operations are those of the model.
RootInterval AdmissibleModel::interval_by_hardware(float low_sum, float high_sum) const {
  const float epsilon = std::bit_cast<float>(formula_.epsilon_bits);
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
  return inverse_root_bits(sum + count * decode(DType::fp32, formula.epsilon_bits), count);
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
