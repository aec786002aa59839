// What the two examples offer: plain functions that launch a kernel, as a framework would call them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

enum class ScalarType { fp32, fp16, bf16 };

// Row-major rows of `hidden` elements; strides in elements. What an operation has no use for stays null.
struct NormCall {
  ScalarType type = ScalarType::fp32;
  int64_t rows = 0;
  int hidden = 0;
  float epsilon = 0;
  void* out = nullptr;
  int64_t out_stride = 0;
  void* input = nullptr;
  int64_t input_stride = 0;
  void* residual = nullptr;
  int64_t residual_stride = 0;
  const void* weight = nullptr;  // of the same type
  const float* scale = nullptr;
  cudaStream_t stream = nullptr;
};

// out = rms_norm(input) * weight
cudaError_t rms_norm(const NormCall& call);
// residual += input; input = rms_norm(residual) * weight
cudaError_t fused_add_rms_norm(const NormCall& call);
// out (e4m3) = rms_norm(input) * weight / *scale; the CUB example alone
cudaError_t rms_norm_static_fp8_quant(const NormCall& call);
