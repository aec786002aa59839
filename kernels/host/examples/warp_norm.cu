// Norm kernels in the style of libraries of templates: warps of 32 lanes that sum by shuffles, vectors as wide as the row
// allows, dynamic shared memory, cudaLaunchKernelEx with programmatic dependent launch. Ordinary CUDA, which nvcc compiles
// too.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "norm_kernels.h"
#include "warp_norm_vectors.cuh"

namespace {

// The sum over the lanes of a warp, in every lane.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffff, value, offset);
  }
  return value;
}

// The sum over the threads of a block, in every thread. `smem` has room for a number per warp.
__device__ __forceinline__ float block_sum(float value, float* smem) {
  const uint32_t tx = threadIdx.x, ty = threadIdx.y;
  const uint32_t num_warps = blockDim.y;
  value = warp_sum(value);
  if (tx == 0) smem[ty] = value;
  __syncthreads();
  if (ty == 0) {
    value = warp_sum(tx < num_warps ? smem[tx] : 0.f);
    if (tx == 0) smem[0] = value;
  }
  __syncthreads();
  return smem[0];
}

template <typename T>
__device__ __forceinline__ float with_weight(float x, float rms_rcp, const T* weight, uint32_t i) {
  if (weight == nullptr) return x * rms_rcp;
#ifdef NORM_WEIGHT_IN_FP32
  return x * rms_rcp * to_float(weight[i]);
#else
  return to_float(rounded<T>(x * rms_rcp)) * to_float(weight[i]);
#endif
}

template <uint32_t VEC_SIZE, typename T>
__global__ void RMSNormKernel(const T* input, const T* __restrict__ weight, T* output, const uint32_t d,
                              const int64_t stride_input, const int64_t stride_output, float eps) {
  const int64_t bx = blockIdx.x;
  const uint32_t thread_id = threadIdx.x + threadIdx.y * 32;
  const uint32_t num_threads = blockDim.y * 32;
  const uint32_t rounds = ceil_div(d, VEC_SIZE * num_threads);
  extern __shared__ float smem[];

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
  float sum_sq = 0.f;
  for (uint32_t i = 0; i < rounds; i++) {
    const uint32_t first = (i * num_threads + thread_id) * VEC_SIZE;
    Vector<T, VEC_SIZE> in;
    in.fill(0.f);
    if (first < d) in.load(input + bx * stride_input + first);
#pragma unroll
    for (uint32_t j = 0; j < VEC_SIZE; j++) {
      sum_sq += to_float(in[j]) * to_float(in[j]);
    }
  }
  const float rms_rcp = rsqrtf(block_sum(sum_sq, smem) / float(d) + eps);

  for (uint32_t i = 0; i < rounds; i++) {
    const uint32_t first = (i * num_threads + thread_id) * VEC_SIZE;
    if (first >= d) continue;
    Vector<T, VEC_SIZE> in, out;
    in.load(input + bx * stride_input + first);
#pragma unroll
    for (uint32_t j = 0; j < VEC_SIZE; j++) {
      out[j] = rounded<T>(with_weight(to_float(in[j]), rms_rcp, weight, first + j));
    }
    out.store(output + bx * stride_output + first);
  }
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

template <uint32_t VEC_SIZE, typename T>
__global__ void FusedAddRMSNormKernel(T* input, T* residual, const T* __restrict__ weight, const uint32_t d,
                                      const int64_t stride_input, const int64_t stride_residual, float eps) {
  const int64_t bx = blockIdx.x;
  const uint32_t thread_id = threadIdx.x + threadIdx.y * 32;
  const uint32_t num_threads = blockDim.y * 32;
  const uint32_t rounds = ceil_div(d, VEC_SIZE * num_threads);
  // A number per warp, then the row.
  extern __shared__ float smem[];
  float* smem_x = smem + ceil_div(blockDim.y, 4u) * 4;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
  float sum_sq = 0.f;
  for (uint32_t i = 0; i < rounds; i++) {
    const uint32_t first = (i * num_threads + thread_id) * VEC_SIZE;
    if (first >= d) continue;
    Vector<T, VEC_SIZE> in, sum;
    in.load(input + bx * stride_input + first);
    sum.load(residual + bx * stride_residual + first);
#pragma unroll
    for (uint32_t j = 0; j < VEC_SIZE; j++) {
      sum[j] = rounded<T>(to_float(in[j]) + to_float(sum[j]));
      const float x = to_float(sum[j]);
      sum_sq += x * x;
      smem_x[first + j] = x;
    }
    sum.store(residual + bx * stride_residual + first);
  }
  const float rms_rcp = rsqrtf(block_sum(sum_sq, smem) / float(d) + eps);

  for (uint32_t i = 0; i < rounds; i++) {
    const uint32_t first = (i * num_threads + thread_id) * VEC_SIZE;
    if (first >= d) continue;
    Vector<T, VEC_SIZE> out;
#pragma unroll
    for (uint32_t j = 0; j < VEC_SIZE; j++) {
      out[j] = rounded<T>(with_weight(smem_x[first + j], rms_rcp, weight, first + j));
    }
    out.store(input + bx * stride_input + first);
  }
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

// A launch whose kernel may begin while the one before it ends.
struct Launch {
  cudaLaunchAttribute attrs[1];
  cudaLaunchConfig_t config;

  Launch(int64_t rows, uint32_t d, uint32_t vec_size, uint32_t floats_beside_warps, cudaStream_t stream) {
    const uint32_t block_size = std::min<uint32_t>(1024, ceil_div(d, vec_size));
    const uint32_t num_warps = ceil_div(block_size, 32u);
    config = {};
    config.gridDim = dim3(static_cast<unsigned>(rows));
    config.blockDim = dim3(32, num_warps);
    config.dynamicSmemBytes = (ceil_div(num_warps, 4u) * 4 + floats_beside_warps) * sizeof(float);
    config.stream = stream;
    attrs[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attrs[0].val.programmaticStreamSerializationAllowed = 1;
    config.attrs = attrs;
    config.numAttrs = 1;
  }
};

#define CUDA_CALL(...)                        \
  do {                                        \
    const cudaError_t error = (__VA_ARGS__);  \
    if (error != cudaSuccess) return error;   \
  } while (0)

// The widest vector that the row, its strides and pointers allow.
template <typename T>
uint32_t vector_size(const NormCall& call) {
  uint32_t size = 16 / sizeof(T);
  const auto fits = [&](const void* pointer, int64_t stride) {
    return reinterpret_cast<uintptr_t>(pointer) % (size * sizeof(T)) == 0 && stride % size == 0;
  };
  while (size > 1 && !(call.hidden % size == 0 && fits(call.input, call.input_stride) &&
                       fits(call.out, call.out_stride) && fits(call.residual, call.residual_stride))) {
    size /= 2;
  }
  return size;
}

#define DISPATCH_VEC_SIZE(size, VEC_SIZE, ...) \
  switch (size) {                              \
    case 8: {                                  \
      constexpr uint32_t VEC_SIZE = 16 / sizeof(T);  /* never 8 where it is not that */ \
      __VA_ARGS__                              \
    } break;                                   \
    case 4: {                                  \
      constexpr uint32_t VEC_SIZE = 4;         \
      __VA_ARGS__                              \
    } break;                                   \
    case 2: {                                  \
      constexpr uint32_t VEC_SIZE = 2;         \
      __VA_ARGS__                              \
    } break;                                   \
    default: {                                 \
      constexpr uint32_t VEC_SIZE = 1;         \
      __VA_ARGS__                              \
    }                                          \
  }

template <typename T>
cudaError_t RMSNorm(const NormCall& call) {
  const uint32_t vec_size = vector_size<T>(call);
  DISPATCH_VEC_SIZE(vec_size, VEC_SIZE, {
    Launch launch(call.rows, call.hidden, VEC_SIZE, 0, call.stream);
    auto kernel = RMSNormKernel<VEC_SIZE, T>;
    CUDA_CALL(cudaLaunchKernelEx(&launch.config, kernel, static_cast<const T*>(call.input),
                                 static_cast<const T*>(call.weight), static_cast<T*>(call.out),
                                 static_cast<uint32_t>(call.hidden), call.input_stride, call.out_stride, call.epsilon));
  })
  return cudaSuccess;
}

template <typename T>
cudaError_t FusedAddRMSNorm(const NormCall& call) {
  const uint32_t vec_size = vector_size<T>(call);
  DISPATCH_VEC_SIZE(vec_size, VEC_SIZE, {
    Launch launch(call.rows, call.hidden, VEC_SIZE, call.hidden, call.stream);
    auto kernel = FusedAddRMSNormKernel<VEC_SIZE, T>;
    CUDA_CALL(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(launch.config.dynamicSmemBytes)));
    CUDA_CALL(cudaLaunchKernelEx(&launch.config, kernel, static_cast<T*>(call.input), static_cast<T*>(call.residual),
                                 static_cast<const T*>(call.weight), static_cast<uint32_t>(call.hidden),
                                 call.input_stride, call.residual_stride, call.epsilon));
  })
  return cudaSuccess;
}

}  // namespace

cudaError_t rms_norm(const NormCall& call) {
  if (call.rows == 0) return cudaSuccess;
  if (call.type == ScalarType::fp16) return RMSNorm<__half>(call);
  if (call.type == ScalarType::bf16) return RMSNorm<__nv_bfloat16>(call);
  return RMSNorm<float>(call);
}

cudaError_t fused_add_rms_norm(const NormCall& call) {
  if (call.rows == 0) return cudaSuccess;
  if (call.type == ScalarType::fp16) return FusedAddRMSNorm<__half>(call);
  if (call.type == ScalarType::bf16) return FusedAddRMSNorm<__nv_bfloat16>(call);
  return FusedAddRMSNorm<float>(call);
}
