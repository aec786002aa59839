// Programmatic dependent launch: a kernel that starts while the one before it in the stream still runs.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"

namespace normproof::kernels {

// With programmatic dependent launch this kernel may start while the one before it still runs: nothing that
// the other may write is touched before it has ended.
__device__ inline void wait_for_the_kernel_before() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

// The same, with these addresses computed before: the assembler puts what the wait does not need behind it,
// where the loads wait for it. One of them is not null, so it always waits.
template <class... Pointees>
__device__ inline void wait_with_addresses([[maybe_unused]] const Pointees*... places) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n"
      ".reg .pred known;\n"
      "setp.ne.u64 known, %0, 0;\n"
      "@known griddepcontrol.wait;\n"
      "}" ::"l"((reinterpret_cast<std::uint64_t>(places) | ...))
      : "memory");
#endif
}

// The next kernel may start once all blocks of this one have come here.
__device__ inline void let_the_next_kernel_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

}  // namespace normproof::kernels
