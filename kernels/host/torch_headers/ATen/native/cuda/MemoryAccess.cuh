// Stands in for torch's vectors of elements.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace at::native::memory {

template <class T, int size>
struct alignas(sizeof(T) * size) aligned_vector {
  T val[size];
};
template <int size, class T>
aligned_vector<T, size> load_vector(const T* base, std::uint32_t index) {
  return normproof::host::pointer_cast<const aligned_vector<T, size>*>(base)[index];
}
// How many elements an access by this pointer may have.
template <class T>
int can_vectorize_up_to(const char* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  for (int size = 8; size > 1; size /= 2) {
    if (address % (sizeof(T) * static_cast<unsigned>(size)) == 0) return size;
  }
  return 1;
}

}  // namespace at::native::memory
