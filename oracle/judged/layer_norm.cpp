// layer_norm and fused_add_layer_norm: rows of the table. The latter is the former of a sum that is kept.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "oracle/box_search/layer_norm.h"
#include "oracle/box_search/layer_norm_window.h"
#include "oracle/box_search/packed_row.h"
#include "oracle/formats.h"
#include "oracle/judged/residual_sum.h"
#include "oracle/judged/rows.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {
namespace {

namespace search = box_search;

constexpr TensorSpec kX = {
    "x", Direction::in, Extent::elements, DTypeRule::activation, Need::always, "the input before the call"};
constexpr TensorSpec kBias = {"bias",         Direction::in,
                              Extent::hidden, DTypeRule::activation_or_fp32,
                              Need::optional, "the bias; without one nothing is added"};
constexpr TensorSpec kOut = {
    "out", Direction::out, Extent::elements, DTypeRule::activation, Need::always, "the normalized rows", "x"};
constexpr TensorSpec kMean = {"mean",         Direction::out,
                              Extent::row,    DTypeRule::activation_or_fp32,
                              Need::optional, "the mean of each row, where the kernel stores it"};
constexpr TensorSpec kRstd = {
    "rstd",         Direction::out,
    Extent::row,    DTypeRule::activation_or_fp32,
    Need::optional, "the inverse deviation of each row, where the kernel stores it"};
constexpr std::array kTensors = {kX, kWeightSpec, kBias, kOut, kMean, kRstd};
constexpr std::array kFusedAddTensors = {
    kX,
    TensorSpec{"residual", Direction::in, Extent::elements, DTypeRule::activation, Need::always,
               "what is added to x, before the call"},
    kWeightSpec,
    kBias,
    kOut,
    TensorSpec{"residual_out", Direction::out, Extent::elements, DTypeRule::activation, Need::always,
               "the sum, rounded to T", "residual"},
    kMean,
    kRstd};

constexpr std::array<AxisValue, 4> kStatistics = {{
    {"two_pass", "mean of (x - mean)^2"},
    {"one_pass", "mean of x^2, less mean^2; NaN below -eps"},
    {"one_pass_clamped", "max(mean of x^2 less mean^2, 0)"},
    {"welford", "running mean and squared deviations, joined in any tree"},
}};
constexpr std::array<AxisValue, 2> kNormalized = {
    {{"fp32", "n = fl(fl(x - mean) * rstd)"}, {"activation", "n = rnd_T(fl(fl(x - mean) * rstd))"}}};
constexpr std::array<AxisValue, 2> kWeight = {{{"fp32", "w"}, {"fp32_plus_one", "fl(1 + w)"}}};
constexpr std::array<AxisValue, 3> kAffine = {{
    {"fma", "rnd_T(fma(n, w, b))"},
    {"fp32", "rnd_T(fl(fl(n * w) + b))"},
    {"activation", "rnd_T(rnd_T(n * w) + b)"},
}};
constexpr std::array<AxisValue, 2> kSum = {{
    {"rounded", "rnd_T(x + residual) is normalized"},
    {"fp32", "fl(x + residual) is normalized; residual_out is rounded from it"},
}};
constexpr Axis kStatisticsAxis = {"statistics", kStatistics, {}, true};
constexpr std::array kAxes = {kStatisticsAxis, Axis{"normalized", kNormalized},
                              Axis{"weight", kWeight, "weight"}, Axis{"affine", kAffine, "bias"}};
constexpr std::array kFusedAddAxes = {Axis{"sum", kSum}, kStatisticsAxis, Axis{"normalized", kNormalized},
                                      Axis{"weight", kWeight, "weight"}, Axis{"affine", kAffine, "bias"}};
constexpr std::array kBounds = {kInverseRootUlp, kSumDepth, Bound{"merge_ratio", 1, 1 << 20, 4}};

constexpr std::array<NamedPolicy, 6> kPolicies = {{
    {"pytorch.layer_norm", "statistics=welford", "PyTorch F.layer_norm, CUDA"},
    {"apex.layer_norm", "statistics=welford,normalized=activation,affine=activation",
     "Apex FusedLayerNorm with a weight in T"},
    {"quack.layer_norm", "", "QuACK layernorm"},
    {"flashinfer.layer_norm", "", "FlashInfer layernorm; one_pass with USE_DIFF_OF_SQUARES"},
    {"tensorrt_llm.layer_norm", "statistics=one_pass", "TensorRT-LLM layernorm with USE_DIFF_OF_SQUARES"},
    {"transformer_engine.layer_norm", "statistics=welford", "Transformer Engine LayerNorm"},
}};

search::LayerNormRule rule_of(const Call& call, const Policy& policy) {
  search::LayerNormRule rule;
  rule.activation = call.dtype();
  if (call.has("residual") && policy.is("sum", "fp32")) rule.operand = DType::fp32;
  rule.weight = dtype_of(call.find("weight"));
  rule.bias = dtype_of(call.find("bias"));
  const auto statistics = [&](std::string_view name) { return policy.is("statistics", name); };
  rule.statistics = statistics("welford")            ? search::Statistics::welford
                    : statistics("one_pass")         ? search::Statistics::one_pass
                    : statistics("one_pass_clamped") ? search::Statistics::one_pass_clamped
                                                     : search::Statistics::two_pass;
  rule.fused = policy.is("affine", "fma");
  rule.rounds_product = policy.is("affine", "activation");
  rule.rounds_normalized = policy.is("normalized", "activation");
  rule.weight_plus_one = policy.is("weight", "fp32_plus_one");
  rule.epsilon = call.epsilon;
  rule.inverse_root_ulp = static_cast<int>(policy.bound("inverse_root_ulp").value_or(2));
  rule.sum_depth = policy.bound("sum_depth");
  rule.merge_ratio = static_cast<int>(policy.bound("merge_ratio").value_or(4));
  return rule;
}

constexpr std::array<std::string_view, 2> kUnknowns = {"mean", "rstd"};

class RowJudge : public UnitJudge {
 public:
  RowJudge(const Call& call, const Policy& policy)
      : call_(call),
        rule_(rule_of(call, policy)),
        judge_(rule_, call.hidden_size(), bytes_of(call.find("weight")), bytes_of(call.find("bias"))) {}

  bool conforms(std::int64_t row) override {
    return judge_.judge(operand(row), got(row), stored(row), false).conforms;
  }

  Violation violation(std::int64_t row) override {
    const search::StoredStatistics given = stored(row);
    const search::RowVerdict verdict = judge_.judge(operand(row), got(row), given);
    judge_.require_exact(verdict, given);
    Violation violation = violation_of(verdict, kUnknowns);
    violation.tensor = "out";
    violation.place = fmt::format("row {}", row);
    violation.row = row;
    if (verdict.window.empty()) {
      tell_stored(given, violation);
    } else {
      tell_beyond(row, violation);
    }
    const Tensor right{call_.dtype(), {call_.hidden_size()}, canonical(row)};
    for (Element& element : violation.elements) {
      const std::int64_t j = element.column, at = row * call_.hidden_size() + j;
      for (const std::string_view name : {"x", "residual"})
        if (const Tensor* tensor = call_.find(name)) element.values.push_back(named(name, *tensor, at));
      for (const std::string_view name : {"weight", "bias"})
        if (const Tensor* tensor = call_.find(name)) element.values.push_back(named(name, *tensor, j));
      element.values.push_back(named("got", call_.at("out"), at));
      element.values.push_back(named("canonical", right, j));
    }
    return violation;
  }

  std::vector<std::byte> canonical(std::int64_t row) override {
    const auto usual = judge_.canonical_statistics(operand(row));
    return judge_.outputs(operand(row), usual.mean, usual.inverse_root);
  }

  std::vector<NamedBits> unknowns(std::int64_t row) override {
    const auto usual = judge_.canonical_statistics(operand(row));
    return {named(kUnknowns[0], usual.mean), named(kUnknowns[1], usual.inverse_root)};
  }

  bool accepts_wrong(std::int64_t row, Random& random) override {
    const auto usual = judge_.canonical_statistics(operand(row));
    const auto root = static_cast<float>(usual.inverse_root * std::exp2(2 * signed_unit(random)));
    const auto mean = static_cast<float>(usual.mean + signed_unit(random) / root);
    const std::vector<std::byte> wrong = judge_.outputs(operand(row), mean, root);
    return judge_.judge(operand(row), wrong, stored(row), false).conforms;
  }

 private:
  // Other statistics, which explain the whole row though no honest evaluation arrives at them.
  void tell_beyond(std::int64_t row, Violation& violation) {
    const auto usual = judge_.canonical_statistics(operand(row));
    if (!(usual.inverse_root > 0) || !std::isfinite(usual.inverse_root) || !std::isfinite(usual.mean)) return;
    const search::Box box{around(usual.mean, 4 / usual.inverse_root), around(usual.inverse_root)};
    tell_witness(search::witness_in(judge_.row(), box),
                 {search::order_of(usual.mean), search::order_of(usual.inverse_root)}, kUnknowns, violation);
  }

  std::span<const std::byte> operand(std::int64_t row) {
    if (!call_.has("residual")) return call_.at("x").row(row, call_.hidden_size());
    const RowSum sum = sum_of_row(call_, row);
    operand_ = sum.rounded;
    if (rule_.operand) {
      const auto bytes =
          std::as_bytes(std::span(sum.unrounded).first(static_cast<std::size_t>(call_.hidden_size())));
      operand_.assign(bytes.begin(), bytes.end());
    }
    return operand_;
  }
  std::span<const std::byte> got(std::int64_t row) const {
    return call_.at("out").row(row, call_.hidden_size());
  }
  search::StoredStatistics stored(std::int64_t row) const {
    search::StoredStatistics result;
    if (const Tensor* mean = call_.find("mean")) {
      result.mean = number_at(*mean, row);
      result.mean_dtype = mean->dtype;
    }
    if (const Tensor* rstd = call_.find("rstd")) {
      result.inverse_root = number_at(*rstd, row);
      result.inverse_root_dtype = rstd->dtype;
    }
    return result;
  }
  // What was stored, and what an honest evaluation stores.
  void tell_stored(const search::StoredStatistics& given, Violation& violation) const {
    std::string text;
    const auto add = [&](std::string_view name, const std::optional<float>& value) {
      if (!value) return;
      const auto bits = std::bit_cast<std::uint32_t>(*value);
      text += fmt::format("{}{} = {} ({})", text.empty() ? "" : ", ", name, value_text(DType::fp32, bits),
                          hex_bits(DType::fp32, bits));
    };
    add("mean", given.mean);
    add("rstd", given.inverse_root);
    const auto window = search::layer_norm_window(rule_, judge_.operands()).boxes;
    violation.reason = fmt::format("the kernel stored {}; an honest evaluation arrives at {}", text,
                                   search::window_text(window, kUnknowns));
  }

  const Call& call_;
  search::LayerNormRule rule_;
  search::LayerNormJudge judge_;
  std::vector<std::byte> operand_;
};

std::vector<Part> parts(const Call& call, const Policy& policy) {
  std::vector<Part> result;
  result.push_back({"out", "row", call.rows(), call.hidden_size(), 1,
                    [&call, &policy] { return std::make_unique<RowJudge>(call, policy); }});
  if (call.has("residual")) result.push_back(residual_part(call));
  return result;
}

std::vector<std::string> not_looked_at(const Call& call) {
  std::vector<std::string> result = {"the order of summation (any that the policy's statistics admit)"};
  if (!call.has("mean") || !call.has("rstd"))
    result.push_back(fmt::format("{}, which {} not given: the outputs alone bound them",
                                 !call.has("mean") && !call.has("rstd") ? "mean and rstd"
                                 : call.has("mean")                     ? "rstd"
                                                                        : "mean",
                                 !call.has("mean") && !call.has("rstd") ? "were" : "was"));
  result.emplace_back("subnormal results that are flushed to zero (they are refused)");
  return result;
}

std::string no_objection(const Call&) { return {}; }
std::string no_policy_objection(const Policy&) { return {}; }
void nothing_to_complete(Call&, std::uint32_t) {}

}  // namespace

const JudgedOperation& layer_norm() {
  static constexpr JudgedOperation kRow = {"layer_norm",
                                           "normalizes each row by its mean and standard deviation",
                                           kTensors,
                                           true,
                                           kAxes,
                                           kBounds,
                                           kPolicies,
                                           no_objection,
                                           no_policy_objection,
                                           parts,
                                           not_looked_at,
                                           single_columns,
                                           nothing_to_complete};
  return kRow;
}

const JudgedOperation& fused_add_layer_norm() {
  static constexpr JudgedOperation kRow = {
      "fused_add_layer_norm",
      "adds the residual, keeps the sum, normalizes it by mean and deviation",
      kFusedAddTensors,
      true,
      kFusedAddAxes,
      kBounds,
      {},
      no_objection,
      no_policy_objection,
      parts,
      not_looked_at,
      single_columns,
      nothing_to_complete};
  return kRow;
}

}  // namespace normproof::oracle::judged
