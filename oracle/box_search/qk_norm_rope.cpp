// The judge of q/k norm with rotary embedding: reads heads, finds which r are admissible, searches.
#include "oracle/box_search/qk_norm_rope.h"

#include <array>
#include <cmath>
#include <stdexcept>

#include "oracle/box_search/packed_row.h"

namespace normproof::oracle::box_search {
namespace {

Formula norm_formula(const QkNormRopeRule& rule, std::int64_t head_size) {
  Formula formula;
  formula.formats.activation = rule.activation;
  formula.hidden_size = head_size;
  formula.parameter_bits[static_cast<std::size_t>(Parameter::epsilon)] = rule.epsilon;
  formula.policy.inverse_root.ulp_bound = rule.inverse_root_ulp;
  formula.policy.inverse_root.sum_depth = rule.sum_depth;
  return formula;
}

std::int64_t require_sizes(std::int64_t head_size, std::int64_t rotary_size) {
  if (head_size < 1) throw std::invalid_argument(fmt::format("head size {} is not positive", head_size));
  if (rotary_size < 0 || rotary_size > head_size || rotary_size % 2 != 0) {
    throw std::invalid_argument(
        fmt::format("rotary size {} is not an even number up to the head size {}", rotary_size, head_size));
  }
  return head_size;
}

std::vector<Box> boxes_of(const Admissible& admissible) {
  std::vector<Box> boxes;
  if (!admissible.interval.empty()) {
    boxes.push_back(
        {{static_cast<Position>(admissible.interval.low), static_cast<Position>(admissible.interval.high)},
         {0, 0}});
  }
  if (admissible.nan) boxes.push_back({kNanSide, {0, 0}});
  return boxes;
}

}  // namespace

std::string_view name_of(NormOrder order) {
  static constexpr std::array<std::string_view, 4> kNames = {"normalized_first", "product_first",
                                                             "factor_first", "rounded_first"};
  return kNames.at(static_cast<std::size_t>(order));
}
std::string_view name_of(RopeContraction contraction) {
  static constexpr std::array<std::string_view, 3> kNames = {"none", "cosine", "sine"};
  return kNames.at(static_cast<std::size_t>(contraction));
}

RopeRow::RopeRow(const QkNormRopeRule& rule, std::int64_t head_size, std::int64_t rotary_size)
    : rule_(rule),
      pairs_(rotary_size / 2),
      rest_(head_size - rotary_size),
      half_(static_cast<std::int64_t>(in_blocks(pairs_))),
      in_blocks_of_rest_(in_blocks(rest_)),
      columns_(static_cast<std::size_t>(slots()), 0) {
  const auto place = [&](std::int64_t slot, std::int64_t column) {
    columns_[static_cast<std::size_t>(slot)] = column;
  };
  for (std::int64_t i = 0; i < pairs_; ++i) {
    place(i, rule.interleaved ? 2 * i : i);
    place(half_ + i, rule.interleaved ? 2 * i + 1 : i + pairs_);
  }
  for (std::int64_t i = 0; i < rest_; ++i) place(2 * half_ + i, rotary_size + i);
  for (auto* values : {&x_, &weight_, &product_, &cosine_, &signed_sine_, &got_}) {
    values->assign(static_cast<std::size_t>(slots()), 0.0f);
  }
}

void RopeRow::load_weight(std::span<const float> weight) {
  for_each_element(*this, [&](std::int32_t slot) {
    weight_[static_cast<std::size_t>(slot)] = weight[static_cast<std::size_t>(column_of(slot))];
  });
}

void RopeRow::load_rotation(std::span<const float> cosine, std::span<const float> sine) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(pairs_); ++i) {
    const std::size_t second = static_cast<std::size_t>(half_) + i;
    cosine_[i] = cosine_[second] = cosine[i];
    signed_sine_[i] = -sine[i];
    signed_sine_[second] = sine[i];
  }
}

void RopeRow::load_input(std::span<const float> x) {
  for_each_element(*this, [&](std::int32_t slot) {
    const auto at = static_cast<std::size_t>(slot);
    x_[at] = x[static_cast<std::size_t>(column_of(slot))];
    product_[at] = x_[at] * weight_[at];
  });
}

void RopeRow::load_output(std::span<const float> out) {
  for_each_element(*this, [&](std::int32_t slot) {
    got_[static_cast<std::size_t>(slot)] = out[static_cast<std::size_t>(column_of(slot))];
  });
}

QkNormRopeJudge::QkNormRopeJudge(const QkNormRopeRule& rule, std::int64_t head_size, std::int64_t rotary_size,
                                 std::span<const std::byte> weight)
    : rule_(rule),
      count_(require_sizes(head_size, rotary_size)),
      rotary_(rotary_size),
      model_(norm_formula(rule, head_size)),
      row_(rule, head_size, rotary_size) {
  const bool fuses = rule.first != RopeContraction::none || rule.second != RopeContraction::none;
  if (rule.rounds_steps && fuses) {
    throw std::invalid_argument("a product that is rounded to the activation dtype cannot be fused");
  }
  std::vector<float> values;
  widen_weight(weight, rule.weight, rule.weight_plus_one, count_, values);
  row_.load_weight(values);
}

void QkNormRopeJudge::set_rotation(std::span<const std::byte> cosine, std::span<const std::byte> sine) {
  std::vector<float> cosines, sines;
  widen("cos", cosine, rule_.rotation, rotary_ / 2, cosines);
  widen("sin", sine, rule_.rotation, rotary_ / 2, sines);
  row_.load_rotation(cosines, sines);
}

void QkNormRopeJudge::load(std::span<const std::byte> x) {
  widen("input", x, rule_.activation, count_, x_);
  row_.load_input(x_);
}

Admissible QkNormRopeJudge::exactly_admissible() const {
  return model_.admissible(exact_square_sum(std::span(x_.data(), static_cast<std::size_t>(count_))));
}

Admissible QkNormRopeJudge::admissible() const {
  const std::span<const float> operands(x_.data(), static_cast<std::size_t>(count_));
  const double sum = row_kernels().sum_fp64(operands.data(), count_);
  const std::optional<RootInterval> interval = model_.needs_more_bits(operands, sum)
                                                   ? model_.admissible_by_fp64(sum)
                                                   : model_.admissible_of_exact_sum(operands, sum);
  return interval ? Admissible{*interval, false} : exactly_admissible();
}

std::vector<Box> QkNormRopeJudge::window(bool exactly) const {
  return boxes_of(exactly ? exactly_admissible() : admissible());
}

RowVerdict QkNormRopeJudge::judge(std::span<const std::byte> x, std::span<const std::byte> out,
                                  bool with_refutation) {
  std::vector<float> got;
  widen("out", out, rule_.activation, count_, got);
  load(x);
  row_.load_output(got);
  const std::vector<Box> boxes = window(false);
  const Side side = boxes.empty() ? kNanSide : boxes[0].first;
  const Point middle{side.low == kNanPosition ? kNanPosition : side.low + (side.high - side.low) / 2, 0};
  return judge_row(row_, boxes, middle, with_refutation);
}

void QkNormRopeJudge::require_exact(const RowVerdict& verdict) const {
  if (!covers(verdict.window, window(true))) {
    throw std::logic_error("oracle: exact arithmetic admits roots beyond the window");
  }
  box_search::require_exact(row_, verdict);
}

std::vector<std::byte> QkNormRopeJudge::outputs(std::span<const std::byte> x, float inverse_root) {
  load(x);
  const HardwareRanges ranges(rule_.activation);
  const auto root = ranges.range(position_of(inverse_root), position_of(inverse_root));
  std::vector<float> values(in_blocks(count_), 0.0f);
  for_each_element(row_, [&](std::int32_t slot) {
    const auto result = row_.evaluate(ranges, slot, root, root);
    values[static_cast<std::size_t>(row_.column_of(slot))] =
        result.numbers ? result.low : number_at(kNanPosition);
  });
  return pack(values, rule_.activation, count_);
}

float QkNormRopeJudge::canonical_root(std::span<const std::byte> x) {
  load(x);
  return canonical_root();
}

float QkNormRopeJudge::canonical_root() const {
  const float sum = row_kernels().sum_fp32(x_.data(), count_, elements_per_chunk(rule_.activation));
  const float m = sum / static_cast<float>(count_) + std::bit_cast<float>(rule_.epsilon);
  return static_cast<float>(1 / std::sqrt(static_cast<double>(m)));
}

}  // namespace normproof::oracle::box_search
