#include "properties/run/kernel_target.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "properties/run/guarded_tensor.h"

namespace normproof {
namespace {

normproof_dtype interface_dtype(DType dtype) {
  switch (dtype) {
    case DType::fp32:
      return NORMPROOF_FP32;
    case DType::fp16:
      return NORMPROOF_FP16;
    case DType::bf16:
      return NORMPROOF_BF16;
    case DType::fp8_e4m3fn:
      return NORMPROOF_FP8_E4M3FN;
    case DType::fp8_e5m2:
      return NORMPROOF_FP8_E5M2;
    case DType::fp8_e4m3fnuz:
      return NORMPROOF_FP8_E4M3FNUZ;
    case DType::fp8_e5m2fnuz:
      return NORMPROOF_FP8_E5M2FNUZ;
  }
  std::abort();
}

normproof_tensor describe_tensor(const GuardedTensor& tensor) {
  normproof_tensor description{};
  description.data = tensor.data();
  description.dtype = interface_dtype(tensor.dtype());
  description.rank = static_cast<std::int32_t>(tensor.shape().size());
  std::copy(tensor.shape().begin(), tensor.shape().end(), description.sizes);
  std::copy(tensor.strides().begin(), tensor.strides().end(), description.strides);
  return description;
}

// The memory of one OS thread, one per tensor of a call.
struct CallMemory {
  TensorMemory input, residual, weight, output, scale;
};
CallMemory& call_memory() {
  thread_local CallMemory memory;
  return memory;
}

class KernelTarget final : public Target {
 public:
  KernelTarget(std::string name, const KernelFunctions& functions)
      : name_(std::move(name)), functions_(functions) {}
  const std::string& name() const override { return name_; }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override;

 private:
  std::string name_;
  KernelFunctions functions_;
};

RunResult KernelTarget::run(const Case& test_case, const CaseTensors& tensors) {
  CallMemory& memory = call_memory();
  const bool has_residual = adds_residual(test_case.operation);
  const bool writes_input = test_case.operation == Operation::fused_add_rms_norm || test_case.in_place;

  GuardedTensor input(memory.input, "input", test_case.dtype, test_case.shape, test_case.input_layout);
  input.scatter(tensors.input);
  std::optional<GuardedTensor> residual, weight, output, scale;
  if (has_residual) {
    residual.emplace(memory.residual, "residual", test_case.dtype, test_case.shape,
                     test_case.residual_layout);
    residual->scatter(tensors.residual);
  }
  if (test_case.weight_dtype) {
    weight.emplace(memory.weight, "weight", *test_case.weight_dtype, std::vector{test_case.hidden_size()},
                   TensorLayout{{}, test_case.weight_offset});
    weight->scatter(tensors.weight);
  }
  if (!writes_input) {
    output.emplace(memory.output, "out", test_case.output_dtype(), test_case.shape, test_case.output_layout);
  }
  std::vector<std::byte> scale_bytes(sizeof(float));
  store_bits(scale_bytes, DType::fp32, 0, test_case.scale_bits);
  if (quantizes(test_case.operation)) {
    scale.emplace(memory.scale, "scale", DType::fp32, std::vector<std::int64_t>{1}, TensorLayout{});
    scale->scatter(scale_bytes);
  }

  const normproof_tensor input_argument = describe_tensor(input);
  const normproof_tensor output_argument = describe_tensor(output ? *output : input);
  const normproof_tensor residual_argument = residual ? describe_tensor(*residual) : normproof_tensor{};
  const normproof_tensor weight_argument = weight ? describe_tensor(*weight) : normproof_tensor{};
  const normproof_tensor* weight_pointer = weight ? &weight_argument : nullptr;
  const float* scale_pointer = scale ? reinterpret_cast<const float*>(scale->data()) : nullptr;
  normproof_launch launch{};
  launch.path = static_cast<normproof_path>(test_case.launch.path);
  launch.threads_per_block = test_case.launch.threads_per_block;
  normproof_launch_report report{};
  std::array<char, 512> text{};
  const normproof_message message{text.data(), text.size()};
  const float epsilon = test_case.epsilon();

  functions_.set_thread_order(static_cast<std::int32_t>(test_case.schedule.order), test_case.schedule.seed);
  normproof_status status = NORMPROOF_OK;
  switch (test_case.operation) {
    case Operation::rms_norm:
      status = functions_.rms_norm(&output_argument, &input_argument, weight_pointer, epsilon, &launch,
                                   nullptr, &report, message);
      break;
    case Operation::fused_add_rms_norm:
      status = functions_.fused_add_rms_norm(&input_argument, &residual_argument, weight_pointer, epsilon,
                                             &launch, nullptr, &report, message);
      break;
    case Operation::rms_norm_static_fp8_quant:
      status =
          functions_.rms_norm_static_fp8_quant(&output_argument, &input_argument, weight_pointer,
                                               scale_pointer, epsilon, &launch, nullptr, &report, message);
      break;
    case Operation::fused_add_rms_norm_static_fp8_quant:
      status = functions_.fused_add_rms_norm_static_fp8_quant(
          &output_argument, &input_argument, &residual_argument, weight_pointer, scale_pointer, epsilon,
          &launch, nullptr, &report, message);
      break;
  }

  RunResult result;
  result.path = static_cast<KernelPath>(report.path);
  result.threads_per_block = report.threads_per_block;
  result.message = text.data();
  result.status = status == NORMPROOF_OK              ? RunResult::Status::completed
                  : status == NORMPROOF_LAUNCH_FAILED ? RunResult::Status::failed
                                                      : RunResult::Status::refused;
  const bool refused = result.status == RunResult::Status::refused;
  const auto note = [&result](std::string text_of_violation) {
    if (!text_of_violation.empty()) result.memory_violations.push_back(std::move(text_of_violation));
  };
  note(input.find_stray_write());
  if (!writes_input || refused) note(input.find_change(tensors.input));
  if (residual) {
    note(residual->find_stray_write());
    if (refused) note(residual->find_change(tensors.residual));
  }
  if (weight) {
    note(weight->find_stray_write());
    note(weight->find_change(tensors.weight));
  }
  if (scale) {
    note(scale->find_stray_write());
    note(scale->find_change(scale_bytes));
  }
  if (output) {
    note(output->find_stray_write());
    if (refused)
      note(output->find_change(std::vector(
          tensors.input.size() / size_of(test_case.dtype) * size_of(test_case.output_dtype()), kCanary)));
  }
  if (result.status == RunResult::Status::completed) {
    result.outputs.out = (output ? *output : input).gather();
    if (residual) result.outputs.residual_out = residual->gather();
  }
  return result;
}

}  // namespace

KernelFunctions linked_kernels() {
  return {&normproof_rms_norm, &normproof_fused_add_rms_norm, &normproof_rms_norm_static_fp8_quant,
          &normproof_fused_add_rms_norm_static_fp8_quant, &normproof_set_thread_order};
}

KernelFunctions load_kernels(const std::string& library_path) {
  void* library = dlopen(library_path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw TargetError(fmt::format("cannot load {}: {}", library_path, dlerror()));
  const auto find = [&]<class Function>(Function& function, const char* symbol) {
    function = reinterpret_cast<Function>(dlsym(library, symbol));
    if (function == nullptr) throw TargetError(fmt::format("{} has no symbol {}", library_path, symbol));
  };
  KernelFunctions functions;
  find(functions.rms_norm, "normproof_rms_norm");
  find(functions.fused_add_rms_norm, "normproof_fused_add_rms_norm");
  find(functions.rms_norm_static_fp8_quant, "normproof_rms_norm_static_fp8_quant");
  find(functions.fused_add_rms_norm_static_fp8_quant, "normproof_fused_add_rms_norm_static_fp8_quant");
  find(functions.set_thread_order, "normproof_set_thread_order");
  return functions;
}

std::unique_ptr<Target> make_kernel_target(std::string name, const KernelFunctions& functions) {
  return std::make_unique<KernelTarget>(std::move(name), functions);
}

}  // namespace normproof
