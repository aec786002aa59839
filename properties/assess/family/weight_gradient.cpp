// The study of the judges of dw and db.
#include "properties/assess/family/weight_gradient.h"

#include <fmt/format.h>

#include <array>

#include "properties/assess/family/family_study.h"

namespace normproof::assess::family {

using oracle::Value;

float GradientColumns::honest(std::int64_t column, std::int64_t used, SummationOrder order,
                              Random& random) const {
  std::vector<float> a, b;
  const auto association = random.below(2);
  for (std::int64_t row = 0; row < used; ++row) {
    const float gradient = dy[at(row, column)];
    if (rule.of_bias) {
      a.push_back(gradient);
      b.push_back(1);
    } else if (association == 0) {
      a.push_back(gradient);
      b.push_back(normalized(row, column));
    } else {
      const auto r = static_cast<std::size_t>(row);
      a.push_back(gradient * (rule.centred ? x[at(row, column)] - mean[r] : x[at(row, column)]));
      b.push_back(root[r]);
    }
  }
  return sum_of_products(a, b, order, random);
}

GradientColumns random_columns(Random& random, const StudyOptions& options) {
  GradientColumns result;
  WeightGradientRule& rule = result.rule;
  rule.activation = random.pick(kActivationDTypes);
  rule.weight = random.chance(1, 2) ? rule.activation : DType::fp32;
  rule.centred =
      draws_first(random, options.asks_for("layer_norm_backward"), options.asks_for("rms_norm_backward"));
  rule.of_bias = options.asks_for("layer_norm_backward") && random.chance(1, 3);
  result.rows = random.log_between(1, 300);
  result.columns = random.log_between(1, 16);
  const RowClass dy_class = random.chance(1, 4) ? any_class(random) : RowClass::centred;
  result.dy = random_row(random, rule.activation, result.rows * result.columns, dy_class);
  result.x = random_row(random, rule.activation, result.rows * result.columns, RowClass::offset_5);
  for (std::int64_t row = 0; row < result.rows; ++row) {
    result.mean.push_back(oracle::box_search::bell(random));
    result.root.push_back(1 + 0.1f * oracle::box_search::bell(random));
  }
  return result;
}

namespace {

WeightGradientVerdict judged(const GradientColumns& c, std::vector<float> sums, const StudyOptions& options,
                             bool exactly = false) {
  GradientColumns other = c;
  if (options.wrong_policy) other.rule.centred = !c.rule.centred;
  return judge_weight_gradient(other.rule, c.rows, c.columns, PackedColumns(other).operands,
                               packed(std::move(sums), c.rule.weight), exactly);
}

std::string text_of(const GradientColumns& c) {
  return fmt::format("{} of {}, centred={} of_bias={}, {} rows, {} columns", name_of(c.rule.weight),
                     name_of(c.rule.activation), c.rule.centred, c.rule.of_bias, c.rows, c.columns);
}

void judge_honest_columns(Random& random, const StudyOptions& options, HonestFigures& figures) {
  const GradientColumns c = random_columns(random, options);
  std::vector<float> sums;
  for (std::int64_t column = 0; column < c.columns; ++column)
    sums.push_back(c.honest(column, c.rows, random.pick(oracle::kSummationOrders), random));
  const bool once_more = random.chance(1, 10);
  const WeightGradientVerdict verdict = judged(c, sums, options);
  const WeightGradientVerdict exact = once_more ? judged(c, sums, options, true) : verdict;
  for (std::int64_t column = 0; column < c.columns; ++column) {
    const auto refuses = [&](const WeightGradientVerdict& by) {
      return std::ranges::find(by.violations, column, &oracle::box_search::ColumnInterval::column) !=
             by.violations.end();
    };
    figures.add(c.rows, !refuses(verdict) && !refuses(exact), 0,
                [&] { return fmt::format("{}, column {}", text_of(c), column); });
  }
  figures.decided_exactly += verdict.decided_exactly;
}

struct Interval {
  Position low, high;
};
// What an honest sum of the only column may be: the sum in exact arithmetic, and (1 + u)^k - 1 by hand.
Interval exact_interval(const GradientColumns& c) {
  const auto value = [](float v) { return oracle::decode(DType::fp32, std::bit_cast<std::uint32_t>(v)); };
  Value sum, absolute, growth = Value::integer(1);
  const Value step = Value::integer(1) + Value::finite(false, 1, -24);
  const std::int64_t factors = std::min(c.rows - 1, *c.rule.sum_depth) + (c.rule.of_bias ? 0 : 3);
  for (std::int64_t k = 0; k < factors; ++k) growth = growth * step;
  growth = growth + Value::integer(-1);
  for (std::size_t row = 0; row < c.dy.size(); ++row) {
    Value term = value(c.dy[row]);
    if (!c.rule.of_bias) {
      const Value centred = c.rule.centred ? value(c.x[row]) + -value(c.mean[row]) : value(c.x[row]);
      term = term * centred * value(c.root[row]);
    }
    sum = sum + term;
    absolute = absolute + (term.negative() ? -term : term);
  }
  const auto rounded = [&](const Value& end) {
    return position_of(oracle::round_to(c.rule.weight, oracle::round_to(DType::fp32, end)));
  };
  return {rounded(sum + -(absolute * growth)), rounded(sum + absolute * growth)};
}

// At the ends of the interval the column conforms, beyond them it does not.
void judge_ends(Random& random, const StudyOptions& options, FaultyFigures& figures) {
  GradientColumns c = random_columns(random, options);
  c.rule.sum_depth = random.between(1, 20);
  c.rule.weight = DType::fp32;
  c.columns = 1;
  c.rows = std::min<std::int64_t>(c.rows, 40);
  for (std::vector<float>* values : {&c.dy, &c.x, &c.mean, &c.root})
    values->resize(static_cast<std::size_t>(c.rows));
  for (float& value : c.dy) value = std::fabs(value) < 1e30f ? value : 1.0f;
  const Interval interval = exact_interval(c);
  const auto add = [&](float sum, bool explained, bool exactly) {
    const auto certificate = judged(c, {sum}, options, exactly).conforms() ? std::optional<std::size_t>() : 1;
    figures.add(explained, certificate, 0, [&] { return fmt::format("{}, sum {}", text_of(c), sum); });
  };
  for (const bool is_low : {true, false}) {
    const Position end = is_low ? interval.low : interval.high;
    if (!std::isfinite(number_at(end)) || std::fabs(number_at(end)) < 1e-3f) continue;
    // An exact sum has a shorter interval, of one number: that of a bias may be one.
    for (const bool exactly : {false, true})
      if (!c.rule.of_bias) add(number_at(end), true, exactly);
    add(number_at(is_low ? end - 1 : end + 1), false, false);
  }
}

constexpr auto kFaults = std::to_array<FaultRow>({
    {"a row of 1024 left out, any order", 0.5},
    {"accumulated in bf16, any order", 0.5},
    {"a row of 1024 left out, depth stated", 0.5},
    {"accumulated in bf16, depth stated", 0.5},
});
constexpr std::array kFaultDTypes = {DType::bf16};

float faulty_sum(const GradientColumns& c, bool in_bf16, Random& random) {
  if (!in_bf16) return c.honest(0, c.rows - 1, SummationOrder::pairwise, random);
  float total = 0;
  for (std::int64_t row = 0; row < c.rows; ++row)
    total = rounded_to(total + c.dy[c.at(row, 0)] * c.normalized(row, 0), DType::bf16);
  return total;
}

void detect(std::size_t fault, Random& random, const StudyOptions& options, FaultFigure& figure) {
  GradientColumns c = random_columns(random, options);
  c.rule.activation = c.rule.weight = DType::bf16;
  c.rule.of_bias = false;
  c.rows = 1024;
  c.columns = 1;
  c.dy = random_row(random, DType::bf16, c.rows, RowClass::centred);
  c.x = random_row(random, DType::bf16, c.rows, RowClass::centred);
  c.mean.assign(static_cast<std::size_t>(c.rows), options.wrong_policy ? 1.0f : 0.0f);
  c.root.assign(static_cast<std::size_t>(c.rows), 1.0f);
  if (fault >= 2) c.rule.sum_depth = oracle::box_search::canonical_weight_gradient_depth(c.rows);
  const float right = c.honest(0, c.rows, SummationOrder::pairwise, random);
  const float wrong = faulty_sum(c, fault % 2 == 1, random);
  if (packed({wrong}, DType::bf16) == packed({right}, DType::bf16)) return;
  figure.add(!judged(c, {wrong}, options).conforms(), !judged(c, {right}, options).conforms());
}

}  // namespace

const FamilyStudy& weight_gradient_study() {
  static constexpr auto kOperations =
      std::to_array<std::string_view>({"rms_norm_backward", "layer_norm_backward"});
  static constexpr FamilyStudy kStudy = {
      "dw and db", "columns",    kOperations, {300'000, 40'000, 500}, judge_honest_columns, judge_ends,
      kFaults,     kFaultDTypes, detect};
  return kStudy;
}

}  // namespace normproof::assess::family
