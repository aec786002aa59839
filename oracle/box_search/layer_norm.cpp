// LayerNorm's judge: reads rows, finds their window, searches.
#include "oracle/box_search/layer_norm.h"

#include <array>
#include <cmath>
#include <stdexcept>

#include "oracle/box_search/canonical_order.h"
#include "oracle/box_search/layer_norm_window.h"
#include "oracle/box_search/packed_row.h"
#include "oracle/box_search/shifted_layer_norm.h"

namespace normproof::oracle::box_search {

std::string_view name_of(Statistics statistics) {
  static constexpr std::array<std::string_view, 4> kNames = {"two_pass", "one_pass", "one_pass_clamped",
                                                             "welford"};
  return kNames.at(static_cast<std::size_t>(statistics));
}

std::string_view name_of(NormForm form) {
  static constexpr std::array<std::string_view, 3> kNames = {"centred", "shifted", "shifted_fma"};
  return kNames.at(static_cast<std::size_t>(form));
}

LayerNormJudge::LayerNormJudge(const LayerNormRule& rule, std::int64_t hidden_size,
                               std::span<const std::byte> weight, std::span<const std::byte> bias)
    : rule_(rule), count_(hidden_size), row_(rule, hidden_size, nullptr, nullptr, nullptr, nullptr) {
  if (hidden_size < 1)
    throw std::invalid_argument(fmt::format("hidden size {} is not positive", hidden_size));
  if (rule.rounds_product && rule.fused)
    throw std::invalid_argument("a product that is rounded to the activation dtype cannot be fused");
  set_affine(weight, bias);
}

void LayerNormJudge::set_affine(std::span<const std::byte> weight, std::span<const std::byte> bias) {
  widen_weight(weight, rule_.weight, rule_.weight_plus_one, count_, weight_);
  widen_if_given("bias", bias, rule_.bias, count_, -0.0f, bias_);
}

void LayerNormJudge::load(std::span<const std::byte> x) {
  widen("input", x, rule_.operand.value_or(rule_.activation), count_, x_);
  got_.resize(in_blocks(count_));
  row_ = LayerNormRow(rule_, count_, x_.data(), weight_.data(), bias_.data(), got_.data());
}

RowVerdict LayerNormJudge::judge(std::span<const std::byte> x, std::span<const std::byte> out,
                                 const StoredStatistics& stored, bool with_refutation) {
  widen("out", out, rule_.activation, count_, got_);
  load(x);
  LayerNormWindow window = layer_norm_window(rule_, operands());
  const auto is_exact = [](DType dtype) { return dtype == DType::fp32; };
  if (stored.mean && is_exact(stored.mean_dtype)) window.likely.first = position_of(*stored.mean);
  if (stored.inverse_root && is_exact(stored.inverse_root_dtype))
    window.likely.second = position_of(*stored.inverse_root);
  if (!row_.is_shifted())
    return judge_row(row_, restricted(window.boxes, stored), window.likely, with_refutation);
  RowVerdict verdict;
  verdict.window = restricted(window.boxes, stored);
  if (is_explained_by(row_, window.likely, verdict)) return verdict;
  const RowOutputs<HardwareRanges> outputs(row_);
  ShiftedProblem<HardwareRanges> problem(outputs);
  const auto collect = [&](const Box& box, std::vector<std::int32_t>& elements) {
    collect_elements(row_, box, elements);
  };
  search_window_by_few(problem, collect, with_refutation, verdict);
  return verdict;
}

void LayerNormJudge::require_exact(const RowVerdict& verdict, const StoredStatistics& stored) const {
  if (!covers(verdict.window, restricted(exact_layer_norm_window(rule_, operands()), stored))) {
    throw std::logic_error("oracle: exact arithmetic admits statistics beyond the window");
  }
  if (verdict.undecided) return;
  const RowOutputs<ExactRanges> outputs(row_);
  if (row_.is_shifted() && !verdict.conforms)
    require_shifted_refutation(ShiftedProblem<ExactRanges>(outputs), verdict);
  else
    box_search::require_exact(row_, verdict);
}

std::vector<std::byte> LayerNormJudge::outputs(std::span<const std::byte> x, float mean, float inverse_root) {
  load(x);
  const HardwareRanges ranges(rule_.activation);
  const auto m = ranges.range(position_of(mean), position_of(mean));
  const auto r = ranges.range(position_of(inverse_root), position_of(inverse_root));
  std::vector<float> values;
  for (std::int64_t j = 0; j < count_; ++j) {
    const auto result = row_.evaluate(ranges, j, m, r);
    values.push_back(result.numbers ? result.low : number_at(kNanPosition));
  }
  return pack(values, rule_.activation, count_);
}

LayerNormJudge::Canonical LayerNormJudge::canonical_statistics(std::span<const std::byte> x) {
  load(x);
  return canonical_statistics();
}

LayerNormJudge::Canonical LayerNormJudge::canonical_statistics() const {
  const auto add = [](float a, float b) { return a + b; };
  const auto value = [&](std::int64_t j) { return x_[static_cast<std::size_t>(j)]; };
  const auto count = static_cast<float>(count_);
  const float sum = canonical_sum<float>(
      count_, rule_.activation, [&](float total, std::int64_t j) { return total + value(j); }, add);
  const float mean = sum / count;
  const float squares = canonical_sum<float>(
      count_, rule_.activation,
      [&](float total, std::int64_t j) {
        const float deviation = value(j) - mean;
        return std::fma(deviation, deviation, total);
      },
      add);
  const float m = squares / count + std::bit_cast<float>(rule_.epsilon);
  return {mean, static_cast<float>(1 / std::sqrt(static_cast<double>(m)))};
}

}  // namespace normproof::oracle::box_search
