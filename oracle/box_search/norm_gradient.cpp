// The judge of dx: reads rows, finds their window, searches.
#include "oracle/box_search/norm_gradient.h"

#include <array>
#include <cmath>
#include <stdexcept>

#include "oracle/box_search/canonical_order.h"
#include "oracle/box_search/norm_gradient_window.h"
#include "oracle/box_search/packed_row.h"

namespace normproof::oracle::box_search {

std::string_view name_of(GradientContraction contraction) {
  static constexpr std::array<std::string_view, 3> kNames = {"none", "correction", "gradient"};
  return kNames.at(static_cast<std::size_t>(contraction));
}
std::string_view name_of(GradientOrder order) {
  static constexpr std::array<std::string_view, 3> kNames = {"correction_first", "mean_first", "together"};
  return kNames.at(static_cast<std::size_t>(order));
}

NormGradientJudge::NormGradientJudge(const NormGradientRule& rule, std::int64_t hidden_size,
                                     std::span<const std::byte> weight)
    : rule_(rule), count_(hidden_size) {
  if (hidden_size < 1)
    throw std::invalid_argument(fmt::format("hidden size {} is not positive", hidden_size));
  widen_weight(weight, rule.weight, rule.weight_plus_one, count_, plain_weight_);
  row_.rule = rule;
  row_.elements = count_;
  row_.weight = plain_weight_;
  if (rule.of_sums) {
    for (float& value : row_.weight) value = static_cast<float>(count_) * value;
  }
}

void NormGradientJudge::load(const GradientOperands& operands) {
  widen("gradient", operands.gradient, rule_.activation, count_, row_.gradient);
  widen("input", operands.x, rule_.activation, count_, x_);
  if (rule_.added != AddedGradient::none) {
    widen("added gradient", operands.added, rule_.activation, count_, row_.added);
  }
  mean_ = operands.mean;
  inverse_root_ = operands.inverse_root;
  row_.factor = rule_.of_sums ? 1 / static_cast<float>(count_) * inverse_root_ : inverse_root_;
  const std::size_t size = in_blocks(count_);
  row_.normalized.resize(size);
  row_.minus_normalized.resize(size);
  row_.weighted.resize(size);
  row_.outputs.resize(size);
  for (std::size_t j = 0; j < size; ++j) {
    const float centred = rule_.centred ? x_[j] - mean_ : x_[j];
    row_.normalized[j] = centred * inverse_root_;
    row_.minus_normalized[j] = -row_.normalized[j];
    row_.weighted[j] = row_.gradient[j] * row_.weight[j];
  }
}

RowVerdict NormGradientJudge::judge(const GradientOperands& operands, std::span<const std::byte> dx,
                                    bool with_refutation) {
  load(operands);
  look_for(dx);
  GradientWindow window = norm_gradient_window(row_, statistics());
  return judge_row(row_, std::move(window.boxes), window.likely, with_refutation);
}

void NormGradientJudge::look_for(std::span<const std::byte> dx) {
  widen("dx", dx, rule_.activation, count_, row_.outputs);
}

std::vector<Box> NormGradientJudge::window() const { return exact_norm_gradient_window(row_, statistics()); }

void NormGradientJudge::require_exact(const RowVerdict& verdict) const {
  if (!covers(verdict.window, window())) {
    throw std::logic_error("oracle: exact arithmetic admits sums beyond the window");
  }
  require_exact_operands();
  box_search::require_exact(row_, verdict);
}

void NormGradientJudge::require_exact_operands() const {
  for (std::size_t j = 0; j < static_cast<std::size_t>(count_); ++j) {
    const Value x = ExactNumbers::from_float(x_[j]);
    const Value mean = ExactNumbers::from_float(mean_);
    const Value xh = ExactNumbers::multiply(rule_.centred ? ExactNumbers::add(x, -mean) : x,
                                            ExactNumbers::from_float(inverse_root_));
    const Value wdy = ExactNumbers::multiply(ExactNumbers::from_float(row_.gradient[j]),
                                             ExactNumbers::from_float(row_.weight[j]));
    if (!identical(xh, ExactNumbers::from_float(row_.normalized[j])) ||
        !identical(wdy, ExactNumbers::from_float(row_.weighted[j]))) {
      throw std::logic_error("oracle: exact arithmetic has other operands");
    }
  }
}

std::vector<std::byte> NormGradientJudge::outputs(const GradientOperands& operands, float c1, float c2) {
  load(operands);
  const HardwareRanges ranges(rule_.activation);
  const auto first = ranges.range(position_of(c1), position_of(c1));
  const auto second = ranges.range(position_of(c2), position_of(c2));
  std::vector<float> values;
  for (std::int64_t j = 0; j < count_; ++j) {
    const auto result = row_.evaluate(ranges, j, first, second);
    values.push_back(result.numbers ? result.low : number_at(kNanPosition));
  }
  return pack(values, rule_.activation, count_);
}

NormGradientJudge::Canonical NormGradientJudge::canonical_unknowns(const GradientOperands& operands) {
  load(operands);
  const auto add = [](float a, float b) { return a + b; };
  const auto weighted = [&](std::int64_t j) {
    const auto at = static_cast<std::size_t>(j);
    return row_.gradient[at] * plain_weight_[at];
  };
  const float divisor = rule_.of_sums ? 1.0f : static_cast<float>(count_);
  Canonical result;
  result.c1 = canonical_sum<float>(
                  count_, rule_.activation,
                  [&](float total, std::int64_t j) {
                    return std::fma(row_.normalized[static_cast<std::size_t>(j)], weighted(j), total);
                  },
                  add) /
              divisor;
  if (!rule_.centred) return result;
  result.c2 =
      canonical_sum<float>(
          count_, rule_.activation, [&](float total, std::int64_t j) { return total + weighted(j); }, add) /
      divisor;
  return result;
}

}  // namespace normproof::oracle::box_search
