// The CUDA C++ vocabulary for a plain host compiler: include this instead of the CUDA headers, last among the
// includes, and the kernel compiles unchanged. Launch it with kernels/host/launch.h.
//
// Deliberately absent: __shared__ (NORMPROOF_SHARED gives each block poisoned memory of its own) and <<<>>>.
// Sources that have them, unmodified ones of other people, go through cuda_host_target.cmake.
#ifndef NORMPROOF_KERNELS_HOST_CUDA_ON_HOST_H
#define NORMPROOF_KERNELS_HOST_CUDA_ON_HOST_H

#ifdef __CUDACC__
#error "nvcc brings the real thing: include this header only when __CUDACC__ is not defined"
#endif

#include <memory>  // spells an attribute __noinline__, so it must come before the macro of that name

#include "kernels/host/aligned_access.h"
#include "kernels/host/approximate_math.h"
#include "kernels/host/atomics.h"
#include "kernels/host/block_collectives.h"
#include "kernels/host/float_intrinsics.h"
#include "kernels/host/vector_types.h"
#include "kernels/host/warp_intrinsics.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))

// __shared__ type name[count]: one array per declaration and block, count a constant. It starts as 0xFF bytes
// (NaN for floats), and has redzones under AddressSanitizer.
#define NORMPROOF_SHARED(type, name, count)          \
  static char name##_declaration;                    \
  type(&name)[count] = *static_cast<type(*)[count]>( \
      ::normproof::host::shared_memory(&name##_declaration, sizeof(type) * (count), alignof(type)))

// extern __shared__ type name[]: LaunchConfig::dynamic_shared_bytes bytes.
#define NORMPROOF_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(::normproof::host::dynamic_shared_memory())

// Set by the executor whenever it resumes a thread; kernels only read them.
extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
#ifdef NORMPROOF_HIP
inline int warpSize = NORMPROOF_WAVE_LANES;  // known at run time alone
#else
inline constexpr int warpSize = 32;
#endif

template <class T>
__attribute__((no_sanitize("alignment")))  // who made the pointer is what has to be named: pointer_cast.h
T __ldg(const T* address) {
  return *address;
}

#endif
