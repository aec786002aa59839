// What layer_norm.cu offers: a plain function that launches a kernel, as a framework would call it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "norm_kernels.h"

// Row-major rows of `hidden` elements; strides in elements.
struct LayerNormCall {
  ScalarType type = ScalarType::fp32;
  int64_t rows = 0;
  int hidden = 0;
  float epsilon = 0;
  const void* x = nullptr;
  int64_t x_stride = 0;
  void* out = nullptr;
  int64_t out_stride = 0;
  const void* weight = nullptr;  // of the same type, or null
  const void* bias = nullptr;
  float* mean = nullptr;  // one number a row, or null
  float* rstd = nullptr;
  cudaStream_t stream = nullptr;
};

// out = (x - mean) * rstd * weight + bias. `out` may be x.
cudaError_t layer_norm(const LayerNormCall& call);
