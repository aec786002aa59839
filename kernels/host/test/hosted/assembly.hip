// AMD's inline assembly as norm kernels have it, for assembly_test.cpp.
#include "assembly.h"

#include "outcome.cuh"

#include <hip/hip_runtime.h>

#include "kernels/host/approximate_math.h"

typedef unsigned uint32x2_t __attribute__((vector_size(8)));
typedef int int32x4_t __attribute__((vector_size(16)));
typedef float float2_t __attribute__((vector_size(8)));
typedef float float4_t __attribute__((vector_size(16)));

// As in Composable Kernel's vector_type conversions.
__device__ inline unsigned short bf16_rtn_asm(float f) {
  union { float fp32; unsigned bits; } u = {f};
  static constexpr unsigned FP32_NAN = 0x7fff0000, ROUND_BIAS_FOR_BF16 = 0x7fff;
  unsigned tmp;
#if NORMPROOF_WAVE_LANES == 64
  uint32x2_t check_nan;
#else
  unsigned check_nan;
#endif
  asm volatile("\n \
            v_cmp_u_f32 %0, %2, %2 \n \
            v_bfe_u32 %1, %2, 16, 1 \n \
            v_add3_u32 %1, %2, %1, %3 \n \
            v_cndmask_b32 %2, %1, %4, %0 \n \
            v_lshrrev_b32 %2, 16, %2 \n \
            "
               : "=s"(check_nan), "+v"(tmp), "+v"(u.fp32)
               : "v"(ROUND_BIAS_FOR_BF16), "v"(FP32_NAN));
  return static_cast<unsigned short>(u.bits);
}
__global__ void bf16_kernel(const float* in, float* out, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) out[i] = bf16_rtn_asm(in[i]);
}
Outcome bf16_by_assembly(const std::vector<float>& values) {
  std::vector<float> out(values.size());
  bf16_kernel<<<1, 64>>>(values.data(), out.data(), int(values.size()));
  return outcome_of(out);
}

__global__ void fp8_kernel(const float* in, float* out, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    int packed = 0x01010101;
    float clamped = in[i];
    asm volatile("v_med3_f32 %0, %0, %1, %2" : "+v"(clamped) : "v"(-240.f), "v"(240.f));
    asm volatile("v_cvt_pk_fp8_f32 %0, %1, %2 op_sel:[0,0,1]" : "+v"(packed) : "v"(in[i]), "v"(clamped));
    const int same = __builtin_amdgcn_cvt_pk_fp8_f32(in[i], __builtin_amdgcn_fmed3f(in[i], 240.f, -240.f), 0x01010101, true);
    out[5 * i] = float(unsigned(packed) >> 16 & 0xff);
    out[5 * i + 1] = float(unsigned(packed) >> 24);
    out[5 * i + 2] = packed == same;
    out[5 * i + 3] = float(packed & 0xffff);
    out[5 * i + 4] = __builtin_amdgcn_cvt_pk_f32_fp8(packed, true)[1];
  }
}
Outcome fp8_of(const std::vector<float>& values) {
  std::vector<float> out(5 * values.size());
  fp8_kernel<<<1, 64>>>(values.data(), out.data(), int(values.size()));
  return outcome_of(out);
}

__global__ void approximate_kernel(float value, float* out) {
  asm("v_rcp_f32 %0, %1" : "=v"(out[0]) : "v"(value));
  asm("v_rsq_f32 %0, %1\n" : "=v"(out[1]) : "v"(value));
  asm("v_sqrt_f32_e32 %0, %1 ; a comment" : "=v"(out[2]) : "v"(value));
  asm("v_exp_f32 %0, -%1" : "=v"(out[3]) : "v"(value));
  asm("v_log_f32 %[to], |%[from]|" : [to] "=v"(out[4]) : [from] "v"(-value));
  asm("v_mul_f32 %0, %1, 0.5 clamp" : "=v"(out[5]) : "v"(value));
  asm("v_fma_f32 %0, %1, 2.0, -1.0 div:2" : "=v"(out[6]) : "v"(value));
  float sum = 1;
  asm("v_fmac_f32 %0, %1, %1" : "+v"(sum) : "v"(value));
  out[7] = sum;
  asm("v_rsq_f32 %0, %1" : "=v"(out[8]) : "v"(1e-39f));
  out[9] = __builtin_amdgcn_rsqf(value) - out[1];
}
Outcome approximate_by_assembly(float value, bool draw) {
  std::vector<float> out(10);
  normproof::host::set_approximation_seed(draw ? 3 : 0);
  approximate_kernel<<<1, 1>>>(value, out.data());
  normproof::host::set_approximation_seed(0);
  return outcome_of(out);
}

// The sum of the wave in its last lane, by the moves that rocPRIM and AITER make.
__device__ float sum_by_assembly(float value) {
  asm volatile("s_nop 1\n v_add_f32_dpp %0, %0, %0 row_shr:1 row_mask:0xf bank_mask:0xf bound_ctrl:0" : "+v"(value));
  asm volatile("v_add_f32 %0, %0, %0 row_shr:2 bound_ctrl:0\n" : "+v"(value));
  asm volatile("v_add_f32 %0, %0, %0 row_shr:4 bank_mask:0xe\n v_add_f32 %0, %0, %0 row_shr:8 bank_mask:0xc" : "+v"(value));
#if NORMPROOF_WAVE_LANES == 64
  asm volatile("v_add_f32 %0, %0, %0 row_bcast:15 row_mask:0xa\n"
               "v_add_f32 %0, %0, %0 row_bcast:31 row_mask:0xc" : "+v"(value));
#else
  value += __shfl_xor(value, 16);
#endif
  return value;
}
template <int control, int row_mask = 0xf, int bank_mask = 0xf>
__device__ float moved(float value) {
  return __builtin_bit_cast(
      float, __builtin_amdgcn_update_dpp(0, __builtin_bit_cast(int, value), control, row_mask, bank_mask, false));
}
__device__ float sum_by_update(float value) {
  value += moved<0x111>(value);
  value += moved<0x112>(value);
  value += moved<0x114, 0xf, 0xe>(value);
  value += moved<0x118, 0xf, 0xc>(value);
#if NORMPROOF_WAVE_LANES == 64
  value += moved<0x142, 0xa>(value);
  value += moved<0x143, 0xc>(value);
  return __builtin_amdgcn_readlane(value, 63);
#else
  value += __builtin_bit_cast(float, __builtin_amdgcn_ds_swizzle(__builtin_bit_cast(int, value), 0x401f));
  return __builtin_amdgcn_readlane(value, 31);
#endif
}
__device__ float sum_by_butterflies(float value) {
  value += __builtin_amdgcn_mov_dpp(value, 0xb1, 0xf, 0xf, true);   // quad_perm:[1,0,3,2]
  value += __builtin_amdgcn_mov_dpp(value, 0x4e, 0xf, 0xf, true);   // quad_perm:[2,3,0,1]
  value += __builtin_amdgcn_mov_dpp(value, 0x141, 0xf, 0xf, true);  // row_half_mirror
  value += __builtin_amdgcn_mov_dpp(value, 0x140, 0xf, 0xf, true);  // row_mirror
  for (int lanes = 16; lanes < warpSize; lanes *= 2) {
    const int other = __builtin_amdgcn_ds_bpermute(4 * (__lane_id() ^ lanes), __builtin_bit_cast(int, value));
    value += __builtin_bit_cast(float, other);
  }
  return value;
}
__global__ void sums_kernel(float* out) {
  const float value = float(threadIdx.x + 1);
  const float last = sum_by_assembly(value);
  out[3 * threadIdx.x] = last;
  out[3 * threadIdx.x + 1] = sum_by_update(value);
  out[3 * threadIdx.x + 2] = sum_by_butterflies(value);
}
Outcome wave_sums_by_moves() {
  std::vector<float> out(3 * 64);
  sums_kernel<<<1, 64>>>(out.data());
  return outcome_of(out);
}

__global__ void moves_kernel(float* out) {
  const int lane = int(__lane_id()), thread = int(threadIdx.x);
  const int value = 100 + lane;
  out[thread] = float(__builtin_amdgcn_update_dpp(-1, value, 0x111, 0xf, 0xf, false));
  out[64 + thread] = float(__builtin_amdgcn_update_dpp(-1, value, 0x111, 0xf, 0xf, true));
  out[128 + thread] = float(__builtin_amdgcn_update_dpp(-1, value, 0x101, 0xf, 0x3, false));
  out[192 + thread] = float(__builtin_amdgcn_ds_swizzle(value, 0x041f));  // each with its neighbour
  out[256 + thread] = float(__builtin_amdgcn_ds_permute(4 * (lane / 2), value));
  int quad = -1;
  asm volatile("v_mov_b32_dpp %0, %1 quad_perm:[3,3,0,1] row_mask:0x1" : "+v"(quad) : "v"(value));
  out[320 + thread] = float(quad);
  out[384 + thread] = float(__builtin_amdgcn_mbcnt_hi(~0u, __builtin_amdgcn_mbcnt_lo(~0u, 0)));
  int first;
  asm volatile("v_readfirstlane_b32 %0, %1" : "=s"(first) : "v"(value));
  out[448 + thread] = float(first);
}
Outcome moves() {
  std::vector<float> out(512);
  moves_kernel<<<1, 64>>>(out.data());
  return outcome_of(out);
}

// Lanes that do not run give nothing: 0 where bound_ctrl says so, else what the lane had.
__global__ void branch_kernel(float* out) {
  const int lane = int(threadIdx.x);
  if (lane >= 3 && lane < 8) {
    out[lane] = float(__builtin_amdgcn_update_dpp(-1, lane, 0x111, 0xf, 0xf, false));
    out[8 + lane] = float(__builtin_amdgcn_update_dpp(-1, lane, 0x111, 0xf, 0xf, true));
    out[16 + lane] = float(__builtin_amdgcn_ds_bpermute(0, lane));
  }
}
Outcome moves_in_a_branch() {
  std::vector<float> out(24);
  branch_kernel<<<1, 32>>>(out.data());
  return outcome_of(out);
}

__global__ void packed_kernel(float* out) {
  float2_t a = {1.5f, -2.f}, b = {3.f, 5.f}, product, sum, swapped;
  asm("v_pk_mul_f32 %0, %1, %2" : "=v"(product) : "v"(a), "v"(b));
  asm("v_pk_fma_f32 %0, %1, %2, %1 neg_lo:[0,0,1]" : "=v"(sum) : "v"(a), "v"(b));
  asm("v_pk_add_f32 %0, %1, %2 op_sel:[1,0] op_sel_hi:[0,1]" : "=v"(swapped) : "v"(a), "v"(b));
  out[0] = product[0], out[1] = product[1], out[2] = sum[0], out[3] = sum[1], out[4] = swapped[0], out[5] = swapped[1];
  unsigned halves;
  asm("v_cvt_pkrtz_f16_f32 %0, %1, %2" : "=v"(halves) : "v"(1.0f), "v"(2.00195f));
  asm("v_pk_add_f16 %0, %0, %0" : "+v"(halves));
  float low, high;
  asm("v_cvt_f32_f16 %0, %2\n v_lshrrev_b32 v1, 16, %2\n v_cvt_f32_f16 %1, v1" : "=v"(low), "=v"(high) : "v"(halves));
  out[6] = low, out[7] = high;
}
Outcome packed_numbers() {
  std::vector<float> out(8);
  packed_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}

__global__ void words_kernel(unsigned* out) {
  const unsigned a = 0x12345678, b = 0x9abcdef0;
  asm("v_perm_b32 %0, %1, %2, %3" : "=v"(out[0]) : "v"(a), "v"(b), "v"(0x070c0100u));
  asm("v_lshl_or_b32 %0, %1, 8, %2" : "=v"(out[1]) : "v"(a), "v"(0xffu));
  asm("v_bfe_i32 %0, %1, 4, 4" : "=v"(out[2]) : "v"(b));
  asm("v_alignbit_b32 %0, %1, %2, 16" : "=v"(out[3]) : "v"(a), "v"(b));
  asm("v_and_or_b32 %0, %1, 0xff, %2" : "=v"(out[4]) : "v"(a), "v"(0x100u));
  asm("v_add_u32_e32 %0, -1, %1" : "=v"(out[5]) : "v"(a));
  asm("v_mul_hi_u32 %0, %1, %2" : "=v"(out[6]) : "v"(a), "v"(b));
  asm("v_cvt_u32_f32 %0, %1" : "=v"(out[7]) : "v"(-3.7f));
}
Outcome words_by_assembly() {
  std::vector<unsigned> words(8);
  words_kernel<<<1, 1>>>(words.data());
  std::vector<float> halves;
  for (const unsigned word : words) halves.push_back(float(word >> 16)), halves.push_back(float(word & 0xffff));
  return outcome_of(halves);
}

__global__ void memory_kernel(const float* in, float* out) {
  float4_t four;
  float one;
  asm volatile("global_load_dwordx4 %0, %1, off offset:16\n s_waitcnt vmcnt(0)" : "=v"(four) : "v"(in) : "memory");
  asm volatile("global_load_dword %0, %1, %2" : "=v"(one) : "v"(8), "s"(in));
  asm volatile("s_waitcnt vmcnt(0) & lgkmcnt(0)\ns_barrier" ::: "memory");
  asm volatile("global_store_dwordx4 %0, %1, off" : : "v"(out), "v"(four) : "memory");
  asm volatile("flat_store_dword %0, %1 offset:16" : : "v"(out), "v"(one) : "memory");
}
Outcome memory_by_assembly() {
  const std::vector<float> in = {0, 1, 2, 3, 4, 5, 6, 7};
  std::vector<float> out(5);
  memory_kernel<<<1, 1>>>(in.data(), out.data());
  return outcome_of(out);
}

__device__ float4_t load_four(int32x4_t buffer, int offset, int scalar, int hints) __asm("llvm.amdgcn.raw.buffer.load.v4f32.v4i32");
__device__ void store_one(float value, int32x4_t buffer, int offset, int scalar, int hints) __asm("llvm.amdgcn.raw.buffer.store.f32");

__global__ void buffers_kernel(const float* in, float* out) {
  const auto address = reinterpret_cast<unsigned long long>(in);
  const int32x4_t buffer = {int(unsigned(address)), int(unsigned(address >> 32)), 40, 0x00020000};
  const auto to = reinterpret_cast<unsigned long long>(out);
  const int32x4_t target = {int(unsigned(to)), int(unsigned(to >> 32)), 40, 0x00020000};
  float4_t loaded, last = load_four(buffer, 32, 0, 0);
  asm volatile("buffer_load_dwordx4 %0, %1, %2, 0 offen offset:%3" : "=v"(loaded) : "v"(4), "s"(buffer), "n"(8) : "memory");
  for (int i = 0; i < 4; ++i) out[i] = loaded[i], out[4 + i] = last[i];
  store_one(7, target, 32, 0, 0);
  store_one(7, target, 40, 0, 0);  // outside
  const auto resource = __builtin_amdgcn_make_buffer_rsrc(in, 0, 40, 0);
  out[9] = __builtin_bit_cast(float, __builtin_amdgcn_raw_buffer_load_b32(resource, 4, 4, 0));
  const auto uneven = __builtin_amdgcn_make_buffer_rsrc(in, 0, 38, 0);
  out[11] = float(__builtin_amdgcn_raw_buffer_load_b32(uneven, 36, 0, 0) >> 16);
  out[12] = float(__builtin_amdgcn_raw_buffer_load_b16(uneven, 38, 0, 0));
}
Outcome buffers() {
  const std::vector<float> in = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  std::vector<float> out(13);
  buffers_kernel<<<1, 1>>>(in.data(), out.data());
  return outcome_of(out);
}

__global__ void unknown_kernel(float* out, bool reach) {
  if (reach) asm volatile("v_mfma_f32_32x32x8_f16 %0, %1, %1, %0" : "+v"(out[0]) : "v"(1));
  out[0] = 1;
}
Outcome unknown_assembly(bool reach) {
  std::vector<float> out(1);
  unknown_kernel<<<1, 1>>>(out.data(), reach);
  return outcome_of(out);
}
__global__ void unwritten_kernel(float* out) { asm volatile("v_mov_b32 %0, v7" : "=v"(out[0])); }
Outcome unwritten_register() {
  std::vector<float> out(1);
  unwritten_kernel<<<1, 1>>>(out.data());
  return outcome_of(out);
}
