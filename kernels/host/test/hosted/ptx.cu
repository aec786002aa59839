// Kernels with inline PTX of the kind that norm kernels have, for ptx_test.cpp.
#include "ptx.h"

#include "outcome.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "kernels/host/approximate_math.h"
#include "kernels/host/schedule.h"

__global__ void arithmetic_kernel(float* out) {
  asm volatile("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(out[0]) : "f"(4.f));
  asm("rcp.approx.f32 %0, %1;" : "=f"(out[1]) : "f"(4.f));
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out[2]) : "f"(3.f));
  asm("lg2.approx.f32 %0, %1;" : "=f"(out[3]) : "f"(8.f));
  asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(out[4]) : "f"(2.f), "f"(3.f), "f"(4.f));
  float up, down;
  asm("{ div.rp.f32 %0, %2, %3;\n\t"
      "  div.rm.f32 %1, %2, %3; }\n"  // both in one statement
      : "=f"(up), "=f"(down)
      : "f"(1.f), "f"(3.f));
  out[5] = up - down;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(out[6]) : "f"(1.f), "f"(__int_as_float(0x7fffffff)));
  asm("add.ftz.f32 %0, %1, %1;" : "=f"(out[7]) : "f"(1e-39f));
}
Outcome ptx_arithmetic(bool draw) {
  std::vector<float> out(8);
  normproof::host::set_approximation_seed(draw ? 5 : 0);
  arithmetic_kernel<<<1, 1>>>(out.data());
  normproof::host::set_approximation_seed(0);
  return outcome_of(out);
}

__global__ void conversion_kernel(float* out) {
  unsigned pair, product;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(3.0f), "f"(1.00390625f));
  out[0] = __uint_as_float(pair & 0xffff0000u);  // the first source is the high half
  out[1] = __uint_as_float(pair << 16);          // a tie to even
  asm("fma.rn.bf16x2 %0, %1, %1, %2;" : "=r"(product) : "r"(pair), "r"(0x3f803f80u));
  out[2] = __uint_as_float(product & 0xffff0000u);
  unsigned short bits;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(bits) : "f"(1000.f), "f"(0.5f));
  out[3] = float(*reinterpret_cast<__nv_fp8_e4m3*>(reinterpret_cast<char*>(&bits) + 1));
  out[4] = float(*reinterpret_cast<__nv_fp8_e4m3*>(&bits));
  asm("cvt.rz.f16.f32 %0, %1;" : "=h"(bits) : "f"(1e6f));
  out[5] = __half2float(__ushort_as_half(bits));
  int number;
  asm("cvt.rni.s32.f32 %0, %1;" : "=r"(number) : "f"(-2.5f));
  asm("cvt.rni.sat.s8.f32 %0, %1;" : "=r"(number) : "f"(-200.5f));
  out[6] = float(static_cast<signed char>(number));
  float f;
  asm("cvt.rn.f32.s32 %0, %1;" : "=f"(f) : "r"(-7));
  out[7] = f;
  asm("mul.f16x2 %0, %1, %2;" : "=r"(product) : "r"(0x40004200u), "r"(0x3c004000u));
  out[8] = __half2float(__ushort_as_half(static_cast<unsigned short>(product)));
  asm("cvt.sat.f32.f32 %0, %1;" : "=f"(out[9]) : "f"(1.5f));
}
Outcome ptx_conversions() {
  std::vector<float> out(10);
  conversion_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}

__global__ void warp_kernel(float* out) {
  float sum = float(threadIdx.x);
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    float other;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=f"(other) : "f"(sum), "r"(lanes));
    sum += other;
  }
  int most;
  unsigned odd, lane;
  asm volatile("redux.sync.max.s32 %0, %1, %2;" : "=r"(most) : "r"(int(threadIdx.x) - 40), "r"(0xffffffffu));
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %1, 0; vote.sync.ballot.b32 %0, p, 0xffffffff; }"
               : "=r"(odd)
               : "r"(threadIdx.x & 1));
  asm("mov.u32 %0, %%laneid;" : "=r"(lane));
  int moved, inside;
  asm volatile(
      "{\n .reg .pred p;\n"
      " shfl.sync.up.b32 %0|p, %2, 1, 0x0, 0xffffffff;\n"
      " selp.s32 %1, 1, 0, p;\n}"
      : "=r"(moved), "=r"(inside)
      : "r"(int(threadIdx.x)));
  float* mine = out + 6 * threadIdx.x;
  mine[0] = sum, mine[1] = float(most), mine[2] = float(odd & 0xffff), mine[3] = float(lane),
  mine[4] = float(moved), mine[5] = float(inside);
}
Outcome ptx_of_the_warp() {
  std::vector<float> out(192);
  warp_kernel<<<1, 32>>>(out.data());
  return outcome_of(out);
}

__global__ void memory_kernel(const float* in, float* out) {
  __shared__ float4 row[32], copied[32];
  float4 a;
  unsigned long long policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  asm volatile("prefetch.global.L2 [%0];" ::"l"(in));
  asm volatile("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.f32 {%0, %1, %2, %3}, [%4], %5;"
               : "=f"(a.x), "=f"(a.y), "=f"(a.z), "=f"(a.w)
               : "l"(in + 4 * threadIdx.x), "l"(policy));
  const unsigned shared = static_cast<unsigned>(__cvta_generic_to_shared(&row[threadIdx.x]));
  const unsigned target = static_cast<unsigned>(__cvta_generic_to_shared(&copied[threadIdx.x]));
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(shared), "f"(a.x), "f"(a.y), "f"(a.z),
               "f"(a.w)
               : "memory");
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], %2;" ::"r"(target), "l"(in + 4 * threadIdx.x),
               "n"(16));
  asm volatile("cp.async.commit_group;" ::);
  asm volatile("cp.async.wait_group %0;" ::"n"(0));
  asm volatile("bar.sync 0;" ::: "memory");
  const float4 other = row[31 - threadIdx.x], same = copied[threadIdx.x];
  asm volatile("st.global.cs.f32 [%0+4], %1;" ::"l"(out + threadIdx.x - 1), "f"(other.w + same.x) : "memory");
  if (threadIdx.x < 4) asm volatile("red.global.add.f32 [%0], %1;" ::"l"(out + 32), "f"(2.f) : "memory");
}
Outcome ptx_memory(int offset) {
  alignas(16) static float in[160];
  for (int i = 0; i < 160; ++i) in[i] = float(i);
  std::vector<float> out(33);
  memory_kernel<<<1, 32>>>(in + offset, out.data());
  return outcome_of(out);
}

__global__ void named_kernel(float* out) {
  for (int i = 0; i < 2; ++i) {
    float value = 5;
    asm("{\n"
        "  .reg .pred p;  // its own\n"
        "  .reg .b32 t;\n"
        "  setp.lt.f32 p, %[in], 0f40000000;\n"
        "  @p mov.b32 %[out], 0f41000000; /* 8 */\n"
        "  @!p add.f32 %[out], %[out], 1.5;\n"
        "  mov.b32 t, %[out];\n"
        "  mov.b32 %[out], t;\n"
        "}"
        : [out] "+f"(value)
        : [in] "f"(i == 0 ? 1.f : 3.f));
    out[i] = value;
  }
  unsigned packed, low, high;
  asm("mov.b32 %0, {%1, %2};"
      : "=r"(packed)
      : "h"(static_cast<unsigned short>(0x1234)), "h"(static_cast<unsigned short>(7)));
  asm("prmt.b32 %0, %1, 0, 0x4321;" : "=r"(high) : "r"(packed));
  asm("mad.lo.s32 %0, %1, -3, 100;" : "=r"(low) : "r"(7));
  out[2] = float(packed), out[3] = float(high), out[4] = float(int(low));
  asm("lop3.b32 %0, %1, %2, %3, 0xe8;" : "=r"(low) : "r"(12), "r"(10), "r"(6));  // the majority
  out[5] = float(low);
}
Outcome ptx_predicates() {
  std::vector<float> out(6);
  named_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}

__global__ void wrong_kernel(float* out) { asm("add.f32 %0, %1, %2;" : "=f"(out[0]) : "f"(1.f)); }
Outcome ptx_that_is_wrong() {
  std::vector<float> out(1);
  wrong_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}

__global__ void branches_kernel(float* out) {
  int sum, power;
  asm("{ .reg .pred p; .reg .s32 i; mov.s32 i, %1; mov.s32 %0, 0;\n"
      "LOOP%=: add.s32 %0, %0, i; add.s32 i, i, -1; setp.gt.s32 p, i, 0;\n"
      "@p bra LOOP%=; }"
      : "=r"(sum)
      : "r"(10));
  asm("{ .reg .pred big; setp.gt.s32 big, %1, 5; @big bra.uni BIG; mov.s32 %0, 1; bra DONE;\n"
      "BIG: mov.s32 %0, 2;\n"
      "DONE: }"
      : "=r"(power)
      : "r"(int(threadIdx.x)));
  int left = 3;
  asm("{ .reg .pred p; setp.eq.s32 p, %1, 0; @p ret; mov.s32 %0, 4; }" : "+r"(left) : "r"(int(threadIdx.x)));
  out[3 * threadIdx.x] = sum;
  out[3 * threadIdx.x + 1] = power;
  out[3 * threadIdx.x + 2] = left;
}
Outcome ptx_branches() {
  std::vector<float> out(24);
  branches_kernel<<<1, 8>>>(out.data());
  return outcome_of(out);
}
__global__ void endless_kernel() { asm volatile("AGAIN: bra AGAIN;"); }
__global__ void nowhere_kernel() { asm volatile("bra NOWHERE;"); }
Outcome ptx_endless(bool nowhere) {
  if (nowhere) {
    nowhere_kernel<<<1, 1>>>();
  } else {
    endless_kernel<<<1, 1>>>();
  }
  return outcome_of();
}

// The first half of the block produces for the second, which waits at barrier 1; both go on separately.
__global__ void named_barriers_kernel(float* out, bool with_barrier, int threads) {
  __shared__ float shared[64];
  __shared__ float others[64];
  if (threadIdx.x < 64) {
    shared[threadIdx.x] = threadIdx.x;
    if (with_barrier) asm volatile("bar.arrive 1, %0;" ::"r"(threads) : "memory");
    others[threadIdx.x] = 1;
    asm volatile("barrier.sync 2, 64;" ::: "memory");
    out[threadIdx.x] = others[63 - threadIdx.x];
  } else {
    if (with_barrier) asm volatile("bar.sync 1, 128;" ::: "memory");
    out[threadIdx.x] = shared[127 - threadIdx.x];
  }
}
Outcome ptx_named_barriers(bool with_barrier, int threads, unsigned seed) {
  using namespace normproof::host;
  const ScopedSchedule scoped(Schedule{ThreadOrder::kRandomPriorities, seed});
  std::vector<float> out(128);
  named_barriers_kernel<<<1, 128>>>(out.data(), with_barrier, threads);
  return outcome_of(out);
}

__global__ void wide_atomics_kernel(float4* shared, float* out) {
  const float4 old = atomicExch(shared, make_float4(threadIdx.x, 0, 0, 1));
  atomicAdd(&out[int(old.x)], 1.f);
  __syncthreads();
  if (threadIdx.x != 0) return;
  const float4 is = *shared, wanted = make_float4(7, 7, 7, 7);
  const float4 first = atomicCAS(shared, is, wanted);
  const float4 second = atomicCAS(shared, is, make_float4(8, 8, 8, 8));
  out[32] = first.w + second.w;
  out[33] = shared->z;
}
Outcome wide_atomics() {
  std::vector<float> out(34);
  alignas(16) float4 shared = make_float4(31, 0, 0, 1);
  wide_atomics_kernel<<<1, 32>>>(&shared, out.data());
  return outcome_of(out);
}
