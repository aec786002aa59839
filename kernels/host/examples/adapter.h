// From the tensors of a plug-in to the calls of norm_kernels.h, for both examples.
#pragma once

#include <cstdio>

#include "norm_kernels.h"
#include "normproof_plugin.h"

namespace adapter {

inline int32_t not_taken(const normproof_plugin_call* call, const char* why) {
  std::snprintf(call->message, call->message_capacity, "%s", why);
  return NORMPROOF_PLUGIN_NOT_TAKEN;
}

inline ScalarType scalar_type(const DLTensor* tensor) {
  if (tensor->dtype.code == kDLBfloat) return ScalarType::bf16;
  return tensor->dtype.bits == 16 ? ScalarType::fp16 : ScalarType::fp32;
}

// Of two dimensions. In place where the operation says so: `out` then has the memory of `input`.
inline NormCall norm_call(const normproof_plugin_call* call) {
  const DLTensor* input = normproof_tensor_of(call, "input");
  const DLTensor* out = normproof_tensor_of(call, "out");
  NormCall norm;
  norm.type = scalar_type(input);
  norm.rows = input->shape[0];
  norm.hidden = static_cast<int>(input->shape[1]);
  norm.epsilon = normproof_parameter_of(call, "epsilon");
  norm.input = input->data;
  norm.input_stride = input->strides[0];
  norm.out = out->data;
  norm.out_stride = out->strides[0];
  if (const DLTensor* residual = normproof_tensor_of(call, "residual")) {
    norm.residual = residual->data;
    norm.residual_stride = residual->strides[0];
  }
  if (const DLTensor* weight = normproof_tensor_of(call, "weight")) norm.weight = weight->data;
  if (const DLTensor* scale = normproof_tensor_of(call, "scale")) norm.scale = static_cast<const float*>(scale->data);
  norm.stream = static_cast<cudaStream_t>(call->stream);
  return norm;
}

inline int32_t status_of(cudaError_t error, const normproof_plugin_call* call) {
  if (error == cudaSuccess) return NORMPROOF_PLUGIN_OK;
  std::snprintf(call->message, call->message_capacity, "%s", cudaGetErrorString(error));
  return NORMPROOF_PLUGIN_FAILED;
}

inline int32_t run_rms_norm(const normproof_plugin_call* call) {
  if (normproof_tensor_of(call, "input")->ndim != 2) return not_taken(call, "more than two dimensions");
  return status_of(rms_norm(norm_call(call)), call);
}

inline int32_t run_fused_add_rms_norm(const normproof_plugin_call* call) {
  return status_of(fused_add_rms_norm(norm_call(call)), call);
}

inline constexpr uint32_t kTakes = NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_FP16 | NORMPROOF_TAKES_FP32 |
                                   NORMPROOF_TAKES_NO_WEIGHT | NORMPROOF_TAKES_SAME_WEIGHT;

inline constexpr normproof_plugin_operation entry(const char* name, int32_t (*run)(const normproof_plugin_call*)) {
  return {sizeof(normproof_plugin_operation), name, run, nullptr};
}

}  // namespace adapter
