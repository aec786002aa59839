// RMSNorm with a gate behind it, for rows of any length and alignment:
//
//   r = rsqrt(fl(fl(sum x^2 / fl(H)) + epsilon)),   out = rnd_T(fl(fl(fl(x * r) * w) * silu(z)))
//
// The sum is in the canonical order of row_reduction.cuh. In the second pass a thread reads only those
// elements of x that it read itself in the first, and writes them: so out may lie over x.
#pragma once

#include <cstdint>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/family/affine.cuh"
#include "kernels/family/gate.cuh"
#include "kernels/family/gated_norm_arguments.h"
#include "kernels/family/row_team.cuh"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/row_reduction.cuh"

namespace normproof::kernels {

template <typename T>
__device__ inline Chunk<T> gated(const Chunk<T>& x, float r, const float (&weight)[kChunkElements<T>],
                                 const float (&gate)[kChunkElements<T>]) {
  float values[kChunkElements<T>];
  unpack<T>(x, values);
#pragma unroll
  for (int i = 0; i < kChunkElements<T>; ++i)
    values[i] = __fmul_rn(__fmul_rn(__fmul_rn(values[i], r), weight[i]), gate[i]);
  return round_chunk<T>(values);
}

template <typename T, bool kVectorized, bool kBlockPerRow, int kSlots>
__global__ void __launch_bounds__(1024) gated_norm_kernel(GatedNormArguments arguments) {
  constexpr int kElements = kChunkElements<T>;
  const std::int64_t hidden = arguments.shape.hidden;
  for_each_row<kBlockPerRow, kSlots>(
      arguments.shape, arguments.rows.count, [&](auto& team, std::int64_t row) {
        const T* x =
            static_cast<const T*>(arguments.x) + row_offset(arguments.rows, arguments.x_strides, row);
        const T* z =
            static_cast<const T*>(arguments.gate) + row_offset(arguments.rows, arguments.gate_strides, row);
        T* out = static_cast<T*>(arguments.out) + row_offset(arguments.rows, arguments.out_strides, row);
        const float squares = team.sum([&](float lane_sum, std::int64_t chunk) {
          return add_squares(lane_sum, load_pack<kVectorized, kElements>(x, chunk * kElements, hidden));
        });
        const float r = inverse_rms(squares, arguments.shape.hidden_as_float, arguments.epsilon);
        team.visit([&](std::int64_t chunk) {
          const std::int64_t first = chunk * kElements;
          float weight[kElements], gate[kElements];
          load_affine<kVectorized, T>(arguments.weight, kAbsentWeight, first, hidden, weight);
          unpack<T>(load_pack<kVectorized, kElements>(z, first, hidden), gate);
          make_gates(arguments.inverse_hidden != 0.0f, gate);
          const Chunk<T> elements = load_pack<kVectorized, kElements>(x, first, hidden);
          store_pack<kVectorized>(out, first, hidden, gated<T>(elements, r, weight, gate));
        });
      });
}

}  // namespace normproof::kernels
