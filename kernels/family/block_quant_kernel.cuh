// Normalizing rows and quantizing them block by block: the kernel that takes any row. A row passes twice
// through a block of threads: chunk by chunk to add up its squares in the canonical order, which also stores
// the sum with the residual, then block by block of elements, for which a few neighbouring threads find the
// largest |y|, the scale and the codes.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/family/block_quant_arguments.h"
#include "kernels/family/block_scale.cuh"
#include "kernels/family/e2m1.cuh"
#include "kernels/norm_kernel.cuh"
#include "kernels/row_reduction.cuh"
#include "kernels/row_scale.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// What normalize() asks of a variant.
template <typename T_, typename W_>
struct Weighting {
  using T = T_;
  using W = W_;
  static constexpr bool kWeighted = !std::is_same_v<W_, NoWeight>;
};

// The code of y, one of e2m1 in four bits.
template <typename T>
__device__ inline std::uint8_t block_code(T y, float factor, CodeFormat format) {
  if (format != CodeFormat::e2m1) return quantize(y, factor, format).bits;
  return static_cast<std::uint8_t>(e2m1_of(__fmul_rn(to_float(y), factor)));
}

// A row in the hands of one thread.
template <typename T, bool kVectorized>
class AnyBlockRow {
 public:
  static constexpr int kElements = kChunkElements<T>;

  __device__ AnyBlockRow(const BlockQuantArguments& arguments, std::int64_t row)
      : arguments_(arguments),
        input_(static_cast<const T*>(arguments.norm.input) + offset(arguments.norm.input_strides, row)),
        values_(input_),
        out_(static_cast<std::uint8_t*>(arguments.norm.out) + offset(arguments.norm.out_strides, row)) {
    if (arguments.norm.residual != nullptr) {
      residual_ =
          static_cast<const T*>(arguments.norm.residual) + offset(arguments.norm.residual_strides, row);
      residual_out_ = static_cast<T*>(arguments.residual_out) + offset(arguments.residual_out_strides, row);
      values_ = residual_out_;
    }
    if (arguments.normalized != nullptr)
      normalized_ = static_cast<T*>(arguments.normalized) + offset(arguments.normalized_strides, row);
  }

  // The values of a chunk that are normalized; stores them where they are a sum.
  __device__ Chunk<T> take(std::int64_t chunk) const {
    const std::int64_t first = chunk * kElements, hidden = arguments_.norm.hidden;
    Chunk<T> x = load_pack<kVectorized, kElements>(input_, first, hidden);
    if (residual_ == nullptr) return x;
    const Chunk<T> residual = load_pack<kVectorized, kElements>(residual_, first, hidden);
#pragma unroll
    for (int i = 0; i < kElements; ++i)
      x.elements[i] = round_to<T>(__fadd_rn(to_float(x.elements[i]), to_float(residual.elements[i])));
    store_pack<kVectorized>(residual_out_, first, hidden, x);
    return x;
  }

  // y of an element, once all threads of the block have taken their chunks.
  __device__ T normalized(std::int64_t element, float inverse_rms) const {
    const T x = values_[element];
    const void* weight = arguments_.norm.weight;
    switch (arguments_.weight) {
      case WeightKind::same_as_activation:
        return normalize<Weighting<T, T>>(x, inverse_rms, static_cast<const T*>(weight)[element]);
      case WeightKind::fp32:
        return normalize<Weighting<T, float>>(x, inverse_rms, static_cast<const float*>(weight)[element]);
      case WeightKind::none:
        break;
    }
    return normalize<Weighting<T, NoWeight>>(x, inverse_rms, NoWeight{});
  }

  // Stores what elements `first` to `first` + kCount - 1 become: a byte, and y where it is wanted.
  __device__ void store(std::int64_t element, float inverse_rms, float factor) const {
    const T y = normalized(element, inverse_rms);
    out_[element] = block_code(y, factor, arguments_.codes);
    if (normalized_ != nullptr) normalized_[element] = y;
  }
  __device__ void store_pair(std::int64_t element, float inverse_rms, float factor) const {
    const T low = normalized(element, inverse_rms), high = normalized(element + 1, inverse_rms);
    out_[element / 2] = static_cast<std::uint8_t>(block_code(low, factor, CodeFormat::e2m1) |
                                                  block_code(high, factor, CodeFormat::e2m1) << 4);
    if (normalized_ != nullptr) normalized_[element] = low, normalized_[element + 1] = high;
  }

 private:
  __device__ std::int64_t offset(const RowStrides& strides, std::int64_t row) const {
    return row_offset(arguments_.norm, strides, row);
  }

  const BlockQuantArguments& arguments_;
  const T* input_;
  const T* values_;  // what is normalized
  std::uint8_t* out_;
  const T* residual_ = nullptr;
  T* residual_out_ = nullptr;
  T* normalized_ = nullptr;
};

#if defined(__CUDACC__)
inline constexpr int kBlockQuantSlots = 4;
#else
inline constexpr int kBlockQuantSlots = 8;  // fewer shuffles, which is what a fiber's time goes into
#endif

// The squares of the row, summed up in the canonical order; every thread gets the sum.
template <typename T, bool kVectorized>
__device__ inline float sum_of_any_row(const NormArguments& arguments, const AnyBlockRow<T, kVectorized>& row,
                                       float* group_sums, int warp, int warps, int thread) {
  constexpr int kSlots = kBlockQuantSlots;
  for (int first_group = warp; first_group < arguments.groups; first_group += warps * kSlots) {
    float lane_sums[kSlots] = {};
    for (std::int64_t round = 0; round * kLanes < arguments.chunks; ++round) {
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) {
        const int group = first_group + slot * warps;
        const std::int64_t chunk = round * kLanes + group * kWarpThreads + thread;
        if (group < kGroups && chunk < arguments.chunks)
          lane_sums[slot] = add_squares(lane_sums[slot], row.take(chunk));
      }
    }
    const float sum = tree_sums(lane_sums, thread);
    const int group = first_group + slot_of_sum<kSlots>(thread) * warps;
    if (thread % kThreadsPerSlot<kSlots> == 0 && group < kGroups) group_sums[group] = sum;
  }
  __syncthreads();
  return tree_over_groups(group_sums, arguments.groups, arguments.group_tree_width, thread);
}

// All threads of the block take a row, and 2 to the power of block_threads_log2 of them a block of elements.
template <typename T, bool kVectorized>
__global__ void __launch_bounds__(1024) block_quant_kernel(BlockQuantArguments arguments) {
  NORMPROOF_SHARED(float, group_sums, kGroups);
  const int thread = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const int warps = static_cast<int>(blockDim.x) / kWarpThreads;
  const int sharers = 1 << arguments.block_threads_log2, sharer = thread & (sharers - 1);
  const int blocks_per_warp = kWarpThreads >> arguments.block_threads_log2;
  const ScaleParameters parameters = scale_parameters(arguments);
  const NormArguments& norm = arguments.norm;

  for (std::int64_t row = blockIdx.x; row < norm.rows; row += gridDim.x) {
    const AnyBlockRow<T, kVectorized> values(arguments, row);
    std::uint8_t* const first_scale = first_scale_of(arguments, row);
    const float sum = sum_of_any_row(norm, values, group_sums, warp, warps, thread);
    const float r = inverse_rms(sum, norm.hidden_as_float, norm.epsilon);
    // A warp goes on as long as its first block exists, because all of its threads must take part in a
    // shuffle.
    for (std::int64_t first_block = warp * blocks_per_warp; first_block < arguments.blocks;
         first_block += warps * blocks_per_warp) {
      const std::int64_t block = first_block + (thread >> arguments.block_threads_log2);
      const std::int64_t first = block * arguments.block;
      const std::int64_t end = first + arguments.block < norm.hidden ? first + arguments.block : norm.hidden;
      std::uint32_t largest = 0;
      for (std::int64_t i = first + sharer; i < end; i += sharers)
        largest = larger(largest, magnitude_bits(values.normalized(i, r)));
      largest = largest_of_threads(largest, sharers);
      if (block >= arguments.blocks) continue;
      const BlockScale scale = general_block_scale(arguments.scaling, parameters, largest);
      if (sharer == 0) {
        std::uint8_t* const place =
            first_scale + block / 4 * arguments.scale_group_bytes + block % 4 * arguments.scale_block_bytes;
        store_scale(place, scale.stored, arguments.scaling.storage);
      }
      if (arguments.codes == CodeFormat::e2m1) {
        for (std::int64_t i = first + 2 * sharer; i < end; i += 2 * sharers)
          values.store_pair(i, r, scale.factor);
      } else {
        for (std::int64_t i = first + sharer; i < end; i += sharers) values.store(i, r, scale.factor);
      }
    }
    // The next row overwrites group_sums, which a slower warp may still be reading.
    if (row + gridDim.x < norm.rows) __syncthreads();
  }
}

}  // namespace normproof::kernels
