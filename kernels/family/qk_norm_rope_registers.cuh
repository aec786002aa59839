// q/k norm and rotary embedding of heads that fit into the registers of a part of a warp: a few neighbouring
// threads have a unit, kHeads heads of a token, whose weights, cosines and sines they read and unpack once.
// The units of a token have its heads in turn, so that neighbouring threads read neighbouring heads. The
// arithmetic and the order of the sum are those of qk_norm_rope_kernel.cuh, which runs every other head;
// vectorized only.
#pragma once

#include <cstdint>

#include "kernels/family/qk_norm_rope.h"
#include "kernels/family/qk_norm_rope_kernel.cuh"
#include "kernels/family/quick_row.cuh"
#include "kernels/family/raw_numbers.cuh"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/register_kernel.cuh"

namespace normproof::kernels {

template <typename T, Pairing kPairing, int kHeads, bool kLikeX>
class RotatedHeads {
 public:
  static constexpr int kElements = kChunkElements<T>;
  static constexpr int kSlots = kPairing == Pairing::own_chunks ? 2 : 1;
  // Of a chunk, or of two that are half a head apart.
  static constexpr int kCosines = kPairing == Pairing::same_chunk ? kElements / 2 : kElements;

  // `thread` of `width` threads of unit `unit`.
  __device__ RotatedHeads(const QkNormRopeArguments& arguments, std::uint32_t unit, bool present, int thread,
                          int width)
      : arguments_(arguments), thread_(thread), width_(width), present_(present) {
    const std::uint32_t token = unit / arguments.units_per_token;
    first_head_ = static_cast<int>(unit - token * arguments.units_per_token);
    heads_apart_ = static_cast<int>(arguments.units_per_token);
    const auto middle_size = static_cast<std::uint32_t>(arguments.rows.middle_size);
    const std::uint32_t outer = token < middle_size ? 0 : token / middle_size;
    const std::uint32_t middle = token - outer * middle_size;
    const auto offset = [&](const RowStrides& strides) {
      return outer * strides.outer + middle * strides.middle + first_head_ * strides.inner;
    };
    x_ = settle(static_cast<const T*>(arguments.x) + offset(arguments.x_strides));
    out_ = static_cast<T*>(arguments.out) + offset(arguments.out_strides);
    cosine_ = offset(arguments.cosine_strides);
    sine_ = offset(arguments.sine_strides);
    chunks_ = static_cast<int>(arguments.shape.chunks);
    chunks_of_half_ = static_cast<int>(arguments.pairs) / kElements;
    heads_ = static_cast<int>(arguments.rows.inner_size);
  }

  // Starts to read the heads, and what they have in common. A head or chunk that does not exist is another
  // one, of which nothing is used; where the operation works in place, somebody may be writing it.
  __device__ void fetch() {
#pragma unroll
    for (int head = 0; head < kHeads; ++head) {
      const int existing = head_exists(head) ? head * heads_apart_ : 0;
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot)
        x_chunks_[head][slot] =
            load_chunk(x_ + existing * arguments_.x_strides.inner + existing_chunk(slot) * kElements);
    }
    const Affine& weight = arguments_.weight;
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const std::int64_t element = existing_chunk(slot) * kElements;
      if constexpr (kLikeX) {
        weight_chunks_[slot] = load_pack<true, kElements>(static_cast<const T*>(weight.data), element, 0);
      } else {
        // Where there is no weight, anything.
        const bool absent = weight.kind == AffineKind::absent;
        raw_weight_[slot].load(absent ? x_ : weight.data, weight.kind == AffineKind::fp32, element);
      }
    }
    const std::int64_t first = first_cosine();
    raw_cosines_.load(arguments_.cosine, arguments_.rotation_is_fp32, cosine_ + first);
    raw_sines_.load(arguments_.sine, arguments_.rotation_is_fp32, sine_ + first);
  }

  __device__ void run() {
    float sums[kHeads];
#pragma unroll
    for (int head = 0; head < kHeads; ++head) sums[head] = squares(head);
#pragma unroll
    for (int head = 0; head < kHeads; ++head) sums[head] = tree_sum(sums[head], width_);
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) unpack_weight(slot);
    raw_cosines_.unpack(cosines_);
    raw_sines_.unpack(sines_);
    row_inverse_roots(sums, arguments_.shape.hidden_as_float, arguments_.inverse_hidden, arguments_.epsilon);
#pragma unroll
    for (int head = 0; head < kHeads; ++head) give(head, sums[head]);
  }

 private:
  // See Eviction::last: several heads a thread are for calls that read and write more than the cache holds.
  static __device__ Chunk<T> load_chunk(const T* array) {
    if constexpr (kHeads > 1) return load_chunk_and_evict_last(array, 0);
    return load_pack<true, kElements>(array, 0, 0);
  }
  __device__ int chunk_of(int slot) const { return slot == 0 ? thread_ : thread_ + width_; }
  __device__ bool head_exists(int head) const { return first_head_ + head * heads_apart_ < heads_; }
  __device__ bool exists(int slot) const {
    return kPairing == Pairing::own_chunks || chunk_of(slot) < chunks_;
  }
  __device__ std::int64_t existing_chunk(int slot) const {
    return exists(slot) ? chunk_of(slot) : chunks_ - 1;
  }

  // The first pair of slot 0, or any where it has none.
  __device__ std::int64_t first_cosine() const {
    if (kPairing == Pairing::own_chunks) return std::int64_t{thread_} * kCosines;
    const bool is_second = kPairing == Pairing::other_chunk && thread_ >= chunks_of_half_;
    const std::int64_t first = std::int64_t{thread_ - (is_second ? chunks_of_half_ : 0)} * kCosines;
    return first < arguments_.pairs ? first : 0;
  }
  // The sum over the thread's lanes; two of them are half a head apart, and the tree adds them first.
  __device__ float squares(int head) {
    float lanes[kSlots];
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      float values[kElements];
      unpack<T>(x_chunks_[head][slot], values);
      lanes[slot] = 0.0f;
#pragma unroll
      for (int i = 0; i < kElements; ++i) lanes[slot] = __fmaf_rn(values[i], values[i], lanes[slot]);
      if (!exists(slot)) lanes[slot] = 0.0f;
      settle(x_chunks_[head][slot]);
    }
    return tree_over_own(lanes);
  }

  __device__ void unpack_weight(int slot) {
    if constexpr (kLikeX) {
      unpack<T>(weight_chunks_[slot], weight_[slot]);
    } else {
      raw_weight_[slot].unpack(weight_[slot]);
      if (arguments_.weight.kind != AffineKind::absent) return;
#pragma unroll
      for (float& each : weight_[slot]) each = kAbsentWeight;
    }
  }

  __device__ void give(int head, float r) {
    float values[kSlots][kElements];
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      unpack<T>(x_chunks_[head][slot], values[slot]);
#pragma unroll
      for (int i = 0; i < kElements; ++i)
        values[slot][i] = __fmul_rn(__fmul_rn(values[slot][i], r), weight_[slot][i]);
    }
    turn(values);
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      Chunk<T> y = round_chunk<T>(values[slot]);
      settle(y);  // or it is stored word by word
      if (present_ && exists(slot) && head_exists(head))
        store_pack<true>(
            out_ + head * heads_apart_ * arguments_.out_strides.inner + chunk_of(slot) * kElements, 0, 0, y);
    }
  }

  __device__ void turn(float (&values)[kSlots][kElements]) const {
    if constexpr (kPairing == Pairing::own_chunks) {
#pragma unroll
      for (int i = 0; i < kElements; ++i) {
        const RotatedPair pair = rotate(values[0][i], values[1][i], cosines_[i], sines_[i]);
        values[0][i] = pair.first;
        values[1][i] = pair.second;
      }
    } else if constexpr (kPairing == Pairing::same_chunk) {
      if (std::int64_t{thread_} * kElements >= 2 * arguments_.pairs) return;
#pragma unroll
      for (int i = 0; i < kCosines; ++i) {
        const RotatedPair pair = rotate(values[0][2 * i], values[0][2 * i + 1], cosines_[i], sines_[i]);
        values[0][2 * i] = pair.first;
        values[0][2 * i + 1] = pair.second;
      }
    } else {
      const bool is_first = thread_ < chunks_of_half_, rotated = thread_ < 2 * chunks_of_half_;
      const int partner = !rotated   ? thread_
                          : is_first ? thread_ + chunks_of_half_
                                     : thread_ - chunks_of_half_;
      // No branch may come between the shuffles: a difference is a sum with the opposite sine.
#pragma unroll
      for (int i = 0; i < kElements; ++i) {
        const float own = values[0][i];
        const float other = settle(__shfl_sync(kWholeWarp, own, partner, width_));
        const float sine = is_first ? -sines_[i] : sines_[i];
        const float turned = __fadd_rn(__fmul_rn(own, cosines_[i]), __fmul_rn(other, sine));
        values[0][i] = rotated ? turned : own;
      }
    }
  }

  const QkNormRopeArguments& arguments_;
  int thread_, width_;
  bool present_;
  int first_head_, heads_apart_;
  const T* x_;
  T* out_;
  std::int64_t cosine_, sine_;
  int chunks_, chunks_of_half_, heads_;
  Chunk<T> x_chunks_[kHeads][kSlots];
  Chunk<T> weight_chunks_[kSlots];  // or, where weights are not like x:
  RawNumbers<T, kElements> raw_weight_[kSlots];
  RawNumbers<T, kCosines> raw_cosines_, raw_sines_;
  float weight_[kSlots][kElements];
  float cosines_[kCosines], sines_[kCosines];
};

// A grid covers all units at once.
template <typename T, Pairing kPairing, int kHeads, bool kLikeX>
__global__ void __launch_bounds__(256, kHeads > 1 ? 4 : 2)
    qk_norm_rope_register_kernel(QkNormRopeArguments arguments) {
  using Heads = RotatedHeads<T, kPairing, kHeads, kLikeX>;
  const int width_log2 = arguments.shape.row_threads_log2 - kLog2<Heads::kSlots>;
  const int thread = static_cast<int>(threadIdx.x) & ((1 << width_log2) - 1);
  const auto unit =
      static_cast<std::uint32_t>((std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) >> width_log2);
  const bool present = unit < arguments.units;
  Heads heads(arguments, present ? unit : 0, present, thread, 1 << width_log2);
  wait_for_the_kernel_before();
  let_the_next_kernel_start();
  heads.fetch();
  heads.run();
}

}  // namespace normproof::kernels
