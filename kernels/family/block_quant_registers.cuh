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
    scale = quick_power(arguments.power, largest);
    const bool in_bytes = arguments.scaling.storage == BlockScaleStorage::e8m0;
    const bool right = has_quick_power(largest) && (in_bytes || scale.stored != 0);
    if (!in_bytes) scale.stored <<= 23;
    return right;
  } else {
    const std::uint32_t bounded =
        bits_of(maximum > parameters.upper_bound ? parameters.upper_bound : maximum);
    if (arguments.scaling.rule == BlockScaleRule::power) {
      scale = quick_power(arguments.power, bounded);
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
  // Step by step for all of the thread's chunks, so that they do not wait for each other one by one.
  template <Fp8Format kFormat>
  __device__ void finish_as(const ScaleParameters& parameters, float inverse_rms) {
    std::uint32_t largest[Shape::kRounds][Shape::kSlots];
    this->visit([&](int round, int slot, std::int64_t element, bool exists) {
      Chunk<T>& y = this->x_[round][slot];
      y = this->normalized(round, slot, element, inverse_rms);
      const std::uint32_t own = bits_of_largest<T>(larger_of_chunk<T>(0, y));
      largest[round][slot] = exists ? own : 0;
    });
    const int sharers_log2 = share(largest);
    BlockScale scales[Shape::kRounds][Shape::kSlots];
    bool quick = true;
    this->visit([&](int round, int slot, std::int64_t, bool) {
      quick &=
          quick_block_scale<kCodes, kFormat>(*blocks_, parameters, largest[round][slot], scales[round][slot]);
    });
    if (!__builtin_expect(quick, 1)) {
      this->visit([&](int round, int slot, std::int64_t, bool) {
        scales[round][slot] = general_block_scale(blocks_->scaling, parameters, largest[round][slot]);
      });
    }
    if (kCodes != BlockCodes::fp8 && !__builtin_expect(quick, 1)) {
      give_codes([&](int round, int slot) {
        return general_codes(this->x_[round][slot], scales[round][slot].factor);
      });
    } else {
      give_codes([&](int round, int slot) {
        return codes_of<kFormat>(this->x_[round][slot], scales[round][slot].factor);
      });
    }
    if ((threadIdx.x & ((1u << sharers_log2) - 1)) == 0) store_scales(scales);
    if (normalized_ != nullptr) {
      this->visit([&](int round, int slot, std::int64_t element, bool exists) {
        if (exists && this->present_) store_pack<true>(normalized_, element, 0, this->x_[round][slot]);
      });
    }
  }

  // Makes each chunk's largest that of its block. Returns of how many threads, as power of two.
  __device__ int share(std::uint32_t (&largest)[Shape::kRounds][Shape::kSlots]) const {
    // Where a part of a warp has a row that is shorter than a block, the block ends with it.
    const int sharers_log2 =
        Shape::kTeam == Team::part_of_warp && this->arguments_->row_threads_log2 < block_log2()
            ? this->arguments_->row_threads_log2
            : block_log2();
    constexpr bool kKnown = kBlockThreadsLog2 >= 0 && Shape::kTeam != Team::part_of_warp;
    constexpr int kMost = kBlockThreadsLog2 >= 0 ? kBlockThreadsLog2 : kLog2<128 / kElements>;
#pragma unroll
    for (int step = 0; step < kMost; ++step) {
      if (!kKnown && step >= sharers_log2) break;
      this->visit([&](int round, int slot, std::int64_t, bool) {
        std::uint32_t& own = largest[round][slot];
        own = larger(own, __shfl_xor_sync(kWholeWarp, own, 1 << step));
      });
    }
    return sharers_log2;
  }

  template <class CodesOf>
  __device__ void give_codes(const CodesOf& codes_of_chunk) {
    this->visit([&](int round, int slot, std::int64_t element, bool exists) {
      const auto codes = codes_of_chunk(round, slot);
      if (!exists || !this->present_) return;
      if constexpr (kCodes == BlockCodes::fp8) {
        store_aligned(this->out_ + element, codes);
      } else {
        *reinterpret_cast<E2m1Chunk<T>*>(packed_ + element / 2) = codes;
      }
    });
  }

  // A thread's chunks are multiples of 32 apart: so many blocks that tiles are whole, where there are tiles,
  // and elsewhere every fourth part of a group is a block.
  __device__ void store_scales(const BlockScale (&scales)[Shape::kRounds][Shape::kSlots]) const {
    const BlockScaleStorage storage =
        kCodes == BlockCodes::e2m1_by_global ? BlockScaleStorage::e4m3 : blocks_->scaling.storage;
    this->visit([&](int round, int slot, std::int64_t element, bool exists) {
      if (!exists || !this->present_) return;
      const std::uint32_t chunks =
          static_cast<std::uint32_t>(element / kElements) - (Shape::kFull ? 0 : this->first_);
      store_scale(scale_ + std::uint64_t{chunks >> block_log2()} * (group_bytes() / 4),
                  scales[round][slot].stored, storage);
    });
  }

  __device__ int block_log2() const {
    return kBlockThreadsLog2 >= 0 ? kBlockThreadsLog2 : blocks_->block_threads_log2;
  }
  __device__ std::uint32_t group_bytes() const {
    return static_cast<std::uint32_t>(blocks_->scale_group_bytes);
  }

  // Where the factor is quick.
  template <Fp8Format kFormat>
  static __device__ auto codes_of(const Chunk<T>& y, float factor) {
    if constexpr (kCodes == BlockCodes::fp8) {
      return quantize_chunk<kFormat, T>(y, factor);
#if defined(__CUDACC__) && !defined(NORMPROOF_E2M1_INSTRUCTION)
    } else if constexpr (kCodes == BlockCodes::e2m1_by_power && std::is_same_v<T, Bf16>) {
      return quick_e2m1_chunk_by_power(y, factor);
#endif
    } else {
      return quick_e2m1_chunk<T>(y, factor);
    }
  }

  // Of any factor.
  static __device__ __noinline__ auto general_codes(Chunk<T> y, float factor) {
    if constexpr (kCodes == BlockCodes::fp8) {
      return quantize_chunk<Fp8Format::e4m3fn, T>(y, factor);  // which is not called
    } else {
      return e2m1_chunk<T>(y, factor);
    }
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
