// layer_norm_static_fp8_quant and layer_norm_dynamic_quant, each also with a fused add: LayerNorm that ends
// in codes, by a scale that is given or by one for each row.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "oracle/box_search/layer_norm_window.h"
#include "oracle/box_search/quantized_layer_norm.h"
#include "oracle/formats.h"
#include "oracle/judged/block_quant.h"
#include "oracle/judged/layer_norm_call.h"
#include "oracle/judged/quantization_axes.h"
#include "oracle/judged/residual_sum.h"
#include "oracle/judged/rows.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {
namespace {

namespace search = box_search;

// --- Tensors and axes. ---

constexpr TensorSpec kCodes = {
    "out", Direction::out, Extent::codes, DTypeRule::listed, Need::always, "the codes", {}, kBlockCodes};
constexpr TensorSpec kFp8 = {"out",
                             Direction::out,
                             Extent::codes,
                             DTypeRule::listed,
                             Need::always,
                             "the codes",
                             {},
                             std::span(kBlockCodes).first<4>()};
constexpr TensorSpec kScale = {"scale",         Direction::in, Extent::one,
                               DTypeRule::fp32, Need::always,  "the scale of all rows"};
constexpr TensorSpec kScales = {"scales",        Direction::out, Extent::row,
                                DTypeRule::fp32, Need::always,   "the scale of each row"};
constexpr TensorSpec kBound = {"scale_ub",      Direction::in,  Extent::one,
                               DTypeRule::fp32, Need::optional, "the upper bound of a row's maximum"};

constexpr std::array kStaticTensors = {kXSpec, kAffineWeightSpec, kBiasSpec, kScale,
                                       kFp8,   kMeanSpec,         kRstdSpec};
constexpr std::array kAddStaticTensors = {kXSpec, kResidualSpec,    kAffineWeightSpec, kBiasSpec, kScale,
                                          kFp8,   kResidualOutSpec, kMeanSpec,         kRstdSpec};
constexpr std::array kDynamicTensors = {kXSpec, kAffineWeightSpec, kBiasSpec, kBound,
                                        kCodes, kScales,           kMeanSpec, kRstdSpec};
constexpr std::array kAddDynamicTensors = {kXSpec, kResidualSpec, kAffineWeightSpec, kBiasSpec, kBound,
                                           kCodes, kScales,       kResidualOutSpec,  kMeanSpec, kRstdSpec};

constexpr std::array<AxisValue, 3> kGivenScaling = {{
    {"inverse", "fl(y * fl(1 / scale))"},
    {"divide", "fl(y / scale)"},
    {"product", "fl(y * scale)"},
}};
constexpr std::array<AxisValue, 2> kOwnScaling = {{kScaling[0], kScaling[1]}};
constexpr std::size_t kAlone = 1;  // of its values only the first is combined with other axes
constexpr Axis kBeforeAxis = {"before_quantization", kBefore};
constexpr Axis kFp8NanAxis = {"fp8_nan", kFp8Nan, {}, false, kAlone, writes_fp8};
constexpr Axis kRangeAxis = {"range", kRange, {}, false, 2, writes_e4m3fnuz};

constexpr Axis kRareFormAxis = {"form", kForm, {}, false, kAlone};
constexpr std::array kStaticAxes = {kStatisticsAxis,
                                    kRareFormAxis,
                                    kNormalizedAxis,
                                    kLayerNormWeightAxis,
                                    kAffineAxis,
                                    kBeforeAxis,
                                    Axis{"scaling", kGivenScaling},
                                    kRangeAxis,
                                    kFp8NanAxis};
constexpr std::array kDynamicAxes = {kStatisticsAxis,
                                     kRareFormAxis,
                                     kNormalizedAxis,
                                     kLayerNormWeightAxis,
                                     kAffineAxis,
                                     kBeforeAxis,
                                     Axis{"row_scale", kRowScale, {}, false, 2},
                                     Axis{"scaling", kOwnScaling},
                                     Axis{"row_maximum", kMaximum, {}, false, kAlone},
                                     Axis{"maximum_nan", kMaximumNan, {}, false, kAlone},
                                     Axis{"scale_floor", kFloor, {}, false, kAlone},
                                     kRangeAxis,
                                     kFp8NanAxis,
                                     Axis{"int8_low", kInt8Low, {}, false, kAlone, writes_int8}};
constexpr auto kAddStaticAxes = with_sum(kSumAxis, kStaticAxes);
constexpr auto kAddDynamicAxes = with_sum(kSumAxis, kDynamicAxes);

// --- A call as the judge reads it. ---

float number_of(const Tensor& tensor) {
  return std::bit_cast<float>(load_bits(tensor.bytes, tensor.dtype, 0));
}

search::QuantizedLayerNormRule rule_of(const Call& call, const Policy& policy) {
  search::QuantizedLayerNormRule rule;
  rule.norm = layer_norm_rule(call, policy);
  rule.rounds_output = policy.is("before_quantization", "rounded");
  rule.quantized = call.at("out").dtype;
  rule.codes = quantization_policy(policy);
  if (const Tensor* scale = call.find("scale")) {
    const float s = number_of(*scale);
    const bool divides = policy.is("scaling", "divide"), multiplies = policy.is("scaling", "product");
    rule.given = search::CodeScale{divides || multiplies ? s : 1 / s, divides};
    return rule;
  }
  rule.maximum_of_other = policy.is("row_maximum", "of_other");
  rule.drops_nan = policy.is("maximum_nan", "drop");
  const BlockCodes codes(rule.quantized, rule.codes);
  Formula& formula = rule.scale.formula;
  formula.formats.activation = call.dtype();
  formula.formats.quantized = rule.quantized;
  formula.steps = {NormStep::normalize, NormStep::quantize_by_row};
  formula.hidden_size = call.hidden_size();
  formula.policy = rule.codes;
  rule.scale.recipe = recipe_of(call, policy, codes.range(), *rule.quantized);
  formula.scale_ub_bits = rule.scale.recipe.bound;
  rule.scale.element = &format_of(*rule.quantized);
  return rule;
}

class RowJudge : public UnitJudge {
 public:
  RowJudge(const Call& call, const Policy& policy)
      : call_(call),
        rule_(rule_of(call, policy)),
        judge_(rule_, call.hidden_size(), first_hidden_row(call, "weight"), first_hidden_row(call, "bias")) {}

  bool conforms(std::int64_t row) override {
    const search::RowVerdict verdict = judged(row, got(row), got_scale(row), false);
    decided_ = !verdict.undecided;
    return verdict.conforms;
  }
  bool decided() const override { return decided_; }

  Violation violation(std::int64_t row) override {
    const search::RowVerdict verdict = judged(row, got(row), got_scale(row), true);
    judge_.require_exact(verdict, stored(row));
    Violation violation;
    violation.tensor = "out";
    violation.kind = verdict.window.empty() ? "statistics" : "rounding";
    violation.place = fmt::format("row {}", row);
    violation.row = row;
    violation.reason =
        verdict.window.empty() ? stored_text(rule_.norm, judge_.operands(), stored(row)) : reason_of(verdict);
    for (const search::Box& box : verdict.window)
      violation.window.push_back({{kMeanAndRstd[0], bits_at(box.first.low), bits_at(box.first.high)},
                                  {kMeanAndRstd[1], bits_at(box.second.low), bits_at(box.second.high)}});
    if (!verdict.window.empty()) tell_beyond(row, violation);
    const auto right = canonical_outputs(row);
    for (const std::int32_t element : verdict.refutation)
      violation.elements.push_back(element == judge_.scale_element() ? scale_element(row, right)
                                                                     : code_element(row, element, right));
    // The codes may be right, and made with another scale than the one that is stored.
    const auto explains = [](const search::RowVerdict& other) { return other.conforms && !other.undecided; };
    const bool scale_is_wrong =
        call_.has("scales") && !verdict.window.empty() && explains(judged(row, got(row), right.scale, false));
    if (scale_is_wrong) violation.tensor = "scales";
    if (scale_is_wrong && std::ranges::count(verdict.refutation, judge_.scale_element()) == 0)
      violation.elements.push_back(scale_element(row, right));
    return violation;
  }

  std::vector<std::byte> canonical(std::int64_t row) override { return canonical_outputs(row).codes; }
  search::QuantizedLayerNormJudge::Outputs canonical_outputs(std::int64_t row) {
    const auto usual = judge_.canonical_statistics(operand(row));
    return judge_.outputs(operand(row), usual.mean, usual.inverse_root);
  }

  std::vector<NamedBits> unknowns(std::int64_t row) override {
    const auto usual = judge_.canonical_statistics(operand(row));
    return {named(kMeanAndRstd[0], usual.mean), named(kMeanAndRstd[1], usual.inverse_root)};
  }

  bool accepts_wrong(std::int64_t row, Random& random) override {
    const auto usual = judge_.canonical_statistics(operand(row));
    const auto root = static_cast<float>(usual.inverse_root * std::exp2(2 * signed_unit(random)));
    const auto mean = static_cast<float>(usual.mean + signed_unit(random) / root);
    const auto wrong = judge_.outputs(operand(row), mean, root);
    return judged(row, wrong.codes, wrong.scale, false).conforms;
  }

 private:
  static std::uint32_t bits_at(search::Position position) {
    return std::bit_cast<std::uint32_t>(search::number_at(position));
  }
  search::RowVerdict judged(std::int64_t row, std::span<const std::byte> codes, std::uint32_t scale,
                            bool with_refutation) {
    return judge_.judge(operand(row), codes, scale, stored(row), with_refutation);
  }

  // Other statistics, which explain the whole row though no honest evaluation arrives at them.
  void tell_beyond(std::int64_t row, Violation& violation) {
    const auto usual = judge_.canonical_statistics(operand(row));
    if (!(usual.inverse_root > 0) || !std::isfinite(usual.inverse_root) || !std::isfinite(usual.mean)) return;
    judged(row, got(row), got_scale(row), false);
    tell_witness(judge_.witness_in({around(usual.mean, 4 / usual.inverse_root), around(usual.inverse_root)}),
                 {search::order_of(usual.mean), search::order_of(usual.inverse_root)}, kMeanAndRstd,
                 violation);
  }

  std::string reason_of(const search::RowVerdict& verdict) const {
    std::string text;
    for (const std::int32_t element : verdict.refutation) {
      if (!text.empty()) text += ", ";
      text += element == judge_.scale_element() ? "the scale" : fmt::format("column {}", element);
    }
    return fmt::format("no mean and rstd explain {}{}; an honest evaluation arrives at {}", text,
                       verdict.refutation.size() > 1 ? " together" : "",
                       search::window_text(verdict.window, kMeanAndRstd));
  }

  Element code_element(std::int64_t row, std::int32_t column,
                       const search::QuantizedLayerNormJudge::Outputs& right) const {
    Element element{column, {}};
    add_operands(call_, row, element);
    const DType dtype = call_.at("out").dtype;
    const std::int64_t at = row * call_.hidden_size() + column;
    element.values.push_back(code("got", dtype, load_bits(call_.at("out").bytes, dtype, at)));
    element.values.push_back(code("canonical", dtype, load_bits(right.codes, dtype, column)));
    return element;
  }
  // Integers are no floating-point numbers: their text is said here.
  static NamedBits code(std::string_view name, DType dtype, std::uint32_t bits) {
    NamedBits result{name, dtype, bits};
    if (dtype == DType::int8) result.text = fmt::format("{}", static_cast<std::int8_t>(bits));
    return result;
  }
  Element scale_element(std::int64_t row, const search::QuantizedLayerNormJudge::Outputs& right) const {
    Element element{0, {}, "scale"};
    element.values.push_back(named("got", call_.at("scales"), row));
    element.values.push_back({"canonical", DType::fp32, right.scale});
    return element;
  }

  std::span<const std::byte> operand(std::int64_t row) {
    use_affine_of(call_, row, judge_);
    return layer_norm_operand(call_, rule_.norm, row, operand_);
  }
  std::span<const std::byte> got(std::int64_t row) const {
    return call_.at("out").row(row, call_.hidden_size());
  }
  std::uint32_t got_scale(std::int64_t row) const {
    const Tensor* scales = call_.find("scales");
    return scales == nullptr ? 0 : load_bits(scales->bytes, scales->dtype, row);
  }
  search::StoredStatistics stored(std::int64_t row) const { return stored_statistics(call_, row); }

  const Call& call_;
  search::QuantizedLayerNormRule rule_;
  search::QuantizedLayerNormJudge judge_;
  std::vector<std::byte> operand_;
  bool decided_ = true;
};

// --- What the table asks. ---

std::string objection(const Call& call) {
  for (const std::string_view name : {"scale", "scale_ub"}) {
    const Tensor* tensor = call.find(name);
    if (tensor == nullptr) continue;
    const float number = number_of(*tensor);
    if (!(number > 0) || !std::isfinite(number))
      return fmt::format("{}: expected a finite number above 0, got {}", name,
                         value_text(DType::fp32, std::bit_cast<std::uint32_t>(number)));
  }
  return {};
}

std::string policy_objection(const Policy& policy) {
  const bool unrounded =
      policy.is("before_quantization", "unrounded") ||
      (find_tensor(*policy.operation, "scales") != nullptr && policy.is("row_maximum", "of_other"));
  if (unrounded && policy.is("affine", "activation"))
    return "affine=activation rounds y to T: it is never unrounded";
  return {};
}

Tensor zeros(DType dtype, std::vector<std::int64_t> shape) {
  Tensor tensor{dtype, std::move(shape), {}};
  tensor.bytes.assign(static_cast<std::size_t>(tensor.elements()) * size_of(dtype), std::byte{0});
  return tensor;
}

void fill(Call& call, const Policy& policy, std::span<const std::string> outputs) {
  const auto asked = [&](std::string_view name) { return std::ranges::count(outputs, name) > 0; };
  if (!call.has("out")) call.tensors["out"] = {DType::fp8_e4m3fn, {}, {}};
  const DType of_codes = call.at("out").dtype;
  if (asked("out")) call.tensors["out"] = zeros(of_codes, call.at("x").shape);
  std::vector<std::int64_t> numbers = call.at("x").shape;
  numbers.back() = 1;
  for (const std::string_view name : {"scales", "mean", "rstd"})
    if (asked(name)) call.tensors[std::string(name)] = zeros(DType::fp32, numbers);
  if (asked("residual_out")) call.tensors["residual_out"] = zeros(call.dtype(), call.at("x").shape);
  const Call inputs = call;
  RowJudge judge(inputs, policy);
  const auto copy = [](Tensor& tensor, std::int64_t row, std::span<const std::byte> bytes) {
    std::ranges::copy(bytes, tensor.bytes.begin() + row * static_cast<std::ptrdiff_t>(bytes.size()));
  };
  for (std::int64_t row = 0; row < call.rows(); ++row) {
    const auto result = judge.canonical_outputs(row);
    if (asked("out")) copy(call.tensors.at("out"), row, result.codes);
    if (asked("scales")) store_bits(call.tensors.at("scales").bytes, DType::fp32, row, result.scale);
    for (const NamedBits& unknown : judge.unknowns(row))
      if (asked(unknown.name))
        store_bits(call.tensors.find(unknown.name)->second.bytes, DType::fp32, row, unknown.bits);
    if (asked("residual_out")) copy(call.tensors.at("residual_out"), row, sum_of_row(inputs, row).rounded);
  }
}

constexpr JudgedOperation row(std::string_view name, std::string_view sentence,
                              std::span<const TensorSpec> tensors, std::span<const Axis> axes,
                              std::span<const NamedPolicy> policies,
                              const JudgedOperation& (*of_sum)() = nullptr) {
  JudgedOperation result =
      layer_norm_row(name, sentence, tensors, axes, policies, parts_of_rows<RowJudge>, of_sum);
  result.objection = objection;
  result.policy_objection = policy_objection;
  result.fill = fill;
  return result;
}

constexpr std::array<NamedPolicy, 1> kStaticPolicies = {{
    {"transformer_engine.layer_norm_static_fp8_quant",
     "statistics=welford,before_quantization=unrounded,scaling=product",
     "Transformer Engine LayerNorm to FP8, whose scale is the factor: source"},
}};
}  // namespace

const JudgedOperation& layer_norm_static_fp8_quant() {
  static constexpr JudgedOperation kRow =
      row("layer_norm_static_fp8_quant", "layer_norm, then fp8 by a scale that is given", kStaticTensors,
          kStaticAxes, kStaticPolicies);
  return kRow;
}
const JudgedOperation& fused_add_layer_norm_static_fp8_quant() {
  static constexpr JudgedOperation kRow = row(
      "fused_add_layer_norm_static_fp8_quant", "layer_norm_static_fp8_quant of x + residual, which is kept",
      kAddStaticTensors, kAddStaticAxes, {}, layer_norm_static_fp8_quant);
  return kRow;
}
const JudgedOperation& layer_norm_dynamic_quant() {
  static constexpr JudgedOperation kRow =
      row("layer_norm_dynamic_quant", "layer_norm, then fp8 or int8 by a scale for each row, which comes out",
          kDynamicTensors, kDynamicAxes, {});
  return kRow;
}
const JudgedOperation& fused_add_layer_norm_dynamic_quant() {
  static constexpr JudgedOperation kRow =
      row("fused_add_layer_norm_dynamic_quant", "layer_norm_dynamic_quant of x + residual, which is kept",
          kAddDynamicTensors, kAddDynamicAxes, {}, layer_norm_dynamic_quant);
  return kRow;
}

}  // namespace normproof::oracle::judged
