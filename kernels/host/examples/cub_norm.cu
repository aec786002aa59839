// Norm kernels in the style of inference engines that sum with CUB: a block per row, vectors of 16 bytes with a scalar
// tail, the sum of squares by cub::BlockReduce, a launch within a type dispatch. Ordinary CUDA, which nvcc compiles too.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cub/block/block_reduce.cuh>

#include "norm_kernels.h"

namespace {

constexpr int kMaxThreads = 1024;

struct CubAddOp {
  template <typename T>
  __host__ __device__ __forceinline__ T operator()(const T& a, const T& b) const {
    return a + b;
  }
};

// As many elements as 16 bytes hold, read and written at once.
template <typename scalar_t>
struct __align__(16) vec_t {
  static constexpr int size = 16 / sizeof(scalar_t);
  scalar_t val[size];
};

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename scalar_t>
__device__ __forceinline__ scalar_t from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// One element of the result: rounded to the activations' type, then multiplied in it.
template <typename scalar_t>
__device__ __forceinline__ scalar_t normalized(scalar_t x, float inverse_rms, const scalar_t* weight, int64_t i) {
  const scalar_t scaled = from_float<scalar_t>(to_float(x) * inverse_rms);
  if (weight == nullptr) return scaled;
#ifdef NORM_WEIGHT_IN_FP32
  return from_float<scalar_t>(to_float(x) * inverse_rms * to_float(weight[i]));
#else
  return from_float<scalar_t>(to_float(scaled) * to_float(weight[i]));
#endif
}

__device__ __forceinline__ __nv_fp8_storage_t quantized(float x, float inverse_scale) {
  constexpr float kLargest = 448.0f;
  const float scaled = x * inverse_scale;
  // fminf and fmaxf would make a number of NaN.
  const float clamped = isnan(scaled) ? scaled : fmaxf(-kLargest, fminf(scaled, kLargest));
  return __nv_cvt_float_to_fp8(clamped, __NV_SATFINITE, __NV_E4M3);
}

// The inverse RMS of the row of which every thread has summed its share, in every thread.
__device__ __forceinline__ float block_inverse_rms(float sum_of_squares, int hidden, float epsilon) {
  using BlockReduce = cub::BlockReduce<float, kMaxThreads>;
  __shared__ typename BlockReduce::TempStorage reduce_store;
  __shared__ float s_inverse_rms;
  sum_of_squares = BlockReduce(reduce_store).Reduce(sum_of_squares, CubAddOp{}, blockDim.x);
  if (threadIdx.x == 0) {
    s_inverse_rms = rsqrtf(sum_of_squares / static_cast<float>(hidden) + epsilon);
  }
  __syncthreads();
  return s_inverse_rms;
}

template <typename scalar_t, bool kVectorized>
__global__ void rms_norm_kernel(scalar_t* __restrict__ out, int64_t out_stride, const scalar_t* input,
                                int64_t input_stride, const scalar_t* __restrict__ weight, float epsilon, int hidden) {
  using vec = vec_t<scalar_t>;
  const scalar_t* x = input + blockIdx.x * input_stride;
  scalar_t* y = out + blockIdx.x * out_stride;
  const int vectors = kVectorized ? hidden / vec::size : 0;
  const vec* x_vectors = reinterpret_cast<const vec*>(x);

  float sum_of_squares = 0.0f;
  for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
    const vec in = x_vectors[i];
#pragma unroll
    for (int k = 0; k < vec::size; ++k) {
      const float value = to_float(in.val[k]);
      sum_of_squares += value * value;
    }
  }
  for (int i = vectors * vec::size + threadIdx.x; i < hidden; i += blockDim.x) {
    const float value = to_float(x[i]);
    sum_of_squares += value * value;
  }

  const float inverse_rms = block_inverse_rms(sum_of_squares, hidden, epsilon);

  vec* y_vectors = reinterpret_cast<vec*>(y);
  for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
    const vec in = x_vectors[i];
    vec result;
#pragma unroll
    for (int k = 0; k < vec::size; ++k) {
      result.val[k] = normalized(in.val[k], inverse_rms, weight, int64_t{i} * vec::size + k);
    }
    y_vectors[i] = result;
  }
  for (int i = vectors * vec::size + threadIdx.x; i < hidden; i += blockDim.x) {
    y[i] = normalized(x[i], inverse_rms, weight, i);
  }
}

template <typename scalar_t, bool kVectorized>
__global__ void fused_add_rms_norm_kernel(scalar_t* input, int64_t input_stride, scalar_t* residual,
                                          int64_t residual_stride, const scalar_t* __restrict__ weight, float epsilon,
                                          int hidden) {
  using vec = vec_t<scalar_t>;
  scalar_t* x = input + blockIdx.x * input_stride;
  scalar_t* r = residual + blockIdx.x * residual_stride;
  const int vectors = kVectorized ? hidden / vec::size : 0;
  vec* x_vectors = reinterpret_cast<vec*>(x);
  vec* r_vectors = reinterpret_cast<vec*>(r);

  float sum_of_squares = 0.0f;
  for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
    const vec in = x_vectors[i];
    vec sum = r_vectors[i];
#pragma unroll
    for (int k = 0; k < vec::size; ++k) {
      sum.val[k] = from_float<scalar_t>(to_float(in.val[k]) + to_float(sum.val[k]));
      const float value = to_float(sum.val[k]);
      sum_of_squares += value * value;
    }
    r_vectors[i] = sum;
  }
  for (int i = vectors * vec::size + threadIdx.x; i < hidden; i += blockDim.x) {
    const scalar_t sum = from_float<scalar_t>(to_float(x[i]) + to_float(r[i]));
    const float value = to_float(sum);
    sum_of_squares += value * value;
    r[i] = sum;
  }

  const float inverse_rms = block_inverse_rms(sum_of_squares, hidden, epsilon);

  for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
    const vec sum = r_vectors[i];
    vec result;
#pragma unroll
    for (int k = 0; k < vec::size; ++k) {
      result.val[k] = normalized(sum.val[k], inverse_rms, weight, int64_t{i} * vec::size + k);
    }
    x_vectors[i] = result;
  }
  for (int i = vectors * vec::size + threadIdx.x; i < hidden; i += blockDim.x) {
    x[i] = normalized(r[i], inverse_rms, weight, i);
  }
}

template <typename scalar_t>
__global__ void rms_norm_static_fp8_quant_kernel(__nv_fp8_storage_t* __restrict__ out, int64_t out_stride,
                                                 const scalar_t* __restrict__ input, int64_t input_stride,
                                                 const scalar_t* __restrict__ weight, const float* __restrict__ scale,
                                                 float epsilon, int hidden) {
  const scalar_t* x = input + blockIdx.x * input_stride;
  __nv_fp8_storage_t* y = out + blockIdx.x * out_stride;
  float sum_of_squares = 0.0f;
  for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
    const float value = to_float(x[i]);
    sum_of_squares += value * value;
  }
  const float inverse_rms = block_inverse_rms(sum_of_squares, hidden, epsilon);
  const float inverse_scale = 1.0f / *scale;
  for (int i = threadIdx.x; i < hidden; i += blockDim.x) {
    y[i] = quantized(to_float(normalized(x[i], inverse_rms, weight, i)), inverse_scale);
  }
}

bool is_aligned(const void* pointer, int64_t stride, int64_t element_bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0 && stride * element_bytes % 16 == 0;
}

int threads_for(int hidden, bool vectorized) {
  const int wanted = vectorized ? (hidden + 3) / 4 : hidden;
  return wanted >= kMaxThreads ? kMaxThreads : (wanted + 31) / 32 * 32;
}

#define DISPATCH_SCALAR_TYPE(TYPE, ...)       \
  switch (TYPE) {                             \
    case ScalarType::fp32: {                  \
      using scalar_t = float;                 \
      __VA_ARGS__();                          \
      break;                                  \
    }                                         \
    case ScalarType::fp16: {                  \
      using scalar_t = __half;                \
      __VA_ARGS__();                          \
      break;                                  \
    }                                         \
    case ScalarType::bf16: {                  \
      using scalar_t = __nv_bfloat16;         \
      __VA_ARGS__();                          \
      break;                                  \
    }                                         \
  }

#define LAUNCH_RMS_NORM(vectorized)                                                                            \
  rms_norm_kernel<scalar_t, vectorized><<<grid, block, 0, call.stream>>>(                                      \
      static_cast<scalar_t*>(call.out), call.out_stride, static_cast<const scalar_t*>(call.input),             \
      call.input_stride, static_cast<const scalar_t*>(call.weight), call.epsilon, call.hidden)

#define LAUNCH_FUSED_ADD_RMS_NORM(vectorized)                                                                  \
  fused_add_rms_norm_kernel<scalar_t, vectorized><<<grid, block, 0, call.stream>>>(                            \
      static_cast<scalar_t*>(call.input), call.input_stride, static_cast<scalar_t*>(call.residual),            \
      call.residual_stride, static_cast<const scalar_t*>(call.weight), call.epsilon, call.hidden)

}  // namespace

cudaError_t rms_norm(const NormCall& call) {
  if (call.rows == 0) return cudaSuccess;
  DISPATCH_SCALAR_TYPE(call.type, [&] {
    const bool vectorized = is_aligned(call.input, call.input_stride, sizeof(scalar_t)) &&
                            is_aligned(call.out, call.out_stride, sizeof(scalar_t));
    const dim3 grid(static_cast<unsigned>(call.rows));
    const dim3 block(threads_for(call.hidden, vectorized));
    if (vectorized) {
      LAUNCH_RMS_NORM(true);
    } else {
      LAUNCH_RMS_NORM(false);
    }
  });
  return cudaGetLastError();
}

cudaError_t fused_add_rms_norm(const NormCall& call) {
  if (call.rows == 0) return cudaSuccess;
  DISPATCH_SCALAR_TYPE(call.type, [&] {
    const bool vectorized = is_aligned(call.input, call.input_stride, sizeof(scalar_t)) &&
                            is_aligned(call.residual, call.residual_stride, sizeof(scalar_t));
    const dim3 grid(static_cast<unsigned>(call.rows));
    const dim3 block(threads_for(call.hidden, vectorized));
    if (vectorized) {
      LAUNCH_FUSED_ADD_RMS_NORM(true);
    } else {
      LAUNCH_FUSED_ADD_RMS_NORM(false);
    }
  });
  return cudaGetLastError();
}

cudaError_t rms_norm_static_fp8_quant(const NormCall& call) {
  if (call.rows == 0) return cudaSuccess;
  DISPATCH_SCALAR_TYPE(call.type, [&] {
    rms_norm_static_fp8_quant_kernel<scalar_t>
        <<<static_cast<unsigned>(call.rows), threads_for(call.hidden, false), 0, call.stream>>>(
            static_cast<__nv_fp8_storage_t*>(call.out), call.out_stride, static_cast<const scalar_t*>(call.input),
            call.input_stride, static_cast<const scalar_t*>(call.weight), call.scale, call.epsilon, call.hidden);
  });
  return cudaGetLastError();
}
