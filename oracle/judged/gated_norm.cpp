// gated_rms_norm: RMSNorm and a silu or sigmoid gate, before the norm or after it.
#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>

#include "oracle/box_search/gated_norm.h"
#include "oracle/judged/rows.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {
namespace {

namespace search = box_search;

constexpr std::array kTensors = {
    TensorSpec{"x", Direction::in, Extent::elements, DTypeRule::activation, Need::always, "the input"},
    TensorSpec{"gate", Direction::in, Extent::elements, DTypeRule::activation, Need::always,
               "z, what the gate is made of"},
    with_rows(kWeightSpec),
    TensorSpec{"out", Direction::out, Extent::elements, DTypeRule::activation, Need::always,
               "the normalized and gated rows", "x"}};

constexpr std::array<AxisValue, 2> kGate = {
    {{"silu", "g = z / (1 + exp(-z))"}, {"sigmoid", "g = 1 / (1 + exp(-z))"}}};
constexpr std::array<AxisValue, 2> kOrder = {
    {{"norm_first", "rnd_T(fl(n * g)), n = fl(fl(x * r) * w)"},
     {"gate_first", "rnd_T(fl(fl(v * r) * w)), v = fl(x * g); r is that of v"}}};
constexpr std::array<AxisValue, 2> kGateRounding = {{{"fp32", "g"}, {"activation", "rnd_T(g)"}}};
constexpr std::array<AxisValue, 2> kBetween = {
    {{"fp32", "n and v are fp32"}, {"activation", "n, or v where the gate comes first, is rounded to T"}}};
constexpr std::array<AxisValue, 3> kWeight = {{{"fp32", "fl(fl(x * r) * w)"},
                                               {"activation", "w * rnd_T(fl(x * r))"},
                                               {"fp32_plus_one", "fl(fl(x * r) * fl(1 + w))"}}};
constexpr std::array kAxes = {Axis{"gate", kGate}, Axis{"order", kOrder},
                              Axis{"gate_rounding", kGateRounding}, Axis{"between", kBetween},
                              Axis{"weight", kWeight}};
constexpr std::array kBounds = {kInverseRootUlp, kSumDepth, Bound{"gate_ulp", 0, 1 << 10, 4}};

constexpr std::array<NamedPolicy, 3> kPolicies = {{
    {"vllm.gated_rms_norm", "", "vLLM and Mamba layernorm_gated with norm_before_gate: source"},
    {"mamba.gated_rms_norm", "order=gate_first", "Mamba RMSNormGated without norm_before_gate: source"},
    {"hugging_face.gated_rms_norm", "weight=activation,between=activation",
     "transformers Qwen3NextRMSNormGated: source"},
}};

search::GatedNormRule rule_of(const Call& call, const Policy& policy) {
  search::GatedNormRule rule;
  rule.activation = call.dtype();
  rule.weight = dtype_of(call.find("weight"));
  rule.sigmoid = policy.is("gate", "sigmoid");
  rule.gate_first = policy.is("order", "gate_first");
  rule.rounds_gate = policy.is("gate_rounding", "activation");
  rule.rounds_between = policy.is("between", "activation");
  rule.rounds_normalized = policy.is("weight", "activation");
  rule.weight_plus_one = policy.is("weight", "fp32_plus_one");
  rule.epsilon = call.epsilon;
  rule.inverse_root_ulp = static_cast<int>(policy.bound("inverse_root_ulp").value_or(2));
  rule.gate_ulp = static_cast<int>(policy.bound("gate_ulp").value_or(4));
  rule.sum_depth = policy.bound("sum_depth");
  return rule;
}

constexpr std::array<std::string_view, 1> kUnknowns = {"r"};

class RowJudge : public UnitJudge {
 public:
  RowJudge(const Call& call, const Policy& policy)
      : call_(call),
        rule_(rule_of(call, policy)),
        judge_(rule_, call.hidden_size(), first_hidden_row(call, "weight")) {}

  bool conforms(std::int64_t row) override { return judged(row, row_of("out", row), false).conforms; }
  Violation violation(std::int64_t row) override {
    const search::RowVerdict verdict = judged(row, row_of("out", row), true);
    judge_.require_exact(verdict);
    Violation violation = violation_of(verdict, kUnknowns);
    violation.tensor = "out";
    violation.place = fmt::format("row {}", row);
    violation.row = row;
    violation.reason += fmt::format("; gates within {} numbers of the exact ones were tried", rule_.gate_ulp);
    tell_beyond(row, violation);
    const Tensor right{call_.dtype(), {call_.hidden_size()}, canonical(row)};
    for (Element& element : violation.elements) {
      const std::int64_t j = element.column, at = row * call_.hidden_size() + j;
      for (const std::string_view name : {"x", "gate"})
        element.values.push_back(named(name, call_.at(name), at));
      if (const Tensor* weight = call_.find("weight"))
        element.values.push_back(named_hidden(call_, "weight", *weight, row, j));
      element.values.push_back(named("got", call_.at("out"), at));
      element.values.push_back(named("canonical", right, j));
    }
    return violation;
  }
  std::vector<std::byte> canonical(std::int64_t row) override { return outputs(row, root_of(row)); }
  std::vector<NamedBits> unknowns(std::int64_t row) override { return {named(kUnknowns[0], root_of(row))}; }
  bool accepts_wrong(std::int64_t row, Random& random) override {
    const auto wrong = static_cast<float>(root_of(row) * std::exp2(2 * signed_unit(random)));
    return judged(row, outputs(row, wrong), false).conforms;
  }

 private:
  search::RowVerdict judged(std::int64_t row, std::span<const std::byte> out, bool with_refutation) {
    use_weight_of(row);
    return judge_.judge(row_of("x", row), row_of("gate", row), out, with_refutation);
  }
  std::vector<std::byte> outputs(std::int64_t row, float root) {
    use_weight_of(row);
    return judge_.outputs(row_of("x", row), row_of("gate", row), root);
  }
  void use_weight_of(std::int64_t row) {
    if (call_.has_several_rows("weight")) judge_.set_weight(call_.hidden_row("weight", row));
  }
  float root_of(std::int64_t row) { return judge_.canonical_root(row_of("x", row), row_of("gate", row)); }
  std::span<const std::byte> row_of(std::string_view tensor, std::int64_t row) const {
    return call_.at(tensor).row(row, call_.hidden_size());
  }
  // Another r, which explains the whole row though no honest evaluation arrives at it.
  void tell_beyond(std::int64_t row, Violation& violation) {
    const float usual = root_of(row);
    if (!(usual > 0) || !std::isfinite(usual)) return;
    judged(row, row_of("out", row), false);
    tell_witness(judge_.witness_in({around(usual), {0, 0}}), {search::order_of(usual), 0}, kUnknowns,
                 violation);
  }

  const Call& call_;
  search::GatedNormRule rule_;
  search::GatedNormJudge judge_;
};

std::vector<Part> parts(const Call& call, const Policy& policy) {
  return {{"out", "row", call.rows(), call.hidden_size(), 1,
           [&call, &policy] { return std::make_unique<RowJudge>(call, policy); }}};
}
std::vector<std::string> not_looked_at(const Call&) {
  return {"the order of summation",
          "the gate itself: each may be any number within gate_ulp of the exact one; what follows is judged "
          "bit for bit",
          "subnormal results that are flushed to zero (they are refused)"};
}

}  // namespace

const JudgedOperation& gated_rms_norm() {
  static constexpr JudgedOperation kRow = {"gated_rms_norm",
                                           "RMSNorm and a gate, silu or sigmoid, before the norm or after it",
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

}  // namespace normproof::oracle::judged
