// Vectors of up to 16 bytes, for warp_norm.cu: a header of its own, as in libraries of templates.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

__host__ __device__ constexpr uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ __forceinline__ T rounded(float x) {
  return T(x);
}

// The machine word that moves a vector of this many bytes.
template <uint32_t BYTES>
struct Word;
template <>
struct Word<2> {
  using type = uint16_t;
};
template <>
struct Word<4> {
  using type = uint32_t;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};

template <typename T, uint32_t SIZE>
struct Vector {
  using word = typename Word<sizeof(T) * SIZE>::type;
  union {
    word bits;
    T data[SIZE];
  };

  __device__ Vector() : bits{} {}
  __device__ __forceinline__ T& operator[](uint32_t i) { return data[i]; }
  __device__ __forceinline__ void fill(float value) {
#pragma unroll
    for (uint32_t i = 0; i < SIZE; i++) data[i] = T(value);
  }
  __device__ __forceinline__ void load(const T* address) { bits = *reinterpret_cast<const word*>(address); }
  __device__ __forceinline__ void store(T* address) const { *reinterpret_cast<word*>(address) = bits; }
};
