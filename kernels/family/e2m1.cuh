// e2m1: the numbers 0, 0.5, 1, 1.5, 2, 3, 4 and 6 with a sign, in four bits. Rounding is to nearest, ties to
// the code with an even last bit; beyond 6 lies 6, which NaN becomes too.
//
// GPUs before compute capability 10 have no instruction for it. Many codes at a time are made by this: the
// code of v >= 0 is the lesser of two numbers, each v or v/2 rounded to an integer by adding a number so
// large that its last bit is worth that much. Up to 4 that is v + 2^23 - 2: a step of v is a half below 2,
// where the sum's last bit is worth a half, and 1 from there on, where it is worth 1. From 4 on it is v/2 +
// 2^23. Read as integers, the sums are the code beyond that of 0.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

__device__ inline std::uint32_t e2m1_of(float value) {
  const std::uint32_t magnitude = bits_of(value) & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 7;
  constexpr std::uint32_t kSix = 0x40c00000u;
  const std::uint32_t code = magnitude >= kSix ? 7 : round_magnitude(magnitude, 1, 1);
  return code | (bits_of(value) >> 28 & 8u);
}

// Whether so large a scaled value takes the quick way; NaN does not.
__device__ inline bool has_quick_e2m1(float largest_scaled) { return largest_scaled < 7.0f; }

// What the code of a number from 0 to 7 is added to by quick_e2m1().
inline constexpr std::uint32_t kBelowQuickE2m1 = 0x4b000000u - 4;
__device__ inline std::uint32_t quick_e2m1(float v) {
  constexpr float kInteger = 0x1p23f;
  const std::uint32_t low = bits_of(__fadd_rn(v, kInteger - 2.0f));
  const std::uint32_t high = bits_of(__fmaf_rn(v, 0.5f, kInteger));
  return low < high ? low : high;
}

// The codes of a chunk, the first in the lowest bits: as many bits as the chunk has elements, times four.
template <typename T>
using E2m1Chunk = std::conditional_t<kChunkElements<T> == 8, std::uint32_t, std::uint16_t>;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000 && \
    (defined(__CUDA_ARCH_FEAT_SM100_ALL) || defined(__CUDA_ARCH_FEAT_SM103_ALL))
#define NORMPROOF_E2M1_INSTRUCTION 1
// The codes of eight numbers, the first in the lowest bits.
__device__ inline std::uint32_t e2m1_by_instruction(const float (&values)[8]) {
  std::uint32_t codes;
  asm("{\n"
      ".reg .b8 a, b, c, d;\n"
      "cvt.rn.satfinite.e2m1x2.f32 a, %2, %1;\n"
      "cvt.rn.satfinite.e2m1x2.f32 b, %4, %3;\n"
      "cvt.rn.satfinite.e2m1x2.f32 c, %6, %5;\n"
      "cvt.rn.satfinite.e2m1x2.f32 d, %8, %7;\n"
      "mov.b32 %0, {a, b, c, d};\n"
      "}"
      : "=r"(codes)
      : "f"(values[0]), "f"(values[1]), "f"(values[2]), "f"(values[3]), "f"(values[4]), "f"(values[5]),
        "f"(values[6]), "f"(values[7]));
  return codes;
}
#endif

template <typename T>
__device__ inline E2m1Chunk<T> e2m1_chunk(const Chunk<T>& y, float factor) {
  std::uint32_t codes = 0;
#pragma unroll
  for (int i = 0; i < kChunkElements<T>; ++i)
    codes |= e2m1_of(__fmul_rn(to_float(y.elements[i]), factor)) << (4 * i);
  return static_cast<E2m1Chunk<T>>(codes);
}

#if defined(__CUDACC__)
// Four bytes of a and b: their signs, 0 or 0xff.
template <unsigned kSelector>
__device__ inline std::uint32_t byte_signs(std::uint32_t a, std::uint32_t b) {
  std::uint32_t signs;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(signs) : "r"(a), "r"(b), "n"(kSelector | 0x8888u));
  return signs;
}
#endif

// Of a chunk's codes without their signs, in the order of the elements, the codes.
template <typename T>
__device__ inline std::uint32_t with_signs(const Chunk<T>& y, std::uint32_t codes) {
  std::uint32_t signs = 0;  // of each element in the upper bit of four
  if constexpr (kInPairs<T>) {
#if defined(__CUDACC__)
    std::uint32_t words[4];
    __builtin_memcpy(words, &y, sizeof words);
    // The upper bytes of all elements, then the signs of even and odd ones.
    const std::uint32_t low = __byte_perm(words[0], words[1], 0x7531);
    const std::uint32_t high = __byte_perm(words[2], words[3], 0x7531);
    signs = (byte_signs<0x6420>(low, high) & 0x0f0f0f0fu) | (byte_signs<0x7531>(low, high) & 0xf0f0f0f0u);
#endif
  } else {
#pragma unroll
    for (int i = 0; i < kChunkElements<T>; ++i) {
      if constexpr (std::is_same_v<T, float>) {
        signs |= (bits_of(y.elements[i]) >> 31) << (4 * i + 3);
      } else {
        signs |= std::uint32_t{y.elements[i].bits} >> 15 << (4 * i + 3);
      }
    }
  }
  return (codes & 0x77777777u) | (signs & 0x88888888u);
}

// The same where the factor is above 0 or 0 and has_quick_e2m1() of the largest product.
template <typename T>
__device__ inline E2m1Chunk<T> quick_e2m1_chunk(const Chunk<T>& y, float factor) {
  constexpr int kElements = kChunkElements<T>;
  float values[kElements];
  unpack<T>(y, values);
#if defined(NORMPROOF_E2M1_INSTRUCTION)
  float scaled[8] = {};
#pragma unroll
  for (int i = 0; i < kElements; ++i) scaled[i] = __fmul_rn(values[i], factor);
  return static_cast<E2m1Chunk<T>>(e2m1_by_instruction(scaled));
#else
  // What the codes lie on top of adds up to a constant.
  std::uint32_t codes = 0, below = 0;
#pragma unroll
  for (int i = kElements - 1; i >= 0; --i) {
    codes = codes * 16u + quick_e2m1(__fmul_rn(fabsf(values[i]), factor));
    below = below * 16u + kBelowQuickE2m1;
  }
  return static_cast<E2m1Chunk<T>>(with_signs<T>(y, codes - below));
#endif
}

// The same for a factor that is a power of two, in arithmetic of bf16: products are exact there, and those
// too small for fp32 are 0 in either way.
#if defined(__CUDACC__) && !defined(NORMPROOF_E2M1_INSTRUCTION)
__device__ inline std::uint32_t quick_e2m1_chunk_by_power(const Chunk<Bf16>& y, float factor) {
  std::uint32_t words[4];
  __builtin_memcpy(words, &y, sizeof words);
  const __nv_bfloat162 once = __float2bfloat162_rn(factor);
  const __nv_bfloat162 half = __hmul2_rn(once, __float2bfloat162_rn(0.5f));
  const auto fused = [](std::uint32_t magnitudes, __nv_bfloat162 slope, float offset) {
    __nv_bfloat162 pair;
    __builtin_memcpy(&pair, &magnitudes, sizeof pair);
    pair = __hfma2(pair, slope, __float2bfloat162_rn(offset));
    std::uint32_t bits;
    __builtin_memcpy(&bits, &pair, sizeof bits);
    return bits;
  };
  std::uint32_t pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t magnitudes = words[i] & 0x7fff7fffu;
    constexpr float kInteger = 128.0f;
    // 0x42fc and a code, twice.
    const std::uint32_t codes =
        __vminu2(fused(magnitudes, once, kInteger - 2.0f), fused(magnitudes, half, kInteger));
    pairs[i] = codes + (codes >> 12);  // in the lowest byte: the first code, and the second after 12
  }
  const std::uint32_t codes =
      __byte_perm(__byte_perm(pairs[0], pairs[1], 0x0040), __byte_perm(pairs[2], pairs[3], 0x0040), 0x5410);
  // The last three bits of 12 and a code are those of the code but for the first of them.
  return with_signs<Bf16>(y, codes) ^ 0x40404040u;
}
#endif

}  // namespace normproof::kernels
