// Hints to the L2 cache, which are for GPUs only.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"

namespace normproof::kernels {

// When the cache evicts what is read with it: as ever, or when it has nothing else to evict.
using CachePolicy = std::uint64_t;
__device__ inline CachePolicy cache_policy([[maybe_unused]] bool evicts_last) {
  CachePolicy policy = 0;
#if defined(__CUDA_ARCH__)
  if (evicts_last) {
    asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
  } else {
    asm("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
  }
#endif
  return policy;
}

#if defined(__CUDACC__)

// 16 bytes, which the L2 cache keeps until it has nothing else to evict. `address` is a multiple of 16.
__device__ inline uint4 load_and_evict_last(const void* address) {
  const CachePolicy policy = cache_policy(true);
  uint4 vector;
  // Volatile: it stays behind a wait for the kernel before. The compiler does not know that memory is read,
  // so a store to the same bytes must need what is loaded here.
  asm volatile("ld.global.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
               : "=r"(vector.x), "=r"(vector.y), "=r"(vector.z), "=r"(vector.w)
               : "l"(address), "l"(policy));
  return vector;
}

// Takes the hint back from the line of 128 bytes at `address`, a multiple of 128.
__device__ inline void evict_normally(const void* address) {
  asm volatile("applypriority.global.L2::evict_normal [%0], 128;" ::"l"(address) : "memory");
}

#endif

// What the line of 128 bytes at `address`, a multiple of 128, has is not needed any more: the cache need not
// write it to the memory.
__device__ inline void discard([[maybe_unused]] const void* address) {
#if defined(__CUDA_ARCH__)
  asm volatile("discard.global.L2 [%0], 128;" ::"l"(address) : "memory");
#endif
}

}  // namespace normproof::kernels
