// Kernels in HIP's words, for hip_test.cpp.
#include "hip.h"

#include "outcome.cuh"

#include <hip/hip_bf16.h>
#include <hip/hip_bfloat16.h>
#include <hip/hip_cooperative_groups.h>
#include <hip/hip_fp8.h>
#include <hip/hip_runtime.h>

#include <hipcub/hipcub.hpp>
#include <string>

namespace cg = cooperative_groups;

__global__ void wave_sums_kernel(float* out) {
  float all = threadIdx.x, some = threadIdx.x;
  for (int lanes = warpSize / 2; lanes > 0; lanes /= 2) all += __shfl_xor(all, lanes);
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) some += __shfl_down(some, lanes);
  out[threadIdx.x] = all;
  if (threadIdx.x == 0) out[64] = some;
}
Outcome wave_sums() {
  std::vector<float> out(65);
  wave_sums_kernel<<<1, 64>>>(out.data());
  return outcome_of(out);
}

__global__ void ballots_kernel(float* out) {
  const unsigned long long lanes = __ballot(1);
  const unsigned cut = __ballot(1);
  if (threadIdx.x != 0) return;
  out[0] = __popcll(lanes);
  out[1] = lanes >> 40 & 1;
  out[2] = __popc(cut);
  out[3] = __all(threadIdx.x == 0) + 2 * __any(0);
}
Outcome ballots(int threads) {
  std::vector<float> out(4);
  hipLaunchKernelGGL(ballots_kernel, dim3(1), dim3(threads), 0, 0, out.data());
  return outcome_of(out);
}

__global__ void branches_kernel(float* out) {
  __shared__ float shared[64];
  const int lane = __lane_id();
  float value = lane;
  if (lane < 10) {
    value = __shfl(value, 3);
  } else {
    value = __shfl(value, 20);
  }
  value += __shfl(value, 11);
  for (int i = 0; i < lane % 3; ++i) value += __any(1);
  shared[threadIdx.x] = value;
  __syncthreads();
  out[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}
Outcome branches() {
  std::vector<float> out(64);
  branches_kernel<<<1, 64>>>(out.data());
  return outcome_of(out);
}

__global__ void other_branch_kernel(float* out) {
  if (threadIdx.x < 10) {
    out[0] = __shfl(out[0], 12);
  } else {
    out[1] = __shfl(out[1], 12);
  }
}
Outcome reads_from_the_other_branch() {
  std::vector<float> out(2);
  other_branch_kernel<<<1, 64>>>(out.data());
  return outcome_of(out);
}

__global__ void segments_kernel(float* out) { out[threadIdx.x] = __shfl(float(threadIdx.x), 5, 32); }
Outcome segments() {
  std::vector<float> out(64);
  segments_kernel<<<1, 64>>>(out.data());
  return outcome_of(out);
}
__global__ void mask_kernel(float* out) { out[threadIdx.x] = __shfl_xor_sync(0xffffffff, threadIdx.x, 1); }
Outcome mask_of_32_bits() {
  std::vector<float> out(64);
  mask_kernel<<<1, 64>>>(out.data());
  return outcome_of(out);
}

template <typename T, int most>
__global__ void block_sums_kernel(T* out) {
  HIP_DYNAMIC_SHARED(T, scratch)
  using Reduce = hipcub::BlockReduce<T, most>;
  __shared__ typename Reduce::TempStorage storage;
  const T sum = Reduce(storage).Reduce(T(threadIdx.x), hipcub::Sum(), blockDim.x);
  auto tile = cg::tiled_partition<NORMPROOF_WAVE_LANES>(cg::this_thread_block());
  T of_tile = threadIdx.x;
  for (int lanes = tile.size() / 2; lanes > 0; lanes /= 2) of_tile += tile.shfl_down(of_tile, lanes);
  if (tile.thread_rank() == 0) scratch[threadIdx.x / tile.size()] = of_tile;
  __syncthreads();
  if (threadIdx.x != 0) return;
  out[0] = sum;
  out[1] = 0;
  for (unsigned i = 0; i < blockDim.x / tile.size(); ++i) out[1] += scratch[i];
}
Outcome block_sums(int threads) {
  std::vector<float> out(2);
  hipLaunchKernelGGL(HIP_KERNEL_NAME(block_sums_kernel<float, 1024>), dim3(1), dim3(threads), 32 * sizeof(float),
                     hipStreamDefault == 0 ? nullptr : nullptr, out.data());
  return outcome_of(out);
}

Outcome device_properties() {
  hipDeviceProp_t properties;
  int lanes = 0;
  if (hipGetDeviceProperties(&properties, 0) != hipSuccess ||
      hipDeviceGetAttribute(&lanes, hipDeviceAttributeWarpSize, 0) != hipSuccess)
    return {};
  const bool gfx942 = std::string(properties.gcnArchName).find("gfx94") == 0;
  hipDeviceProp_t by_other_name;
  if (cudaGetDeviceProperties(&by_other_name, 0) != cudaSuccess || by_other_name.warpSize != properties.warpSize) return {};
  return outcome_of({float(properties.warpSize), float(lanes), float(warpSize), float(gfx942)});
}

__global__ void small_numbers_kernel(float* out) {
  const float values[] = {448.f, 240.f, -0.f, INFINITY, 1.0625f};
  for (int i = 0; i < 5; ++i) {
    out[i] = float(__hip_fp8_e4m3_fnuz(values[i]));
    out[5 + i] = __hip_cvt_float_to_fp8(values[i], __HIP_SATFINITE, __HIP_E4M3_FNUZ);
  }
  out[10] = float(hip_bfloat16(1.f) + hip_bfloat16(0x1p-8f));
  out[11] = __bfloat162float(__hadd(__float2bfloat16(1.f), __hip_bfloat16(__float2bfloat16(2.f))));
  out[12] = float(__hip_fp8_e4m3(448.f));
  using Fp8 = __hip_fp8_e4m3_fnuz;
  const __hip_fp8x2_storage_t pair = __hip_cvt_halfraw2_to_fp8x2(__half2(__float2half(2.f), __float2half(-4.f)),
                                                                 Fp8::__default_saturation, Fp8::__default_interpret);
  out[13] = __high2float(__half2(__hip_cvt_fp8x2_to_halfraw2(pair, Fp8::__default_interpret)));
  float4 vector = 2.f * make_float4(1, 2, 3, 4) - make_float4(1, 1, 1, 1);
  vector += vector / 2;
  out[14] = vector.w;
  const int2 integers = make_int2(7, 9) / 2 * make_int2(2, 3);
  out[15] = integers.x * 100 + integers.y;
}
Outcome small_numbers() {
  std::vector<float> out(16);
  small_numbers_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}

__global__ void compiler_functions_kernel(float* out) {
  const int lane = threadIdx.x;
  float first = -1;
  if (lane >= 5) first = __builtin_amdgcn_readfirstlane(lane);
  const int next = __builtin_amdgcn_ds_bpermute(4 * ((lane + 1) % __builtin_amdgcn_wavefrontsize()), lane);
  __builtin_amdgcn_s_barrier();
  if (lane == 7) out[0] = first, out[1] = next, out[2] = __builtin_amdgcn_rcpf(4.f);
}
Outcome compiler_functions() {
  std::vector<float> out(3);
  compiler_functions_kernel<<<1, 64>>>(out.data());
  return outcome_of(out);
}
