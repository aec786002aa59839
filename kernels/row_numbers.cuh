// The numbers of a row that take a quotient, a root or an inverse, in as few instructions as give the
// correctly rounded result: where one token is normalized, every thread waits for them. Operands for which
// these few do not suffice go to the general functions. They rest on the GPU's approximate root and inverse,
// so `normproof prove` compares all operands, and quick_operands.h names the GPUs on which it has.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"
#include "kernels/norm_arguments.h"
#include "kernels/quick_operands.h"
#include "kernels/row_reduction.cuh"
#include "kernels/row_scale.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// Whether the bits of a positive number lie within those of two others.
__device__ inline bool lies_within(float value, float least, float most) {
  return bits_of(value) - bits_of(least) <= bits_of(most) - bits_of(least);
}

// Sums whose mean, root and all that comes between are normal numbers.
__device__ inline bool is_quick_sum(float sum) { return lies_within(sum, kLeastQuickSum, kMostQuickSum); }

// rnd(sum / hidden), for a quick sum and hidden up to kMostQuickHidden: the product with the rounded inverse
// is less than 2 ulp off, so the remainder is known but for 2^-25 of itself, and so the second product adds
// to less than 2^-22 ulp from the quotient. That is nearer than the next tie: with an integer divisor,
// quotients are 1 / (2 * hidden) ulp from ties.
__device__ inline float quick_mean(float sum, float hidden, float inverse_hidden) {
  const float quotient = __fmul_rn(sum, inverse_hidden);
  const float remainder = __fmaf_rn(-quotient, hidden, sum);
  return __fmaf_rn(remainder, inverse_hidden, quotient);
}

// rnd(1 / sqrt(m)), for the mean of a quick sum and an epsilon up to kMostQuickEpsilon.
__device__ inline float quick_inverse_root(float m) {
#if defined(__CUDACC__)
  float root;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(m));
  // root * (1 - error)^(-1/2) to the second order of error = 1 - m * root^2, the square in two words.
  const float square = __fmul_rn(root, root);
  const float rest = __fmaf_rn(root, root, -square);
  const float error = __fmaf_rn(-m, rest, __fmaf_rn(-m, square, 1.0f));
  return __fmaf_rn(__fmaf_rn(error, 0.375f, 0.5f), __fmul_rn(root, error), root);
#else
  return __frsqrt_rn(m);
#endif
}

// Whether a number and its inverse are normal.
__device__ inline bool has_quick_inverse(float value) {
  return lies_within(float_of(bits_of(value) & 0x7fffffffu), 0x1p-126f, 0x1.fffffep125f);
}

// rnd(1 / value) where it is quick, otherwise anything.
__device__ inline float quick_inverse(float value) {
#if defined(__CUDACC__)
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(value));
  return __fmaf_rn(inverse, __fmaf_rn(-value, inverse, 1.0f), inverse);
#else
  return __frcp_rn(value);
#endif
}

struct RowNumbers {
  float inverse_rms;
  float inverse_scale;  // where the operation quantizes
};

// The same for all operands. A function of its own, so that it does not lie
// amid the instructions of the others.
template <bool kQuantizes>
__device__ __noinline__ inline RowNumbers general_row_numbers(float sum, float hidden, float epsilon,
                                                              float scale) {
  return {inverse_rms(sum, hidden, epsilon), kQuantizes ? __frcp_rn(scale) : 1.0f};
}

// inverse_rms() of a row and rnd(1 / scale), of which `inverse_scale` is the quick_inverse().
template <bool kQuantizes>
__device__ inline RowNumbers row_numbers(const NormArguments& arguments, float sum, float scale,
                                         float inverse_scale) {
  const float mean = quick_mean(sum, arguments.hidden_as_float, arguments.inverse_hidden);
  const RowNumbers quick{quick_inverse_root(__fadd_rn(mean, arguments.epsilon)), inverse_scale};
  bool permitted = is_quick_sum(sum);  // one branch for all conditions
  permitted &= arguments.inverse_hidden != 0.0f;
  if constexpr (kQuantizes) permitted &= has_quick_inverse(scale);
  if (__builtin_expect(permitted, 1)) return quick;
  return general_row_numbers<kQuantizes>(sum, arguments.hidden_as_float, arguments.epsilon, scale);
}

// The scale that a row gets from its largest |y|, and the scale's inverse.
struct RowScale {
  float scale;
  float inverse;
};

// Whether its scale is quick: not of an infinity, and not of NaN.
__device__ inline bool is_quick_largest(std::uint32_t largest) { return largest < 0x7f800000u; }

// row_scale() and the inverse of what comes out, for a quick largest and a format of the hardware. Its
// largest number is 7 times a power of two, so quotients are 1/14 ulp from ties: quick_mean() holds here as
// well. What is so small that it does not is below the least scale in any case.
template <Fp8Format kFormat>
__device__ inline RowScale quick_row_scale(std::uint32_t largest) {
  static_assert(kFormat == Fp8Format::e4m3fn || kFormat == Fp8Format::e5m2);
  constexpr float kRange = kFormat == Fp8Format::e4m3fn ? 448.0f : 57344.0f;
  constexpr float kLeast = 1.0f / (512.0f * kRange);
  const float quotient = quick_mean(float_of(largest), kRange, 1.0f / kRange);
  const float scale = quotient < kLeast ? kLeast : quotient;
  return {scale, quick_inverse(scale)};
}

__device__ __noinline__ inline RowScale general_row_scale(std::uint32_t largest, CodeFormat format) {
  const float scale = row_scale(largest, format);
  return {scale, __frcp_rn(scale)};
}

template <Fp8Format kFormat>
__device__ inline RowScale row_scale_and_inverse(const NormArguments& arguments, std::uint32_t largest) {
  bool permitted = is_quick_largest(largest);
  permitted &= arguments.inverse_hidden != 0.0f;
  if (__builtin_expect(permitted, 1)) return quick_row_scale<kFormat>(largest);
  return general_row_scale(largest, static_cast<CodeFormat>(kFormat));
}

}  // namespace normproof::kernels
