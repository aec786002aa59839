// grouped_rms_norm: rms_norm of a weight with several rows, one for each row of x or for each of a few. Each
// row of x is a call of rms_norm, which its judge judges; policies are those of rms_norm.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "oracle/canonical_judge.h"
#include "oracle/fast_row.h"
#include "oracle/judged/rows.h"
#include "oracle/judged/search_violation.h"
#include "oracle/witness_judge.h"

namespace normproof::oracle::judged {
namespace {

constexpr std::array kTensors = {
    TensorSpec{"x", Direction::in, Extent::elements, DTypeRule::activation, Need::always, "the input"},
    with_rows({"weight", Direction::in, Extent::hidden, DTypeRule::activation_or_fp32, Need::always,
               "the weight, of several rows"},
              HiddenRows::several),
    TensorSpec{"out", Direction::out, Extent::elements, DTypeRule::activation, Need::always,
               "the normalized rows", "x"}};
constexpr std::array kBounds = {kInverseRootUlp, kSumDepth};

// A call of one row.
Case case_of_row(const Call& call) {
  Case result;
  result.operation = operation_of({NormStep::normalize});
  result.dtype = call.dtype();
  result.weight_dtype = call.at("weight").dtype;
  result.shape = {1, call.hidden_size()};
  result.parameter_bits[static_cast<std::size_t>(Parameter::epsilon)] = call.epsilon;
  return result;
}

class RowJudge : public UnitJudge {
 public:
  RowJudge(const Call& call, const Policy& policy)
      : call_(call), case_(case_of_row(call)), policy_(oracle::parse_policy(to_string(policy))) {}

  bool conforms(std::int64_t row) override { return judged(row, got(row), 0).conforms(); }

  Violation violation(std::int64_t row) override {
    const Certificate certificate = judged(row, got(row), 1).first_violations.at(0);
    Violation violation;
    violation.tensor = "out";
    violation.kind = certificate.kind == ViolationKind::scale ? "scale" : "rounding";
    violation.place = fmt::format("row {}", row);
    violation.row = row;
    const RootInterval& admissible = certificate.admissible.interval;
    if (!admissible.empty()) {
      violation.window = {
          {{"r", static_cast<std::uint32_t>(admissible.low), static_cast<std::uint32_t>(admissible.high)}}};
    }
    std::string text;
    const Tensor right{call_.dtype(), {call_.hidden_size()}, canonical(row)};
    for (const CertificateElement& each : certificate.elements) {
      text += fmt::format("{}{}", text.empty() ? "" : ", ",
                          each.needs.empty() ? fmt::format("no r gives column {}", each.column)
                                             : fmt::format("column {} needs r in {}", each.column,
                                                           oracle::to_text(each.needs)));
      Element element{each.column, {}};
      const std::int64_t at = row * call_.hidden_size() + each.column;
      element.values.push_back(named("x", call_.at("x"), at));
      element.values.push_back(named_hidden(call_, "weight", call_.at("weight"), row, each.column));
      element.values.push_back(named("got", call_.at("out"), at));
      element.values.push_back(named("canonical", right, each.column));
      violation.elements.push_back(std::move(element));
    }
    violation.reason =
        fmt::format("{}; an honest evaluation arrives at {}", text, to_text(certificate.admissible));
    return violation;
  }

  std::vector<std::byte> canonical(std::int64_t row) override {
    return expected_outputs(case_, tensors_of(row), policy_)[Role::out];
  }
  std::vector<NamedBits> unknowns(std::int64_t row) override {
    return {named("r", fast_row(tensors_of(row)).canonical_scale().inverse_root)};
  }
  bool accepts_wrong(std::int64_t row, Random& random) override {
    FastRow fast = fast_row(tensors_of(row));
    const auto wrong =
        static_cast<float>(fast.canonical_scale().inverse_root * std::exp2(2 * signed_unit(random)));
    return judged(row, fast.outputs(wrong), 0).conforms();
  }

 private:
  std::span<const std::byte> got(std::int64_t row) const {
    return call_.at("out").row(row, call_.hidden_size());
  }
  CaseTensors tensors_of(std::int64_t row) const {
    CaseTensors tensors;
    const auto x = call_.at("x").row(row, call_.hidden_size()), weight = call_.hidden_row("weight", row);
    tensors[Role::input].assign(x.begin(), x.end());
    tensors[Role::weight].assign(weight.begin(), weight.end());
    return tensors;
  }
  FastRow fast_row(const CaseTensors& tensors) const {
    FastRow fast(formula_of(case_, policy_), tensors[Role::weight]);
    fast.load_row(tensors, 0);
    return fast;
  }
  WitnessVerdict judged(std::int64_t row, std::span<const std::byte> out, std::size_t listed) const {
    Outputs outputs;
    outputs[Role::out].assign(out.begin(), out.end());
    return judge_witness(case_, tensors_of(row), outputs, policy_, {.listed = listed});
  }

  const Call& call_;
  Case case_;
  oracle::Policy policy_;
};

std::vector<Part> parts(const Call& call, const Policy& policy) {
  return {{"out", "row", call.rows(), call.hidden_size(), 1,
           [&call, &policy] { return std::make_unique<RowJudge>(call, policy); }}};
}
std::vector<std::string> not_looked_at(const Call&) {
  return {"the order of summation", "subnormal results that are flushed to zero (they are refused)"};
}

// The axes of rms_norm with a weight, as rows of this table.
struct AxesOfRmsNorm {
  std::vector<std::vector<AxisValue>> values;
  std::vector<Axis> axes;
};
AxesOfRmsNorm axes_of_rms_norm() {
  Case model;
  model.operation = operation_of({NormStep::normalize});
  model.weight_dtype = model.dtype;
  AxesOfRmsNorm result;
  for (const PolicyAxis& axis : policy_axes()) {
    if (!axis.applies(model)) continue;
    std::vector<AxisValue>& values = result.values.emplace_back();
    for (const PolicyValue& value : axis.values) values.push_back({value.name, value.formula});
    // These three say which r are admissible, and nothing of what is made of them.
    const bool of_statistics = axis.name == "variance" || axis.name == "mean" || axis.name == "epsilon";
    result.axes.push_back({axis.name, values, {}, of_statistics, axis.combined});
  }
  return result;
}

}  // namespace

const JudgedOperation& grouped_rms_norm() {
  static const AxesOfRmsNorm kAxes = axes_of_rms_norm();
  static const JudgedOperation kRow = {"grouped_rms_norm",
                                       "RMSNorm with a weight of its own for each row, or each of a few rows",
                                       kTensors,
                                       true,
                                       kAxes.axes,
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
