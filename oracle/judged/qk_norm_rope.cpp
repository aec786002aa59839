// qk_norm_rope: a row of the table. RMSNorm of each head of q or k, then the rotary embedding.
#include "oracle/box_search/qk_norm_rope.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "oracle/judged/rows.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {
namespace {

namespace search = box_search;

constexpr std::array kTensors = {
    TensorSpec{"x", Direction::in, Extent::elements, DTypeRule::activation, Need::always,
               "q or k before the call, [..., heads, head size]"},
    TensorSpec{"weight", Direction::in, Extent::hidden, DTypeRule::activation_or_fp32, Need::optional,
               "the weight of a head; without one: 1"},
    TensorSpec{"cos", Direction::in, Extent::rotation, DTypeRule::activation_or_fp32, Need::always,
               "one cosine for each rotated pair of a token"},
    TensorSpec{"sin", Direction::in, Extent::rotation, DTypeRule::activation_or_fp32, Need::always,
               "one sine for each rotated pair of a token"},
    TensorSpec{"out", Direction::out, Extent::elements, DTypeRule::activation, Need::always,
               "normalized and rotated heads", "x"}};

constexpr std::array<AxisValue, 5> kWeight = {{
    {"fp32", "fl(fl(x * r) * w)"},
    {"activation", "fl(rnd_T(fl(x * r)) * w)"},
    {"product_first", "fl(fl(x * w) * r)"},
    {"factor_first", "fl(x * fl(r * w))"},
    {"fp32_plus_one", "fl(fl(x * r) * fl(1 + w))"},
}};
constexpr std::array<AxisValue, 2> kNormalized = {
    {{"fp32", "the norm as it is is rotated"}, {"activation", "the norm is rounded to T first"}}};
constexpr std::array<AxisValue, 2> kRotation = {{
    {"fp32", "rnd_T(fl(a cos) -+ fl(b sin)), one rounding to T"},
    {"activation", "both products and their sum are rounded to T"},
}};
constexpr std::array<AxisValue, 3> kContraction = {{
    {"none", "both products are rounded"},
    {"cosine", "the product with cos is fused"},
    {"sine", "the product with sin is fused"},
}};
constexpr std::array<AxisValue, 2> kPairs = {{{"neox", "(i, i + R/2)"}, {"interleaved", "(2i, 2i + 1)"}}};
constexpr std::array kAxes = {Axis{"pairs", kPairs},
                              Axis{"weight", kWeight, "weight"},
                              Axis{"normalized", kNormalized},
                              Axis{"rotation", kRotation},
                              Axis{"first_contraction", kContraction},
                              Axis{"second_contraction", kContraction}};
constexpr std::array kBounds = {kInverseRootUlp, kSumDepth};
constexpr std::array<NamedPolicy, 3> kPolicies = {{
    {"vllm.qk_norm_rope", "weight=factor_first,first_contraction=cosine,second_contraction=sine",
     "vLLM fused_qk_norm_rope, as nvcc fuses by default"},
    {"sglang.qk_norm_rope", "normalized=activation", "SGLang: the norm in T, then the rotation in fp32"},
    {"hugging_face.qk_norm_rope", "weight=activation,normalized=activation,rotation=activation",
     "Hugging Face: q_norm, then apply_rotary_pos_emb, all in T"},
}};

search::RopeContraction contraction_of(std::string_view name) {
  return name == "cosine" ? search::RopeContraction::cosine
         : name == "sine" ? search::RopeContraction::sine
                          : search::RopeContraction::none;
}

search::QkNormRopeRule rule_of(const Call& call, const Policy& policy) {
  search::QkNormRopeRule rule;
  rule.activation = call.dtype();
  rule.weight = dtype_of(call.find("weight"));
  rule.rotation = call.at("cos").dtype;
  const auto weight = [&](std::string_view name) { return policy.is("weight", name); };
  rule.order = weight("activation")      ? search::NormOrder::rounded_first
               : weight("product_first") ? search::NormOrder::product_first
               : weight("factor_first")  ? search::NormOrder::factor_first
                                         : search::NormOrder::normalized_first;
  rule.weight_plus_one = weight("fp32_plus_one");
  rule.rounds_norm = policy.is("normalized", "activation");
  rule.rounds_steps = policy.is("rotation", "activation");
  rule.first = contraction_of(policy.value("first_contraction"));
  rule.second = contraction_of(policy.value("second_contraction"));
  rule.interleaved = policy.is("pairs", "interleaved");
  rule.epsilon = call.epsilon;
  rule.inverse_root_ulp = static_cast<int>(policy.bound("inverse_root_ulp").value_or(2));
  rule.sum_depth = policy.bound("sum_depth");
  return rule;
}

std::int64_t pairs_of(const Call& call) { return call.at("cos").shape.back(); }
std::int64_t heads_of(const Call& call) {
  const std::vector<std::int64_t>& shape = call.at("x").shape;
  return shape.size() < 2 ? 1 : shape.end()[-2];
}

class HeadJudge : public UnitJudge {
 public:
  HeadJudge(const Call& call, const Policy& policy)
      : call_(call),
        rule_(rule_of(call, policy)),
        judge_(rule_, call.hidden_size(), 2 * pairs_of(call), bytes_of(call.find("weight"))) {}

  bool conforms(std::int64_t head) override {
    set_rotation(head);
    return judge_.judge(x(head), got(head), false).conforms;
  }

  Violation violation(std::int64_t head) override {
    set_rotation(head);
    const search::RowVerdict verdict = judge_.judge(x(head), got(head));
    judge_.require_exact(verdict);
    static constexpr std::array<std::string_view, 1> kUnknown = {"r"};
    const std::function<std::int64_t(std::int64_t)> column_of = [this](std::int64_t slot) {
      return judge_.row().column_of(slot);
    };
    Violation violation = violation_of(verdict, kUnknown, column_of);
    const float usual = judge_.canonical_root(x(head));
    if (usual > 0 && std::isfinite(usual)) {
      tell_witness(search::witness_in(judge_.row(), {around(usual), {0, 0}}), {search::order_of(usual), 0},
                   kUnknown, violation);
    }
    violation.tensor = "out";
    const std::int64_t heads = heads_of(call_);
    violation.row = head / heads;
    violation.place = fmt::format("head {} of row {}", head % heads, violation.row);
    const Tensor right{call_.dtype(), {call_.hidden_size()}, canonical(head)};
    for (Element& element : violation.elements) tell(head, right, element);
    return violation;
  }

  std::vector<std::byte> canonical(std::int64_t head) override {
    set_rotation(head);
    return judge_.outputs(x(head), judge_.canonical_root(x(head)));
  }

  std::vector<NamedBits> unknowns(std::int64_t head) override {
    return {named("r", judge_.canonical_root(x(head)))};
  }

  bool accepts_wrong(std::int64_t head, Random& random) override {
    set_rotation(head);
    const auto root = static_cast<float>(judge_.canonical_root(x(head)) * std::exp2(2 * signed_unit(random)));
    const std::vector<std::byte> wrong = judge_.outputs(x(head), root);
    return judge_.judge(x(head), wrong, false).conforms;
  }

 private:
  std::span<const std::byte> x(std::int64_t head) const {
    return call_.at("x").row(head, call_.hidden_size());
  }
  std::span<const std::byte> got(std::int64_t head) const {
    return call_.at("out").row(head, call_.hidden_size());
  }
  void set_rotation(std::int64_t head) {
    const std::int64_t token = head / heads_of(call_);
    judge_.set_rotation(call_.at("cos").row(token, pairs_of(call_)),
                        call_.at("sin").row(token, pairs_of(call_)));
  }
  void tell(std::int64_t head, const Tensor& right, Element& element) const {
    const std::int64_t j = element.column, pairs = pairs_of(call_), base = head * call_.hidden_size();
    element.values.push_back(named("x", call_.at("x"), base + j));
    const bool rotated = j < 2 * pairs;
    const std::int64_t pair = rule_.interleaved ? j / 2 : j % std::max<std::int64_t>(pairs, 1);
    if (rotated) {
      const std::int64_t partner = rule_.interleaved ? j ^ 1 : j < pairs ? j + pairs : j - pairs;
      element.values.push_back(named("its partner", call_.at("x"), base + partner));
    }
    if (const Tensor* weight = call_.find("weight")) element.values.push_back(named("weight", *weight, j));
    if (rotated) {
      const std::int64_t at = head / heads_of(call_) * pairs + pair;
      element.values.push_back(named("cos", call_.at("cos"), at));
      element.values.push_back(named("sin", call_.at("sin"), at));
    }
    element.values.push_back(named("got", call_.at("out"), base + j));
    element.values.push_back(named("canonical", right, j));
  }

  const Call& call_;
  search::QkNormRopeRule rule_;
  search::QkNormRopeJudge judge_;
};

std::vector<Part> parts(const Call& call, const Policy& policy) {
  const std::int64_t heads = heads_of(call);
  return {{"out", "head", call.rows(), call.hidden_size(), heads,
           [&call, &policy] { return std::make_unique<HeadJudge>(call, policy); }}};
}

std::vector<std::string> not_looked_at(const Call&) {
  return {"v, and heads that are not in x", "whether cos and sin are those of the tokens' positions",
          "the order of summation", "subnormal results that are flushed to zero (they are refused)"};
}

std::string objection(const Call& call) {
  const std::int64_t pairs = pairs_of(call);
  if (call.at("x").shape.size() < 2) return "x: expected [..., heads, head size], got one dimension";
  if (2 * pairs > call.hidden_size())
    return fmt::format(
        "cos: expected at most {} numbers a token, half the head size (cos and sin once for each pair, not "
        "repeated), got {}",
        call.hidden_size() / 2, pairs);
  if (call.at("sin").shape != call.at("cos").shape)
    return fmt::format("sin: expected {} numbers a token, as cos has, got {}", pairs,
                       call.at("sin").shape.back());
  if (call.at("sin").dtype != call.at("cos").dtype)
    return fmt::format("sin: expected dtype {}, that of cos, got {}", name_of(call.at("cos").dtype),
                       name_of(call.at("sin").dtype));
  return {};
}

std::string policy_objection(const Policy& policy) {
  const bool fuses = !policy.is("first_contraction", "none") || !policy.is("second_contraction", "none");
  if (policy.is("rotation", "activation") && fuses)
    return "rotation=activation rounds both products: neither can be fused";
  return {};
}

std::vector<ColumnGroup> columns(const Call& call, const Policy& policy) {
  const std::int64_t pairs = pairs_of(call);
  const bool interleaved = policy.is("pairs", "interleaved");
  std::vector<ColumnGroup> groups;
  for (std::int64_t i = 0; i < pairs; ++i) {
    groups.push_back(
        {interleaved ? std::vector<std::int64_t>{2 * i, 2 * i + 1} : std::vector<std::int64_t>{i, i + pairs},
         i});
  }
  for (std::int64_t j = 2 * pairs; j < call.hidden_size(); ++j) groups.push_back({{j}, {}});
  return groups;
}

}  // namespace

const JudgedOperation& qk_norm_rope() {
  static constexpr JudgedOperation kRow = {"qk_norm_rope",
                                           "normalizes each head of q or k, then rotates it by its position",
                                           kTensors,
                                           true,
                                           kAxes,
                                           kBounds,
                                           kPolicies,
                                           objection,
                                           policy_objection,
                                           parts,
                                           not_looked_at,
                                           columns,
                                           nothing_to_complete};
  return kRow;
}

}  // namespace normproof::oracle::judged
