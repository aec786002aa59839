// A plug-in from functions that take torch tensors: the adapter says how each of its operations is called,
// and this turns DLPack's tensors into torch's, and what is thrown into findings. See kernels/host/README.md.
//
//   void rms_norm(torch::Tensor& out, torch::Tensor& input, torch::Tensor& weight, double epsilon);  // of
//   the source NORMPROOF_TORCH_PLUGIN("mine", NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_SAME_WEIGHT,
//                          .rms_norm = [](auto call) { rms_norm(call.out, call.input, call.weight,
//                          call.epsilon); })
#pragma once

#include <cstdio>
#include <exception>
#include <optional>

#include "kernels/host/runtime_errors.h"
#include "normproof_plugin.h"

#include <normproof_torch/all.h>

namespace normproof_torch {

// What a call of the plug-in brings, as torch has it. What an operation has no use for, and an absent weight,
// is undefined.
struct Call {
  at::Tensor out, input, residual, weight;
  at::Tensor scale;  // one fp32 number
  double epsilon = 0;
  bool has_weight() const { return weight.defined(); }
  std::optional<at::Tensor> optional_weight() const {
    return weight.defined() ? std::optional(weight) : std::nullopt;
  }
  std::optional<at::Tensor> optional_residual() const {
    return residual.defined() ? std::optional(residual) : std::nullopt;
  }
};
using Operation = void (*)(Call call);

// Null where there is none.
struct Operations {
  Operation rms_norm = nullptr;
  Operation fused_add_rms_norm = nullptr;
  Operation rms_norm_static_fp8_quant = nullptr;
  Operation fused_add_rms_norm_static_fp8_quant = nullptr;
};

inline c10::ScalarType scalar_type_of(const DLDataType& type) {
  if (type.bits == 8) return type.code == NORMPROOF_DL_FLOAT8_E5M2 ? c10::kFloat8_e5m2 : c10::kFloat8_e4m3fn;
  if (type.code == kDLBfloat) return c10::kBFloat16;
  return type.bits == 16 ? c10::kHalf : type.bits == 64 ? c10::kDouble : c10::kFloat;
}

inline at::Tensor tensor_of(const DLTensor* tensor) {
  if (tensor == nullptr) return {};
  return {static_cast<char*>(tensor->data) + tensor->byte_offset,
          {tensor->shape, tensor->shape + tensor->ndim},
          {tensor->strides, tensor->strides + tensor->ndim},
          scalar_type_of(tensor->dtype)};
}

// Runs the operation; what it throws, and a launch that failed, become the call's result.
inline std::int32_t run(Operation operation, const DLTensor* out, const DLTensor* input,
                        const DLTensor* residual, const DLTensor* weight, const float* scale, float epsilon,
                        const normproof_plugin_call* call) {
  const auto say = [&](const char* what) {
    std::snprintf(call->message, call->message_capacity, "%s", what);
  };
  try {
    Call given{tensor_of(out),
               tensor_of(input),
               tensor_of(residual),
               tensor_of(weight),
               {},
               static_cast<double>(epsilon)};
    if (scale != nullptr) given.scale = at::Tensor(const_cast<float*>(scale), {1}, {1}, c10::kFloat);
    operation(std::move(given));
    return NORMPROOF_PLUGIN_OK;
  } catch (const c10::NotImplementedError& error) {
    say(error.what());
    return NORMPROOF_PLUGIN_NOT_TAKEN;
  } catch (const std::exception& error) {
    say(error.what());
    return NORMPROOF_PLUGIN_FAILED;
  }
}

// The operations of the one plug-in of the library.
template <class Tag>
struct Plugin {
  static inline Operations operations;

  static std::int32_t rms_norm(const DLTensor* out, const DLTensor* input, const DLTensor* weight,
                               float epsilon, const normproof_plugin_call* call) {
    return run(operations.rms_norm, out, input, nullptr, weight, nullptr, epsilon, call);
  }
  static std::int32_t fused_add_rms_norm(const DLTensor* input, const DLTensor* residual,
                                         const DLTensor* weight, float epsilon,
                                         const normproof_plugin_call* call) {
    return run(operations.fused_add_rms_norm, nullptr, input, residual, weight, nullptr, epsilon, call);
  }
  static std::int32_t rms_norm_static_fp8_quant(const DLTensor* out, const DLTensor* input,
                                                const DLTensor* weight, const float* scale, float epsilon,
                                                const normproof_plugin_call* call) {
    return run(operations.rms_norm_static_fp8_quant, out, input, nullptr, weight, scale, epsilon, call);
  }
  static std::int32_t fused_add_rms_norm_static_fp8_quant(const DLTensor* out, const DLTensor* input,
                                                          const DLTensor* residual, const DLTensor* weight,
                                                          const float* scale, float epsilon,
                                                          const normproof_plugin_call* call) {
    return run(operations.fused_add_rms_norm_static_fp8_quant, out, input, residual, weight, scale, epsilon,
               call);
  }

  static const normproof_plugin_info* info(const char* name, std::uint32_t takes, const Operations& given) {
    operations = given;
    static const normproof_plugin_info info = {
        NORMPROOF_PLUGIN_ABI,
        takes,
        name,
        kDLCPU,
        given.rms_norm != nullptr ? &rms_norm : nullptr,
        given.fused_add_rms_norm != nullptr ? &fused_add_rms_norm : nullptr,
        given.rms_norm_static_fp8_quant != nullptr ? &rms_norm_static_fp8_quant : nullptr,
        given.fused_add_rms_norm_static_fp8_quant != nullptr ? &fused_add_rms_norm_static_fp8_quant
                                                             : nullptr};
    return &info;
  }
};

}  // namespace normproof_torch

// Exports normproof_plugin(). takes: NORMPROOF_TAKES_...; then the operations, .rms_norm = [](auto call) {
// ... }.
#define NORMPROOF_TORCH_PLUGIN(name, takes, ...)                                                             \
  struct normproof_torch_tag;                                                                                \
  extern "C" NORMPROOF_PLUGIN_EXPORT const normproof_plugin_info* normproof_plugin(void) {                   \
    return ::normproof_torch::Plugin<normproof_torch_tag>::info(name, takes,                                 \
                                                                ::normproof_torch::Operations{__VA_ARGS__}); \
  }
