// RMSNorm of each head of q or k and then the rotary embedding, for heads of any size and alignment:
//
//   r = rsqrt(fl(fl(sum x^2 / fl(size)) + epsilon)),   a, b = fl(fl(x * r) * w) of the two elements of a
//   pair, first = rnd_T(fl(fl(a cos) - fl(b sin))),   second = rnd_T(fl(fl(b cos) + fl(a sin)))
//
// The sum is in the canonical order of row_reduction.cuh. Elements without a pair are normalized alone. A
// pair is read and written by one thread, once all threads have read the head: so out may lie over x.
#pragma once

#include <cstdint>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/family/affine.cuh"
#include "kernels/family/qk_norm_rope_arguments.h"
#include "kernels/family/row_team.cuh"
#include "kernels/row_reduction.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

struct RotatedPair {
  float first, second;
};

__device__ inline RotatedPair rotate(float a, float b, float cosine, float sine) {
  return {__fsub_rn(__fmul_rn(a, cosine), __fmul_rn(b, sine)),
          __fadd_rn(__fmul_rn(b, cosine), __fmul_rn(a, sine))};
}

template <typename T>
__device__ inline float rotation_number(const void* data, bool is_fp32, std::int64_t offset) {
  return is_fp32 ? static_cast<const float*>(data)[offset] : to_float(static_cast<const T*>(data)[offset]);
}

template <typename T, bool kBlockPerRow, int kSlots>
__global__ void __launch_bounds__(1024) qk_norm_rope_kernel(QkNormRopeArguments arguments) {
  const std::int64_t size = arguments.shape.hidden, pairs = arguments.pairs;
  for_each_row<kBlockPerRow, kSlots>(
      arguments.shape, arguments.rows.count, [&](auto& team, std::int64_t row) {
        const auto offset = [&](const RowStrides& strides) {
          return row_offset(arguments.rows, strides, row);
        };
        const T* x = static_cast<const T*>(arguments.x) + offset(arguments.x_strides);
        T* out = static_cast<T*>(arguments.out) + offset(arguments.out_strides);
        const float squares = team.sum([&](float lane_sum, std::int64_t chunk) {
          constexpr int kElements = kChunkElements<T>;
          return add_squares(lane_sum, load_pack<false, kElements>(x, chunk * kElements, size));
        });
        const float r = inverse_rms(squares, arguments.shape.hidden_as_float, arguments.epsilon);
        const auto normalized = [&](std::int64_t i) {
          return __fmul_rn(__fmul_rn(to_float(x[i]), r),
                           affine_number<T>(arguments.weight, kAbsentWeight, i));
        };
        const std::int64_t cosines = offset(arguments.cosine_strides), sines = offset(arguments.sine_strides);
        // First the pairs, then the elements without one.
        team.visit_indices(size - pairs, [&](std::int64_t i) {
          if (i >= pairs) {
            out[i + pairs] = round_to<T>(normalized(i + pairs));
            return;
          }
          const std::int64_t first = arguments.interleaved ? 2 * i : i;
          const std::int64_t second = arguments.interleaved ? 2 * i + 1 : i + pairs;
          const RotatedPair pair =
              rotate(normalized(first), normalized(second),
                     rotation_number<T>(arguments.cosine, arguments.rotation_is_fp32, cosines + i),
                     rotation_number<T>(arguments.sine, arguments.rotation_is_fp32, sines + i));
          out[first] = round_to<T>(pair.first);
          out[second] = round_to<T>(pair.second);
        });
      });
}

}  // namespace normproof::kernels
