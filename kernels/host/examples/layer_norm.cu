// LayerNorm in the style of framework kernels: a block per row, warps that sum by shuffles, statistics in two passes.
// Ordinary CUDA, which nvcc compiles too.
#include "layer_norm.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

namespace {

constexpr int kWarp = 32;

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T>
__device__ __forceinline__ T rounded(float value);
template <>
__device__ __forceinline__ float rounded<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half rounded<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 rounded<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// The sum over the block's threads, in every one. `partial` has a number for each warp.
__device__ __forceinline__ float block_sum(float value, float* partial) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffff, value, offset);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
#ifndef LAYER_NORM_WITHOUT_BARRIER
  __syncthreads();  // the numbers of an earlier sum have been read
#endif
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  float sum = 0.f;
  for (unsigned i = 0; i < blockDim.x / kWarp; ++i) sum += partial[i];
  return sum;
}

template <typename T>
__global__ void LayerNormKernel(const T* x, int64_t x_stride, T* out, int64_t out_stride, const T* __restrict__ weight,
                                const T* __restrict__ bias, float* mean_out, float* rstd_out, int hidden, float eps) {
  __shared__ float partial[kWarp];
  const T* row = x + blockIdx.x * x_stride;
  T* to = out + blockIdx.x * out_stride;

  float sum = 0.f;
  for (int i = threadIdx.x; i < hidden; i += blockDim.x) sum += to_float(row[i]);
  const float mean = block_sum(sum, partial) / static_cast<float>(hidden);

  float squares = 0.f;
  for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
    const float centred = to_float(row[i]) - mean;
    squares += centred * centred;
  }
  const float rstd = rsqrtf(block_sum(squares, partial) / static_cast<float>(hidden) + eps);

  for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
    const float normalized = (to_float(row[i]) - mean) * rstd;
    const float w = weight == nullptr ? 1.f : to_float(weight[i]);
    const float b = bias == nullptr ? 0.f : to_float(bias[i]);
    to[i] = rounded<T>(bias == nullptr ? normalized * w : fmaf(normalized, w, b));
  }
  if (threadIdx.x != 0) return;
  if (mean_out != nullptr) mean_out[blockIdx.x] = mean;
  if (rstd_out != nullptr) rstd_out[blockIdx.x] = rstd;
}

template <typename T>
cudaError_t launch(const LayerNormCall& call) {
  const int threads = std::min(1024, (call.hidden + kWarp - 1) / kWarp * kWarp);
  LayerNormKernel<T><<<static_cast<unsigned>(call.rows), threads, 0, call.stream>>>(
      static_cast<const T*>(call.x), call.x_stride, static_cast<T*>(call.out), call.out_stride,
      static_cast<const T*>(call.weight), static_cast<const T*>(call.bias), call.mean, call.rstd, call.hidden, call.epsilon);
  return cudaGetLastError();
}

}  // namespace

cudaError_t layer_norm(const LayerNormCall& call) {
  if (call.rows == 0) return cudaSuccess;
  if (call.type == ScalarType::fp16) return launch<__half>(call);
  if (call.type == ScalarType::bf16) return launch<__nv_bfloat16>(call);
  return launch<float>(call);
}
