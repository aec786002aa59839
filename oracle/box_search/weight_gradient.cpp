// Intervals of dw and db, in fp64 bounds where these suffice and exactly where not.
#include "oracle/box_search/weight_gradient.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "oracle/box_search/bound.h"
#include "oracle/box_search/packed_row.h"
#include "oracle/box_search/range.h"

namespace normproof::oracle::box_search {
namespace {

// One term of a column, exactly or as fp64 has it.
class Terms {
 public:
  Terms(const WeightGradientRule& rule, std::int64_t rows, std::int64_t columns,
        const WeightGradientOperands& operands)
      : rule_(rule), rows_(rows), columns_(columns), operands_(operands) {
    const std::int64_t count = rows * columns;
    widen("gradient", operands.gradient, rule.activation, count, gradient_);
    if (!rule.of_bias) widen("input", operands.x, rule.activation, count, x_);
    const auto require_one_per_row = [&](std::string_view name, std::span<const float> values, bool used) {
      const std::size_t wanted = used ? static_cast<std::size_t>(rows) : 0;
      if (values.size() != wanted) {
        throw std::invalid_argument(fmt::format("{} has {} numbers, not {}", name, values.size(), wanted));
      }
    };
    require_one_per_row("mean", operands.mean, rule.centred && !rule.of_bias);
    require_one_per_row("inverse root", operands.inverse_root, !rule.of_bias);
  }

  std::int64_t rows() const { return rows_; }
  float gradient(std::int64_t row, std::int64_t column) const { return at(gradient_, row, column); }
  float x(std::int64_t row, std::int64_t column) const { return at(x_, row, column); }
  float mean(std::int64_t row) const {
    return rule_.centred ? operands_.mean[static_cast<std::size_t>(row)] : 0.0f;
  }
  float inverse_root(std::int64_t row) const { return operands_.inverse_root[static_cast<std::size_t>(row)]; }

  double in_fp64(std::int64_t row, std::int64_t column) const {
    const auto dy = static_cast<double>(gradient(row, column));
    if (rule_.of_bias) return dy;
    return dy * ((static_cast<double>(x(row, column)) - static_cast<double>(mean(row))) *
                 static_cast<double>(inverse_root(row)));
  }
  Value exact(std::int64_t row, std::int64_t column) const {
    const Value dy = ExactNumbers::from_float(gradient(row, column));
    if (rule_.of_bias) return dy;
    const Value x_value = ExactNumbers::from_float(x(row, column));
    const Value centred = rule_.centred ? x_value + -ExactNumbers::from_float(mean(row)) : x_value;
    return dy * (centred * ExactNumbers::from_float(inverse_root(row)));
  }
  // What the operands and partial products of a term do not exceed.
  double magnitude(std::int64_t row, std::int64_t column) const {
    const double dy = 1 + std::fabs(static_cast<double>(gradient(row, column)));
    if (rule_.of_bias) return dy;
    const double m = std::fabs(static_cast<double>(mean(row)));
    return dy * (1 + std::fabs(static_cast<double>(x(row, column))) + m) *
           (1 + std::fabs(static_cast<double>(inverse_root(row))));
  }
  // xh as kernels have it.
  float normalized(std::int64_t row, std::int64_t column) const {
    const float centred = rule_.centred ? x(row, column) - mean(row) : x(row, column);
    return centred * inverse_root(row);
  }

 private:
  float at(const std::vector<float>& values, std::int64_t row, std::int64_t column) const {
    return values[static_cast<std::size_t>(row * columns_ + column)];
  }
  const WeightGradientRule& rule_;
  std::int64_t rows_;
  std::int64_t columns_;
  const WeightGradientOperands& operands_;
  std::vector<float> gradient_;
  std::vector<float> x_;
};

// Both ends, each between bounds that are equal where they are exact.
template <typename Bound>
struct Ends {
  Bound low;
  Bound high;
};

template <typename Bound>
Ends<Bound> ends_of(const Bound& sum, const Bound& absolute, const Bound& growth, double underflow) {
  const Bound error = absolute * growth + Bound(underflow);
  return {sum - error, sum + error};
}

class ColumnJudge {
 public:
  ColumnJudge(const WeightGradientRule& rule, const Terms& terms, bool exactly)
      : rule_(rule),
        exactly_(exactly),
        terms_(terms),
        roundings_(
            std::max<std::int64_t>(std::min(terms.rows() - 1, rule.sum_depth.value_or(terms.rows())), 0) +
            (rule.of_bias ? 0 : 3)),
        growth_((product_of_roundings<HardwareBound>(roundings_) - HardwareBound(1)).most()) {}

  void judge(std::int64_t column, float got, WeightGradientVerdict& verdict) const {
    double sum = 0, absolute = 0, magnitude = 0, underflow = 0;
    for (std::int64_t row = 0; row < terms_.rows(); ++row) {
      const double term = terms_.in_fp64(row, column);
      const double reach = terms_.magnitude(row, column);
      sum += term;
      absolute += std::fabs(term);
      magnitude = std::max(magnitude, reach);
      underflow += rule_.of_bias ? 0 : reach * 0x1p-145;
    }
    if (!std::isfinite(sum) || !(magnitude < 0x1p120) || !(absolute < 0x1p120)) {
      return judge_special(column, got, verdict);
    }
    const double error = (static_cast<double>(terms_.rows()) + 8) * 0x1.8p-53 * absolute;
    const bool is_exact = every_order_is_exact(column, absolute);
    const auto ends = ends_of(HardwareBound::around(sum, error), HardwareBound::around(absolute, error),
                              is_exact ? HardwareBound() : growth_, underflow);
    const Position position = position_of(got);
    const Side low = rounded(ends.low.fl()), high = rounded(ends.high.fl());
    if (!exactly_ && low.high <= position && position <= high.low) return;
    ++verdict.decided_exactly;
    judge_exactly(column, got, underflow, is_exact, verdict);
  }

 private:
  // The positions of rnd_W of both bounds.
  Side rounded(const auto& bound) const {
    const Side side = bound.positions();
    float low = number_at(side.low), high = number_at(side.high);
    HardwareNumbers(rule_.weight).round(low, high);
    return {position_of(low), position_of(high)};
  }

  // Of db: every partial sum is a multiple of the lowest bit of any term, and has no more than 24 bits.
  bool every_order_is_exact(std::int64_t column, double absolute) const {
    if (!rule_.of_bias) return false;
    int lowest = 128;
    for (std::int64_t row = 0; row < terms_.rows(); ++row) {
      const std::uint32_t magnitude =
          std::bit_cast<std::uint32_t>(terms_.gradient(row, column)) & 0x7fffffffu;
      if (magnitude == 0) continue;
      const int field = std::max(1, static_cast<int>(magnitude >> 23));
      const std::uint32_t hidden = magnitude < 0x800000u ? 0 : 0x800000u;
      lowest = std::min(lowest, field - 150 + std::countr_zero((magnitude & 0x7fffffu) | hidden));
    }
    return absolute <= std::ldexp(1.0, lowest + 24);
  }

  void judge_exactly(std::int64_t column, float got, double underflow, bool is_exact,
                     WeightGradientVerdict& verdict) const {
    Value sum, absolute;
    for (std::int64_t row = 0; row < terms_.rows(); ++row) {
      const Value term = terms_.exact(row, column);
      sum = sum + term;
      absolute = absolute + (term.negative() ? -term : term);
    }
    const ExactBound growth = (product_of_roundings<ExactBound>(roundings_) - ExactBound(1)).most();
    const auto ends =
        ends_of(ExactBound(sum), ExactBound(absolute), is_exact ? ExactBound() : growth, underflow);
    const Position position = position_of(got);
    const Side low = rounded(ends.low.fl()), high = rounded(ends.high.fl());
    // A sum may be -0, +0 or, without rounding errors, the other zero.
    const Position least = low.low == kPlusZero ? kMinusZero : low.low;
    const Position most = high.high == kMinusZero ? kPlusZero : high.high;
    if (least <= position && position <= most) return;
    verdict.violations.push_back({column, got, number_at(least), number_at(most), false});
  }

  // With an infinite or NaN operand the sum is infinite or NaN; where products or sums may overflow, it may
  // be anything.
  void judge_special(std::int64_t column, float got, WeightGradientVerdict& verdict) const {
    bool finite = true;
    for (std::int64_t row = 0; row < terms_.rows(); ++row) {
      finite = finite && std::isfinite(terms_.magnitude(row, column));
    }
    ++verdict.decided_exactly;
    if (finite || !std::isfinite(got)) return;
    verdict.violations.push_back({column, got, INFINITY, INFINITY, true});
  }

  const WeightGradientRule& rule_;
  bool exactly_;
  const Terms& terms_;
  std::int64_t roundings_;
  HardwareBound growth_;
};

}  // namespace

WeightGradientVerdict judge_weight_gradient(const WeightGradientRule& rule, std::int64_t rows,
                                            std::int64_t columns, const WeightGradientOperands& operands,
                                            std::span<const std::byte> got, bool exactly) {
  const Terms terms(rule, rows, columns, operands);
  std::vector<float> values;
  widen("weight gradient", got, rule.weight, columns, values);
  WeightGradientVerdict verdict;
  verdict.columns = columns;
  const ColumnJudge judge(rule, terms, exactly);
  for (std::int64_t column = 0; column < columns; ++column) {
    judge.judge(column, values[static_cast<std::size_t>(column)], verdict);
  }
  return verdict;
}

std::vector<std::byte> canonical_weight_gradient(const WeightGradientRule& rule, std::int64_t rows,
                                                 std::int64_t columns,
                                                 const WeightGradientOperands& operands) {
  const Terms terms(rule, rows, columns, operands);
  std::vector<float> sums(in_blocks(columns), 0.0f);
  for (std::int64_t column = 0; column < columns; ++column) {
    std::vector<float> groups;
    for (std::int64_t begin = 0; begin < rows; begin += kCanonicalGroup) {
      float total = 0;
      for (std::int64_t row = begin; row < std::min(rows, begin + kCanonicalGroup); ++row) {
        const float dy = terms.gradient(row, column);
        total = rule.of_bias ? total + dy : std::fma(dy, terms.normalized(row, column), total);
      }
      groups.push_back(total);
    }
    for (std::size_t size = groups.size(); size > 1; size = (size + 1) / 2) {
      for (std::size_t i = 0; i < size / 2; ++i) groups[i] = groups[2 * i] + groups[2 * i + 1];
      if (size % 2 != 0) groups[size / 2] = groups[size - 1];
    }
    if (!groups.empty()) sums[static_cast<std::size_t>(column)] = groups[0];
  }
  row_kernels().round_values[static_cast<std::size_t>(rule.weight)](
      sums.data(), static_cast<std::int64_t>(sums.size()), ActivationRounding::nearest_even);
  return pack(sums, rule.weight, columns);
}

std::int64_t canonical_weight_gradient_depth(std::int64_t rows) {
  const std::int64_t groups = (rows + kCanonicalGroup - 1) / kCanonicalGroup;
  const auto joins = groups > 1 ? std::bit_width(static_cast<std::uint64_t>(groups - 1)) : 0;
  return std::max<std::int64_t>(std::min(rows, kCanonicalGroup) - 1, 0) + joins;
}

}  // namespace normproof::oracle::box_search
