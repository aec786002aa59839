// The CUDA language for both compilers of the kernels: nvcc brings its own, a plain host compiler gets it
// from kernels/host, which runs every CUDA thread as a fiber.
#pragma once

#if defined(__CUDACC__)
#include <cuda_runtime.h>

// Shared memory of a block. A macro, because on the host it is a heap block that the sanitizers watch.
#define NORMPROOF_SHARED(type, name, count) __shared__ type name[count]
#else
#include "kernels/host/cuda_on_host.h"
#endif
