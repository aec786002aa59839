#include "bench/traffic.h"

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
template <bool kAdds, int kOutBytes, int kChunks>
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
      x[i] = input[chunk];
      if constexpr (kAdds) r[i] = residual[chunk];
    }
  }
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

using Kernel = void (*)(Traffic);

template <bool kAdds, int kOutBytes>
Kernel with_chunks(int chunks) {
  switch (chunks) {
    case 1:
      return &move<kAdds, kOutBytes, 1>;
    case 2:
      return &move<kAdds, kOutBytes, 2>;
    case 4:
      return &move<kAdds, kOutBytes, 4>;
    default:
      return &move<kAdds, kOutBytes, 8>;
  }
}

template <bool kAdds>
Kernel with_out(int out_bytes, int chunks) {
  return out_bytes == 16  ? with_chunks<kAdds, 16>(chunks)
         : out_bytes == 8 ? with_chunks<kAdds, 8>(chunks)
                          : with_chunks<kAdds, 4>(chunks);
}

}  // namespace

cudaError_t enqueue_traffic(const Traffic& traffic, int way, cudaStream_t stream) {
  constexpr int kThreads[] = {128, 512}, kChunks[] = {1, 2, 4, 8};
  const int threads = kThreads[way % 2], chunks = kChunks[way / 2 % 4];
  const Kernel kernel = traffic.residual != nullptr ? with_out<true>(traffic.out_bytes, chunks)
                                                    : with_out<false>(traffic.out_bytes, chunks);
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

}  // namespace normproof::bench
