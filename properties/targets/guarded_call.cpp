#include "properties/targets/guarded_call.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "properties/targets/interface_dtype.h"

namespace normproof {
namespace {

normproof_tensor describe_tensor(const GuardedTensor& tensor) {
  normproof_tensor description{};
  description.data = tensor.data();
  description.dtype = interface_dtype(tensor.dtype());
  description.rank = static_cast<std::int32_t>(tensor.shape().size());
  std::copy(tensor.shape().begin(), tensor.shape().end(), description.sizes);
  std::copy(tensor.strides().begin(), tensor.strides().end(), description.strides);
  return description;
}

// What the case gives the tensor: its data, or the parameter that it holds.
std::vector<std::byte> given_values(const Case& test_case, const CaseTensors& tensors, Role role) {
  if (!holds_parameter(role)) return tensors[role];
  std::vector<std::byte> bytes(sizeof(float));
  for (const Parameter parameter : kParameters)
    if (spec_of(parameter).lies_in == role) store_bits(bytes, DType::fp32, 0, test_case.bits_of(parameter));
  return bytes;
}

}  // namespace

GuardedCall::GuardedCall(const Case& test_case, const CaseTensors& tensors, Memory& memory)
    : test_case_(test_case), tensors_(tensors) {
  for (const Role role : kRoles) {
    if (!test_case.has(role) || test_case.memory_of(role) != role) continue;
    std::optional<GuardedTensor>& guarded = guarded_[static_cast<std::size_t>(role)];
    guarded.emplace(memory[role], name_of(role), test_case.dtype_of(role), test_case.shape_of(role),
                    test_case[role].layout);
    if (!is_output(test_case.operation, role)) guarded->scatter(given_values(test_case, tensors, role));
    description(role) = describe_tensor(*guarded);
  }
  for (const Role role : kRoles) {
    if (!test_case.has(role)) continue;
    description(role) = description(test_case.memory_of(role));
    argument(role) = &description(role);
  }
  launch.path = static_cast<normproof_path>(test_case.launch.path);
  launch.threads_per_block = test_case.launch.threads_per_block;
}

normproof_status GuardedCall::invoke(const KernelFunctions& functions) {
  // No demand at all is passed as the absence of one. As bytes: the path may be a number that names none.
  static constexpr normproof_launch kAutomatic{NORMPROOF_PATH_AUTOMATIC, 0};
  const bool automatic = std::memcmp(&launch, &kAutomatic, sizeof launch) == 0;
  functions.set_thread_order(static_cast<std::int32_t>(test_case_.schedule.order), test_case_.schedule.seed);
  KernelCall call;
  call.tensors = arguments_;
  call.epsilon = test_case_.value_of(Parameter::epsilon);
  call.launch = automatic ? nullptr : &launch;
  call.report = &report;
  call.message = {text_.data(), text_.size()};
  return call_kernel(functions, test_case_.operation, call);
}

std::vector<const GuardedTensor*> GuardedCall::tensors() const {
  std::vector<const GuardedTensor*> present;
  for (const std::optional<GuardedTensor>& each : guarded_)
    if (each) present.push_back(&*each);
  return present;
}

void GuardedCall::set_message(std::string_view text) {
  const std::size_t length = std::min(text.size(), text_.size() - 1);
  std::copy_n(text.begin(), length, text_.begin());
  text_[length] = '\0';
}

std::vector<std::string> GuardedCall::memory_violations(bool refused) const {
  std::vector<std::string> violations;
  const auto note = [&violations](std::string text) {
    if (!text.empty()) violations.push_back(std::move(text));
  };
  for (const Role role : kRoles) {
    if (!tensor(role)) continue;
    note(tensor(role)->find_stray_write());
    if (refused || !is_written(role)) note(tensor(role)->find_change(values_before(role)));
  }
  return violations;
}

std::vector<std::byte> GuardedCall::values_before(Role role) const {
  if (!is_output(test_case_.operation, role)) return given_values(test_case_, tensors_, role);
  return std::vector(test_case_.bytes_of(role), kCanary);
}

bool GuardedCall::is_written(Role role) const {
  return std::ranges::any_of(
      kRoles, [&](Role each) { return test_case_.has_output(each) && test_case_.memory_of(each) == role; });
}

Outputs GuardedCall::outputs() const {
  Outputs outputs;
  for (const Role role : kRoles)
    if (test_case_.has_output(role)) outputs[role] = tensor(test_case_.memory_of(role))->gather();
  return outputs;
}

}  // namespace normproof
