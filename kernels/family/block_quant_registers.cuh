// Normalizing rows and quantizing them block by block, for rows that fit into the registers of a block of
// threads (register_kernel.cuh). The elements that share a scale lie in the registers of neighbouring
// threads, which find the largest among themselves: nothing waits for the rest of the row once its sum is
// known.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/family/block_quant_arguments.h"
#include "kernels/family/block_scale.cuh"
#include "kernels/family/e2m1.cuh"
#include "kernels/register_kernel.cuh"

namespace normproof::kernels {

// What is decided when a kernel is compiled: which codes, and for those of e2m1 which scales.
enum class BlockCodes { fp8, e2m1_by_power, e2m1_by_global };

// Whether the quotient of a maximum by max_Q and its inverse are normal, so that the exponent of the maximum
// says the next power of two.
__device__ inline bool has_quick_power(std::uint32_t largest) {
  constexpr std::uint32_t kLeast = 0x0c800000u;  // 2^-102
  return largest < 0x7f800000u && (largest >= kLeast || largest == 0);
}

// The least power of two from fl(a / max_Q) on, as e8m0, and its inverse. Beyond the mantissa of max_Q that
// of a maximum carries into the exponent: their quotient is then above the power of two, and rounding it
// keeps it there.
__device__ inline BlockScale quick_power(const BlockQuantArguments& arguments, std::uint32_t largest) {
  const int power = static_cast<int>((largest + arguments.power_adder) >> 23) - arguments.power_exponent;
  const int byte = power < arguments.least_power ? arguments.least_power : power;
  return {static_cast<std::uint32_t>(byte), float_of(static_cast<std::uint32_t>(254 - byte) << 23)};
}

// The scale of a block by few instructions. Returns whether it is right, and so has_quick_e2m1() where codes
// are of e2m1.
template <BlockCodes kCodes, Fp8Format kFormat>
__device__ inline bool quick_block_scale(const BlockQuantArguments& arguments,
                                         const ScaleParameters& parameters, std::uint32_t largest,
                                         BlockScale& scale) {
  const float maximum = float_of(largest);
  if constexpr (kCodes == BlockCodes::e2m1_by_global) {
    const float quotient = global_quotient(maximum, parameters.global);
    const std::uint32_t stored = round_to_fp8(quotient < 448.0f ? quotient : 448.0f, Fp8Format::e4m3fn).bits;
    const float number = __fmul_rn(float_of((stored & 0x7fu) << 20), 0x1p120f);
    const float factor = number == 0.0f ? 0.0f : __fmul_rn(quick_inverse(number), parameters.global);
    scale = {stored, factor};
    // A global scale that is not above 0 is nobody's.
    return has_quick_e2m1(__fmul_rn(maximum, factor)) && parameters.global > 0.0f &&
           arguments.norm.inverse_hidden != 0.0f;
  } else if constexpr (kCodes == BlockCodes::e2m1_by_power) {
    scale = quick_power(arguments, largest);
    const bool in_bytes = arguments.scaling.storage == BlockScaleStorage::e8m0;
    const bool right = has_quick_power(largest) && (in_bytes || scale.stored != 0);
    if (!in_bytes) scale.stored <<= 23;
    return right;
  } else {
    const std::uint32_t bounded =
        bits_of(maximum > parameters.upper_bound ? parameters.upper_bound : maximum);
    if (arguments.scaling.rule == BlockScaleRule::power) {
      scale = quick_power(arguments, bounded);
      const bool in_bytes = arguments.scaling.storage == BlockScaleStorage::e8m0;
      const bool right = has_quick_power(bounded) && (in_bytes || scale.stored != 0);
      if (!in_bytes) scale.stored <<= 23;
      return right;
    }
    const RowScale numbers = quick_row_scale<kFormat>(bounded);
    scale = {bits_of(numbers.scale), numbers.inverse};
    return is_quick_largest(bounded) && arguments.norm.inverse_hidden != 0.0f;
  }
}

// The largest of 2^kLog2 neighbouring threads.
template <int kLog2OfSharers>
__device__ inline std::uint32_t largest_of_sharers(std::uint32_t own) {
#pragma unroll
  for (int step = 0; step < kLog2OfSharers; ++step)
    own = larger(own, __shfl_xor_sync(kWholeWarp, own, 1 << step));
  return own;
}
// The same for a number of them that is told: 4 to 32.
__device__ inline std::uint32_t largest_of_sharers(std::uint32_t own, int sharers_log2) {
  own = largest_of_sharers<2>(own);
  if (sharers_log2 > 2) own = larger(own, __shfl_xor_sync(kWholeWarp, own, 4));
  if (sharers_log2 > 3) own = larger(own, __shfl_xor_sync(kWholeWarp, own, 8));
  if (sharers_log2 > 4) own = larger(own, __shfl_xor_sync(kWholeWarp, own, 16));
  return own;
}

template <class V, BlockCodes kCodes>
class RegisterBlockRow : public RegisterRow<V> {
 public:
  using Base = RegisterRow<V>;
  using T = typename V::T;
  using Shape = typename V::Shape;
  static constexpr int kElements = kChunkElements<T>;
  // 2 to this power chunks are a block; -1: that is told.
  static constexpr int kBlockThreadsLog2 = kCodes == BlockCodes::e2m1_by_power    ? kLog2<32 / kElements>
                                           : kCodes == BlockCodes::e2m1_by_global ? kLog2<16 / kElements>
                                                                                  : -1;

  __device__ void aim_at_blocks(const BlockQuantArguments& arguments, std::int64_t row, int first, int stride,
                                bool present) {
    Base::aim(arguments.norm, row, first, stride, present);
    blocks_ = &arguments;
    const auto block = static_cast<std::uint32_t>(first) >> block_log2();
    scale_ = first_scale_of(arguments, row) + std::uint64_t{block / 4} * group_bytes() +
             block % 4 * static_cast<std::uint32_t>(arguments.scale_block_bytes);
    const std::int64_t start = Shape::kFull ? first * kElements : 0;
    const NormArguments& norm = arguments.norm;
    const auto offset = [&](const RowStrides& strides) {
      return norm.inner_size == norm.rows
                 ? row * strides.inner
                 : uneven_row_offset(norm.middle_size, norm.inner_size, strides, row);
    };
    if constexpr (V::kAddsResidual)
      sum_ = settle(static_cast<T*>(arguments.residual_out) + offset(arguments.residual_out_strides) + start);
    if constexpr (kCodes != BlockCodes::fp8)
      packed_ = static_cast<std::uint8_t*>(norm.out) + offset(norm.out_strides) + start / 2;
    if (arguments.normalized != nullptr)
      normalized_ = static_cast<T*>(arguments.normalized) + offset(arguments.normalized_strides) + start;
  }

  // As the base's, and from there on the sum goes where it belongs.
  __device__ void fetch() {
    Base::fetch();
    if constexpr (V::kAddsResidual) this->residual_ = sum_;
  }

  __device__ void finish_blocks(const ScaleParameters& parameters, float inverse_rms) {
    if constexpr (kCodes == BlockCodes::fp8) {
      if (blocks_->codes == CodeFormat::e4m3fn) {
        finish_as<Fp8Format::e4m3fn>(parameters, inverse_rms);
      } else {
        finish_as<Fp8Format::e5m2>(parameters, inverse_rms);
      }
    } else {
      finish_as<Fp8Format::e4m3fn>(parameters, inverse_rms);
    }
  }

 private:
  template <Fp8Format kFormat>
  __device__ void finish_as(const ScaleParameters& parameters, float inverse_rms) {
    // Where a part of a warp has a row that is shorter than a block, the block ends with it.
    const int sharers_log2 =
        Shape::kTeam == Team::part_of_warp && this->arguments_->row_threads_log2 < block_log2()
            ? this->arguments_->row_threads_log2
            : block_log2();
    const bool is_first = (threadIdx.x & ((1u << sharers_log2) - 1)) == 0;
    this->visit([&](int round, int slot, std::int64_t element, bool exists) {
      const Chunk<T> y = this->normalized(round, slot, element, inverse_rms);
      const std::uint32_t own = exists ? bits_of_largest<T>(larger_of_chunk<T>(0, y)) : 0;
      std::uint32_t largest;
      if constexpr (Shape::kTeam == Team::part_of_warp) {
        largest = largest_of_threads(own, 1 << sharers_log2);
      } else if constexpr (kBlockThreadsLog2 >= 0) {
        largest = largest_of_sharers<kBlockThreadsLog2>(own);
      } else {
        largest = largest_of_sharers(own, sharers_log2);
      }
      BlockScale scale;
      const bool quick = quick_block_scale<kCodes, kFormat>(*blocks_, parameters, largest, scale);
      const bool stores = exists && this->present_;
      give_codes<kFormat>(y, element, stores, quick, parameters, largest, scale);
      if (stores && is_first) {
        // A thread's chunks are multiples of 32 apart: so many blocks that tiles are whole, where there are
        // tiles, and elsewhere every fourth part of a group is a block.
        const std::uint32_t chunks =
            static_cast<std::uint32_t>(element / kElements) - (Shape::kFull ? 0 : this->first_);
        store_scale(
            scale_ + std::uint64_t{chunks >> block_log2()} * (group_bytes() / 4), scale.stored,
            kCodes == BlockCodes::e2m1_by_global ? BlockScaleStorage::e4m3 : blocks_->scaling.storage);
      }
      if (normalized_ != nullptr && stores) store_pack<true>(normalized_, element, 0, y);
    });
  }

  __device__ int block_log2() const {
    return kBlockThreadsLog2 >= 0 ? kBlockThreadsLog2 : blocks_->block_threads_log2;
  }
  __device__ std::uint32_t group_bytes() const {
    return static_cast<std::uint32_t>(blocks_->scale_group_bytes);
  }

  // Stores the codes of a chunk, and makes the scale right where it was not.
  template <Fp8Format kFormat>
  __device__ void give_codes(const Chunk<T>& y, std::int64_t element, bool stores, bool quick,
                             const ScaleParameters& parameters, std::uint32_t largest, BlockScale& scale) {
    if constexpr (kCodes == BlockCodes::fp8) {
      if (!__builtin_expect(quick, 1)) scale = general_block_scale(blocks_->scaling, parameters, largest);
      const QuantizedChunk<T> codes = quantize_chunk<kFormat, T>(y, scale.factor);
      if (stores) store_aligned(this->out_ + element, codes);
    } else {
      E2m1Chunk<T> codes;
      if (__builtin_expect(quick, 1)) {
        codes = quick_codes(y, scale.factor);
      } else {
        scale = general_block_scale(blocks_->scaling, parameters, largest);
        codes = general_codes(y, scale.factor);
      }
      if (stores) *reinterpret_cast<E2m1Chunk<T>*>(packed_ + element / 2) = codes;
    }
  }

  static __device__ E2m1Chunk<T> quick_codes(const Chunk<T>& y, float factor) {
#if defined(__CUDACC__) && !defined(NORMPROOF_E2M1_INSTRUCTION)
    if constexpr (kCodes == BlockCodes::e2m1_by_power && std::is_same_v<T, Bf16>) {
      return quick_e2m1_chunk_by_power(y, factor);
    } else {
      return quick_e2m1_chunk<T>(y, factor);
    }
#else
    return quick_e2m1_chunk<T>(y, factor);
#endif
  }

  static __device__ __noinline__ E2m1Chunk<T> general_codes(Chunk<T> y, float factor) {
    return e2m1_chunk<T>(y, factor);
  }

  const BlockQuantArguments* blocks_ = nullptr;
  std::uint8_t* scale_ = nullptr;  // of the thread's first chunk
  T* sum_ = nullptr;
  T* normalized_ = nullptr;
  std::uint8_t* packed_ = nullptr;
};

// A grid covers all rows at once.
template <class V, BlockCodes kCodes>
__global__ void __launch_bounds__(V::Shape::kMaximumThreads, V::Shape::kBlocks)
    register_block_kernel(BlockQuantArguments arguments) {
  using Shape = typename V::Shape;
  constexpr int kSlots = Shape::kSlots;
  const int thread = static_cast<int>(threadIdx.x % kWarpThreads);
  RegisterBlockRow<V, kCodes> values;
  float lane_sums[kSlots];
  ScaleParameters parameters;
  const auto take_row = [&] {
    wait_for_the_kernel_before();
    let_the_next_kernel_start();
    values.fetch();
    parameters = scale_parameters(arguments);
    values.sum_squares(lane_sums);
  };
  const auto give_row = [&](float sum) {
    values.finish_blocks(parameters, row_numbers<false>(arguments.norm, sum, 1.0f, 1.0f).inverse_rms);
  };

  if constexpr (!Shape::kBlockPerRow) {
    const int row_threads_log2 =
        Shape::kTeam == Team::warp ? kLog2<kWarpThreads> : arguments.norm.row_threads_log2 - kLog2<kSlots>;
    const int row_threads = 1 << row_threads_log2;
    const std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) >> row_threads_log2;
    const bool present = row < arguments.norm.rows;
    values.aim_at_blocks(arguments, present ? row : 0, thread & (row_threads - 1), row_threads, present);
    take_row();
    if constexpr (Shape::kTeam == Team::warp) {
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) lane_sums[slot] = tree_sum(lane_sums[slot], kWarpThreads);
      give_row(tree_over_own(lane_sums));
    } else {
      give_row(tree_sum(tree_over_own(lane_sums), row_threads));
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
      values.aim_at_blocks(arguments, row, first_of_warp + thread, 0, true);
    } else {
      values.aim_at_blocks(arguments, row, blocks.rank * threads + index, blocks.count * threads, true);
    }
    take_row();
    give_row(row_sum<Shape>(blocks, lane_sums, group_sums));
  }
}

}  // namespace normproof::kernels
