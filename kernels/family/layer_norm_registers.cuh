// LayerNorm of rows that fit into the registers of a block, in the shapes that fill a GPU: all loads of a row
// are in flight at once, then come two sums, then the stores. The arithmetic and the order of both sums are
// those of layer_norm_kernel.cuh, which runs every other row; vectorized only.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/block_reduction.cuh"
#include "kernels/family/cluster_exchange.cuh"
#include "kernels/family/layer_norm_kernel.cuh"
#include "kernels/family/quick_row.cuh"
#include "kernels/register_kernel.cuh"

namespace normproof::kernels {

// How the threads of a warp, or of a power of two of them, share a row that is folded: the chunks of a thread
// are those that the tree adds first. Of the five bits of a lane's number within its group, the uppermost are
// the slot's; the others are the lower bits of the thread's number within its warp, whose upper bits are the
// uppermost of the group's number, and the warp's are the rest. So a thread adds its own lanes, a warp all
// that it has by five shuffles, and each thread the sums of the warps: the same additions as ever, with fewer
// shuffles. Neighbouring threads read whole lines of memory, as ever.
inline constexpr int kMostFoldedWarps = 8;
template <class Shape>
inline constexpr bool kCanFold = Shape::kRounds == 1 && (Shape::kSlots & (Shape::kSlots - 1)) == 0 &&
                                 (Shape::kTeam == Team::block || Shape::kTeam == Team::warp);
using WarpSums = Pack<float, kMostFoldedWarps>;

template <int kSlots>
__device__ inline int first_folded_chunk(int thread, int warp, int warps) {
  constexpr int kThreads = kWarpThreads / kSlots;
  return (thread / kThreads * warps + warp) * kWarpThreads + thread % kThreads;
}

// The sum over the chunks of a warp; every one of its threads gets it.
template <int kSlots>
__device__ inline float folded_sum_of_warp(const float (&lane_sums)[kSlots]) {
  constexpr int kThreads = kWarpThreads / kSlots;
  float sum = tree_over_own(lane_sums);
#pragma unroll
  for (int bit = kThreads / 2; bit > 0; bit /= 2) sum = __fadd_rn(sum, __shfl_xor_sync(kWholeWarp, sum, bit));
#pragma unroll
  for (int bit = kWarpThreads / 2; bit >= kThreads; bit /= 2)
    sum = __fadd_rn(sum, __shfl_xor_sync(kWholeWarp, sum, bit));
  return sum;
}

// The same over the row. Sums of warps that do not exist are 0 in `warp_sums`, which no other sum uses.
template <int kSlots>
__device__ inline float folded_sum(const float (&lane_sums)[kSlots], WarpSums* warp_sums) {
  const float sum = folded_sum_of_warp(lane_sums);
  if (threadIdx.x % kWarpThreads == 0) warp_sums->elements[threadIdx.x / kWarpThreads] = sum;
  __syncthreads();
  const WarpSums sums = *warp_sums;
  return tree_over_own(sums.elements);
}

// kLikeX: weight and bias are there, in T. Others are read late, whatever the shape says.
template <typename T, bool kAddsResidual, class Shape_, bool kLikeX, bool kFolded, bool kQuantizes>
class LayerNormRegisters {
 public:
  using Shape = Shape_;
  static constexpr int kElements = kChunkElements<T>;
  static constexpr int kSlots = Shape::kSlots;
  static constexpr int kRounds = Shape::kRounds;
  static constexpr bool kUnpacked = Shape::kFull;
  static constexpr bool kEarly = kLikeX && Shape::kWeights == Weights::early;
  static constexpr bool kMiddle = kLikeX && Shape::kWeights == Weights::middle;
  using Out = std::conditional_t<kQuantizes, std::uint8_t, T>;

  // As RegisterRow::aim().
  __device__ void aim(const LayerNormArguments& arguments, std::int64_t row, int first, int stride,
                      bool present) {
    arguments_ = &arguments;
    first_ = first;
    stride_ = stride;
    present_ = present;
    const auto start = [&](const RowStrides& strides) {
      const std::int64_t offset =
          arguments.rows.inner_size == arguments.rows.count
              ? row * strides.inner
              : uneven_row_offset(arguments.rows.middle_size, arguments.rows.inner_size, strides, row);
      return offset + (Shape::kFull ? first * kElements : 0);
    };
    const auto address = [&](const void* data, const RowStrides& strides) {
      return static_cast<const T*>(data) + start(strides);
    };
    x_address_ = settle(address(arguments.x, arguments.x_strides));
    if constexpr (kAddsResidual) {
      residual_address_ = settle(address(arguments.residual, arguments.residual_strides));
      sum_address_ = const_cast<T*>(address(arguments.residual_out, arguments.residual_out_strides));
    }
    out_address_ = static_cast<Out*>(arguments.out) + start(arguments.out_strides);
    if constexpr (kEarly || kMiddle) {
      weight_address_ = settle(affine_address(arguments.weight));
      bias_address_ = settle(affine_address(arguments.bias));
    }
  }

  // Starts to read the row.
  __device__ void fetch() {
    load(x_address_, x_);
    if constexpr (kAddsResidual) load(residual_address_, addend_);
    if constexpr (kEarly) load_affine_chunks();
  }

  // Adds the residual, and leaves the sums of this thread's lanes.
  __device__ void sum(float (&lane_sums)[kSlots]) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) lane_sums[slot] = 0.0f;
    visit([&](int round, int slot, std::int64_t element, bool exists) {
      Chunk<T>& x = x_[round][slot];
      if constexpr (kAddsResidual) x = rounded_sum<T>(x, addend_[round][slot]);
      float values[kElements];
      unpack<T>(x, values);
      float with_chunk = lane_sums[slot];
#pragma unroll
      for (int i = 0; i < kElements; ++i) with_chunk = __fadd_rn(with_chunk, values[i]);
      lane_sums[slot] = exists ? with_chunk : lane_sums[slot];
      if constexpr (kUnpacked) {
#pragma unroll
        for (int i = 0; i < kElements; ++i) unpacked_[round][slot][i] = settle(values[i]);
      } else {
        settle(x);
      }
      if constexpr (kAddsResidual) {
        if (exists && present_) store_pack<true>(sum_address_, element, 0, x);
      }
    });
    if constexpr (kMiddle) load_affine_chunks();
  }

  // Leaves the sums of squared deviations of this thread's lanes.
  __device__ void sum_squares(float mean, float (&lane_sums)[kSlots]) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) lane_sums[slot] = 0.0f;
    visit([&](int round, int slot, std::int64_t, bool exists) {
      float values[kElements];
      deviations(round, slot, mean, values);
      float with_chunk = lane_sums[slot];
#pragma unroll
      for (int i = 0; i < kElements; ++i) with_chunk = __fmaf_rn(values[i], values[i], with_chunk);
      lane_sums[slot] = exists ? with_chunk : lane_sums[slot];
      if constexpr (kUnpacked) {
#pragma unroll
        for (int i = 0; i < kElements; ++i) unpacked_[round][slot][i] = values[i];
      } else {
        settle(x_[round][slot]);
      }
    });
  }

  // Where out is not quantized.
  __device__ void finish(float mean, float rstd) {
    const auto store = [&](int, int, std::int64_t element, bool exists, const Chunk<T>& y) {
      if (exists && present_) store_pack<true>(out_address_, element, 0, y);
    };
    normalize(mean, rstd, store);
  }

  // Where it is: normalizes the row in its registers and leaves the largest |y| of this thread's chunks, as
  // fp32 bits.
  __device__ std::uint32_t normalize_row(float mean, float rstd) {
    std::uint32_t largest = 0;
    const auto keep = [&](int round, int slot, std::int64_t, bool exists, const Chunk<T>& y) {
      x_[round][slot] = y;
      settle(x_[round][slot]);
      const std::uint32_t with_chunk = larger_of_chunks<T>(largest, largest_of_chunk<T>(x_[round][slot]));
      largest = exists ? with_chunk : largest;
    };
    normalize(mean, rstd, keep);
    return bits_of_largest<T>(largest);
  }

  // Quantizes what normalize_row() has left, to e4m3fn, e5m2 or int8.
  __device__ void finish_codes(float factor) {
    if (arguments_->codes == CodeFormat::e4m3fn) {
      store_codes([&](const Chunk<T>& y) { return quantize_chunk<Fp8Format::e4m3fn, T>(y, factor); });
    } else if (arguments_->codes == CodeFormat::e5m2) {
      store_codes([&](const Chunk<T>& y) { return quantize_chunk<Fp8Format::e5m2, T>(y, factor); });
    } else {
      store_codes([&](const Chunk<T>& y) {
        // Unpacked as a whole: a compiler that sees single elements takes all chunks apart into them.
        float values[kElements];
        unpack<T>(y, values);
        Pack<std::uint8_t, kElements> codes;
#pragma unroll
        for (int i = 0; i < kElements; ++i) codes.elements[i] = round_to_int8(__fmul_rn(values[i], factor));
        QuantizedChunk<T> result;
        __builtin_memcpy(&result, &codes, sizeof result);
        return result;
      });
    }
  }

 private:
  // fl(x - m) of a chunk; where elements are kept unpacked, sum_squares() leaves them there.
  __device__ void deviations(int round, int slot, float mean, float (&values)[kElements]) const {
    if constexpr (kUnpacked) {
#pragma unroll
      for (int i = 0; i < kElements; ++i) values[i] = __fsub_rn(unpacked_[round][slot][i], mean);
    } else {
      unpack<T>(x_[round][slot], values);
#pragma unroll
      for (int i = 0; i < kElements; ++i) values[i] = __fsub_rn(values[i], mean);
    }
  }

  // Weight and bias of a chunk.
  __device__ void affine_of(int round, int slot, std::int64_t element, float (&weight)[kElements],
                            float (&bias)[kElements]) const {
    if constexpr (!kLikeX) {
      const std::int64_t first = (Shape::kFull ? std::int64_t{first_} * kElements : 0) + element;
      load_affine<true, T>(arguments_->weight, kAbsentWeight, first, 0, weight);
      load_affine<true, T>(arguments_->bias, kAbsentBias, first, 0, bias);
    } else if constexpr (kEarly || kMiddle) {
      unpack<T>(weight_[round][slot], weight);
      unpack<T>(bias_[round][slot], bias);
    } else {
      unpack<T>(load_constant_pack<kElements>(affine_address(arguments_->weight), element), weight);
      unpack<T>(load_constant_pack<kElements>(affine_address(arguments_->bias), element), bias);
    }
  }

  // Calls give(round, slot, index of the first element, whether the chunk exists, y) for all chunks.
  template <class Give>
  __device__ void normalize(float mean, float rstd, const Give& give) {
    visit([&](int round, int slot, std::int64_t element, bool exists) {
      float values[kElements], weight[kElements], bias[kElements];
      affine_of(round, slot, element, weight, bias);
      if constexpr (kUnpacked) {
#pragma unroll
        for (int i = 0; i < kElements; ++i) values[i] = unpacked_[round][slot][i];
      } else {
        deviations(round, slot, mean, values);
      }
#pragma unroll
      for (int i = 0; i < kElements; ++i)
        values[i] = __fmaf_rn(__fmul_rn(values[i], rstd), weight[i], bias[i]);
      give(round, slot, element, exists, round_chunk<T>(values));
    });
  }

  template <class CodesOf>
  __device__ void store_codes(const CodesOf& codes_of_chunk) {
    visit([&](int round, int slot, std::int64_t element, bool exists) {
      const QuantizedChunk<T> codes = codes_of_chunk(x_[round][slot]);
      if (exists && present_) store_aligned(out_address_ + element, codes);
    });
  }

  // To which visit()'s indices lead.
  __device__ const T* affine_address(const Affine& affine) const {
    return static_cast<const T*>(affine.data) + (Shape::kFull ? first_ * kElements : 0);
  }

  template <class Visit>
  __device__ void visit(const Visit& visit_chunk) const {
    if constexpr (kFolded) {
      constexpr int kStep = kWarpThreads / kSlots;
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) {
        if constexpr (Shape::kFull) {
          visit_chunk(0, slot, std::int64_t{slot * kStep} * kElements, true);
        } else {
          const int chunks = static_cast<int>(arguments_->shape.chunks), chunk = first_ + slot * kStep;
          const bool exists = chunk < chunks;
          visit_chunk(0, slot, std::int64_t{exists ? chunk : chunks - 1} * kElements, exists);
        }
      }
    } else {
      visit_chunks<Shape, kElements>(static_cast<int>(arguments_->shape.chunks), first_, stride_,
                                     visit_chunk);
    }
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

  __device__ void load_affine_chunks() {
    visit([&](int round, int slot, std::int64_t element, bool) {
      weight_[round][slot] = load_constant_pack<kElements>(weight_address_, element);
      bias_[round][slot] = load_constant_pack<kElements>(bias_address_, element);
      settle(weight_[round][slot]);
      settle(bias_[round][slot]);
    });
  }

  const LayerNormArguments* arguments_ = nullptr;
  int first_ = 0;
  int stride_ = 0;
  bool present_ = false;
  const T* x_address_ = nullptr;
  const T* residual_address_ = nullptr;
  T* sum_address_ = nullptr;
  Out* out_address_ = nullptr;
  const T* weight_address_ = nullptr;  // where they are not read late
  const T* bias_address_ = nullptr;
  Chunk<T> x_[kRounds][kSlots];
  Chunk<T> addend_[kRounds][kSlots];  // the residual, until it is added
  Chunk<T> weight_[kRounds][kSlots], bias_[kRounds][kSlots];
  float unpacked_[kRounds][kSlots][kElements];  // x_, then its deviations, where they are kept so
};

// The number that a call gives for its scales: the scale itself, or the upper bound of a row's largest |y|.
__device__ inline float given_number(const LayerNormArguments& arguments) {
  const float* const place = arguments.scale != nullptr ? arguments.scale : arguments.scale_ub;
  return place != nullptr ? *place : float_of(0x7f800000u);
}

// own_scale(), by the short way of row_mean() where it leads there: a format's largest number is an integer.
__device__ inline float quick_own_scale(const LayerNormArguments& arguments, float largest,
                                        float upper_bound) {
  const float scale =
      row_mean(largest > upper_bound ? upper_bound : largest, arguments.range, arguments.inverse_range);
  return scale < arguments.least_scale ? arguments.least_scale : scale;
}

// row_mean() of a row, of a shape for few rows by row_means().
template <class Shape>
__device__ inline float mean_of_row(float sum, float hidden, float inverse_hidden) {
  if constexpr (Shape::kWeights != Weights::early) return row_mean(sum, hidden, inverse_hidden);
  float mean[1] = {sum};
  row_means(mean, hidden, inverse_hidden);
  return mean[0];
}

template <bool kValue>
using FirstSum = std::bool_constant<kValue>;

// A grid covers all rows at once. kFolded: the warps of a row times their slots are its groups, rounded up to
// a power of two, and the warps at most kMostFoldedWarps.
template <typename T, bool kAddsResidual, class Shape, bool kLikeX, bool kFolded = false,
          bool kQuantizes = false>
__global__ void __launch_bounds__(Shape::kMaximumThreads, Shape::kBlocks)
    layer_norm_register_kernel(LayerNormArguments arguments) {
  constexpr int kSlots = Shape::kSlots;
  static_assert(kFolded ? kCanFold<Shape> : Shape::kTeam != Team::warp);
  const int thread = static_cast<int>(threadIdx.x % kWarpThreads);
  LayerNormRegisters<T, kAddsResidual, Shape, kLikeX, kFolded, kQuantizes> values;
  // `add_up` makes a row's sum of the sums of lanes: the first one, and the second one. `largest_of` makes of
  // a thread's largest |y| that of the row.
  const auto give_row = [&](std::int64_t row, bool is_first, const auto& add_up,
                            [[maybe_unused]] const auto& largest_of) {
    // Fetched before the wait, not where the row waits for them.
    const float hidden = settle(arguments.shape.hidden_as_float);
    const float inverse_hidden = settle(arguments.inverse_hidden);
    const float epsilon = settle(arguments.epsilon);
    const bool stores = is_first && arguments.has_statistics;
    wait_for_the_kernel_before();
    let_the_next_kernel_start();
    float lane_sums[kSlots];
    values.fetch();
    [[maybe_unused]] float given = 0;
    if constexpr (kQuantizes) given = settle(given_number(arguments));
    values.sum(lane_sums);
    const float mean = mean_of_row<Shape>(add_up(lane_sums, FirstSum<true>()), hidden, inverse_hidden);
    values.sum_squares(mean, lane_sums);
    const float rstd =
        row_inverse_root(add_up(lane_sums, FirstSum<false>()), hidden, inverse_hidden, epsilon);
    if constexpr (kQuantizes) {
      const std::uint32_t largest = values.normalize_row(mean, rstd);
      const float scale = arguments.scale != nullptr
                              ? given
                              : quick_own_scale(arguments, float_of(largest_of(largest)), given);
      values.finish_codes(__frcp_rn(scale));
      if (is_first && arguments.scale == nullptr)
        store_statistic<T>(arguments.rows, arguments.scales, row, scale);
    } else {
      values.finish(mean, rstd);
    }
    if (stores) {
      store_statistic<T>(arguments.rows, arguments.mean, row, mean);
      store_statistic<T>(arguments.rows, arguments.rstd, row, rstd);
    }
  };

  if constexpr (!Shape::kBlockPerRow) {
    // Part of a warp: a power of two of threads, kSlots lanes each.
    const int row_threads_log2 =
        Shape::kTeam == Team::warp ? kLog2<kWarpThreads> : arguments.shape.row_threads_log2 - kLog2<kSlots>;
    const int row_threads = 1 << row_threads_log2;
    const std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) >> row_threads_log2;
    const bool present = row < arguments.rows.count;
    const int first = kFolded ? first_folded_chunk<kSlots>(thread, 0, 1) : thread & (row_threads - 1);
    values.aim(arguments, present ? row : 0, first, row_threads, present);
    give_row(
        row, present && first == 0,
        [&](auto& lane_sums, auto) {
          if constexpr (kFolded) {
            return folded_sum_of_warp(lane_sums);
          } else {
            return tree_sum(tree_over_own(lane_sums), row_threads);
          }
        },
        [&](std::uint32_t own) { return largest_of_threads(own, row_threads); });
  } else if constexpr (kFolded) {
    NORMPROOF_SHARED(WarpSums, warp_sums, 2);
    const int index = static_cast<int>(threadIdx.x), warps = static_cast<int>(blockDim.x) / kWarpThreads;
    if (index >= warps && index < kMostFoldedWarps)
      warp_sums[0].elements[index] = warp_sums[1].elements[index] = 0.0f;
    const int row = static_cast<int>(blockIdx.x);
    values.aim(arguments, row, first_folded_chunk<kSlots>(thread, index / kWarpThreads, warps), 0, true);
    give_row(
        row, index == 0,
        [&](auto& lane_sums, auto is_first) {
          return folded_sum(lane_sums, warp_sums + (decltype(is_first)::value ? 0 : 1));
        },
        [&](std::uint32_t own) {
          NORMPROOF_SHARED(std::uint32_t, largest_of_warps, kGroups);
          return row_largest<Shape>(RowBlocks{}, own, largest_of_warps);
        });
  } else {
    NORMPROOF_SHARED(GroupSums, group_sums, 2 * kSharers);
    const RowBlocks blocks = row_blocks<Shape::kTeam>();
    NORMPROOF_SHARED(Arrivals, arrivals, 2);
    if constexpr (Shape::kTeam == Team::cluster) expect_group_sums<Shape>(blocks, arrivals, 2);
    const int threads = static_cast<int>(blockDim.x), index = static_cast<int>(threadIdx.x);
    clear_absent_groups<Shape>(blocks, group_sums);
    clear_absent_groups<Shape>(blocks, group_sums + kSharers);
    arrive_at_cluster_barrier<Shape::kTeam>();
    const int row = static_cast<int>(blockIdx.x) / blocks.count;
    if constexpr (Shape::kFull) {
      const int first_of_warp = (blocks.rank * threads + index - thread) * kSlots;
      values.aim(arguments, row, first_of_warp + thread, 0, true);
    } else {
      values.aim(arguments, row, blocks.rank * threads + index, blocks.count * threads, true);
    }
    give_row(
        row, blocks.rank == 0 && index == 0,
        [&](auto& lane_sums, auto is_first) {
          constexpr bool kIsFirst = decltype(is_first)::value;
          GroupSums* sums = group_sums + (kIsFirst ? 0 : kSharers);
          if constexpr (Shape::kTeam == Team::cluster) {
            return cluster_sum<Shape, kIsFirst>(blocks, lane_sums, sums, arrivals + (kIsFirst ? 0 : 1));
          } else {
            return row_sum<Shape, kIsFirst>(blocks, lane_sums, sums);
          }
        },
        [&](std::uint32_t own) {
          NORMPROOF_SHARED(std::uint32_t, largest_of_warps, kGroups);
          return row_largest<Shape>(blocks, own, largest_of_warps);
        });
  }
}

}  // namespace normproof::kernels
