// Constructs of published kernels, for constructs_test.cpp.
#include "constructs.h"

#include "outcome.cuh"

#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cub/cub.cuh>
#include <cuda/std/functional>

namespace cg = cooperative_groups;
using Max = cuda::maximum<>;

__global__ void raw_pair_kernel(half2* p) {
  constexpr __half2_raw zero = {0, 0x3c00};
  p[0] = __half2(zero);
}
Outcome raw_pair() {
  half2 pair(3, 3);
  raw_pair_kernel<<<1, 1>>>(&pair);
  return outcome_of({__low2float(pair), __high2float(pair)});
}

#define UNROLL_HERE #pragma unroll
__global__ void unrolled_kernel(float* p) {
  UNROLL_HERE
  for (int i = 0; i < 4; ++i) p[i] = float(i);
}
Outcome pragma_in_a_macro() {
  std::vector<float> out(4, 9.f);
  unrolled_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}

struct __pair4 {
  float x;
  __pair4() = default;
  explicit __device__ __pair4(float v) : x(v) {}
};
__device__ __pair4 make_pair4() { return __pair4(1.5f); }
__global__ void pair_kernel(float* p) { p[0] = make_pair4().x; }
Outcome underscored_struct() {
  std::vector<float> out(1);
  pair_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}

inline __device__ float never_called(float x) {
  float y;
  asm volatile("wmma.load.a.sync %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__global__ void ptx_kernel(float* p, bool call) { p[0] = call ? never_called(p[0]) : 1; }
Outcome ptx_that_nobody_calls() {
  std::vector<float> out(1);
  ptx_kernel<<<1, 1>>>(out.data(), false);
  return outcome_of(out);
}
Outcome ptx_that_nobody_knows() {
  std::vector<float> out(1);
  ptx_kernel<<<1, 1>>>(out.data(), true);
  return outcome_of(out);
}

__global__ void small_shuffle_kernel(half* p, __nv_bfloat162* q, float* sums) {
  p[threadIdx.x] += __shfl_xor_sync(0xffffffffu, p[threadIdx.x], 1);
  q[threadIdx.x] += __shfl_down_sync(0xffffffffu, q[threadIdx.x], 1, 2);
  unsigned char byte = static_cast<unsigned char>(200 + threadIdx.x % 8);
  int sum = byte;
  for (int lanes = 4; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
  sums[threadIdx.x] = float(sum + __shfl_sync(0xffffffffu, byte, 3, 8));
}
Outcome shuffles_of_small_types() {
  std::vector<half> p(32);
  std::vector<__nv_bfloat162> q(32);
  for (int i = 0; i < 32; ++i)
    p[i] = __float2half(float(i)), q[i] = __floats2bfloat162_rn(float(i), float(-i));
  std::vector<float> out(96);
  small_shuffle_kernel<<<1, 32>>>(p.data(), q.data(), out.data() + 64);
  for (int i = 0; i < 32; ++i) out[i] = __half2float(p[i]), out[32 + i] = __high2float(q[i]);
  return outcome_of(out);
}

__global__ void named_tile_kernel(float* p) {
  cg::thread_block tb = cg::this_thread_block();
  cg::thread_block_tile<32> w = cg::tiled_partition<32>(tb);
  p[0] = w.size();
}
Outcome tile_of_a_named_block() {
  std::vector<float> out(1);
  named_tile_kernel<<<1, 64>>>(out.data());
  return outcome_of(out);
}

__global__ void function_object_kernel(float* p) {
  p[0] = Max()(3.f, 7.f);
  p[1] = cuda::std::plus<>()(3.f, 7.f) + cuda::std::minus<float>()(3.f, 7.f);
  p[2] = cuda::std::less<>()(3, 7) ? cuda::minimum<float>()(3.f, 7.f) : 0.f;
}
Outcome function_objects() {
  std::vector<float> out(3);
  function_object_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}

__global__ void reduce_kernel(float* p) {
  const int lane = threadIdx.x;
  if (lane % 2 == 0) {
    const unsigned even = 0x55555555u;
    p[lane * 4 + 0] = float(__reduce_add_sync(even, lane - 16));
    p[lane * 4 + 1] = float(__reduce_min_sync(even, lane - 16));
    p[lane * 4 + 2] = float(__reduce_max_sync(even, unsigned(lane - 16)));
    p[lane * 4 + 3] =
        float(__reduce_or_sync(even, 1u << (lane / 8)) * 100 +
              __reduce_and_sync(even, unsigned(lane | 1)) * 10 + __reduce_xor_sync(even, unsigned(lane)));
  }
  __syncwarp();
  int same = 0;
  p[128 + lane] = float(__match_any_sync(0xffffffffu, lane / 8) >> (lane / 8 * 8)) +
                  (__match_all_sync(0xffffffffu, 5, &same) == ~0u) * 1000.f + same * 2000.f +
                  (__match_all_sync(0xffffffffu, lane, &same) == 0 && same == 0) * 4000.f;
}
Outcome reductions_of_a_warp() {
  std::vector<float> out(160);
  reduce_kernel<<<1, 32>>>(out.data());
  return outcome_of(out);
}
