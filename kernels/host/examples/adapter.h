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

// Of two dimensions.
inline NormCall norm_call(const DLTensor* out, const DLTensor* input, const DLTensor* residual, const DLTensor* weight,
                          float epsilon, const normproof_plugin_call* call) {
  NormCall norm;
  norm.type = scalar_type(input);
  norm.rows = input->shape[0];
  norm.hidden = static_cast<int>(input->shape[1]);
  norm.epsilon = epsilon;
  norm.input = input->data;
  norm.input_stride = input->strides[0];
  if (out != nullptr) {
    norm.out = out->data;
    norm.out_stride = out->strides[0];
  }
  if (residual != nullptr) {
    norm.residual = residual->data;
    norm.residual_stride = residual->strides[0];
  }
  norm.weight = weight == nullptr ? nullptr : weight->data;
  norm.stream = static_cast<cudaStream_t>(call->stream);
  return norm;
}

inline int32_t status_of(cudaError_t error, const normproof_plugin_call* call) {
  if (error == cudaSuccess) return NORMPROOF_PLUGIN_OK;
  std::snprintf(call->message, call->message_capacity, "%s", cudaGetErrorString(error));
  return NORMPROOF_PLUGIN_FAILED;
}

inline int32_t run_rms_norm(const DLTensor* out, const DLTensor* input, const DLTensor* weight, float epsilon,
                            const normproof_plugin_call* call) {
  if (input->ndim != 2) return not_taken(call, "more than two dimensions");
  return status_of(rms_norm(norm_call(out, input, nullptr, weight, epsilon, call)), call);
}

inline int32_t run_fused_add_rms_norm(const DLTensor* input, const DLTensor* residual, const DLTensor* weight,
                                      float epsilon, const normproof_plugin_call* call) {
  return status_of(fused_add_rms_norm(norm_call(nullptr, input, residual, weight, epsilon, call)), call);
}

inline constexpr uint32_t kTakes = NORMPROOF_TAKES_BF16 | NORMPROOF_TAKES_FP16 | NORMPROOF_TAKES_FP32 |
                                   NORMPROOF_TAKES_NO_WEIGHT | NORMPROOF_TAKES_SAME_WEIGHT;

}  // namespace adapter
