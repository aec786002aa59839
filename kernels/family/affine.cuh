// Weights and biases of a row: in T, in fp32 or absent, each by itself, read as fp32 numbers.
#pragma once

#include <cstdint>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/packed_arithmetic.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

enum class AffineKind : std::int32_t { absent, like_x, fp32 };

// One number for each column.
struct Affine {
  const void* data = nullptr;
  AffineKind kind = AffineKind::absent;
};

// What an absent weight is, and an absent bias: adding it changes no sum, -0 included.
inline constexpr float kAbsentWeight = 1.0f, kAbsentBias = -0.0f;

template <typename T>
__device__ inline float affine_number(const Affine& affine, float absent, std::int64_t column) {
  if (affine.kind == AffineKind::absent) return absent;
  if (affine.kind == AffineKind::fp32) return static_cast<const float*>(affine.data)[column];
  return to_float(static_cast<const T*>(affine.data)[column]);
}

// The numbers of a chunk of `size` columns from `first` on; what lies beyond them is 0.
template <bool kVectorized, typename T>
__device__ inline void load_affine(const Affine& affine, float absent, std::int64_t first, std::int64_t size,
                                   float (&values)[kChunkElements<T>]) {
  constexpr int kElements = kChunkElements<T>;
  if (affine.kind == AffineKind::like_x) {
    unpack<T>(load_pack<kVectorized, kElements>(static_cast<const T*>(affine.data), first, size), values);
  } else if (affine.kind == AffineKind::fp32) {
    const auto pack = load_pack<kVectorized, kElements>(static_cast<const float*>(affine.data), first, size);
#pragma unroll
    for (int i = 0; i < kElements; ++i) values[i] = pack.elements[i];
  } else {
#pragma unroll
    for (int i = 0; i < kElements; ++i) values[i] = absent;
  }
}

}  // namespace normproof::kernels
