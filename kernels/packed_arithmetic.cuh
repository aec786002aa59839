// Arithmetic on the elements of a chunk: each element is rounded on its own, and the device does two at a
// time. That the hardware's packed operations round like an fp32 operation followed by a rounding to the
// dtype is proved for all pairs of numbers by `normproof prove`.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/row_scale.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// Whether the device does two elements of T at a time.
#if defined(__CUDACC__)
template <typename T>
inline constexpr bool kInPairs = !std::is_same_v<T, float>;

// Two neighbouring elements in one register.
template <typename T>
struct PairOf;
template <>
struct PairOf<Bf16> {
  using type = __nv_bfloat162;
  static __device__ type round(float low, float high) { return __floats2bfloat162_rn(low, high); }
  static __device__ float2 unpack(std::uint32_t word) {
    return {float_of(word << 16), float_of(word & 0xffff0000u)};
  }
};
template <>
struct PairOf<Fp16> {
  using type = __half2;
  static __device__ type round(float low, float high) { return __floats2half2_rn(low, high); }
  static __device__ float2 unpack(std::uint32_t word) {
    type pair;
    __builtin_memcpy(&pair, &word, sizeof pair);
    return __half22float2(pair);
  }
};

// Calls combine(pair of a, pair of b) for all pairs.
template <typename T, class Combine>
__device__ inline Chunk<T> for_each_pair(const Chunk<T>& a, const Chunk<T>& b, const Combine& combine) {
  using Pair = typename PairOf<T>::type;
  constexpr int kPairs = kChunkElements<T> / 2;
  Pair first[kPairs], second[kPairs];
  __builtin_memcpy(first, &a, sizeof first);
  __builtin_memcpy(second, &b, sizeof second);
#pragma unroll
  for (int i = 0; i < kPairs; ++i) first[i] = combine(first[i], second[i]);
  Chunk<T> result;
  __builtin_memcpy(&result, first, sizeof first);
  return result;
}
#else
template <typename T>
inline constexpr bool kInPairs = false;
template <typename T>
struct PairOf;
#endif

// The elements as fp32 numbers. By words: taking a word apart into elements first costs an instruction more
// for each.
template <typename T>
__device__ inline void unpack(const Chunk<T>& chunk, float (&values)[kChunkElements<T>]) {
  if constexpr (kInPairs<T>) {
    constexpr int kPairs = kChunkElements<T> / 2;
    std::uint32_t words[kPairs];
    __builtin_memcpy(words, &chunk, sizeof words);
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const auto pair = PairOf<T>::unpack(words[i]);
      values[2 * i] = pair.x;
      values[2 * i + 1] = pair.y;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kChunkElements<T>; ++i) values[i] = to_float(chunk.elements[i]);
  }
}

// The elements rounded to T.
template <typename T>
__device__ inline Chunk<T> round_chunk(const float (&values)[kChunkElements<T>]) {
  Chunk<T> result;
  if constexpr (kInPairs<T>) {
    typename PairOf<T>::type pairs[kChunkElements<T> / 2];
#pragma unroll
    for (int i = 0; i < kChunkElements<T> / 2; ++i)
      pairs[i] = PairOf<T>::round(values[2 * i], values[2 * i + 1]);
    __builtin_memcpy(&result, pairs, sizeof pairs);
  } else {
#pragma unroll
    for (int i = 0; i < kChunkElements<T>; ++i) result.elements[i] = round_to<T>(values[i]);
  }
  return result;
}

// rnd_T(a + b).
template <typename T>
__device__ inline Chunk<T> rounded_sum(const Chunk<T>& a, const Chunk<T>& b) {
  if constexpr (kInPairs<T>) {
    return for_each_pair<T>(a, b, [](auto x, auto y) { return __hadd2_rn(x, y); });
  } else {
    float sums[kChunkElements<T>];
#pragma unroll
    for (int i = 0; i < kChunkElements<T>; ++i)
      sums[i] = __fadd_rn(to_float(a.elements[i]), to_float(b.elements[i]));
    return round_chunk<T>(sums);
  }
}

// rnd_T(a * b).
template <typename T>
__device__ inline Chunk<T> rounded_product(const Chunk<T>& a, const Chunk<T>& b) {
  if constexpr (kInPairs<T>) {
    return for_each_pair<T>(a, b, [](auto x, auto y) { return __hmul2_rn(x, y); });
  } else {
    float products[kChunkElements<T>];
#pragma unroll
    for (int i = 0; i < kChunkElements<T>; ++i)
      products[i] = __fmul_rn(to_float(a.elements[i]), to_float(b.elements[i]));
    return round_chunk<T>(products);
  }
}

// The largest |y| of the elements seen so far, 0 at first: what larger_of_chunk() keeps, from which
// bits_of_largest() makes the bits of an fp32 number. Bits of numbers without a sign are in the order of the
// numbers, and those of NaN come last: so the largest of a row with a NaN is NaN.
template <typename T>
__device__ inline std::uint32_t larger_of_chunk(std::uint32_t so_far, const Chunk<T>& y) {
  if constexpr (kInPairs<T>) {
#if defined(__CUDACC__)
    constexpr int kPairs = kChunkElements<T> / 2;
    std::uint32_t words[kPairs];
    __builtin_memcpy(words, &y, sizeof words);
#pragma unroll
    for (int i = 0; i < kPairs; ++i) so_far = __vmaxu2(so_far, words[i] & 0x7fff7fffu);
#endif
    return so_far;
  } else {
#pragma unroll
    for (int i = 0; i < kChunkElements<T>; ++i) so_far = larger(so_far, magnitude_bits(y.elements[i]));
    return so_far;
  }
}

#if defined(__CUDACC__)
// The larger magnitude of each of two elements, NaN before all others, with any sign.
template <typename T>
__device__ inline std::uint32_t larger_magnitudes(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  std::uint32_t larger;
  if constexpr (std::is_same_v<T, Bf16>) {
    asm("max.NaN.xorsign.abs.bf16x2 %0, %1, %2;" : "=r"(larger) : "r"(a), "r"(b));
  } else {
    asm("max.NaN.xorsign.abs.f16x2 %0, %1, %2;" : "=r"(larger) : "r"(a), "r"(b));
  }
  return larger;
#else
  return __vmaxu2(a & 0x7fff7fffu, b & 0x7fff7fffu);
#endif
}
#endif

// larger_of_chunk() of a chunk alone, by fewer instructions that need more registers, of two elements at a
// time with any signs; and of two such numbers without.
template <typename T>
__device__ inline std::uint32_t signed_largest_of_chunk(const Chunk<T>& y) {
#if defined(__CUDACC__)
  if constexpr (kInPairs<T>) {
    std::uint32_t words[4];
    __builtin_memcpy(words, &y, sizeof words);
    const std::uint32_t first = larger_magnitudes<T>(words[0], words[1]);
    return larger_magnitudes<T>(first, larger_magnitudes<T>(words[2], words[3]));
  }
#endif
  return larger_of_chunk<T>(0, y);
}
template <typename T>
__device__ inline std::uint32_t largest_of_chunk(const Chunk<T>& y) {
  const std::uint32_t largest = signed_largest_of_chunk<T>(y);
  return kInPairs<T> ? largest & 0x7fff7fffu : largest;
}
template <typename T>
__device__ inline std::uint32_t larger_of_chunks(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDACC__)
  if constexpr (kInPairs<T>) return __vmaxu2(a, b);
#endif
  return larger(a, b);
}

template <typename T>
__device__ inline std::uint32_t bits_of_largest(std::uint32_t largest) {
  if constexpr (kInPairs<T>) {
    return magnitude_bits(T{static_cast<std::uint16_t>(larger(largest & 0xffffu, largest >> 16))});
  } else {
    return largest;
  }
}

}  // namespace normproof::kernels
