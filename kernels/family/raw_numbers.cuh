// Loads that no branch stands before, whatever the kind of what is loaded: a load behind a branch starts when
// what stands before the branch has come, because compilers move the first use of that before the branch.
#pragma once

#include <cstdint>

#include "kernels/chunk.cuh"
#include "kernels/cuda.h"
#include "kernels/register_kernel.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// Numbers in T or fp32 as they come from memory, by the same loads in either case. They are unpacked once
// everything is on its way.
template <typename T, int kCount>
class RawNumbers {
 public:
  __device__ void load(const void* data, bool is_fp32, std::int64_t first) {
    is_fp32_ = is_fp32;
    constexpr int kWords = kCount * static_cast<int>(sizeof(T)) / 4;  // of numbers in T
    const auto* from = static_cast<const std::uint32_t*>(data) + (is_fp32 ? first : first * kWords / kCount);
#pragma unroll
    for (int i = 0; i < kCount; i += kWords) {
      const auto pack = load_pack<true, kWords>(from + (is_fp32 ? i : 0), 0, 0);
#pragma unroll
      for (int k = 0; k < kWords; ++k) words_.elements[i + k] = pack.elements[k];
    }
  }
  // Once all loads are on their way.
  __device__ void unpack(float (&values)[kCount]) {
    settle(words_);
    Pack<T, kCount> pack;
    __builtin_memcpy(&pack, &words_, sizeof pack);
    if (is_fp32_) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) values[i] = float_of(words_.elements[i]);
    } else {
#pragma unroll
      for (int i = 0; i < kCount; ++i) values[i] = to_float(pack.elements[i]);
    }
  }

 private:
  bool is_fp32_ = true;
  Pack<std::uint32_t, kCount> words_{};
};

// A chunk, or zeros where it is not wanted; then `data` may be null.
template <typename T>
__device__ inline Chunk<T> load_chunk_if(bool wanted, const T* data, std::int64_t offset) {
  Chunk<T> chunk{};
#if defined(__CUDACC__)
  uint4 vector{};
  asm volatile(
      "{\n"
      ".reg .pred wanted;\n"
      "setp.ne.s32 wanted, %5, 0;\n"
      "@wanted ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n"
      "}"
      : "+r"(vector.x), "+r"(vector.y), "+r"(vector.z), "+r"(vector.w)
      : "l"(data + offset), "r"(static_cast<int>(wanted)));
  __builtin_memcpy(&chunk, &vector, sizeof vector);
#else
  if (wanted) chunk = load_pack<true, kChunkElements<T> >(data + offset, 0, 0);
#endif
  return chunk;
}

}  // namespace normproof::kernels
