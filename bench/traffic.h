// What an operation reads and writes, without its arithmetic: how fast a kernel can be that moves these bytes
// in these places. A copy moves as many bytes, but reads and writes different ones.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace normproof::bench {

struct Traffic {
  void* input = nullptr;
  void* residual = nullptr;  // null unless the operation adds; read and written
  void* out = nullptr;       // written; equals input where the operation works in place
  std::int64_t chunks = 0;   // of 16 bytes of input
  int out_bytes = 16;        // per chunk: 4, 8 or 16
};

// Ways to share the chunks among threads, and then the same with a hint to the L2 cache to evict last what is
// read; the fastest differs from size to size.
inline constexpr int kPlainTrafficWays = 8, kTrafficWays = 2 * kPlainTrafficWays;

// Enqueues way 0 <= `way` < kTrafficWays. With programmatic dependent launch, like the kernels.
cudaError_t enqueue_traffic(const Traffic& traffic, int way, cudaStream_t stream);

// Takes back every hint to evict these bytes last: the L2 cache would keep them far into the next
// measurement, which reads the same places. `data` is a multiple of 128.
cudaError_t enqueue_normal_eviction(void* data, std::size_t bytes, cudaStream_t stream);

}  // namespace normproof::bench
