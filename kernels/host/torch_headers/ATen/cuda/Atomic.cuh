// Stands in for torch's atomic additions.
#pragma once

#include <cuda_runtime.h>

template <class T>
T gpuAtomicAdd(T* address, T value) {
  return atomicAdd(address, value);
}
template <class T>
void gpuAtomicAddNoReturn(T* address, T value) {
  atomicAdd(address, value);
}
