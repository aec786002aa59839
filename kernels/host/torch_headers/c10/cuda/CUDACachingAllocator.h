// Stands in for torch's allocator, without a cache.
#pragma once

#include <normproof_torch/all.h>
#include <normproof_torch/cuda.h>

namespace c10::cuda::CUDACachingAllocator {
inline void* raw_alloc(std::size_t bytes) {
  void* memory = nullptr;
  TORCH_CHECK(cudaMalloc(&memory, bytes) == cudaSuccess, "no memory for ", bytes, " bytes");
  return memory;
}
inline void raw_delete(void* memory) { cudaFree(memory); }
inline void emptyCache() {}
}  // namespace c10::cuda::CUDACachingAllocator
