// The norm kernel for rows that fit into the registers of a block, in the shapes that fill a GPU: all loads
// of a row are in flight at once, then the sum, then the stores. The same arithmetic and the same order of
// summation as norm_kernel.cuh, which runs every other row; vectorized only.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/block_reduction.cuh"
#include "kernels/cache_hint.cuh"
#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/dependent_launch.cuh"
#include "kernels/norm_arguments.h"
#include "kernels/norm_kernel.cuh"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/register_shape.h"
#include "kernels/row_numbers.cuh"
#include "kernels/row_reduction.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// Computed here, not where it is used: addresses, before the wait for the kernel before.
template <typename Pointee>
__device__ inline Pointee* settle(Pointee* pointer) {
#if defined(__CUDACC__)
  asm volatile("" : "+l"(pointer));
  __builtin_assume(__isGlobal(pointer));  // which the compiler no longer sees
#endif
  return pointer;
}

__device__ inline float settle(float value) {
#if defined(__CUDACC__)
  asm volatile("" : "+f"(value));
#endif
  return value;
}

// row_offset() where leading dimensions do not step evenly. A function of its own, so that its divisions do
// not lie amid the instructions of all other calls: with few rows, fetching instructions is a good part of
// the time.
__device__ __noinline__ inline std::int64_t uneven_row_offset(std::int64_t middle_size,
                                                              std::int64_t inner_size, RowStrides strides,
                                                              std::int64_t row) {
  NormArguments arguments;
  arguments.middle_size = middle_size;
  arguments.inner_size = inner_size;
  return row_offset(arguments, strides, row);
}

// The chunk from `first` on. See Eviction::last.
template <typename T>
__device__ inline Chunk<T> load_chunk_and_evict_last(const T* array, std::int64_t first) {
#if defined(__CUDACC__)
  const uint4 vector = load_and_evict_last(array + first);
  Chunk<T> chunk;
  __builtin_memcpy(&chunk, &vector, sizeof chunk);
  return chunk;
#else
  return load_pack<true, kChunkElements<T>>(array, first, first + kChunkElements<T>);
#endif
}

// A pack that no thread of the grid writes.
template <int kCount, typename Element>
__device__ inline Pack<Element, kCount> load_constant_pack(const Element* array, std::int64_t first) {
#if defined(__CUDACC__)
  Pack<Element, kCount> pack;
  using Vector = typename VectorOf<WidestVector<sizeof(pack)>::kWidth>::type;
#pragma unroll
  for (std::size_t i = 0; i < sizeof(pack) / sizeof(Vector); ++i) {
    const Vector vector = __ldg(reinterpret_cast<const Vector*>(array + first) + i);
    __builtin_memcpy(reinterpret_cast<char*>(&pack) + i * sizeof(Vector), &vector, sizeof(Vector));
  }
  return pack;
#else
  return load_pack<true, kCount>(array, first, first + kCount);
#endif
}

// What quantize() gives of a chunk, as it is stored: in words, because a compiler takes bytes apart and puts
// them together again.
template <typename T>
using QuantizedChunk = typename VectorOf<kChunkElements<T>>::type;

// quantize() of each element, for one of the hardware's formats.
template <Fp8Format kFormat, typename T>
__device__ inline QuantizedChunk<T> quantize_chunk(const Chunk<T>& y, float inverse_scale) {
  constexpr int kElements = kChunkElements<T>;
  QuantizedChunk<T> result;
#if defined(__CUDACC__)
  float scaled[kElements];
  unpack<T>(y, scaled);
#pragma unroll
  for (int i = 0; i < kElements; ++i) scaled[i] = __fmul_rn(scaled[i], inverse_scale);
  // The hardware converts two numbers at once and clamps them; NaN stays NaN.
  constexpr __nv_fp8_interpretation_t kInterpretation = kFormat == Fp8Format::e4m3fn ? __NV_E4M3 : __NV_E5M2;
  std::uint32_t words[kElements / 4];
#pragma unroll
  for (int i = 0; i < kElements / 4; ++i) {
    const float2 low{scaled[4 * i], scaled[4 * i + 1]}, high{scaled[4 * i + 2], scaled[4 * i + 3]};
    words[i] = __nv_cvt_float2_to_fp8x2(low, __NV_SATFINITE, kInterpretation) |
               std::uint32_t{__nv_cvt_float2_to_fp8x2(high, __NV_SATFINITE, kInterpretation)} << 16;
  }
  __builtin_memcpy(&result, words, sizeof words);
#else
  Pack<Fp8, kElements> pack;
  for (int i = 0; i < kElements; ++i) pack.elements[i] = quantize(y.elements[i], inverse_scale, kFormat);
  __builtin_memcpy(&result, &pack, sizeof pack);
#endif
  return result;
}

// normalize() of each element of a chunk, unpacked.
template <class V>
__device__ inline Chunk<typename V::T> normalize_values(
    float (&values)[kChunkElements<typename V::T>], float inverse_rms,
    const Pack<typename V::W, kChunkElements<typename V::T>>& weight) {
  using T = typename V::T;
  constexpr int kElements = kChunkElements<T>;
#pragma unroll
  for (int i = 0; i < kElements; ++i) values[i] = __fmul_rn(values[i], inverse_rms);
  if constexpr (V::kWeighted && !std::is_same_v<typename V::W, T>) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) values[i] = __fmul_rn(values[i], to_float(weight.elements[i]));
  }
  const Chunk<T> normalized = round_chunk<T>(values);
  if constexpr (V::kWeighted && std::is_same_v<typename V::W, T>) {
    return rounded_product<T>(normalized, weight);
  } else {
    return normalized;
  }
}

template <class V>
__device__ inline Chunk<typename V::T> normalize_chunk(
    const Chunk<typename V::T>& x, float inverse_rms,
    const Pack<typename V::W, kChunkElements<typename V::T>>& weight) {
  float values[kChunkElements<typename V::T>];
  unpack<typename V::T>(x, values);
  return normalize_values<V>(values, inverse_rms, weight);
}

// Makes a compiler forget where a pack comes from and what it has computed from it: it neither loads it later
// nor keeps the unpacked numbers, which take twice the registers, for later use.
template <typename Element, int kCount>
__device__ inline void settle([[maybe_unused]] Pack<Element, kCount>& pack) {
#if defined(__CUDACC__)
  constexpr int kWords = sizeof pack / sizeof(std::uint32_t);
  std::uint32_t words[kWords];
  __builtin_memcpy(words, &pack, sizeof words);
#pragma unroll
  for (int i = 0; i < kWords; ++i) asm volatile("" : "+r"(words[i]));
  __builtin_memcpy(&pack, words, sizeof words);
#endif
}

// Calls visit(round, slot, index of the chunk's first element, whether the chunk exists) for all chunks of a
// thread; `first` is its chunk in slot 0 of round 0, `stride` leads to the next slot where a row need not be
// full. In a full row all exist, and indices count from the thread's first chunk. Otherwise those that do not
// exist have the index of the last one, so that loads need no branch. Where the operation works in place,
// another thread may be writing that one: what is read of it is not used. The same goes for threads whose row
// does not exist, which have row 0.
template <class Shape, int kElements, class Visit>
__device__ inline void visit_chunks(int chunks, int first, int stride, const Visit& visit_chunk) {
#pragma unroll
  for (int round = 0; round < Shape::kRounds; ++round) {
#pragma unroll
    for (int slot = 0; slot < (round + 1 < Shape::kRounds ? Shape::kSlots : Shape::kLastSlots); ++slot) {
      if constexpr (Shape::kFull) {
        visit_chunk(round, slot, std::int64_t{round * kLanes + slot * kWarpThreads} * kElements, true);
      } else {
        const int chunk = round * kLanes + first + slot * stride;
        const bool exists = chunk < chunks;
        visit_chunk(round, slot, std::int64_t{exists ? chunk : chunks - 1} * kElements, exists);
      }
    }
  }
}

template <class V>
class RegisterRow {
 public:
  using T = typename V::T;
  using W = typename V::W;
  using Shape = typename V::Shape;
  static constexpr int kElements = kChunkElements<T>;
  static constexpr int kSlots = Shape::kSlots;
  static constexpr int kRounds = Shape::kRounds;
  // Weights of a wider type take the registers that unpacked elements would.
  static constexpr bool kUnpacked = Shape::kUnpacks && (!V::kWeighted || sizeof(W) <= sizeof(T));
  static_assert(ShapeLimits::kWarpLanes == kWarpThreads && ShapeLimits::kRowLanes == kLanes);

  // `first` is the thread's chunk in slot 0 of round 0, `stride` leads to the next slot where a row need not
  // be full.
  __device__ void aim(const NormArguments& arguments, std::int64_t row, int first, int stride, bool present) {
    arguments_ = &arguments;
    first_ = first;
    stride_ = stride;
    present_ = present;
    std::int64_t input = row * arguments.input_strides.inner;
    std::int64_t residual = V::kAddsResidual ? row * arguments.residual_strides.inner : 0;
    std::int64_t out = row * arguments.out_strides.inner;
    if (arguments.inner_size != arguments.rows) {
      const auto offset = [&](const RowStrides& strides) {
        return uneven_row_offset(arguments.middle_size, arguments.inner_size, strides, row);
      };
      input = offset(arguments.input_strides);
      if constexpr (V::kAddsResidual) residual = offset(arguments.residual_strides);
      out = offset(arguments.out_strides);
    }
    const int start = Shape::kFull ? first * kElements : 0;
    input_ = settle(static_cast<const T*>(arguments.input) + input + start);
    if constexpr (V::kAddsResidual)
      residual_ = settle(static_cast<T*>(arguments.residual) + residual + start);
    out_ = static_cast<typename V::Out*>(arguments.out) + out + start;
  }

  // Starts to read the row.
  __device__ void fetch() {
    load(input_, x_);
    if constexpr (V::kAddsResidual) load(residual_, addend_);
    if constexpr (Shape::kWeights == Weights::early) load_weights();
  }

  // Adds the residual, and leaves the sums of squares of this thread's lanes. Starts to read the weights if
  // they are wanted now.
  __device__ void sum_squares(float (&lane_sums)[kSlots]) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) lane_sums[slot] = 0.0f;
    // Rounds outside, slots inside: a lane's chunks come in order.
    visit([&](int round, int slot, std::int64_t element, bool exists) {
      Chunk<T>& x = x_[round][slot];
      if constexpr (V::kAddsResidual) x = rounded_sum<T>(x, addend_[round][slot]);
      float values[kElements];
      unpack<T>(x, values);
      float with_chunk = lane_sums[slot];
#pragma unroll
      for (int i = 0; i < kElements; ++i) with_chunk = __fmaf_rn(values[i], values[i], with_chunk);
      lane_sums[slot] = exists ? with_chunk : lane_sums[slot];
      if constexpr (kUnpacked) {
#pragma unroll
        for (int i = 0; i < kElements; ++i) unpacked_[round][slot][i] = settle(values[i]);
      } else {
        settle(x);
      }
      if constexpr (V::kAddsResidual) {
        if (exists && present_) store_pack<true>(residual_, element, 0, x);
      }
    });
    if constexpr (Shape::kWeights == Weights::middle) load_weights();
  }

  // Normalizes the row in its registers and leaves the largest |y| of this thread's chunks, as fp32 bits.
  __device__ std::uint32_t normalize_row(float inverse_rms) {
    std::uint32_t largest = 0;
    visit([&](int round, int slot, std::int64_t element, bool exists) {
      Chunk<T>& y = x_[round][slot];
      y = normalized(round, slot, element, inverse_rms);
      const std::uint32_t with_chunk = larger_of_chunk<T>(largest, y);
      largest = exists ? with_chunk : largest;
    });
    return bits_of_largest<T>(largest);
  }

  // Quantizes what normalize_row() has left.
  template <Fp8Format kFormat>
  __device__ void finish_normalized(float inverse_scale) {
    visit([&](int round, int slot, std::int64_t element, bool exists) {
      const QuantizedChunk<T> quantized = quantize_chunk<kFormat, T>(x_[round][slot], inverse_scale);
      if (exists && present_) store_aligned(out_ + element, quantized);
    });
  }

  __device__ void finish(float inverse_rms, float inverse_scale) {
    // Decided once, not for each chunk.
    if (!V::kQuantizes || arguments_->codes == CodeFormat::e4m3fn) {
      finish_as<Fp8Format::e4m3fn>(inverse_rms, inverse_scale);
    } else {
      finish_as<Fp8Format::e5m2>(inverse_rms, inverse_scale);
    }
  }

 protected:
  // y of a chunk.
  __device__ Chunk<T> normalized(int round, int slot, std::int64_t element, float inverse_rms) {
    Pack<W, kElements> weight{};
    if constexpr (Shape::kWeights != Weights::late) {
      weight = weights_[round][slot];
    } else if constexpr (V::kWeighted) {
      weight = load_constant_pack<kElements>(weights(), element);
    }
    if constexpr (kUnpacked) {
      return normalize_values<V>(unpacked_[round][slot], inverse_rms, weight);
    } else {
      return normalize_chunk<V>(x_[round][slot], inverse_rms, weight);
    }
  }

  template <Fp8Format kFormat>
  __device__ void finish_as(float inverse_rms, float inverse_scale) {
    visit([&](int round, int slot, std::int64_t element, bool exists) {
      const Chunk<T> y = normalized(round, slot, element, inverse_rms);
      if constexpr (V::kQuantizes) {
        const QuantizedChunk<T> quantized = quantize_chunk<kFormat, T>(y, inverse_scale);
        if (exists && present_) store_aligned(out_ + element, quantized);
      } else {
        if (exists && present_) store_pack<true>(out_, element, 0, y);
      }
    });
  }

  // To which visit()'s indices lead.
  __device__ const W* weights() const {
    return static_cast<const W*>(arguments_->weight) + (Shape::kFull ? first_ * kElements : 0);
  }

  template <class Visit>
  __device__ void visit(const Visit& visit_chunk) const {
    visit_chunks<Shape, kElements>(static_cast<int>(arguments_->chunks), first_, stride_, visit_chunk);
  }

  __device__ void load(const T* array, Chunk<T> (&chunks)[kRounds][kSlots]) const {
    visit([&](int round, int slot, std::int64_t element, bool) {
      if constexpr (Shape::kEviction == Eviction::last) {
        chunks[round][slot] = load_chunk_and_evict_last(array, element);
      } else {
        chunks[round][slot] = load_pack<true, kElements>(array, element, 0);
      }
    });
  }

  __device__ void load_weights() {
    if constexpr (V::kWeighted) {
      visit([&](int round, int slot, std::int64_t element, bool) {
        weights_[round][slot] = load_constant_pack<kElements>(weights(), element);
        settle(weights_[round][slot]);
      });
    }
  }

  const NormArguments* arguments_ = nullptr;
  int first_ = 0;
  int stride_ = 0;
  bool present_ = false;
  const T* input_ = nullptr;
  T* residual_ = nullptr;
  typename V::Out* out_ = nullptr;
  Chunk<T> x_[kRounds][kSlots];
  Chunk<T> addend_[kRounds][kSlots];  // the residual, until it is added
  Pack<W, kElements> weights_[kRounds][kSlots];
  float unpacked_[kRounds][kSlots][kElements];  // x_, once it is summed up, where that is kept so
};

// Of a power of two.
template <int kPower>
inline constexpr int kLog2 = 1 + kLog2<kPower / 2>;
template <>
inline constexpr int kLog2<1> = 0;

// The numbers of a row, once its sum of squares is known, and the stores. `largest_of_row` makes of a
// thread's largest |y| that of the row; `is_first` says whether the thread is the one that stores what a row
// has once.
template <class V, class LargestOfRow>
__device__ inline void scale_row(const NormArguments& arguments, RegisterRow<V>& values, float sum,
                                 std::int64_t row, bool is_first, const LargestOfRow& largest_of_row) {
  const float inverse_rms = row_numbers<false>(arguments, sum, 1.0f, 1.0f).inverse_rms;
  const std::uint32_t largest = largest_of_row(values.normalize_row(inverse_rms));
  const auto give = [&]<Fp8Format kFormat>() {
    const RowScale numbers = row_scale_and_inverse<kFormat>(arguments, largest);
    if (is_first) arguments.scales[row * arguments.scales_stride] = numbers.scale;
    values.template finish_normalized<kFormat>(numbers.inverse);
  };
  if (arguments.codes == CodeFormat::e4m3fn) {
    give.template operator()<Fp8Format::e4m3fn>();
  } else {
    give.template operator()<Fp8Format::e5m2>();
  }
}

// A grid covers all rows at once.
template <class V>
__global__ void __launch_bounds__(V::Shape::kMaximumThreads, V::Shape::kBlocks)
    register_kernel(NormArguments arguments) {
  constexpr bool kGivenScale = V::kQuantizes && !V::kScalesRows;
  using Shape = typename V::Shape;
  constexpr int kSlots = Shape::kSlots;
  const int thread = static_cast<int>(threadIdx.x % kWarpThreads);
  RegisterRow<V> values;
  float lane_sums[kSlots];
  float scale = 1.0f, inverse_scale = 1.0f;
  // The scale is on its way while the row is, and its inverse is done while sums travel.
  const auto take_row = [&] {
    wait_for_the_kernel_before();
    let_the_next_kernel_start();
    values.fetch();
    if constexpr (kGivenScale) scale = *arguments.scale;
    values.sum_squares(lane_sums);
    if constexpr (kGivenScale) inverse_scale = settle(quick_inverse(scale));
  };
  const auto give_row = [&](float sum, [[maybe_unused]] std::int64_t row, [[maybe_unused]] bool is_first,
                            [[maybe_unused]] const auto& largest_of_row) {
    if constexpr (V::kScalesRows) {
      scale_row<V>(arguments, values, sum, row, is_first, largest_of_row);
    } else {
      const RowNumbers numbers = row_numbers<kGivenScale>(arguments, sum, scale, inverse_scale);
      values.finish(numbers.inverse_rms, numbers.inverse_scale);
    }
  };

  if constexpr (!Shape::kBlockPerRow) {
    // Part of a warp: a power of two of threads, kSlots lanes each.
    const int row_threads_log2 =
        Shape::kTeam == Team::warp ? kLog2<kWarpThreads> : arguments.row_threads_log2 - kLog2<kSlots>;
    const int row_threads = 1 << row_threads_log2;
    const std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) >> row_threads_log2;
    const bool present = row < arguments.rows;
    const int first = thread & (row_threads - 1);
    values.aim(arguments, present ? row : 0, first, row_threads, present);
    take_row();
    const auto largest_of_row = [&](std::uint32_t own) {
      return Shape::kTeam == Team::warp ? largest_of_warp(own) : largest_of_threads(own, row_threads);
    };
    if constexpr (Shape::kTeam == Team::warp) {
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) lane_sums[slot] = tree_sum(lane_sums[slot], kWarpThreads);
      give_row(tree_over_own(lane_sums), row, present && first == 0, largest_of_row);
    } else {
      give_row(tree_sum(tree_over_own(lane_sums), row_threads), row, present && first == 0, largest_of_row);
    }
  } else {
    NORMPROOF_SHARED(GroupSums, group_sums, kSharers);
    const RowBlocks blocks = row_blocks<Shape::kTeam>();
    arrive_at_cluster_barrier<Shape::kTeam>();
    const int threads = static_cast<int>(blockDim.x), index = static_cast<int>(threadIdx.x);
    clear_absent_groups<Shape>(blocks, group_sums);
    const int row = static_cast<int>(blockIdx.x) / blocks.count;
    if constexpr (Shape::kFull) {
      const int first_of_warp = (blocks.rank * threads + index - thread) * kSlots;
      values.aim(arguments, row, first_of_warp + thread, 0, true);
    } else {
      values.aim(arguments, row, blocks.rank * threads + index, blocks.count * threads, true);
    }
    take_row();
    NORMPROOF_SHARED(std::uint32_t, largest_of_warps, kGroups);
    const auto largest_of_row = [&](std::uint32_t own) {
      return row_largest<Shape>(blocks, own, largest_of_warps);
    };
    give_row(row_sum<Shape>(blocks, lane_sums, group_sums), row, blocks.rank == 0 && index == 0,
             largest_of_row);
  }
}

}  // namespace normproof::kernels
