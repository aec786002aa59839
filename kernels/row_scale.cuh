// The scale that a row gets from its largest |y|. The largest of numbers does not depend on the order in
// which they are compared, so any threads may compare any of them.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"
#include "kernels/norm_arguments.h"
#include "kernels/row_reduction.cuh"
#include "kernels/storage_types.cuh"

namespace normproof::kernels {

// The bits of |y| as fp32 number. They are in the order of the numbers, and those of NaN come last: so the
// largest of a row with a NaN is NaN.
template <typename T>
__device__ inline std::uint32_t magnitude_bits(T y) {
  return bits_of(to_float(y)) & 0x7fffffffu;
}

__device__ inline std::uint32_t larger(std::uint32_t a, std::uint32_t b) { return a < b ? b : a; }

// At most the upper bound of the call, where it has one; NaN stays.
__device__ inline std::uint32_t bounded(std::uint32_t largest, const NormArguments& arguments) {
  if (arguments.scale_ub == nullptr || !(float_of(largest) > *arguments.scale_ub)) return largest;
  return bits_of(*arguments.scale_ub);
}

// Over `width` neighbouring threads of a warp (a power of two); every one of them gets it.
__device__ inline std::uint32_t largest_of_threads(std::uint32_t value, int width) {
#pragma unroll
  for (int bit = kWarpThreads / 2; bit > 0; bit /= 2) {
    if (bit < width) value = larger(value, __shfl_xor_sync(kWholeWarp, value, bit));
  }
  return value;
}

// Over all threads of the block. The caller sees to it that nobody still reads what the last call left.
__device__ inline std::uint32_t largest_of_block(std::uint32_t value, int warp, int warps, int thread) {
  NORMPROOF_SHARED(std::uint32_t, largest_of_warps, kWarpThreads);
  value = largest_of_threads(value, kWarpThreads);
  if (thread == 0) largest_of_warps[warp] = value;
  __syncthreads();
  return largest_of_threads(thread < warps ? largest_of_warps[thread] : 0, kWarpThreads);
}

// s = fl(a / max_Q), at least fl(1 / (512 max_Q)), of int8 2^-23; NaN stays.
__device__ inline float row_scale(std::uint32_t largest, CodeFormat format) {
  const float range = largest_code(format);
  const float scale = __fdiv_rn(float_of(largest), range);
  const float least = format == CodeFormat::int8 ? 0x1p-23f : __fdiv_rn(1.0f, 512.0f * range);
  return scale < least ? least : scale;
}

}  // namespace normproof::kernels
