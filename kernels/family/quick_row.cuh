// The mean and the root of a row, correctly rounded, by the short ways of row_numbers.cuh where they lead
// there.
#pragma once

#include "kernels/row_numbers.cuh"

namespace normproof::kernels {

// fl(sum / H), of a sum of either sign. `inverse_hidden` is 0 where there is no short way.
__device__ inline float row_mean(float sum, float hidden, float inverse_hidden) {
  bool permitted = is_quick_sum(float_of(bits_of(sum) & 0x7fffffffu));
  permitted &= inverse_hidden != 0.0f;
  if (__builtin_expect(permitted, 1)) return quick_mean(sum, hidden, inverse_hidden);
  return __fdiv_rn(sum, hidden);
}

// A function of its own, so that it does not lie amid the instructions of others.
__device__ __noinline__ inline float general_mean(float sum, float hidden) { return __fdiv_rn(sum, hidden); }

// The same of several sums, in their places, by one branch: for few rows, which wait for it. A call takes
// registers, which many rows need.
template <int kCount>
__device__ inline void row_means(float (&sums)[kCount], float hidden, float inverse_hidden) {
  bool permitted = inverse_hidden != 0.0f;
#pragma unroll
  for (int i = 0; i < kCount; ++i) permitted &= is_quick_sum(float_of(bits_of(sums[i]) & 0x7fffffffu));
  if (__builtin_expect(permitted, 1)) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) sums[i] = quick_mean(sums[i], hidden, inverse_hidden);
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) sums[i] = general_mean(sums[i], hidden);
  }
}

// inverse_rms() of sums of squares, in their places: one branch for all of them.
template <int kCount>
__device__ inline void row_inverse_roots(float (&sums)[kCount], float hidden, float inverse_hidden,
                                         float epsilon) {
  bool permitted = inverse_hidden != 0.0f;
#pragma unroll
  for (int i = 0; i < kCount; ++i) permitted &= is_quick_sum(sums[i]);
  if (__builtin_expect(permitted, 1)) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      sums[i] = quick_inverse_root(__fadd_rn(quick_mean(sums[i], hidden, inverse_hidden), epsilon));
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      sums[i] = general_row_numbers<false>(sums[i], hidden, epsilon, 1.0f).inverse_rms;
  }
}
__device__ inline float row_inverse_root(float squares, float hidden, float inverse_hidden, float epsilon) {
  float root[1] = {squares};
  row_inverse_roots(root, hidden, inverse_hidden, epsilon);
  return root[0];
}

}  // namespace normproof::kernels
