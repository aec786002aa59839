// More of the CUDA runtime's memory: pinned and managed memory, copies to symbols, of rectangles, and what a
// pointer is. Included by the stand-in for cuda_runtime.h.
#ifndef NORMPROOF_KERNELS_HOST_RUNTIME_MEMORY_H
#define NORMPROOF_KERNELS_HOST_RUNTIME_MEMORY_H

#include <cstddef>
#include <cstring>

#include "kernels/host/runtime_api.h"

inline constexpr unsigned cudaHostAllocDefault = 0, cudaHostAllocPortable = 1, cudaHostAllocMapped = 2,
                          cudaHostAllocWriteCombined = 4;
inline constexpr unsigned cudaHostRegisterDefault = 0, cudaHostRegisterPortable = 1,
                          cudaHostRegisterMapped = 2;
inline constexpr unsigned cudaMemAttachGlobal = 1, cudaMemAttachHost = 2;

template <class T>
cudaError_t cudaHostAlloc(T** pointer, std::size_t bytes, unsigned) {
  return cudaMalloc(pointer, bytes);
}
inline cudaError_t cudaHostRegister(void*, std::size_t, unsigned) { return cudaSuccess; }
inline cudaError_t cudaHostUnregister(void*) { return cudaSuccess; }
template <class T>
cudaError_t cudaHostGetDevicePointer(T** device, void* host, unsigned) {
  *device = static_cast<T*>(host);
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* all_bytes) {
  *free_bytes = *all_bytes = std::size_t{80} << 30;
  return cudaSuccess;
}

// Rectangles: rows of `width` bytes that lie `pitch` bytes apart.
inline cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                std::size_t width, std::size_t height, cudaMemcpyKind) {
  if (width > to_pitch || width > from_pitch)
    return normproof::host::note_error(cudaErrorInvalidValue, "rows are wider than their pitch");
  for (std::size_t row = 0; row < height; ++row)
    std::memmove(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch,
                 width);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                     std::size_t width, std::size_t height, cudaMemcpyKind kind,
                                     cudaStream_t = nullptr) {
  return cudaMemcpy2D(to, to_pitch, from, from_pitch, width, height, kind);
}
inline cudaError_t cudaMemset2D(void* to, std::size_t pitch, int value, std::size_t width,
                                std::size_t height) {
  for (std::size_t row = 0; row < height; ++row)
    std::memset(static_cast<char*>(to) + row * pitch, value, width);
  return cudaSuccess;
}

// __device__ and __constant__ variables are ordinary ones.
template <class Symbol>
cudaError_t cudaMemcpyToSymbol(Symbol& symbol, const void* from, std::size_t bytes, std::size_t offset = 0,
                               cudaMemcpyKind = cudaMemcpyHostToDevice) {
  if (offset + bytes > sizeof(Symbol))
    return normproof::host::note_error(cudaErrorInvalidValue, "more bytes than the symbol has");
  std::memcpy((char*)&symbol + offset, from, bytes);  // __constant__ variables may be const
  return cudaSuccess;
}
template <class Symbol>
cudaError_t cudaMemcpyToSymbolAsync(Symbol& symbol, const void* from, std::size_t bytes, std::size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t = nullptr) {
  return cudaMemcpyToSymbol(symbol, from, bytes, offset, kind);
}
template <class Symbol>
cudaError_t cudaMemcpyFromSymbol(void* to, const Symbol& symbol, std::size_t bytes, std::size_t offset = 0,
                                 cudaMemcpyKind = cudaMemcpyDeviceToHost) {
  if (offset + bytes > sizeof(Symbol))
    return normproof::host::note_error(cudaErrorInvalidValue, "more bytes than the symbol has");
  std::memcpy(to, (const char*)&symbol + offset, bytes);
  return cudaSuccess;
}
template <class Symbol>
cudaError_t cudaGetSymbolAddress(void** pointer, Symbol& symbol) {
  *pointer = (void*)&symbol;
  return cudaSuccess;
}

// All memory is the device's.
enum cudaMemoryType {
  cudaMemoryTypeUnregistered = 0,
  cudaMemoryTypeHost = 1,
  cudaMemoryTypeDevice = 2,
  cudaMemoryTypeManaged = 3,
};
struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
  void *devicePointer, *hostPointer;
};
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {cudaMemoryTypeDevice, 0, const_cast<void*>(pointer), const_cast<void*>(pointer)};
  return cudaSuccess;
}

#endif
