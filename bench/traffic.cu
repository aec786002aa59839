#include "bench/traffic.h"

#include "kernels/cache_hint.cuh"

namespace normproof::bench {
namespace {

template <int kBytes>
struct Word;
template <>
struct Word<16> {
  using type = uint4;
  static __device__ uint4 of(uint4 chunk) { return chunk; }
};
template <>
struct Word<8> {
  using type = uint2;
  static __device__ uint2 of(uint4 chunk) { return {chunk.x ^ chunk.y, chunk.z ^ chunk.w}; }
};
template <>
struct Word<4> {
  using type = unsigned;
  static __device__ unsigned of(uint4 chunk) { return chunk.x ^ chunk.y ^ chunk.z ^ chunk.w; }
};

// Input and residual change places, so that numbers stay what they are.
template <bool kAdds, int kOutBytes, bool kEvictLast, int kChunks>
__global__ void move(Traffic traffic) {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
  const auto* input = static_cast<const uint4*>(traffic.input);
  auto* residual = static_cast<uint4*>(traffic.residual);
  auto* out = static_cast<typename Word<kOutBytes>::type*>(traffic.out);
  const std::int64_t first = std::int64_t{blockIdx.x} * blockDim.x * kChunks + threadIdx.x;
  uint4 x[kChunks], r[kChunks];
#pragma unroll
  for (int i = 0; i < kChunks; ++i) {
    const std::int64_t chunk = first + i * static_cast<int>(blockDim.x);
    if (chunk < traffic.chunks) {
      x[i] = kEvictLast ? kernels::load_and_evict_last(input + chunk) : input[chunk];
      if constexpr (kAdds)
        r[i] = kEvictLast ? kernels::load_and_evict_last(residual + chunk) : residual[chunk];
    }
  }
  asm volatile("" ::: "memory");  // no store before a load with a hint
#pragma unroll
  for (int i = 0; i < kChunks; ++i) {
    const std::int64_t chunk = first + i * static_cast<int>(blockDim.x);
    if (chunk < traffic.chunks) {
      if constexpr (kAdds) {
        residual[chunk] = x[i];
        out[chunk] = Word<kOutBytes>::of(r[i]);
      } else {
        out[chunk] = Word<kOutBytes>::of(x[i]);
      }
    }
  }
}

constexpr std::size_t kLineBytes = 128;

__global__ void evict_all_normally(const char* data, std::size_t bytes) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x * kLineBytes;
  const std::size_t first = (std::size_t{blockIdx.x} * blockDim.x + threadIdx.x) * kLineBytes;
  for (std::size_t at = first; at < bytes; at += step) kernels::evict_normally(data + at);
}

using Kernel = void (*)(Traffic);

template <bool kAdds, int kOutBytes, bool kEvictLast>
Kernel with_chunks(int chunks) {
  switch (chunks) {
    case 1:
      return &move<kAdds, kOutBytes, kEvictLast, 1>;
    case 2:
      return &move<kAdds, kOutBytes, kEvictLast, 2>;
    case 4:
      return &move<kAdds, kOutBytes, kEvictLast, 4>;
    default:
      return &move<kAdds, kOutBytes, kEvictLast, 8>;
  }
}

template <bool kAdds, int kOutBytes>
Kernel with_eviction(bool evict_last, int chunks) {
  return evict_last ? with_chunks<kAdds, kOutBytes, true>(chunks)
                    : with_chunks<kAdds, kOutBytes, false>(chunks);
}

template <bool kAdds>
Kernel with_out(int out_bytes, bool evict_last, int chunks) {
  return out_bytes == 16  ? with_eviction<kAdds, 16>(evict_last, chunks)
         : out_bytes == 8 ? with_eviction<kAdds, 8>(evict_last, chunks)
                          : with_eviction<kAdds, 4>(evict_last, chunks);
}

}  // namespace

cudaError_t enqueue_traffic(const Traffic& traffic, int way, cudaStream_t stream) {
  constexpr int kThreads[] = {128, 512}, kChunks[] = {1, 2, 4, 8};
  const int threads = kThreads[way % 2], chunks = kChunks[way / 2 % 4];
  const bool evict_last = way >= kPlainTrafficWays;
  const Kernel kernel = traffic.residual != nullptr ? with_out<true>(traffic.out_bytes, evict_last, chunks)
                                                    : with_out<false>(traffic.out_bytes, evict_last, chunks);
  cudaLaunchConfig_t config{};
  const std::int64_t per_block = std::int64_t{threads} * chunks;
  config.gridDim = dim3(static_cast<unsigned>((traffic.chunks + per_block - 1) / per_block));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  cudaLaunchAttribute dependent{};
  dependent.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  dependent.val.programmaticStreamSerializationAllowed = 1;
  int major = 0, device = 0;
  if (cudaGetDevice(&device) == cudaSuccess &&
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
      major >= 9) {
    config.attrs = &dependent;
    config.numAttrs = 1;
  }
  return cudaLaunchKernelEx(&config, kernel, traffic);
}

cudaError_t enqueue_normal_eviction(void* data, std::size_t bytes, cudaStream_t stream) {
  constexpr unsigned kBlocks = 1024, kThreads = 256;
  evict_all_normally<<<kBlocks, kThreads, 0, stream>>>(static_cast<const char*>(data), bytes);
  return cudaGetLastError();
}

}  // namespace normproof::bench
