// LayerNorm of rows of any length and alignment, alone or after adding a residual:
//
//   m = fl(sum x / fl(H)),   d = fl(x - m),   r = rsqrt(fl(fl(sum d^2 / fl(H)) + epsilon)),
//   y = rnd_T(fma(fl(d * r), w, b))
//
// and out is y, or codes of y by a scale s: rnd_Q(clamp(fl(y * fl(1 / s)))). s is given, or made of the row's
// largest |y|: fl(min(a, upper bound) / max_Q), and at least a least scale; NaN stays.
// Both sums are in the canonical order of row_reduction.cuh. A row passes three times through a thread's
// hands. After the first time a thread reads only what it read or wrote itself before, so that out may lie
// over x, and the sum over the residual.
#pragma once

#include <cstdint>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/family/affine.cuh"
#include "kernels/family/block_quant_kernel.cuh"
#include "kernels/family/layer_norm_arguments.h"
#include "kernels/family/row_team.cuh"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/row_reduction.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// The scale of a row of its own, from its largest |y|.
__device__ inline float own_scale(const LayerNormArguments& arguments, std::uint32_t largest) {
  float maximum = float_of(largest);
  if (arguments.scale_ub != nullptr && maximum > *arguments.scale_ub) maximum = *arguments.scale_ub;
  const float scale = __fdiv_rn(maximum, arguments.range);
  return scale < arguments.least_scale ? arguments.least_scale : scale;
}

template <typename T>
__device__ inline void store_statistic(const LeadingDimensions& rows, const RowStatistic& statistic,
                                       std::int64_t row, float value) {
  if (statistic.data == nullptr) return;
  const std::int64_t offset = row_offset(rows, statistic.strides, row);
  if (statistic.is_fp32) {
    static_cast<float*>(statistic.data)[offset] = value;
  } else {
    static_cast<T*>(statistic.data)[offset] = round_to<T>(value);
  }
}

// One row in the hands of one thread.
template <typename T, bool kVectorized>
class LayerNormAccess {
 public:
  static constexpr int kElements = kChunkElements<T>;

  __device__ LayerNormAccess(const LayerNormArguments& arguments, std::int64_t row)
      : arguments_(arguments),
        x_(static_cast<const T*>(arguments.x) + row_offset(arguments.rows, arguments.x_strides, row)),
        out_(row_offset(arguments.rows, arguments.out_strides, row)) {
    if (arguments.residual == nullptr) return;
    residual_ = static_cast<const T*>(arguments.residual) +
                row_offset(arguments.rows, arguments.residual_strides, row);
    sum_ = static_cast<T*>(arguments.residual_out) +
           row_offset(arguments.rows, arguments.residual_out_strides, row);
  }

  // First pass: adds the residual and sums up.
  __device__ float add(float lane_sum, std::int64_t chunk) const {
    Chunk<T> x = load(x_, chunk);
    if (residual_ != nullptr) {
      x = rounded_sum<T>(x, load(residual_, chunk));
      store_pack<kVectorized>(sum_, chunk * kElements, arguments_.shape.hidden, x);
    }
    float values[kElements];
    unpack<T>(x, values);
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      if (exists(chunk, i)) lane_sum = __fadd_rn(lane_sum, values[i]);
    }
    return lane_sum;
  }

  // Second pass.
  __device__ float add_squares(float lane_sum, std::int64_t chunk, float mean) const {
    float values[kElements];
    deviations(chunk, mean, values);
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      if (exists(chunk, i)) lane_sum = __fmaf_rn(values[i], values[i], lane_sum);
    }
    return lane_sum;
  }

  // Third pass. Beyond the end of a row lies anything.
  __device__ Chunk<T> normalized(std::int64_t chunk, float mean, float rstd) const {
    float values[kElements], weight[kElements], bias[kElements];
    deviations(chunk, mean, values);
    const std::int64_t first = chunk * kElements, size = arguments_.shape.hidden;
    load_affine<kVectorized, T>(arguments_.weight, kAbsentWeight, first, size, weight);
    load_affine<kVectorized, T>(arguments_.bias, kAbsentBias, first, size, bias);
#pragma unroll
    for (int i = 0; i < kElements; ++i) values[i] = __fmaf_rn(__fmul_rn(values[i], rstd), weight[i], bias[i]);
    return round_chunk<T>(values);
  }
  __device__ void store(std::int64_t chunk, const Chunk<T>& y) const {
    store_pack<kVectorized>(static_cast<T*>(arguments_.out) + out_, chunk * kElements,
                            arguments_.shape.hidden, y);
  }
  __device__ std::uint32_t largest(std::int64_t chunk, const Chunk<T>& y) const {
    std::uint32_t result = 0;
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      if (exists(chunk, i)) result = larger(result, magnitude_bits(y.elements[i]));
    }
    return result;
  }
  __device__ void store_codes(std::int64_t chunk, const Chunk<T>& y, float factor) const {
    Pack<std::uint8_t, kElements> codes;
#pragma unroll
    for (int i = 0; i < kElements; ++i)
      codes.elements[i] = block_code(y.elements[i], factor, arguments_.codes);
    store_pack<kVectorized>(static_cast<std::uint8_t*>(arguments_.out) + out_, chunk * kElements,
                            arguments_.shape.hidden, codes);
  }

 private:
  __device__ bool exists(std::int64_t chunk, int i) const {
    return kVectorized || chunk * kElements + i < arguments_.shape.hidden;
  }
  __device__ Chunk<T> load(const T* array, std::int64_t chunk) const {
    return load_pack<kVectorized, kElements>(array, chunk * kElements, arguments_.shape.hidden);
  }
  __device__ void deviations(std::int64_t chunk, float mean, float (&values)[kElements]) const {
    unpack<T>(load(sum_ != nullptr ? sum_ : x_, chunk), values);
#pragma unroll
    for (int i = 0; i < kElements; ++i) values[i] = __fsub_rn(values[i], mean);
  }

  const LayerNormArguments& arguments_;
  const T* x_;
  const T* residual_ = nullptr;
  T* sum_ = nullptr;
  std::int64_t out_;
};

template <typename T, bool kVectorized, bool kQuantizes, bool kBlockPerRow, int kSlots>
__global__ void __launch_bounds__(1024) layer_norm_kernel(LayerNormArguments arguments) {
  for_each_row<kBlockPerRow, kSlots>(
      arguments.shape, arguments.rows.count, [&](auto& team, std::int64_t row) {
        const LayerNormAccess<T, kVectorized> access(arguments, row);
        const float hidden = arguments.shape.hidden_as_float;
        const float sum =
            team.sum([&](float lane_sum, std::int64_t chunk) { return access.add(lane_sum, chunk); });
        const float mean = __fdiv_rn(sum, hidden);
        const float squares = team.sum(
            [&](float lane_sum, std::int64_t chunk) { return access.add_squares(lane_sum, chunk, mean); });
        const float rstd = inverse_rms(squares, hidden, arguments.epsilon);
        if (team.is_first()) {
          store_statistic<T>(arguments.rows, arguments.mean, row, mean);
          store_statistic<T>(arguments.rows, arguments.rstd, row, rstd);
        }
        if constexpr (!kQuantizes) {
          team.visit([&](std::int64_t chunk) { access.store(chunk, access.normalized(chunk, mean, rstd)); });
        } else {
          float scale = 1;
          if (arguments.scale != nullptr) {
            scale = *arguments.scale;
          } else {
            std::uint32_t largest = 0;
            team.visit([&](std::int64_t chunk) {
              largest = larger(largest, access.largest(chunk, access.normalized(chunk, mean, rstd)));
            });
            scale = own_scale(arguments, team.largest(largest));
            if (team.is_first()) store_statistic<T>(arguments.rows, arguments.scales, row, scale);
          }
          const float factor = __frcp_rn(scale);
          team.visit([&](std::int64_t chunk) {
            access.store_codes(chunk, access.normalized(chunk, mean, rstd), factor);
          });
        }
      });
}

}  // namespace normproof::kernels
