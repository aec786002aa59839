// Rows that stream through shared memory: while a block works on one row, the next ones are on their way, by
// the GPU's bulk copies (compute capability 9), which take no register and hardly an instruction. On the CPU
// a thread copies them.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cache_hint.cuh"
#include "kernels/cuda.h"

#if defined(__CUDACC__)
#define NORMPROOF_DYNAMIC_SHARED(type, name) extern __shared__ __align__(128) type name[]
#endif

namespace normproof::kernels {

// Counts the bytes that have arrived in a part of shared memory. It is in phase 0 first; when all bytes of a
// phase are there, the next begins.
class ArrivalBarrier {
 public:
  // By one thread, before a barrier of the block.
  __device__ void start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(address()) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
  }
  // By one thread: so many bytes will come in this phase.
  __device__ void expect([[maybe_unused]] std::uint32_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address()), "r"(bytes)
                 : "memory");
#endif
  }
  // Until all bytes of phase `parity`, the last bit of the phase's number, are there. On the CPU they are,
  // once the block has passed a barrier.
  __device__ void wait([[maybe_unused]] std::uint32_t parity) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    std::uint32_t done = 0;
    while (done == 0) {
      asm volatile(
          "{\n"
          " .reg .pred arrived;\n"
          " mbarrier.try_wait.parity.shared::cta.b64 arrived, [%1], %2;\n"
          " selp.u32 %0, 1, 0, arrived;\n"
          "}"
          : "=r"(done)
          : "r"(address()), "r"(parity)
          : "memory");
    }
#endif
  }
  // Starts to copy from global to shared memory; both addresses and the number of bytes are multiples of 16.
  // `policy`: of the L2 cache, see cache_hint.cuh.
  __device__ void copy(void* to, const void* from, std::uint32_t bytes, [[maybe_unused]] CachePolicy policy) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, "
        "[%3], %4;" ::"r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(to))),
        "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(address()), "l"(policy)
        : "memory");
#else
    memcpy(to, from, bytes);
#endif
  }

 private:
#if defined(__CUDACC__)
  __device__ std::uint32_t address() const {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(&state_));
  }
#endif
  [[maybe_unused]] std::uint64_t state_;
};

}  // namespace normproof::kernels
