#include "properties/run/guarded_call.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "properties/run/interface_dtype.h"

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

std::vector<std::byte> fp32_bytes(std::uint32_t bits) {
  std::vector<std::byte> bytes(sizeof(float));
  store_bits(bytes, DType::fp32, 0, bits);
  return bytes;
}

}  // namespace

GuardedCall::GuardedCall(const Case& test_case, const CaseTensors& tensors, Memory& memory)
    : test_case_(test_case),
      tensors_(tensors),
      writes_input_(test_case.memory_of(Role::out) != Role::out),
      scale_bytes_(fp32_bytes(test_case.bits_of(Parameter::scale))),
      input_tensor_(memory.input, "input", test_case.dtype, test_case.shape, test_case[Role::input].layout) {
  input_tensor_.scatter(tensors[Role::input]);
  input_description = describe_tensor(input_tensor_);
  input = &input_description;
  if (adds_residual(test_case.operation)) {
    residual_tensor_.emplace(memory.residual, "residual", test_case.dtype, test_case.shape,
                             test_case[Role::residual].layout);
    residual_tensor_->scatter(tensors[Role::residual]);
    residual_description = describe_tensor(*residual_tensor_);
    residual = &residual_description;
  }
  if (test_case.weight_dtype) {
    weight_tensor_.emplace(memory.weight, "weight", *test_case.weight_dtype,
                           std::span(&test_case.shape.back(), 1), TensorLayout{{}, test_case[Role::weight].layout.offset});
    weight_tensor_->scatter(tensors[Role::weight]);
    weight_description = describe_tensor(*weight_tensor_);
    weight = &weight_description;
  }
  if (!writes_input_) {
    out_tensor_.emplace(memory.output, "out", test_case.output_dtype(), test_case.shape,
                        test_case[Role::out].layout);
  }
  out_description = out_tensor_ ? describe_tensor(*out_tensor_) : input_description;
  out = &out_description;
  if (quantizes(test_case.operation)) {
    static constexpr std::int64_t kOne = 1;
    scale_tensor_.emplace(memory.scale, "scale", DType::fp32, std::span(&kOne, 1), TensorLayout{});
    scale_tensor_->scatter(scale_bytes_);
    scale = reinterpret_cast<const float*>(scale_tensor_->data());
  }
  launch.path = static_cast<normproof_path>(test_case.launch.path);
  launch.threads_per_block = test_case.launch.threads_per_block;
}

normproof_status GuardedCall::invoke(const KernelFunctions& functions) {
  const normproof_message message{text_.data(), text_.size()};
  const float epsilon = test_case_.value_of(Parameter::epsilon);
  // No demand at all is passed as the absence of one. As bytes: the path may be a number that names none.
  static constexpr normproof_launch kAutomatic{NORMPROOF_PATH_AUTOMATIC, 0};
  const bool automatic = std::memcmp(&launch, &kAutomatic, sizeof launch) == 0;
  const normproof_launch* demand = automatic ? nullptr : &launch;
  functions.set_thread_order(static_cast<std::int32_t>(test_case_.schedule.order), test_case_.schedule.seed);
  switch (test_case_.operation) {
    case Operation::rms_norm:
      return functions.rms_norm(out, input, weight, epsilon, demand, nullptr, &report, message);
    case Operation::fused_add_rms_norm:
      return functions.fused_add_rms_norm(input, residual, weight, epsilon, demand, nullptr, &report,
                                          message);
    case Operation::rms_norm_static_fp8_quant:
      return functions.rms_norm_static_fp8_quant(out, input, weight, scale, epsilon, demand, nullptr, &report,
                                                 message);
    case Operation::fused_add_rms_norm_static_fp8_quant:
      return functions.fused_add_rms_norm_static_fp8_quant(out, input, residual, weight, scale, epsilon,
                                                           demand, nullptr, &report, message);
  }
  std::abort();
}

std::vector<const GuardedTensor*> GuardedCall::tensors() const {
  std::vector<const GuardedTensor*> present = {&input_tensor_};
  for (const auto* tensor : {&residual_tensor_, &weight_tensor_, &out_tensor_, &scale_tensor_}) {
    if (*tensor) present.push_back(&**tensor);
  }
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
  note(input_tensor_.find_stray_write());
  if (!writes_input_ || refused) note(input_tensor_.find_change(tensors_[Role::input]));
  if (residual_tensor_) {
    note(residual_tensor_->find_stray_write());
    if (refused) note(residual_tensor_->find_change(tensors_[Role::residual]));
  }
  if (weight_tensor_) {
    note(weight_tensor_->find_stray_write());
    note(weight_tensor_->find_change(tensors_[Role::weight]));
  }
  if (scale_tensor_) {
    note(scale_tensor_->find_stray_write());
    note(scale_tensor_->find_change(scale_bytes_));
  }
  if (out_tensor_) {
    note(out_tensor_->find_stray_write());
    if (refused) {
      const auto elements = static_cast<std::size_t>(test_case_.elements());
      note(out_tensor_->find_change(std::vector(elements * size_of(test_case_.output_dtype()), kCanary)));
    }
  }
  return violations;
}

Outputs GuardedCall::outputs() const {
  Outputs outputs;
  outputs[Role::out] = (out_tensor_ ? *out_tensor_ : input_tensor_).gather();
  if (residual_tensor_) outputs[Role::residual_out] = residual_tensor_->gather();
  return outputs;
}

}  // namespace normproof
