// silu(z) = z / (1 + exp(-z)) in fp32, the canonical one (the contract says its steps): next to the exact
// one, and the same bits on every machine.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"
#include "kernels/row_numbers.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// kQuick: where row_numbers.cuh has been proved.
template <bool kQuick>
__device__ inline float silu(float z) {
  constexpr float kLargest = 89.5f, kRounder = 0x1.8p+23f;
  // exp(t) = p * 2^n, t = -|z|.
  const float magnitude = float_of(bits_of(z) & 0x7fffffffu);
  const float t = magnitude < kLargest ? -magnitude : -kLargest;
  const float rounded = __fmaf_rn(t, 0x1.715476p+0f, kRounder);
  const float n = __fsub_rn(rounded, kRounder);
  const float q = __fmaf_rn(-n, 0x1.7f7d1cp-20f, __fmaf_rn(-n, 0x1.62e4p-1f, t));
  float p = 0x1.a01a02p-13f;  // 1/7!, and so on
  p = __fmaf_rn(q, p, 0x1.6c16c2p-10f);
  p = __fmaf_rn(q, p, 0x1.111112p-7f);
  p = __fmaf_rn(q, p, 0x1.555556p-5f);
  p = __fmaf_rn(q, p, 0x1.555556p-3f);
  p = __fmaf_rn(q, p, 0.5f);
  p = __fmaf_rn(q, p, 1.0f);
  p = __fmaf_rn(q, p, 1.0f);
  // 4 exp(t): the lowest bits of the rounder's sum are n, and the exponent of 2^-127 makes 0.
  const float e = __fmul_rn(p, float_of((bits_of(rounded) << 23) + (129u << 23)));
  const float divisor = __fmaf_rn(e, 0.25f, 1.0f);
  const float inverse = kQuick ? quick_inverse(divisor) : __frcp_rn(divisor);
  const bool is_negative = z < 0.0f;
  return __fmul_rn(is_negative ? __fmul_rn(t, e) : z, is_negative ? __fmul_rn(0.25f, inverse) : inverse);
}

// A function of its own, so that it does not lie amid the instructions of the other.
__device__ __noinline__ inline float general_silu(float z) { return silu<false>(z); }

// Of z's in their places.
template <int kElements>
__device__ inline void make_gates(bool quick, float (&values)[kElements]) {
  if (__builtin_expect(quick, 1)) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) values[i] = silu<true>(values[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kElements; ++i) values[i] = general_silu(values[i]);
  }
}

}  // namespace normproof::kernels
