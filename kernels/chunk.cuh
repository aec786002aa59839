// Chunks: the 16 bytes of a row that one thread handles at a time, and how they travel between memory and
// registers. The vectorized path moves a chunk by one access, the scalar path element by element; the rest of
// the code cannot tell them apart.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"

namespace normproof::kernels {

// Elements of T in a chunk. Weights and outputs of another type are handled in the same number of elements.
template <typename T>
inline constexpr int kChunkElements = static_cast<int>(16 / sizeof(T));

template <typename Element, int kCount>
struct alignas(sizeof(Element) * kCount < 16 ? sizeof(Element) * kCount : 16) Pack {
  Element elements[kCount];
};

template <typename T>
using Chunk = Pack<T, kChunkElements<T>>;

#if defined(__CUDACC__)
template <typename Vector>
__device__ inline Vector load_aligned(const void* address) {
  return *static_cast<const Vector*>(address);
}
template <typename Vector>
__device__ inline void store_aligned(void* address, const Vector& vector) {
  *static_cast<Vector*>(address) = vector;
}
#else
using host::load_aligned;
using host::store_aligned;
#endif

// The widest vector that divides kBytes, which is a multiple of 4.
template <int kBytes>
struct WidestVector {
  static constexpr int kWidth = kBytes % 16 == 0 ? 16 : kBytes % 8 == 0 ? 8 : 4;
};
template <int kWidth>
struct VectorOf;
template <>
struct VectorOf<16> {
  using type = uint4;
};
template <>
struct VectorOf<8> {
  using type = uint2;
};
template <>
struct VectorOf<4> {
  using type = unsigned int;
};

// Elements first .. first + kCount - 1 of an array of `size` elements; zero from `size` on. The vectorized
// path requires that all of them exist and lie on a multiple of min(16, bytes of the pack).
template <bool kVectorized, int kCount, typename Element>
__device__ inline Pack<Element, kCount> load_pack(const Element* array, std::int64_t first,
                                                  std::int64_t size) {
  Pack<Element, kCount> pack;
  if constexpr (kVectorized) {
    using Vector = typename VectorOf<WidestVector<sizeof(pack)>::kWidth>::type;
#pragma unroll
    for (std::size_t i = 0; i < sizeof(pack) / sizeof(Vector); ++i) {
      const auto vector = load_aligned<Vector>(reinterpret_cast<const Vector*>(array + first) + i);
      __builtin_memcpy(reinterpret_cast<char*>(&pack) + i * sizeof(Vector), &vector, sizeof(Vector));
    }
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) pack.elements[i] = first + i < size ? array[first + i] : Element{};
  }
  return pack;
}

// Writes the elements of `pack` that exist in an array of `size` elements.
template <bool kVectorized, int kCount, typename Element>
__device__ inline void store_pack(Element* array, std::int64_t first, std::int64_t size,
                                  const Pack<Element, kCount>& pack) {
  if constexpr (kVectorized) {
    using Vector = typename VectorOf<WidestVector<sizeof(pack)>::kWidth>::type;
#pragma unroll
    for (std::size_t i = 0; i < sizeof(pack) / sizeof(Vector); ++i) {
      Vector vector;
      __builtin_memcpy(&vector, reinterpret_cast<const char*>(&pack) + i * sizeof(Vector), sizeof(Vector));
      store_aligned<Vector>(reinterpret_cast<Vector*>(array + first) + i, vector);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (first + i < size) array[first + i] = pack.elements[i];
    }
  }
}

}  // namespace normproof::kernels
