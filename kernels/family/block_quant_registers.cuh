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

// The bits of e4m3fn of a number that is not below 0: beyond 448, anything.
__device__ inline std::uint32_t quick_e4m3(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  std::uint32_t bits;
  asm("{\n"
      ".reg .b16 pair, zero;\n"
      "cvt.rn.satfinite.e4m3x2.f32 pair, %1, %2;\n"
      "mov.b16 zero, 0;\n"
      "mov.b32 %0, {pair, zero};\n"
      "}"
      : "=r"(bits)
      : "f"(0.0f), "f"(value));
  return bits;
#else
  return round_to_fp8(value < 448.0f ? value : 448.0f, Fp8Format::e4m3fn).bits;
#endif
}

// The scale of a block by few instructions. Each returns whether it is right, and with codes of e2m1 so
// has_quick_e2m1().
__device__ inline bool quick_global_scale(const BlockQuantArguments&, const ScaleParameters& parameters,
                                          std::uint32_t largest, BlockScale& scale) {
  const float maximum = float_of(largest);
  const std::uint32_t stored = quick_e4m3(global_quotient(maximum, parameters.global));
  const float number = __fmul_rn(float_of(stored << 20), 0x1p120f);
  const float factor = number == 0.0f ? 0.0f : __fmul_rn(quick_inverse(number), parameters.global);
  scale = {stored, factor};
  return has_quick_e2m1(__fmul_rn(maximum, factor));
}

__device__ inline std::uint32_t bounded(const ScaleParameters& parameters, std::uint32_t largest) {
  const float maximum = float_of(largest);
  return maximum > parameters.upper_bound ? bits_of(parameters.upper_bound) : largest;
}

__device__ inline bool quick_power_scale(const BlockQuantArguments& arguments,
                                         const ScaleParameters& parameters, std::uint32_t largest,
                                         BlockScale& scale) {
  const std::uint32_t maximum = bounded(parameters, largest);
  scale = quick_power(arguments.power, maximum);
  const bool in_bytes = arguments.scaling.storage == BlockScaleStorage::e8m0;
  const bool right = has_quick_power(maximum) && (in_bytes || scale.stored != 0);
  scale.stored <<= in_bytes ? 0 : 23;
  return right;
}

template <Fp8Format kFormat>
__device__ inline bool quick_quotient_scale(const BlockQuantArguments&, const ScaleParameters& parameters,
                                            std::uint32_t largest, BlockScale& scale) {
  const std::uint32_t maximum = bounded(parameters, largest);
  const RowScale numbers = quick_row_scale<kFormat>(maximum);
  scale = {bits_of(numbers.scale), numbers.inverse};
  return is_quick_largest(maximum);
}

template <class V, BlockCodes kCodes>
class RegisterBlockRow : public RegisterRow<V> {
 public:
  using Base = RegisterRow<V>;
  using T = typename V::T;
  using Shape = typename V::Shape;
  static constexpr int kElements = kChunkElements<T>;
  static constexpr int kChunks = Shape::kRounds * Shape::kSlots;
  // 2 to this power chunks are a block; -1: that is told.
  static constexpr int kBlockThreadsLog2 = kCodes == BlockCodes::e2m1_by_power    ? kLog2<32 / kElements>
                                           : kCodes == BlockCodes::e2m1_by_global ? kLog2<16 / kElements>
                                                                                  : -1;
  // So many neighbouring threads, all of one block, make the scales of a thread's chunks: kOwn each.
  static constexpr int kLeastSharers = Shape::kTeam == Team::part_of_warp ? 1
                                       : kBlockThreadsLog2 == 1           ? 2
                                                                          : 4;
  static constexpr int kMakers = kChunks < kLeastSharers ? kChunks : kLeastSharers;
  static constexpr int kOwn = (kChunks + kMakers - 1) / kMakers;
  static constexpr int kPaddedChunks = kMakers * kOwn;

  __device__ void aim_at_blocks(const BlockQuantArguments& arguments, std::uint32_t row, int first,
                                int stride, bool present) {
    this->arguments_ = &arguments.norm;
    this->first_ = first;
    this->stride_ = stride;
    this->present_ = present;
    blocks_ = &arguments;
    const NormArguments& norm = arguments.norm;
    const std::uint32_t start = Shape::kFull ? static_cast<std::uint32_t>(first) * kElements : 0;
    const auto row_of = [&](auto* tensor, std::uint32_t bytes) {
      const std::uint64_t offset = std::uint64_t{row} * bytes + start * sizeof(T);
      return settle(reinterpret_cast<decltype(tensor)>(reinterpret_cast<std::uintptr_t>(tensor) + offset));
    };
    this->input_ = row_of(static_cast<const T*>(norm.input), arguments.even.x);
    if constexpr (V::kAddsResidual) {
      this->residual_ = row_of(static_cast<T*>(norm.residual), arguments.even.residual);
      sum_ = row_of(static_cast<T*>(arguments.residual_out), arguments.even.residual_out);
    }
    std::uint8_t* const out = static_cast<std::uint8_t*>(norm.out) + std::uint64_t{row} * arguments.even.out;
    if constexpr (kCodes == BlockCodes::fp8) {
      this->out_ = reinterpret_cast<Fp8*>(out) + start;
    } else {
      packed_ = out + start / 2;
    }
    if (arguments.normalized != nullptr)
      normalized_ = row_of(static_cast<T*>(arguments.normalized), arguments.even.normalized);
    aim_at_scales(row, static_cast<std::uint32_t>(first) >> block_log2());
  }

  // As the base's, and from there on the sum goes where it belongs.
  __device__ void fetch() {
    Base::fetch();
    if constexpr (V::kAddsResidual) this->residual_ = sum_;
  }

  // In place of fetch(), from a row in shared memory.
  __device__ void take(const char* row) {
    const T* const first = reinterpret_cast<const T*>(row) + this->first_ * kElements;
    this->visit([&](int round, int slot, std::int64_t element, bool) {
      this->x_[round][slot] = load_pack<true, kElements>(first, element, 0);
    });
  }
  using Base::load_weights;

  // Goes to another row, so many behind the present one.
  __device__ void next(std::uint32_t row, std::uint32_t step) {
    const auto advance = [&](auto*& place, std::uint32_t bytes) {
      place = reinterpret_cast<std::remove_reference_t<decltype(place)>>(
          reinterpret_cast<std::uintptr_t>(place) + std::uint64_t{step} * bytes);
    };
    if constexpr (kCodes == BlockCodes::fp8) {
      advance(this->out_, blocks_->even.out);
    } else {
      advance(packed_, blocks_->even.out);
    }
    if (normalized_ != nullptr) advance(normalized_, blocks_->even.normalized);
    if (blocks_->scale_tiles != 0) {
      aim_at_scales(row, static_cast<std::uint32_t>(this->first_) >> block_log2());
    } else {
      advance(scale_, blocks_->even.scales);
    }
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
  // The first scale of the row, and from there the block's.
  __device__ void aim_at_scales(std::uint32_t row, std::uint32_t block) {
    const auto tiles = static_cast<std::uint32_t>(blocks_->scale_tiles);
    const auto block_bytes = static_cast<std::uint32_t>(blocks_->scale_block_bytes);
    std::uint64_t offset = std::uint64_t{row} * blocks_->even.scales;
    if (tiles != 0)
      offset = std::uint64_t{row / 128 * tiles} * (512 * block_bytes) +
               (row % 32 * 16 + row % 128 / 32 * 4) * block_bytes;
    scale_ = static_cast<std::uint8_t*>(blocks_->scales) + offset + std::uint64_t{block / 4} * group_bytes() +
             block % 4 * block_bytes;
  }

  // Step by step for all of the thread's chunks, so that they do not wait for each other one by one.
  template <Fp8Format kFormat>
  __device__ void finish_as(const ScaleParameters& parameters, float inverse_rms) {
    std::uint32_t largest[kPaddedChunks] = {};
    this->visit([&](int round, int slot, std::int64_t element, bool exists) {
      Chunk<T>& y = this->x_[round][slot];
      y = this->normalized(round, slot, element, inverse_rms);
      const std::uint32_t own = signed_largest_of_chunk<T>(y);
      largest[round * Shape::kSlots + slot] = exists ? own : 0;
    });
    const int sharers_log2 = share(largest);
    // Each thread makes the scales of a few chunks, and gets the factors of the others from its neighbours.
    const int index = static_cast<int>(threadIdx.x) & (kMakers - 1);
    BlockScale own[kOwn];
    std::uint32_t own_largest[kOwn];
    choose_own(largest, index, own_largest);
    const bool quick = make_scales<kFormat>(parameters, own_largest, own);
    float factors[kChunks];
#pragma unroll
    for (int i = 0; i < kChunks; ++i)
      factors[i] = kMakers == 1 ? own[i / kMakers].factor
                                : __shfl_sync(kWholeWarp, own[i / kMakers].factor, i % kMakers, kMakers);
    if (kCodes != BlockCodes::fp8 && !__builtin_expect(quick, 1)) {
      give_codes([&](const Chunk<T>& y, int i) { return general_codes(y, factors[i]); });
    } else {
      give_codes([&](const Chunk<T>& y, int i) { return codes_of<kFormat>(y, factors[i]); });
    }
    if ((threadIdx.x & ((1u << sharers_log2) - 1)) < kMakers) store_scales(own, index);
    if (normalized_ != nullptr) {
      this->visit([&](int round, int slot, std::int64_t element, bool exists) {
        if (exists && this->present_) store_pack<true>(normalized_, element, 0, this->x_[round][slot]);
      });
    }
  }

  // Makes of each chunk's larger_of_chunk() the bits of its block's largest. Returns of how many threads, as
  // power of two.
  __device__ int share(std::uint32_t (&largest)[kPaddedChunks]) const {
    // Where a part of a warp has a row that is shorter than a block, the block ends with it.
    const int sharers_log2 =
        Shape::kTeam == Team::part_of_warp && this->arguments_->row_threads_log2 < block_log2()
            ? this->arguments_->row_threads_log2
            : block_log2();
#if defined(__CUDACC__)
    if constexpr (kInPairs<T>) {
      // Two chunks in a register: their lower halves and their upper ones, then the larger of each.
      constexpr int kPairs = (kChunks + 1) / 2;
      std::uint32_t pairs[kPairs];
#pragma unroll
      for (int i = 0; i < kPairs; ++i) {
        const std::uint32_t first = largest[2 * i], second = 2 * i + 1 < kChunks ? largest[2 * i + 1] : 0;
        pairs[i] =
            larger_magnitudes<T>(__byte_perm(first, second, 0x5410), __byte_perm(first, second, 0x7632));
      }
      over_sharers(pairs, sharers_log2,
                   [](std::uint32_t a, std::uint32_t b) { return larger_magnitudes<T>(a, b); });
#pragma unroll
      for (int i = 0; i < kChunks; ++i)
        largest[i] = magnitude_bits(T{static_cast<std::uint16_t>(pairs[i / 2] >> (i % 2 * 16))});
    } else
#endif
    {
#pragma unroll
      for (int i = 0; i < kChunks; ++i) largest[i] = bits_of_largest<T>(largest[i]);
      over_sharers(largest, sharers_log2, [](std::uint32_t a, std::uint32_t b) { return larger(a, b); });
    }
    return sharers_log2;
  }

  template <int kCount, class Larger>
  static __device__ void over_sharers(std::uint32_t (&values)[kCount], int sharers_log2,
                                      const Larger& larger_of) {
    constexpr bool kKnown = kBlockThreadsLog2 >= 0 && Shape::kTeam != Team::part_of_warp;
    constexpr int kMost = kBlockThreadsLog2 >= 0 ? kBlockThreadsLog2 : kLog2<128 / kElements>;
#pragma unroll
    for (int step = 0; step < kMost; ++step) {
      if (!kKnown && step >= sharers_log2) break;
#pragma unroll
      for (int i = 0; i < kCount; ++i)
        values[i] = larger_of(values[i], __shfl_xor_sync(kWholeWarp, values[i], 1 << step));
    }
  }

  // Of the chunks index, index + kMakers, ...
  static __device__ void choose_own(const std::uint32_t (&largest)[kPaddedChunks], int index,
                                    std::uint32_t (&own)[kOwn]) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const std::uint32_t* const candidates = largest + i * kMakers;
      own[i] = candidates[0];
      if constexpr (kMakers == 2) own[i] = index == 0 ? candidates[0] : candidates[1];
      if constexpr (kMakers == 4) {
        const std::uint32_t even = index < 2 ? candidates[0] : candidates[2];
        const std::uint32_t odd = index < 2 ? candidates[1] : candidates[3];
        own[i] = (index & 1) == 0 ? even : odd;
      }
    }
  }

  // Returns whether all of the warp's were quick.
  template <Fp8Format kFormat>
  __device__ bool make_scales(const ScaleParameters& parameters, const std::uint32_t (&largest)[kOwn],
                              BlockScale (&scales)[kOwn]) const {
    bool quick = has_quick_scales(parameters);
    const auto make = [&](const auto& quick_scale) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) quick &= quick_scale(*blocks_, parameters, largest[i], scales[i]);
    };
    if constexpr (kCodes == BlockCodes::e2m1_by_global) {
      make([](auto&... all) { return quick_global_scale(all...); });
    } else if (kCodes == BlockCodes::e2m1_by_power || blocks_->scaling.rule == BlockScaleRule::power) {
      make([](auto&... all) { return quick_power_scale(all...); });
    } else {
      make([](auto&... all) { return quick_quotient_scale<kFormat>(all...); });
    }
    quick = __all_sync(kWholeWarp, quick);
    if (!__builtin_expect(quick, 1)) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i)
        scales[i] = general_block_scale(blocks_->scaling, parameters, largest[i]);
    }
    return quick;
  }

  // Of the row: a global scale that is not above 0 is nobody's.
  __device__ bool has_quick_scales(const ScaleParameters& parameters) const {
    return kCodes == BlockCodes::e2m1_by_power ||
           (blocks_->norm.inverse_hidden != 0.0f &&
            (kCodes != BlockCodes::e2m1_by_global || parameters.global > 0.0f));
  }

  template <class CodesOf>
  __device__ void give_codes(const CodesOf& codes_of_chunk) {
    this->visit([&](int round, int slot, std::int64_t element, bool exists) {
      const auto codes = codes_of_chunk(this->x_[round][slot], round * Shape::kSlots + slot);
      if (!exists || !this->present_) return;
      if constexpr (kCodes == BlockCodes::fp8) {
        store_aligned(this->out_ + element, codes);
      } else {
        *reinterpret_cast<E2m1Chunk<T>*>(packed_ + element / 2) = codes;
      }
    });
  }

  // A thread's chunks are multiples of 32 apart: so many blocks that tiles are whole, where there are tiles,
  // and elsewhere every fourth part of a group is a block. A row reaches a block if it reaches its first
  // chunk, which the first of the makers has: the last block may have fewer chunks than there are makers.
  __device__ void store_scales(const BlockScale (&own)[kOwn], int index) const {
    const auto store = [&](BlockScaleStorage storage) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int which = i * kMakers + index, slot = which % Shape::kSlots, round = which / Shape::kSlots;
        const int chunks = round * kLanes + slot * (Shape::kFull ? kWarpThreads : this->stride_);
        const bool exists = Shape::kFull || this->first_ - index + chunks < this->arguments_->chunks;
        if (!exists || !this->present_ || which >= kChunks) continue;
        store_scale(
            scale_ + std::uint64_t{static_cast<std::uint32_t>(chunks) >> block_log2()} * (group_bytes() / 4),
            own[i].stored, storage);
      }
    };
    if (kCodes != BlockCodes::e2m1_by_global && blocks_->scaling.storage == BlockScaleStorage::fp32) {
      store(BlockScaleStorage::fp32);
    } else {
      store(BlockScaleStorage::e8m0);  // a byte
    }
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

// Each kind of codes reads what it has.
template <BlockCodes kCodes>
__device__ inline ScaleParameters parameters_of(const BlockQuantArguments& arguments) {
  ScaleParameters parameters{float_of(0x7f800000u), 1.0f};
  if (kCodes == BlockCodes::e2m1_by_global) parameters.global = *arguments.global_scale;
  if (kCodes == BlockCodes::fp8 && arguments.scale_ub != nullptr)
    parameters.upper_bound = *arguments.scale_ub;
  return parameters;
}

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
    parameters = parameters_of<kCodes>(arguments);
    values.sum_squares(lane_sums);
  };
  const auto give_row = [&](float sum) {
    values.finish_blocks(parameters, row_numbers<false>(arguments.norm, sum, 1.0f, 1.0f).inverse_rms);
  };

  if constexpr (!Shape::kBlockPerRow) {
    const int row_threads_log2 =
        Shape::kTeam == Team::warp ? kLog2<kWarpThreads> : arguments.norm.row_threads_log2 - kLog2<kSlots>;
    const int row_threads = 1 << row_threads_log2;
    const auto row = static_cast<std::uint32_t>((std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x) >>
                                                row_threads_log2);
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
    const auto row = static_cast<std::uint32_t>(blockIdx.x) / static_cast<std::uint32_t>(blocks.count);
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
