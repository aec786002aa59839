// The norm kernel: rms_norm, alone or after adding a residual, stored as it is or quantized: to fp8 by one
// scale that is given, or to fp8 or int8 by one for each row.
//
// A row passes twice through a thread's hands: first to sum the squares (and to write the sum with the
// residual), then to scale, weight and store. In between the chunks wait in registers or are read again. A
// thread reads in the second pass only what it read or wrote itself in the first, so the output may lie over
// the input.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/norm_arguments.h"
#include "kernels/row_reduction.cuh"
#include "kernels/row_scale.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// The weight type of a kernel without a weight.
struct NoWeight {};

// How the threads of a block share rows.
//   kBlockPerRow  false: a few threads of one warp take a row of at most 32 chunks, one chunk each.
//                 true: all threads of the block take one row.
//   kSlots        groups of 32 lanes that a warp sums at once: more of them keep more loads in flight.
//   kCached       keep the row in registers between the passes. Requires warps * kSlots >= groups and at most
//   one
//                 chunk per lane.
template <bool kBlockPerRow_, int kSlots_, bool kCached_>
struct Shape {
  static constexpr bool kBlockPerRow = kBlockPerRow_;
  static constexpr int kSlots = kSlots_;
  static constexpr bool kCached = kCached_;
};

// Everything that is fixed when a norm kernel is compiled.
template <typename T_, typename W_, bool kQuantizes_, bool kAddsResidual_, bool kVectorized_, class Shape_,
          bool kScalesRows_ = false>
struct Variant {
  using T = T_;  // float, Bf16 or Fp16
  using W = W_;  // T, float or NoWeight
  using Out = std::conditional_t<kQuantizes_, Fp8, T_>;
  using Shape = Shape_;
  static constexpr bool kWeighted = !std::is_same_v<W_, NoWeight>;
  static constexpr bool kQuantizes = kQuantizes_;
  static constexpr bool kAddsResidual = kAddsResidual_;
  static constexpr bool kVectorized = kVectorized_;
  static constexpr bool kScalesRows = kScalesRows_;  // each row is quantized by a scale of its own
};

// y = rnd_T(rnd_W(rnd_W(fl(x * r)) * w)); without a weight rnd_T(fl(x * r)).
template <class V>
__device__ inline typename V::T normalize(typename V::T x, float inverse_rms, typename V::W weight) {
  const float normalized = __fmul_rn(to_float(x), inverse_rms);
  if constexpr (!V::kWeighted) {
    return round_to<typename V::T>(normalized);
  } else {
    using W = typename V::W;
    const W product = round_to<W>(__fmul_rn(to_float(round_to<W>(normalized)), to_float(weight)));
    if constexpr (std::is_same_v<W, typename V::T>) {
      return product;
    } else {
      return round_to<typename V::T>(to_float(product));
    }
  }
}

// q = rnd_Q(clamp(fl(y * inv), -max_Q, max_Q)). NaN passes both comparisons, and so the clamp.
template <typename T>
__device__ inline Fp8 quantize(T y, float inverse_scale, Fp8Format format) {
  const float maximum = maximum_of(format);
  float scaled = __fmul_rn(to_float(y), inverse_scale);
  if (scaled > maximum) scaled = maximum;
  if (scaled < -maximum) scaled = -maximum;
  return round_to_fp8(scaled, format);
}

// The same to any code of a byte.
template <typename T>
__device__ inline Fp8 quantize(T y, float inverse_scale, CodeFormat format) {
  if (format == CodeFormat::int8) return {round_to_int8(__fmul_rn(to_float(y), inverse_scale))};
  return quantize(y, inverse_scale, static_cast<Fp8Format>(format));
}

// The offset in elements of a row.
__device__ inline std::int64_t row_offset(const NormArguments& arguments, const RowStrides& strides,
                                          std::int64_t row) {
  if (arguments.inner_size == arguments.rows) return row * strides.inner;
  const std::int64_t inner = row % arguments.inner_size;
  const std::int64_t leading = row / arguments.inner_size;
  const std::int64_t middle = leading % arguments.middle_size;
  const std::int64_t outer = leading / arguments.middle_size;
  return outer * strides.outer + middle * strides.middle + inner * strides.inner;
}

// One row in the hands of one thread.
template <class V>
class RowAccess {
 public:
  using T = typename V::T;
  static constexpr int kElements = kChunkElements<T>;

  __device__ RowAccess(const NormArguments& arguments, std::int64_t row)
      : arguments_(arguments),
        input_(static_cast<const T*>(arguments.input) + row_offset(arguments, arguments.input_strides, row)),
        out_(static_cast<typename V::Out*>(arguments.out) +
             row_offset(arguments, arguments.out_strides, row)) {
    if constexpr (V::kAddsResidual) {
      residual_ =
          static_cast<T*>(arguments.residual) + row_offset(arguments, arguments.residual_strides, row);
    }
  }

  // First pass: the values to be normalized. With a residual they are s = rnd_T(x + residual), which takes
  // the residual's place.
  __device__ Chunk<T> take(std::int64_t chunk) const {
    Chunk<T> x = load(input_, chunk);
    if constexpr (V::kAddsResidual) {
      const Chunk<T> residual = load(static_cast<const T*>(residual_), chunk);
#pragma unroll
      for (int i = 0; i < kElements; ++i) {
        x.elements[i] = round_to<T>(__fadd_rn(to_float(x.elements[i]), to_float(residual.elements[i])));
      }
      store(residual_, chunk, x);
    }
    return x;
  }

  // Second pass: the same values again, from memory.
  __device__ Chunk<T> take_again(std::int64_t chunk) const {
    if constexpr (V::kAddsResidual) {
      return load(static_cast<const T*>(residual_), chunk);
    } else {
      return load(input_, chunk);
    }
  }

  __device__ void finish(std::int64_t chunk, const Chunk<T>& x, float inverse_rms,
                         float inverse_scale) const {
    Pack<typename V::W, kElements> weight{};
    if constexpr (V::kWeighted) {
      weight = load(static_cast<const typename V::W*>(arguments_.weight), chunk);
    }
    Pack<typename V::Out, kElements> result;
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      const T y = normalize<V>(x.elements[i], inverse_rms, weight.elements[i]);
      if constexpr (V::kQuantizes) {
        result.elements[i] = quantize(y, inverse_scale, arguments_.codes);
      } else {
        result.elements[i] = y;
      }
    }
    store(out_, chunk, result);
  }

  // The largest |y| of the chunk, as magnitude_bits().
  __device__ std::uint32_t largest(std::int64_t chunk, const Chunk<T>& x, float inverse_rms) const {
    Pack<typename V::W, kElements> weight{};
    if constexpr (V::kWeighted) weight = load(static_cast<const typename V::W*>(arguments_.weight), chunk);
    std::uint32_t result = 0;
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      // Beyond the end of a row lies 0, which is normalized to 0, or to NaN where r or a weight is infinite.
      if (!V::kVectorized && chunk * kElements + i >= arguments_.hidden) break;
      result = larger(result, magnitude_bits(normalize<V>(x.elements[i], inverse_rms, weight.elements[i])));
    }
    return result;
  }

 private:
  template <typename Element>
  __device__ Pack<Element, kElements> load(const Element* array, std::int64_t chunk) const {
    return load_pack<V::kVectorized, kElements>(array, chunk * kElements, arguments_.hidden);
  }
  template <typename Element>
  __device__ void store(Element* array, std::int64_t chunk, const Pack<Element, kElements>& pack) const {
    store_pack<V::kVectorized>(array, chunk * kElements, arguments_.hidden, pack);
  }

  const NormArguments& arguments_;
  const T* input_;
  typename V::Out* out_;
  T* residual_ = nullptr;
};

// A few neighbouring threads of a warp take a row, one chunk each; no barrier.
template <class V>
__device__ inline void norm_rows_within_warp(const NormArguments& arguments, float inverse_scale) {
  const int row_threads = 1 << arguments.row_threads_log2;
  const int thread = static_cast<int>(threadIdx.x) & (row_threads - 1);
  const std::int64_t rows_per_block = blockDim.x >> arguments.row_threads_log2;
  const std::int64_t rows_per_warp = kWarpThreads >> arguments.row_threads_log2;
  std::int64_t row = blockIdx.x * rows_per_block + (threadIdx.x >> arguments.row_threads_log2);
  // A warp goes on as long as its first row exists, because all of its threads must take part in a shuffle.
  for (; row - (row & (rows_per_warp - 1)) < arguments.rows; row += gridDim.x * rows_per_block) {
    const bool present = row < arguments.rows && thread < arguments.chunks;
    const RowAccess<V> access(arguments, present ? row : 0);
    Chunk<typename V::T> x{};
    if (present) x = access.take(thread);
    const float sum = tree_sum(add_squares(0.0f, x), row_threads);
    const float r = inverse_rms(sum, arguments.hidden_as_float, arguments.epsilon);
    if constexpr (V::kScalesRows) {
      const std::uint32_t largest =
          largest_of_threads(present ? access.largest(thread, x, r) : 0, row_threads);
      const float scale = row_scale(bounded(largest, arguments), arguments.codes);
      if (present && thread == 0) arguments.scales[row * arguments.scales_stride] = scale;
      inverse_scale = __fdiv_rn(1.0f, scale);
    }
    if (present) access.finish(thread, x, r, inverse_scale);
  }
}

// All threads of the block take a row. Warp w owns the groups w, w + warps, w + 2 * warps, ...
template <class V>
__device__ inline void norm_row_per_block(const NormArguments& arguments, float inverse_scale) {
  using Shape = typename V::Shape;
  constexpr int kSlots = Shape::kSlots;
  NORMPROOF_SHARED(float, group_sums, kGroups);
  const int thread = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const int warps = static_cast<int>(blockDim.x) / kWarpThreads;

  for (std::int64_t row = blockIdx.x; row < arguments.rows; row += gridDim.x) {
    const RowAccess<V> access(arguments, row);
    Chunk<typename V::T> chunks[kSlots] = {};

    // Calls visit(slot, chunk) for the chunks of `round` that this thread has in the groups from
    // `first_group` on.
    const auto visit_slots = [&](int first_group, std::int64_t round, const auto& visit) {
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) {
        const int group = first_group + slot * warps;
        const std::int64_t chunk = round * kLanes + group * kWarpThreads + thread;
        if (group < kGroups && chunk < arguments.chunks) visit(slot, chunk);
      }
    };

    for (int first_group = warp; first_group < arguments.groups; first_group += warps * kSlots) {
      float lane_sums[kSlots] = {};
      for (std::int64_t round = 0; round * kLanes < arguments.chunks; ++round) {
#pragma unroll
        for (int slot = 0; slot < kSlots; ++slot) chunks[slot] = {};
        visit_slots(first_group, round,
                    [&](int slot, std::int64_t chunk) { chunks[slot] = access.take(chunk); });
#pragma unroll
        for (int slot = 0; slot < kSlots; ++slot)
          lane_sums[slot] = add_squares(lane_sums[slot], chunks[slot]);
      }
      const float sum = tree_sums(lane_sums, thread);
      const int group = first_group + slot_of_sum<kSlots>(thread) * warps;
      const bool writes = thread % kThreadsPerSlot<kSlots> == 0;
      if (writes && group < kGroups) group_sums[group] = sum;
    }
    __syncthreads();
    const float sum = tree_over_groups(group_sums, arguments.groups, arguments.group_tree_width, thread);
    const float r = inverse_rms(sum, arguments.hidden_as_float, arguments.epsilon);

    if constexpr (V::kScalesRows) {
      std::uint32_t largest = 0;
      const auto look = [&](int slot, std::int64_t chunk) {
        largest = larger(largest, access.largest(chunk, chunks[slot], r));
      };
      if constexpr (Shape::kCached) {
        visit_slots(warp, 0, look);
      } else {
        for (int first_group = warp; first_group < arguments.groups; first_group += warps * kSlots) {
          for (std::int64_t round = 0; round * kLanes < arguments.chunks; ++round) {
            visit_slots(first_group, round,
                        [&](int slot, std::int64_t chunk) { chunks[slot] = access.take_again(chunk); });
            visit_slots(first_group, round, look);
          }
        }
      }
      largest = bounded(largest_of_block(largest, warp, warps, thread), arguments);
      const float scale = row_scale(largest, arguments.codes);
      if (threadIdx.x == 0) arguments.scales[row * arguments.scales_stride] = scale;
      inverse_scale = __fdiv_rn(1.0f, scale);
    }

    if constexpr (Shape::kCached) {
      visit_slots(warp, 0, [&](int slot, std::int64_t chunk) {
        access.finish(chunk, chunks[slot], r, inverse_scale);
      });
    } else {
      for (int first_group = warp; first_group < arguments.groups; first_group += warps * kSlots) {
        for (std::int64_t round = 0; round * kLanes < arguments.chunks; ++round) {
          visit_slots(first_group, round,
                      [&](int slot, std::int64_t chunk) { chunks[slot] = access.take_again(chunk); });
          visit_slots(first_group, round, [&](int slot, std::int64_t chunk) {
            access.finish(chunk, chunks[slot], r, inverse_scale);
          });
        }
      }
    }
    // The next row overwrites group_sums, which a slower warp may still be reading.
    if (row + gridDim.x < arguments.rows) __syncthreads();
  }
}

template <class V>
__global__ void __launch_bounds__(1024) norm_kernel(NormArguments arguments) {
  const float inverse_scale = V::kQuantizes ? __fdiv_rn(1.0f, *arguments.scale) : 1.0f;
  if constexpr (V::Shape::kBlockPerRow) {
    norm_row_per_block<V>(arguments, inverse_scale);
  } else {
    norm_rows_within_warp<V>(arguments, inverse_scale);
  }
}

// The same where each row gets a scale of its own.
template <class V>
__global__ void __launch_bounds__(1024) row_scaling_kernel(NormArguments arguments) {
  if constexpr (V::Shape::kBlockPerRow) {
    norm_row_per_block<V>(arguments, 1.0f);
  } else {
    norm_rows_within_warp<V>(arguments, 1.0f);
  }
}

}  // namespace normproof::kernels
