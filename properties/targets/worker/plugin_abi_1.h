// Libraries that were built for version 1 of the plug-in interface: a function for each of the first four
// operations, their tensors as arguments in a fixed order.
#pragma once

#include <cstdint>

#include "corpus/operation.h"
#include "properties/plugin/normproof_plugin.h"

namespace normproof::worker::abi_1 {

inline constexpr std::uint32_t kVersion = 1;

struct Call {
  void* stream;
  char* message;
  std::size_t message_capacity;
};

struct Info {
  std::uint32_t abi_version;
  std::uint32_t takes;
  const char* name;
  DLDeviceType memory;
  std::int32_t (*rms_norm)(const DLTensor* out, const DLTensor* input, const DLTensor* weight, float epsilon,
                           const Call* call);
  std::int32_t (*fused_add_rms_norm)(const DLTensor* input, const DLTensor* residual, const DLTensor* weight,
                                     float epsilon, const Call* call);
  std::int32_t (*rms_norm_static_fp8_quant)(const DLTensor* out, const DLTensor* input,
                                            const DLTensor* weight, const float* scale, float epsilon,
                                            const Call* call);
  std::int32_t (*fused_add_rms_norm_static_fp8_quant)(const DLTensor* out, const DLTensor* input,
                                                      const DLTensor* residual, const DLTensor* weight,
                                                      const float* scale, float epsilon, const Call* call);
};

inline bool has(const Info& info, Operation operation) {
  switch (operation) {
    case Operation::rms_norm:
      return info.rms_norm != nullptr;
    case Operation::fused_add_rms_norm:
      return info.fused_add_rms_norm != nullptr;
    case Operation::rms_norm_static_fp8_quant:
      return info.rms_norm_static_fp8_quant != nullptr;
    case Operation::fused_add_rms_norm_static_fp8_quant:
      return info.fused_add_rms_norm_static_fp8_quant != nullptr;
    default:  // of a later version
      return false;
  }
}

// Carries out a call of version 2, of an operation that it has.
inline std::int32_t run(const Info& info, Operation operation, const normproof_plugin_call& call) {
  const auto tensor = [&](Role role) { return normproof_tensor_of(&call, name_of(role).data()); };
  const DLTensor *out = tensor(Role::out), *input = tensor(Role::input), *residual = tensor(Role::residual),
                 *weight = tensor(Role::weight), *scale_tensor = tensor(Role::scale);
  const auto* scale = scale_tensor == nullptr ? nullptr : static_cast<const float*>(scale_tensor->data);
  const float epsilon = normproof_parameter_of(&call, spec_of(Parameter::epsilon).name.data());
  const Call context{call.stream, call.message, call.message_capacity};
  switch (operation) {
    case Operation::rms_norm:
      return info.rms_norm(out, input, weight, epsilon, &context);
    case Operation::fused_add_rms_norm:
      return info.fused_add_rms_norm(input, residual, weight, epsilon, &context);
    case Operation::rms_norm_static_fp8_quant:
      return info.rms_norm_static_fp8_quant(out, input, weight, scale, epsilon, &context);
    case Operation::fused_add_rms_norm_static_fp8_quant:
      return info.fused_add_rms_norm_static_fp8_quant(out, input, residual, weight, scale, epsilon, &context);
    default:
      return NORMPROOF_PLUGIN_FAILED;
  }
}

}  // namespace normproof::worker::abi_1
