// A fourth example in somebody else's style: a norm for AMD's GPUs, which sums over waves of as many lanes as the
// device has.
#include <hip/hip_bf16.h>
#include <hip/hip_fp16.h>
#include <hip/hip_runtime.h>

#include <algorithm>
#include <cstdint>

namespace hip_norm {

constexpr int kMostWaves = 32;

__device__ __forceinline__ float wave_sum(float value) {
  for (int lanes = warpSize / 2; lanes > 0; lanes /= 2) value += __shfl_xor(value, lanes);
  return value;
}

// Of all threads of the block, in each of them.
__device__ __forceinline__ float block_sum(float value) {
  __shared__ float of_wave[kMostWaves];
  const int wave = threadIdx.x / warpSize, lane = threadIdx.x % warpSize;
  const int waves = (blockDim.x + warpSize - 1) / warpSize;
  value = wave_sum(value);
  if (lane == 0) of_wave[wave] = value;
  __syncthreads();
  value = wave_sum(lane < waves ? of_wave[lane] : 0.f);
  return value;
}

template <typename T>
__global__ void rms_norm_kernel(T* out, int64_t out_stride, const T* in, int64_t in_stride, const T* weight,
                                float epsilon, int hidden_size) {
  const T* row = in + blockIdx.x * in_stride;
  float squares = 0.f;
  for (int i = threadIdx.x; i < hidden_size; i += blockDim.x) squares += float(row[i]) * float(row[i]);
  const float inverse_rms = rsqrtf(block_sum(squares) / hidden_size + epsilon);
  for (int i = threadIdx.x; i < hidden_size; i += blockDim.x)
    out[blockIdx.x * out_stride + i] = T(float(row[i]) * inverse_rms) * weight[i];
}

template <typename T>
hipError_t rms_norm(T* out, const T* input, const T* weight, int64_t rows, int hidden_size, int64_t out_stride,
                    int64_t input_stride, float epsilon, hipStream_t stream) {
  if (rows == 0) return hipSuccess;
  const int threads = std::min((hidden_size + 63) / 64 * 64, 512);
  hipLaunchKernelGGL(HIP_KERNEL_NAME(rms_norm_kernel<T>), dim3(rows), dim3(threads), 0, stream, out, out_stride, input,
                     input_stride, weight, epsilon, hidden_size);
  return hipGetLastError();
}

}  // namespace hip_norm
