// rms_norm_backward and layer_norm_backward: rows of the table. dx is judged by rows, bit for bit; dweight
// and dbias are sums over rows, and judged by the interval of the honest ones.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "oracle/box_search/layer_norm.h"
#include "oracle/box_search/norm_gradient.h"
#include "oracle/box_search/qk_norm_rope.h"
#include "oracle/box_search/recomputed_gradient.h"
#include "oracle/box_search/weight_gradient.h"
#include "oracle/formats.h"
#include "oracle/judged/layer_norm_call.h"
#include "oracle/judged/rows.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {
namespace {

namespace search = box_search;

constexpr TensorSpec kDy = {
    "dy", Direction::in, Extent::elements, DTypeRule::activation, Need::always, "the gradient of the output"};
constexpr TensorSpec kX = {"x",
                           Direction::in,
                           Extent::elements,
                           DTypeRule::activation,
                           Need::always,
                           "the input of the forward pass"};
constexpr TensorSpec kMean = {
    "mean",         Direction::in,
    Extent::row,    DTypeRule::activation_or_fp32,
    Need::optional, "the mean of each row that the kernel read; else it computed one"};
constexpr TensorSpec kRstd = {
    "rstd",         Direction::in,
    Extent::row,    DTypeRule::activation_or_fp32,
    Need::optional, "the inverse root or deviation of each row that the kernel read; else it computed one"};
constexpr TensorSpec kDresidual = {"dresidual",      Direction::in,
                                   Extent::elements, DTypeRule::activation,
                                   Need::optional,   "a further gradient, which is added to dx"};
constexpr TensorSpec kDx = {
    "dx", Direction::out, Extent::elements, DTypeRule::activation, Need::some_output, "the gradient of x",
    "dy"};
constexpr TensorSpec kDweight = {"dweight",         Direction::out,
                                 Extent::hidden,    DTypeRule::activation_or_fp32,
                                 Need::some_output, "the gradient of the weight, summed over all rows"};
constexpr TensorSpec kDbias = {"dbias",           Direction::out,
                               Extent::hidden,    DTypeRule::activation_or_fp32,
                               Need::some_output, "the gradient of the bias, summed over all rows"};
constexpr std::array kRmsTensors = {kDy, kX, kWeightSpec, kRstd, kDresidual, kDx, kDweight};
constexpr std::array kLayerTensors = {kDy, kX, kWeightSpec, kMean, kRstd, kDresidual, kDx, kDweight, kDbias};

bool is_centred(const Call& call) { return find_tensor(*call.operation, "mean") != nullptr; }
// Whether the kernel had to compute what was not given to it.
bool lacks_statistics(const Call& call) {
  return !call.has("rstd") || (is_centred(call) && !call.has("mean"));
}

constexpr std::array<AxisValue, 3> kContraction = {{
    {"correction", "fma(-xh, c1, ..)"},
    {"none", "every operation rounded"},
    {"gradient", "fma(w, dy, ..)"},
}};
constexpr std::array<AxisValue, 3> kOrder = {{
    {"correction_first", "(wdy - xh * c1) - c2"},
    {"mean_first", "(wdy - c2) - xh * c1"},
    {"together", "wdy - (xh * c1 + c2)"},
}};
constexpr std::array<AxisValue, 2> kMeans = {{
    {"divided", "c1 = S1 / H (and c2 = S2 / H), dx = z * rstd"},
    {"folded", "c1 = S1 (and c2 = S2), w times H, dx = z * fl(fl(1 / H) * rstd)"},
}};
constexpr std::array<AxisValue, 2> kWeight = {{{"fp32", "w"}, {"fp32_plus_one", "fl(1 + w)"}}};
constexpr std::array<AxisValue, 2> kAdded = {{
    {"before_rounding", "dx = rnd_T(fl(fl(z * rstd) + dresidual))"},
    {"after_rounding", "dx = rnd_T(rnd_T(z * rstd) + dresidual)"},
}};
constexpr std::array kRmsAxes = {Axis{"contraction", kContraction}, Axis{"means", kMeans},
                                 Axis{"weight", kWeight, "weight"}, Axis{"dresidual", kAdded, "dresidual"}};
// The statistics that a kernel computes which is not given them.
constexpr Axis kRecomputedAxis = {"statistics", kStatistics, {}, true, 1, lacks_statistics};
constexpr std::array kLayerAxes = {Axis{"contraction", kContraction},
                                   Axis{"order", kOrder},
                                   Axis{"means", kMeans},
                                   Axis{"weight", kWeight, "weight"},
                                   Axis{"dresidual", kAdded, "dresidual"},
                                   kRecomputedAxis};
constexpr Bound kRowSumDepth = {"row_sum_depth", 0, std::int64_t{1} << 40, std::nullopt};
constexpr std::array kRmsBounds = {kSumDepth, kRowSumDepth, kInverseRootUlp};
constexpr std::array kLayerBounds = {kSumDepth, kRowSumDepth, kInverseRootUlp, kMergeRatio};

constexpr std::array<NamedPolicy, 3> kRmsPolicies = {{
    {"quack.rms_norm_backward", "", "QuACK rmsnorm_bwd"},
    {"pytorch.rms_norm_backward", "contraction=gradient,means=folded", "PyTorch F.rms_norm, CUDA"},
    {"transformer_engine.rms_norm_backward", "", "Transformer Engine RMSNorm"},
}};

search::NormGradientRule rule_of(const Call& call, const Policy& policy) {
  search::NormGradientRule rule;
  rule.activation = call.dtype();
  rule.weight = dtype_of(call.find("weight"));
  rule.centred = is_centred(call);
  rule.weight_plus_one = policy.is("weight", "fp32_plus_one");
  rule.contraction = policy.is("contraction", "correction") ? search::GradientContraction::correction
                     : policy.is("contraction", "gradient") ? search::GradientContraction::gradient
                                                            : search::GradientContraction::none;
  if (rule.centred) {
    rule.order = policy.is("order", "mean_first") ? search::GradientOrder::mean_first
                 : policy.is("order", "together") ? search::GradientOrder::together
                                                  : search::GradientOrder::correction_first;
  }
  rule.of_sums = policy.is("means", "folded");
  if (call.has("dresidual")) {
    rule.added = policy.is("dresidual", "after_rounding") ? search::AddedGradient::after_rounding
                                                          : search::AddedGradient::before_rounding;
  }
  rule.sum_depth = policy.bound("sum_depth");
  return rule;
}

search::GradientOperands operands_of(const Call& call, std::int64_t row) {
  const std::int64_t count = call.hidden_size();
  search::GradientOperands result;
  result.gradient = call.at("dy").row(row, count);
  result.x = call.at("x").row(row, count);
  if (const Tensor* added = call.find("dresidual")) result.added = added->row(row, count);
  if (const Tensor* mean = call.find("mean")) result.mean = number_at(*mean, row);
  if (const Tensor* rstd = call.find("rstd")) result.inverse_root = number_at(*rstd, row);
  return result;
}

void place_in_row(const Call& call, std::int64_t row, std::vector<std::byte> canonical,
                  Violation& violation) {
  violation.tensor = "dx";
  violation.place = fmt::format("row {}", row);
  violation.row = row;
  const Tensor right{call.dtype(), {call.hidden_size()}, std::move(canonical)};
  for (Element& element : violation.elements) {
    const std::int64_t j = element.column, at = row * call.hidden_size() + j;
    for (const std::string_view name : {"dy", "x"}) element.values.push_back(named(name, call.at(name), at));
    if (const Tensor* weight = call.find("weight")) element.values.push_back(named("weight", *weight, j));
    if (const Tensor* added = call.find("dresidual"))
      element.values.push_back(named("dresidual", *added, at));
    element.values.push_back(named("got", call.at("dx"), at));
    element.values.push_back(named("canonical", right, j));
  }
}

// The magnitudes of the terms that the unknowns are means, or sums, of; of a row that is loaded.
struct Reach {
  double correction = 0, mean = 0;
};
Reach reach_of(const search::NormGradientRow& loaded) {
  Reach reach;
  for (std::size_t j = 0; j < static_cast<std::size_t>(loaded.elements); ++j) {
    const double weighted = std::fabs(static_cast<double>(loaded.weighted[j]));
    reach.correction += std::fabs(static_cast<double>(loaded.normalized[j])) * weighted;
    reach.mean += weighted;
  }
  const double divisor = loaded.rule.of_sums ? 1 : static_cast<double>(loaded.elements);
  return {reach.correction / divisor, reach.mean / divisor};
}

class RowJudge : public UnitJudge {
 public:
  RowJudge(const Call& call, const Policy& policy)
      : call_(call),
        rule_(rule_of(call, policy)),
        judge_(rule_, call.hidden_size(), bytes_of(call.find("weight"))) {}

  bool conforms(std::int64_t row) override { return judge_.judge(operands(row), got(row), false).conforms; }

  Violation violation(std::int64_t row) override {
    const search::RowVerdict verdict = judge_.judge(operands(row), got(row));
    judge_.require_exact(verdict);
    static constexpr std::array<std::string_view, 2> kDivided = {"c1", "c2"}, kSums = {"S1", "S2"};
    const std::span<const std::string_view> names = rule_.of_sums ? kSums : kDivided;
    Violation violation = violation_of(verdict, names.first(rule_.centred ? 2 : 1));
    tell_beyond(row, names.first(rule_.centred ? 2 : 1), violation);
    place_in_row(call_, row, canonical(row), violation);
    return violation;
  }

  std::vector<std::byte> canonical(std::int64_t row) override {
    const auto usual = judge_.canonical_unknowns(operands(row));
    return judge_.outputs(operands(row), usual.c1, usual.c2);
  }

  std::vector<NamedBits> unknowns(std::int64_t row) override {
    const auto usual = judge_.canonical_unknowns(operands(row));
    std::vector<NamedBits> result = {named(rule_.of_sums ? "S1" : "c1", usual.c1)};
    if (rule_.centred) result.push_back(named(rule_.of_sums ? "S2" : "c2", usual.c2));
    return result;
  }

  bool accepts_wrong(std::int64_t row, Random& random) override {
    const auto usual = judge_.canonical_unknowns(operands(row));
    const Reach reach = reach_of(judge_.row());
    const auto c1 = static_cast<float>(usual.c1 + signed_unit(random) * reach.correction);
    const auto c2 = rule_.centred ? static_cast<float>(usual.c2 + signed_unit(random) * reach.mean) : 0.0f;
    const std::vector<std::byte> wrong = judge_.outputs(operands(row), c1, c2);
    return judge_.judge(operands(row), wrong, false).conforms;
  }

 private:
  // Other c1 and c2, which explain the whole row though no honest evaluation arrives at them.
  void tell_beyond(std::int64_t row, std::span<const std::string_view> unknowns, Violation& violation) {
    const auto usual = judge_.canonical_unknowns(operands(row));
    const Reach reach = reach_of(judge_.row());
    if (!std::isfinite(reach.correction + reach.mean) || !std::isfinite(usual.c1 + usual.c2)) return;
    search::Box box{around(usual.c1, static_cast<float>(4 * reach.correction)), {0, 0}};
    if (rule_.centred) box.second = around(usual.c2, static_cast<float>(4 * reach.mean));
    tell_witness(search::witness_in(judge_.row(), box),
                 {search::order_of(usual.c1), search::order_of(usual.c2)}, unknowns, violation);
  }

  search::GradientOperands operands(std::int64_t row) const { return operands_of(call_, row); }
  std::span<const std::byte> got(std::int64_t row) const {
    return call_.at("dx").row(row, call_.hidden_size());
  }

  const Call& call_;
  search::NormGradientRule rule_;
  search::NormGradientJudge judge_;
};

// dx of a kernel that computed the statistics, or some of them, once more.
class RecomputedRowJudge : public UnitJudge {
 public:
  RecomputedRowJudge(const Call& call, const Policy& policy)
      : call_(call),
        rule_(rule_of(call, policy)),
        judge_(rule_, statistics_rule(call, policy), call.hidden_size(), bytes_of(call.find("weight"))) {}

  bool conforms(std::int64_t row) override {
    const search::RecomputedVerdict verdict = judged(row, got(row), false);
    decided_ = !verdict.undecided;
    return verdict.conforms;
  }
  bool decided() const override { return decided_; }

  Violation violation(std::int64_t row) override {
    const search::RecomputedVerdict verdict = judged(row, got(row), true);
    judge_.require_exact(verdict);
    Violation violation;
    violation.kind = verdict.window.empty() ? "statistics" : "rounding";
    const std::vector<Unknown> unknowns = unknowns_of();
    std::string names;
    for (const Unknown& each : unknowns) names += fmt::format("{}{}", names.empty() ? "" : ", ", each.name);
    std::string columns;
    for (const std::int32_t column : verdict.refutation) {
      columns += fmt::format("{}{}", columns.empty() ? "" : ", ", column);
      violation.elements.push_back({column, {}});
    }
    for (const search::GradientBox& box : verdict.window) {
      std::vector<UnknownRange>& ranges = violation.window.emplace_back();
      for (const Unknown& each : unknowns)
        ranges.push_back({each.name, bits_at((box.*each.side).low), bits_at((box.*each.side).high)});
    }
    violation.reason =
        verdict.window.empty()
            ? std::string("the statistics that were given are none that an honest evaluation arrives at")
            : fmt::format("no {} of an honest evaluation explain column{} {}{}", names,
                          verdict.refutation.size() == 1 ? "" : "s", columns,
                          verdict.refutation.size() == 1 ? "" : " together");
    place_in_row(call_, row, canonical(row), violation);
    return violation;
  }

  std::vector<std::byte> canonical(std::int64_t row) override {
    return judge_.outputs(operands_of(call_, row), usual_of(row));
  }
  std::vector<NamedBits> unknowns(std::int64_t row) override {
    const auto usual = usual_of(row);
    const std::array<float, 4> values = {usual.mean, usual.root, usual.sums.c1, usual.sums.c2};
    std::vector<NamedBits> result;
    for (const Unknown& each : unknowns_of()) result.push_back(named(each.name, values[each.place]));
    return result;
  }
  bool accepts_wrong(std::int64_t row, Random& random) override {
    auto wrong = usual_of(row);
    const Reach reach = reach_of(judge_.row());
    wrong.root = static_cast<float>(wrong.root * std::exp2(2 * signed_unit(random)));
    wrong.sums.c1 = static_cast<float>(wrong.sums.c1 + signed_unit(random) * reach.correction);
    if (rule_.centred) wrong.sums.c2 = static_cast<float>(wrong.sums.c2 + signed_unit(random) * reach.mean);
    return judged(row, judge_.outputs(operands_of(call_, row), wrong), false).conforms;
  }

 private:
  struct Unknown {
    std::string_view name;
    search::Side search::GradientBox::* side;
    std::size_t place;
  };
  std::vector<Unknown> unknowns_of() const {
    const auto sides = search::GradientBox::sides();
    std::vector<Unknown> result;
    if (rule_.centred) result.push_back({"mean", sides[0], 0});
    result.push_back({"rstd", sides[1], 1});
    result.push_back({rule_.of_sums ? "S1" : "c1", sides[2], 2});
    if (rule_.centred) result.push_back({rule_.of_sums ? "S2" : "c2", sides[3], 3});
    return result;
  }
  static std::uint32_t bits_at(search::Position position) {
    return std::bit_cast<std::uint32_t>(search::number_at(position));
  }
  // Of the forward pass; RMSNorm's has no mean.
  static search::LayerNormRule statistics_rule(const Call& call, const Policy& policy) {
    search::LayerNormRule rule;
    rule.activation = call.dtype();
    if (is_centred(call)) rule.statistics = statistics_of(policy);
    rule.epsilon = call.epsilon;
    rule.inverse_root_ulp = static_cast<int>(policy.bound("inverse_root_ulp").value_or(2));
    rule.sum_depth = policy.bound("sum_depth");
    if (is_centred(call)) rule.merge_ratio = static_cast<int>(policy.bound("merge_ratio").value_or(4));
    return rule;
  }
  search::RecomputedVerdict judged(std::int64_t row, std::span<const std::byte> dx, bool with_refutation) {
    return judge_.judge(operands_of(call_, row), stored_statistics(call_, row), dx, with_refutation);
  }
  search::RecomputedGradientJudge::Canonical usual_of(std::int64_t row) {
    return judge_.canonical_unknowns(operands_of(call_, row), stored_statistics(call_, row));
  }
  std::span<const std::byte> got(std::int64_t row) const {
    return call_.at("dx").row(row, call_.hidden_size());
  }

  const Call& call_;
  search::NormGradientRule rule_;
  search::RecomputedGradientJudge judge_;
  bool decided_ = true;
};

// dweight or dbias, column by column.
class ColumnJudge : public UnitJudge {
 public:
  ColumnJudge(const Call& call, const Policy& policy, std::string_view tensor)
      : call_(call), tensor_(tensor), got_(call.at(tensor)) {
    rule_.activation = call.dtype();
    rule_.weight = got_.dtype;
    rule_.of_bias = tensor == "dbias";
    rule_.centred = is_centred(call) && !rule_.of_bias;
    rule_.sum_depth = policy.bound("row_sum_depth");
    for (std::int64_t row = 0; row < call.rows(); ++row) {
      if (rule_.centred) mean_.push_back(number_at(call.at("mean"), row));
      if (!rule_.of_bias) root_.push_back(number_at(call.at("rstd"), row));
    }
  }

  bool conforms(std::int64_t column) override { return judge(column, got(column)).conforms(); }

  Violation violation(std::int64_t column) override {
    const search::WeightGradientVerdict verdict = judge(column, got(column));
    const search::ColumnInterval& interval = verdict.violations.at(0);
    const auto number = [&](float value) {
      const auto bits = bits_of(value);
      return fmt::format("{} ({})", value_text(got_.dtype, bits), hex_bits(got_.dtype, bits));
    };
    Violation violation;
    violation.tensor = tensor_;
    violation.kind = "interval";
    violation.place = fmt::format("column {}", column);
    violation.reason =
        interval.may_be_nan
            ? std::string("an operand is infinite or NaN, so every honest sum is")
            : fmt::format("every honest sum over {} rows, {} additions deep at most, lies in [{}, {}]",
                          call_.rows(), rule_.sum_depth.value_or(std::max<std::int64_t>(call_.rows() - 1, 0)),
                          number(interval.low), number(interval.high));
    Element element{column, {named("got", got_, column)}};
    element.values.push_back(named("canonical", {got_.dtype, {1}, canonical(column)}, 0));
    violation.elements.push_back(std::move(element));
    return violation;
  }

  std::vector<std::byte> canonical(std::int64_t column) override {
    return search::canonical_weight_gradient(rule_, call_.rows(), 1, operands(column));
  }

  bool accepts_wrong(std::int64_t column, Random& random) override {
    search::WeightGradientRule exact = rule_;
    exact.weight = DType::fp32;
    const std::vector<std::byte> sum =
        search::canonical_weight_gradient(exact, call_.rows(), 1, operands(column));
    double reach = 0;
    for (std::int64_t row = 0; row < call_.rows(); ++row) reach += std::fabs(term(row, column));
    const Tensor total{DType::fp32, {1}, sum};
    const auto wrong = static_cast<float>(number_at(total, 0) + signed_unit(random) * reach);
    std::vector<std::byte> packed(size_of(got_.dtype));
    store_bits(packed, got_.dtype, 0, bits_of(wrong));
    return judge(column, packed).conforms();
  }

 private:
  // Nearest in the gradient's dtype.
  std::uint32_t bits_of(float value) const {
    return static_cast<std::uint32_t>(
        round_bits(format_of(got_.dtype), decode(DType::fp32, std::bit_cast<std::uint32_t>(value))));
  }
  float element(std::string_view name, std::int64_t row, std::int64_t column) const {
    const Tensor& tensor = call_.at(name);
    const std::uint32_t bits = load_bits(tensor.bytes, tensor.dtype, row * call_.hidden_size() + column);
    return static_cast<float>(to_double(decode(tensor.dtype, bits)));
  }
  double term(std::int64_t row, std::int64_t column) const {
    const auto dy = static_cast<double>(element("dy", row, column));
    if (rule_.of_bias) return dy;
    const auto at = static_cast<std::size_t>(row);
    const double mean = rule_.centred ? static_cast<double>(mean_[at]) : 0;
    return dy * (static_cast<double>(element("x", row, column)) - mean) * static_cast<double>(root_[at]);
  }
  // A column of a tensor, packed.
  std::vector<std::byte> column_of(std::string_view name, std::int64_t column) const {
    const Tensor& tensor = call_.at(name);
    const std::size_t size = size_of(tensor.dtype), rows = static_cast<std::size_t>(call_.rows()),
                      hidden = static_cast<std::size_t>(call_.hidden_size());
    std::vector<std::byte> result(rows * size);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t at = row * hidden + static_cast<std::size_t>(column);
      std::copy_n(tensor.bytes.begin() + static_cast<std::ptrdiff_t>(at * size), size,
                  result.begin() + static_cast<std::ptrdiff_t>(row * size));
    }
    return result;
  }
  search::WeightGradientOperands operands(std::int64_t column) {
    gradient_ = column_of("dy", column);
    if (!rule_.of_bias) x_ = column_of("x", column);
    return {gradient_, x_, mean_, root_};
  }
  std::vector<std::byte> got(std::int64_t column) const {
    const std::span<const std::byte> bytes = got_.row(column, 1);
    return {bytes.begin(), bytes.end()};
  }
  search::WeightGradientVerdict judge(std::int64_t column, const std::vector<std::byte>& got_bytes) {
    return search::judge_weight_gradient(rule_, call_.rows(), 1, operands(column), got_bytes);
  }

  const Call& call_;
  std::string_view tensor_;
  const Tensor& got_;
  search::WeightGradientRule rule_;
  std::vector<float> mean_, root_;
  std::vector<std::byte> gradient_, x_;
};

std::vector<Part> parts(const Call& call, const Policy& policy) {
  std::vector<Part> result;
  if (call.has("dx"))
    result.push_back(
        {"dx", "row", call.rows(), call.hidden_size(), 1, [&call, &policy]() -> std::unique_ptr<UnitJudge> {
           if (lacks_statistics(call)) return std::make_unique<RecomputedRowJudge>(call, policy);
           return std::make_unique<RowJudge>(call, policy);
         }});
  for (const std::string_view name : {"dweight", "dbias"}) {
    if (!call.has(name) || (name == "dweight" && lacks_statistics(call))) continue;
    result.push_back({name, "column", call.hidden_size(), 1, 0,
                      [&call, &policy, name] { return std::make_unique<ColumnJudge>(call, policy, name); }});
  }
  return result;
}

std::vector<std::string> not_looked_at(const Call& call) {
  std::vector<std::string> result;
  if (lacks_statistics(call)) {
    result.emplace_back(
        "which statistics the kernel computed: any that an honest forward pass arrives at explain dx");
    if (call.has("dweight"))
      result.emplace_back("dweight, which is judged only where the statistics are given");
    if (is_centred(call))
      result.emplace_back(
          "rows for which the search of mean, rstd, c1 and c2 was given up: there each element by itself is "
          "held "
          "within what the statistics can give");
  } else {
    result.emplace_back(
        is_centred(call)
            ? "the statistics themselves: dx and dweight are judged for the mean and rstd that are given"
            : "rstd itself: dx and dweight are judged for the one that is given");
  }
  for (const TensorSpec& spec : call.operation->tensors) {
    if (spec.need == Need::some_output && !call.has(spec.name))
      result.push_back(fmt::format("{}, which was not given", spec.name));
  }
  if (call.has("dweight") || call.has("dbias"))
    result.emplace_back(
        "single roundings in dweight and dbias: a sum over rows is only held within the interval of all "
        "honest sums "
        "(the policy's row_sum_depth narrows it)");
  result.emplace_back("the order of summation");
  result.emplace_back("subnormal results that are flushed to zero (they are refused)");
  return result;
}

// Rows of one fp32 number each.
Tensor statistics_tensor(const Call& call) {
  std::vector<std::int64_t> shape = call.at("x").shape;
  shape.back() = 1;
  return {DType::fp32, shape, std::vector<std::byte>(static_cast<std::size_t>(call.rows()) * sizeof(float))};
}

void complete(Call& call, std::uint32_t epsilon) {
  Tensor mean = statistics_tensor(call), rstd = mean;
  search::LayerNormRule layer_rule;
  layer_rule.activation = call.dtype();
  layer_rule.epsilon = epsilon;
  search::LayerNormJudge layer(layer_rule, call.hidden_size(), {}, {});
  search::QkNormRopeRule root_rule;
  root_rule.activation = call.dtype();
  root_rule.epsilon = epsilon;
  search::QkNormRopeJudge root(root_rule, call.hidden_size(), 0, {});
  for (std::int64_t row = 0; row < call.rows(); ++row) {
    const std::span<const std::byte> x = call.at("x").row(row, call.hidden_size());
    const auto of_layer = layer.canonical_statistics(x);
    const float r = is_centred(call) ? of_layer.inverse_root : root.canonical_root(x);
    store_bits(mean.bytes, DType::fp32, row, std::bit_cast<std::uint32_t>(of_layer.mean));
    store_bits(rstd.bytes, DType::fp32, row, std::bit_cast<std::uint32_t>(r));
  }
  if (is_centred(call)) call.tensors["mean"] = std::move(mean);
  call.tensors["rstd"] = std::move(rstd);
}

std::string objection(const Call& call) {
  if (is_centred(call) && call.has("rstd") && !call.has("mean"))
    return "mean: a kernel that was given rstd was given the mean as well";
  const bool has_others = call.has("dx") || call.has("dbias");
  if (!call.has("dweight") || has_others || !lacks_statistics(call)) return {};
  return "dweight: it is judged only where the statistics are given, and there is nothing else to judge";
}

constexpr JudgedOperation row(std::string_view name, std::string_view sentence,
                              std::span<const TensorSpec> tensors, std::span<const Axis> axes,
                              std::span<const Bound> bounds, std::span<const NamedPolicy> policies) {
  JudgedOperation result = {
      name,  sentence,      tensors,        false,   axes, bounds, policies, objection, no_policy_objection,
      parts, not_looked_at, single_columns, complete};
  result.epsilon_without = "rstd";
  return result;
}

}  // namespace

const JudgedOperation& rms_norm_backward() {
  static constexpr JudgedOperation kRow = row("rms_norm_backward", "the gradients dx and dweight of rms_norm",
                                              kRmsTensors, kRmsAxes, kRmsBounds, kRmsPolicies);
  return kRow;
}

const JudgedOperation& layer_norm_backward() {
  static constexpr JudgedOperation kRow =
      row("layer_norm_backward", "the gradients dx, dweight and dbias of layer_norm", kLayerTensors,
          kLayerAxes, kLayerBounds, {});
  return kRow;
}

}  // namespace normproof::oracle::judged
