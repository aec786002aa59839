#include <cstdio>

#include "kernels/host/launch.h"

#include "kernels/host/cuda_on_host.h"  // instead of the CUDA headers, last

__global__ void reverse(int* values) {
  NORMPROOF_SHARED(int, shared, 64);  // __shared__ int shared[64];
  shared[threadIdx.x] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = shared[63 - threadIdx.x];
}

int main() {
  int values[64];
  for (int i = 0; i < 64; ++i) values[i] = i;
  const auto result = normproof::host::launch({.grid = 1, .block = 64}, reverse, values);
  if (!result) std::puts(result.message.c_str());
  return result && values[0] == 63 ? 0 : 1;
}
