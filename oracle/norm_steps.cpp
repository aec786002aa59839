// What each step of an operation computes.
#include "oracle/norm_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "oracle/canonical.h"
#include "oracle/quantization_scale.h"

namespace normproof::oracle {
namespace {

void add_residual(Arithmetic& arithmetic, const Formula& formula, ElementState& element) {
  element.sum =
      row_of(formula.policy.sum).function(arithmetic, formula.formats, element.input, element.residual);
}

void normalize(Arithmetic& arithmetic, const Formula& formula, ElementState& element) {
  const Formats& formats = formula.formats;
  const RootRow& root = row_of(formula.policy.root);
  const Value& s = element.sum.output_operand;
  RowUnknown u{element.unknown, root.divides};
  if (root.rounds_to_activation) {
    u.value = round_narrow(arithmetic, formats, Step::rounded_root, "rnd_T(r)", formats.activation,
                           element.unknown);
  }
  if (formats.weight) {
    element.product = row_of(formula.policy.weight).function(arithmetic, formats, s, u, element.weight);
    return;
  }
  const char* text = u.divides ? "fl(x / rms)" : "fl(x * r)";
  element.product = {arithmetic.round(Step::scaled, text, DType::fp32, u.applied_to(s)), DType::fp32};
}

// NaN stays, and becomes 0 where it is rounded.
Value clamp_to_int8(const Value& scaled, const Policy& policy) {
  const Value least = Value::integer(row_of(policy.int8_low).least), most = Value::integer(127);
  return scaled < least ? least : scaled > most ? most : scaled;
}

// With the scale of the formula, whether it was given or is the row's own (Formula::with_scale).
void quantize(Arithmetic& arithmetic, const Formula& formula, ElementState& element) {
  const DType quantized = *formula.formats.quantized;
  Value scaled = formula.factor_bits ? arithmetic.round(Step::scaled_output, "fl(y * f)", DType::fp32,
                                                        element.y * decode(DType::fp32, *formula.factor_bits))
                                     : row_of(formula.policy.scaling)
                                           .function(arithmetic, element.y,
                                                     decode(DType::fp32, formula.bits_of(Parameter::scale)));
  if (row_of(formula.policy.fp8_rounding).through_bf16)
    scaled = arithmetic.round(Step::output_in_bf16, "rnd_bf16(...)", DType::bf16, scaled);
  const Value clamped = quantized == DType::int8
                            ? clamp_to_int8(scaled, formula.policy)
                            : row_of(formula.policy.fp8_nan).clamp(scaled, quantized_range(formula));
  element.y = arithmetic.round(Step::quantized, "q = rnd_Q(clamp(...))", quantized, clamped);
}

constexpr std::array kOfSum = {Role::residual, Role::residual_out};
constexpr std::array kOfNorm = {Role::weight};
constexpr std::array kOfScale = {Role::scale};
constexpr std::array kOfRowScale = {Role::scales, Role::scale_ub};
constexpr std::array kEpsilon = {Parameter::epsilon};
constexpr std::array kScale = {Parameter::scale};
constexpr std::array kScaleBound = {Parameter::scale_ub};

constexpr NormStepRow kAddResidual{StepPlace::sum, true, kOfSum, {}, add_residual};
constexpr NormStepRow kNormalize{StepPlace::product, true, kOfNorm, kEpsilon, normalize};
constexpr NormStepRow kQuantize{StepPlace::code, true, kOfScale, kScale, quantize};
constexpr NormStepRow kQuantizeByRow{StepPlace::code, true, kOfRowScale, kScaleBound, quantize};

[[noreturn]] void refuse(const OperationSpec& spec, const std::string& what) {
  throw std::invalid_argument(fmt::format("operation: no formula for {}: {}", spec.name, what));
}

}  // namespace

NormSteps::NormSteps(std::span<const NormStep> steps) : count_(static_cast<std::uint8_t>(steps.size())) {
  if (steps.size() > kMost)
    throw std::invalid_argument(fmt::format("operation: {} steps; at most {}", steps.size(), kMost));
  std::ranges::copy(steps, steps_.begin());
}

bool NormSteps::has(NormStep step) const { return std::find(begin(), end(), step) != end(); }

NormSteps NormSteps::without(NormStep step) const {
  NormSteps result({});
  for (const NormStep each : *this) {
    if (each != step) result.steps_[result.count_++] = each;
  }
  return result;
}

// The compiler stops at a step that has no row.
const NormStepRow& row_of(NormStep step) {
  switch (step) {
    case NormStep::add_residual:
      return kAddResidual;
    case NormStep::normalize:
      return kNormalize;
    case NormStep::quantize:
      return kQuantize;
    case NormStep::quantize_by_row:
      return kQuantizeByRow;
  }
  throw std::invalid_argument(fmt::format("operation: no formula for step {}", static_cast<int>(step)));
}

bool has_tensor(const NormStepRow& row, Role role) {
  return std::ranges::find(row.tensors, role) != row.tensors.end();
}

void carry_out(Arithmetic& arithmetic, const Formula& formula, StepPlace place, ElementState& element) {
  for (const NormStep step : formula.steps) {
    const NormStepRow& row = row_of(step);
    if (row.place == place) row.function(arithmetic, formula, element);
  }
}

void require_formula(const OperationSpec& spec) {
  auto place = StepPlace::sum;
  bool keeps_magnitude = true;
  int norms = 0, codes = 0;
  for (const NormStep step : NormSteps(spec.steps)) {
    const NormStepRow& row = row_of(step);
    const bool first_product = row.place == StepPlace::product && place != StepPlace::product;
    if (row.place < place || (first_product && step != NormStep::normalize))
      refuse(spec, "the order of its steps");
    place = row.place;
    norms += step == NormStep::normalize;
    codes += row.place == StepPlace::code;
    if (step == NormStep::quantize_by_row && !keeps_magnitude)
      refuse(spec, "a scale of the row behind a step with which |y| does not rise and fall with r");
    keeps_magnitude = keeps_magnitude && row.keeps_magnitude;
  }
  if (norms != 1 || codes > 1) refuse(spec, "the number of its steps that normalize or quantize");
  for (const TensorSpec& tensor : spec.tensors) {
    if (tensor.role == Role::input || tensor.role == Role::out) continue;
    if (std::ranges::none_of(spec.steps,
                             [&](NormStep step) { return has_tensor(row_of(step), tensor.role); }))
      refuse(spec, fmt::format("none of its steps has the tensor {}", name_of(tensor.role)));
  }
  for (const Parameter parameter : spec.parameters) {
    const auto has_it = [&](NormStep step) {
      return std::ranges::find(row_of(step).parameters, parameter) != row_of(step).parameters.end();
    };
    if (std::ranges::none_of(spec.steps, has_it))
      refuse(spec, fmt::format("none of its steps has the number {}", spec_of(parameter).name));
  }
}

bool has_loops(const NormSteps& steps) {
  using enum NormStep;
  static const std::array kLists = {
      NormSteps{normalize},
      NormSteps{normalize, quantize},
      NormSteps{normalize, quantize_by_row},
      NormSteps{add_residual, normalize},
      NormSteps{add_residual, normalize, quantize},
      NormSteps{add_residual, normalize, quantize_by_row},
  };
  return std::ranges::find(kLists, steps) != kLists.end();
}

}  // namespace normproof::oracle
