// Stands in for the CUDA runtime where a CUDA source is compiled to run on the CPU. Written from NVIDIA's
// documentation. All work is done when a call returns; device memory is ordinary memory; there is one device.
#ifndef NORMPROOF_CUDA_HEADERS_CUDA_RUNTIME_H
#define NORMPROOF_CUDA_HEADERS_CUDA_RUNTIME_H

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/host/cuda_on_host.h"
#include "kernels/host/inline_assembly.h"
#include "kernels/host/launch.h"
#include "kernels/host/pointer_cast.h"
#include "kernels/host/shared_variable.h"

// Of nvcc and clang, but not of gcc.
#ifndef __clang__
#define __builtin_assume(condition) static_cast<void>(0)
#define __builtin_nontemporal_load(pointer) (*(pointer))
#define __builtin_nontemporal_store(value, pointer) static_cast<void>(*(pointer) = (value))
#endif

// The standard library spells attributes with this name, in headers that come later too: the source pass
// replaces it.
#undef __noinline__
// Sources write `inline __forceinline__`, which must not become a second `inline`.
#undef __forceinline__
#define __forceinline__ __inline__ __attribute__((always_inline))

// What nvcc says of itself. The architecture is that of the target: -D__CUDA_ARCH__=... .
#define __CUDACC__ 1
#define __NVCC__ 1
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0
#define CUDART_VERSION 13000
#define CUDA_VERSION 13000
#define NORMPROOF_HOST_EXECUTION 1

#define __constant__
#define __managed__
#define __cluster_dims__(...)
#define __maxnreg__(...)
#define CUDART_CB
#define CUDARTAPI

#include "kernels/host/runtime_api.h"
#include "kernels/host/runtime_memory.h"

#include "kernels/host/device_functions.h"
#include "kernels/host/kernel_launch.h"

#endif
