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

// inverse_rms() of a sum of squares.
__device__ inline float row_inverse_root(float squares, float hidden, float inverse_hidden, float epsilon) {
  bool permitted = is_quick_sum(squares);
  permitted &= inverse_hidden != 0.0f;
  if (__builtin_expect(permitted, 1))
    return quick_inverse_root(__fadd_rn(quick_mean(squares, hidden, inverse_hidden), epsilon));
  return general_row_numbers<false>(squares, hidden, epsilon, 1.0f).inverse_rms;
}

}  // namespace normproof::kernels
