// What an operation reads and writes, without its arithmetic: how fast a kernel can be that moves these bytes
// in these places. A copy moves as many bytes, but reads and writes different ones.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace normproof::bench {

struct Traffic {
  void* input = nullptr;
  void* residual = nullptr;  // null unless the operation adds; read and written
  void* out = nullptr;       // written; equals input where the operation works in place
  std::int64_t chunks = 0;   // of 16 bytes of input
  int out_bytes = 16;        // per chunk: 4, 8 or 16
};

// Ways to share the chunks among threads; the fastest differs from size to size.
inline constexpr int kTrafficWays = 8;

// Enqueues way 0 <= `way` < kTrafficWays. With programmatic dependent launch, like the kernels.
cudaError_t enqueue_traffic(const Traffic& traffic, int way, cudaStream_t stream);

}  // namespace normproof::bench
