// Stands in for HIP where a HIP source is compiled to run on the CPU, in waves of NORMPROOF_WAVE_LANES lanes:
// the runtime, launches by macro, operations of a wave without masks. Written from AMD's documentation.
#ifndef NORMPROOF_HIP_HEADERS_HIP_RUNTIME_H
#define NORMPROOF_HIP_HEADERS_HIP_RUNTIME_H

#include <hip/hip_runtime_api.h>

#include "kernels/host/amd_builtins.h"
#include "kernels/host/hip_functions.h"
#include "kernels/host/hip_vector_operators.h"

#define HIP_KERNEL_NAME(...) __VA_ARGS__
#define HIP_DYNAMIC_SHARED(type, name) type* const name = ::normproof::host::DynamicSharedMemory{};
#define hipLaunchKernelGGL(kernel, grid, block, shared, stream, ...)    \
  ::normproof::host::bracket_launch([&](auto&... normproof_arguments) { \
    kernel(normproof_arguments...);                                     \
  }).configured(grid, block, shared, stream)(__VA_ARGS__)

#endif
