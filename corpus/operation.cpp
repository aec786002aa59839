// The table of operations.
#include "corpus/operation.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace normproof {
namespace {

constexpr TensorSpec kInput = {Role::input, Direction::in, Extent::elements, DTypeRule::activation};
constexpr TensorSpec kResidual = {Role::residual, Direction::in, Extent::elements, DTypeRule::residual};
constexpr TensorSpec kWeight = {Role::weight, Direction::in, Extent::hidden, DTypeRule::weight, true};
constexpr TensorSpec kScale = {Role::scale, Direction::in, Extent::one, DTypeRule::fp32};
constexpr TensorSpec kScaleUb = {Role::scale_ub, Direction::in, Extent::one, DTypeRule::fp32, true};
constexpr TensorSpec kScales = {Role::scales, Direction::out, Extent::row, DTypeRule::fp32};
constexpr TensorSpec out(Aliasing aliasing) {
  return {Role::out, Direction::out, Extent::elements, DTypeRule::output, false, aliasing, Role::input};
}
constexpr TensorSpec kCodes = {Role::out, Direction::out, Extent::elements, DTypeRule::codes};
constexpr TensorSpec kResidualOut = {Role::residual_out,  Direction::out, Extent::elements,
                                     DTypeRule::residual, false,          Aliasing::always,
                                     Role::residual};

constexpr std::array kRmsNormTensors = {out(Aliasing::may), kInput, kWeight};
constexpr std::array kFusedAddTensors = {out(Aliasing::always), kResidualOut, kInput, kResidual, kWeight};
constexpr std::array kStaticQuantTensors = {kCodes, kInput, kWeight, kScale};
constexpr std::array kFusedAddStaticQuantTensors = {kCodes, kResidualOut, kInput, kResidual, kWeight, kScale};
constexpr std::array kDynamicQuantTensors = {kCodes, kScales, kInput, kWeight, kScaleUb};
constexpr std::array kFusedAddDynamicQuantTensors = {kCodes,    kScales, kResidualOut, kInput,
                                                     kResidual, kWeight, kScaleUb};

constexpr std::array kEpsilon = {Parameter::epsilon};
constexpr std::array kEpsilonAndScale = {Parameter::epsilon, Parameter::scale};
constexpr std::array kEpsilonAndScaleUb = {Parameter::epsilon, Parameter::scale_ub};

constexpr std::array kNormalize = {NormStep::normalize};
constexpr std::array kAddAndNormalize = {NormStep::add_residual, NormStep::normalize};
constexpr std::array kNormalizeAndQuantize = {NormStep::normalize, NormStep::quantize};
constexpr std::array kAllThree = {NormStep::add_residual, NormStep::normalize, NormStep::quantize};
constexpr std::array kNormalizeAndQuantizeByRow = {NormStep::normalize, NormStep::quantize_by_row};
constexpr std::array kAddNormalizeAndQuantizeByRow = {NormStep::add_residual, NormStep::normalize,
                                                      NormStep::quantize_by_row};

constexpr OperationSpec kTable[] = {
    {Operation::rms_norm,
     "rms_norm",
     "normalizes each row by its root mean square",
     kRmsNormTensors,
     kEpsilon,
     kNormalize,
     4,
     {},
     {}},
    {Operation::fused_add_rms_norm,
     "fused_add_rms_norm",
     "adds the residual, keeps the sum, normalizes it",
     kFusedAddTensors,
     kEpsilon,
     kAddAndNormalize,
     2,
     {},
     Operation::rms_norm},
    {Operation::rms_norm_static_fp8_quant,
     "rms_norm_static_fp8_quant",
     "normalizes, then quantizes by one scale that is given",
     kStaticQuantTensors,
     kEpsilonAndScale,
     kNormalizeAndQuantize,
     2,
     Operation::rms_norm,
     {}},
    {Operation::fused_add_rms_norm_static_fp8_quant, "fused_add_rms_norm_static_fp8_quant",
     "adds the residual, keeps the sum, normalizes and quantizes it by one scale that is given",
     kFusedAddStaticQuantTensors, kEpsilonAndScale, kAllThree, 2, Operation::fused_add_rms_norm,
     Operation::rms_norm_static_fp8_quant},
    {Operation::rms_norm_dynamic_quant,
     "rms_norm_dynamic_quant",
     "normalizes, then quantizes each row by a scale of its own, which comes out",
     kDynamicQuantTensors,
     kEpsilonAndScaleUb,
     kNormalizeAndQuantizeByRow,
     2,
     Operation::rms_norm,
     {}},
    {Operation::fused_add_rms_norm_dynamic_quant, "fused_add_rms_norm_dynamic_quant",
     "adds the residual, keeps the sum, normalizes and quantizes it by a scale for each row",
     kFusedAddDynamicQuantTensors, kEpsilonAndScaleUb, kAddNormalizeAndQuantizeByRow, 2,
     Operation::fused_add_rms_norm, Operation::rms_norm_dynamic_quant},
};

constexpr auto kOperations = [] {
  std::array<Operation, std::size(kTable)> operations{};
  for (std::size_t i = 0; i < operations.size(); ++i) operations[i] = kTable[i].operation;
  return operations;
}();

constexpr std::array<ParameterSpec, kParameters.size()> kParameterTable = {{
    {Parameter::epsilon, "epsilon", 0x358637bd, {}},                // 1e-6
    {Parameter::scale, "scale", 0x3f800000, Role::scale},           // 1
    {Parameter::scale_ub, "scale_ub", 0x7f800000, Role::scale_ub},  // none
}};

constexpr std::array<std::string_view, kRoles.size()> kRoleNames = {
    "input", "residual", "out", "residual_out", "weight", "scale", "scales", "scale_ub"};

// Tables are read by number.
constexpr bool tables_are_in_order() {
  for (std::size_t i = 0; i < kOperations.size(); ++i) {
    if (static_cast<std::size_t>(kOperations[i]) != i) return false;
  }
  for (std::size_t i = 0; i < kParameterTable.size(); ++i) {
    if (kParameterTable[i].parameter != kParameters[i] || static_cast<std::size_t>(kParameters[i]) != i)
      return false;
  }
  for (std::size_t i = 0; i < kRoles.size(); ++i) {
    if (static_cast<std::size_t>(kRoles[i]) != i) return false;
  }
  return true;
}
static_assert(tables_are_in_order());

// What the rest of the project takes for granted of every row.
constexpr bool is_complete(const OperationSpec& spec) {
  bool input = false, out = false, aliased_exist = true, steps_have_tensors = true;
  const auto has_role = [&spec](Role role) {
    for (const TensorSpec& tensor : spec.tensors) {
      if (tensor.role == role) return true;
    }
    return false;
  };
  bool codes = false;
  for (const TensorSpec& tensor : spec.tensors) {
    codes |= tensor.role == Role::out && tensor.dtype == DTypeRule::codes;
    input |= tensor.role == Role::input && tensor.direction == Direction::in;
    out |= tensor.role == Role::out && tensor.direction == Direction::out;
    if (tensor.aliasing != Aliasing::never)
      aliased_exist &= tensor.direction == Direction::out && has_role(tensor.aliased);
  }
  for (const NormStep step : spec.steps) {
    if (step == NormStep::add_residual)
      steps_have_tensors &= has_role(Role::residual) && has_role(Role::residual_out);
    if (step == NormStep::quantize) steps_have_tensors &= has_role(Role::scale) && codes;
    if (step == NormStep::quantize_by_row) steps_have_tensors &= has_role(Role::scales) && codes;
  }
  for (const Parameter parameter : spec.parameters) {
    const ParameterSpec& of = kParameterTable[static_cast<std::size_t>(parameter)];
    if (of.lies_in) steps_have_tensors &= has_role(*of.lies_in);
  }
  return !spec.name.empty() && !spec.sentence.empty() && input && out && aliased_exist &&
         steps_have_tensors && spec.greatest_rank >= 2;
}
static_assert(std::ranges::all_of(kTable, is_complete));

}  // namespace

std::span<const OperationSpec> operation_specs() { return kTable; }

const OperationSpec& spec_of(Operation operation) {
  const auto index = static_cast<std::size_t>(operation);
  if (index >= std::size(kTable))
    throw std::invalid_argument("no operation has number " + std::to_string(index));
  return kTable[index];
}

const ParameterSpec& spec_of(Parameter parameter) {
  return kParameterTable.at(static_cast<std::size_t>(parameter));
}

std::string_view name_of(Operation operation) {
  const auto index = static_cast<std::size_t>(operation);
  return index < std::size(kTable) ? kTable[index].name : "?";
}

std::optional<Operation> operation_from_name(std::string_view name) {
  const auto found = std::ranges::find(kTable, name, &OperationSpec::name);
  if (found == std::end(kTable)) return std::nullopt;
  return found->operation;
}

std::string_view name_of(Role role) { return kRoleNames.at(static_cast<std::size_t>(role)); }

std::span<const Operation> all_operations() { return kOperations; }

std::span<const Operation> operations_that_quantize() {
  static const std::vector<Operation> operations = [] {
    std::vector<Operation> found;
    std::ranges::copy_if(kOperations, std::back_inserter(found), quantizes);
    return found;
  }();
  return operations;
}

std::span<const Operation> operations_with(NormStep step) {
  static const std::map<NormStep, std::vector<Operation>> operations = [] {
    std::map<NormStep, std::vector<Operation>> found;
    for (const OperationSpec& spec : kTable)
      for (const NormStep each : spec.steps) found[each].push_back(spec.operation);
    return found;
  }();
  return operations.at(step);
}

Operation operation_of(std::initializer_list<NormStep> steps) {
  const auto found = std::ranges::find_if(
      kTable, [&](const OperationSpec& spec) { return std::ranges::equal(spec.steps, steps); });
  if (found == std::end(kTable)) throw std::invalid_argument("no operation has just these steps");
  return found->operation;
}

Operation smallest_part(Operation operation) {
  const OperationSpec& spec = spec_of(operation);
  if (spec.without_last_step) return smallest_part(*spec.without_last_step);
  return spec.without_first_step ? smallest_part(*spec.without_first_step) : operation;
}

const TensorSpec* find_tensor(Operation operation, Role role) {
  const auto tensors = spec_of(operation).tensors;
  const auto found = std::ranges::find(tensors, role, &TensorSpec::role);
  return found == tensors.end() ? nullptr : &*found;
}

bool has(Operation operation, NormStep step) {
  const auto steps = spec_of(operation).steps;
  return std::ranges::find(steps, step) != steps.end();
}

bool has(Operation operation, DTypeRule rule) {
  const auto tensors = spec_of(operation).tensors;
  return std::ranges::find(tensors, rule, &TensorSpec::dtype) != tensors.end();
}

bool may_lack(Operation operation, Parameter parameter) {
  const std::optional<Role> role = spec_of(parameter).lies_in;
  return role && find_tensor(operation, *role)->optional;
}

std::vector<DType> code_dtypes(Operation operation) {
  if (!quantizes(operation)) return {};
  std::vector<DType> dtypes(kQuantizedDTypes.begin(), kQuantizedDTypes.end());
  if (quantizes_by_row(operation)) dtypes.push_back(DType::int8);
  return dtypes;
}

bool may_quantize_to(Operation operation, DType dtype) {
  return std::ranges::count(code_dtypes(operation), dtype) > 0;
}

bool may_be_in_place(Operation operation) {
  return std::ranges::any_of(spec_of(operation).tensors,
                             [](const TensorSpec& tensor) { return tensor.aliasing == Aliasing::may; });
}

bool overwrites_input(Operation operation) {
  return find_tensor(operation, Role::out)->aliasing == Aliasing::always;
}

bool is_data(Operation operation, Role role) {
  const TensorSpec* tensor = find_tensor(operation, role);
  return tensor != nullptr && tensor->direction == Direction::in && !holds_parameter(role);
}

bool is_output(Operation operation, Role role) {
  const TensorSpec* tensor = find_tensor(operation, role);
  return tensor != nullptr && tensor->direction == Direction::out;
}

bool holds_parameter(Role role) {
  return std::ranges::any_of(kParameters, [role](Parameter each) { return spec_of(each).lies_in == role; });
}

bool has(Operation operation, Parameter parameter) {
  const auto parameters = spec_of(operation).parameters;
  return std::ranges::find(parameters, parameter) != parameters.end();
}

}  // namespace normproof
