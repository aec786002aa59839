// Stands in for torch's loops over a grid.
#pragma once

#include <cstdint>

#define CUDA_KERNEL_LOOP_TYPE(i, n, index_type)                                                        \
  for (std::int64_t normproof_next = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, \
                    i##_end = (n);                                                                     \
       normproof_next < i##_end; normproof_next += static_cast<std::int64_t>(blockDim.x) * gridDim.x)  \
    if (const index_type i = static_cast<index_type>(normproof_next); true)
#define CUDA_KERNEL_LOOP(i, n) CUDA_KERNEL_LOOP_TYPE(i, n, int)

namespace at::cuda::detail {
constexpr int CUDA_NUM_THREADS = 1024;
inline int GET_BLOCKS(std::int64_t n, std::int64_t threads = CUDA_NUM_THREADS) {
  return static_cast<int>((n + threads - 1) / threads);
}
}  // namespace at::cuda::detail
