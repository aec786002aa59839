// Stands in for torch's sums over a warp and a block, the latter in the first warp's threads.
#pragma once

#include <ATen/cuda/DeviceUtils.cuh>

namespace at::native::cuda_utils {

constexpr int kCUDABlockReduceNumThreads = 512;
constexpr int kCUDABlockReduceMaxThreads = 1024;

struct Block1D {
  static int Tid() { return static_cast<int>(threadIdx.x); }
  static int Warps() { return static_cast<int>(blockDim.x) / warpSize; }
};
struct Block2D {
  static int Tid() { return static_cast<int>(threadIdx.x + threadIdx.y * blockDim.x); }
  static int Warps() { return static_cast<int>(blockDim.x * blockDim.y) / warpSize; }
};

template <class T, class Combine>
T over_warp(T value, const Combine& combine) {
  for (int lanes = warpSize / 2; lanes > 0; lanes /= 2) value = combine(value, WARP_SHFL_DOWN(value, lanes));
  return value;
}
template <class T>
T WarpReduceSum(T value) {
  return over_warp(value, [](T a, T b) { return a + b; });
}
template <class T>
T WarpReduceMax(T value) {
  return over_warp(value, [](T a, T b) { return a < b || b != b ? b : a; });
}

template <class Block, class T, class OverWarp>
T over_block(T value, T* shared, T neutral, const OverWarp& of_warp) {
  const int thread = Block::Tid(), lane = thread % warpSize, warp = thread / warpSize;
  value = of_warp(value);
  __syncthreads();
  if (lane == 0) shared[warp] = value;
  __syncthreads();
  value = thread < Block::Warps() ? shared[lane] : neutral;
  return warp == 0 ? of_warp(value) : value;
}
template <class T, class Block = Block1D>
T BlockReduceSum(T value, T* shared) {
  return over_block<Block>(value, shared, T(0), [](T of_thread) { return WarpReduceSum(of_thread); });
}
template <class T, class Block = Block1D>
T BlockReduceMax(T value, T* shared) {
  return over_block<Block>(value, shared, T(0), [](T of_thread) { return WarpReduceMax(of_thread); });
}

}  // namespace at::native::cuda_utils
