// LLVM's functions for AMD's GPUs under the names that the source pass gives to declarations such as
//   float load(int32x4_t, int, int, int) __asm("llvm.amdgcn.raw.buffer.load.f32.v4i32");
// What is missing here is named when a library is linked.
#include <bit>
#include <cstdint>

#include "kernels/host/amd_memory.h"

namespace {

using Words = normproof::host::BufferDescriptor;
using Int2 = int __attribute__((vector_size(8)));
using Int4 = int __attribute__((vector_size(16)));
using Float2 = float __attribute__((vector_size(8)));
using Float4 = float __attribute__((vector_size(16)));

template <class T>
T load(Int4 buffer, int offset, int scalar) {
  T value;
  normproof::host::load_from_buffer(std::bit_cast<Words>(buffer), static_cast<std::uint32_t>(offset + scalar),
                                    &value, sizeof value);
  return value;
}
template <class T>
void store(T value, Int4 buffer, int offset, int scalar) {
  normproof::host::store_to_buffer(std::bit_cast<Words>(buffer), static_cast<std::uint32_t>(offset + scalar),
                                   &value, sizeof value);
}

}  // namespace

// With and without the type of the descriptor, which newer compilers have in the name.
#define NORMPROOF_BUFFER_FUNCTIONS(name, Type, suffix)                                                  \
  Type normproof_llvm_amdgcn_raw_buffer_load_##name##suffix(Int4 buffer, int offset, int scalar, int) { \
    return load<Type>(buffer, offset, scalar);                                                          \
  }                                                                                                     \
  void normproof_llvm_amdgcn_raw_buffer_store_##name##suffix(Type value, Int4 buffer, int offset,       \
                                                             int scalar, int) {                         \
    store<Type>(value, buffer, offset, scalar);                                                         \
  }
#define NORMPROOF_BUFFER_TYPE(name, Type)  \
  NORMPROOF_BUFFER_FUNCTIONS(name, Type, ) \
  NORMPROOF_BUFFER_FUNCTIONS(name, Type, _v4i32)
extern "C" {
NORMPROOF_BUFFER_TYPE(i8, signed char)
NORMPROOF_BUFFER_TYPE(i16, short)
NORMPROOF_BUFFER_TYPE(i32, int)
NORMPROOF_BUFFER_TYPE(v2i32, Int2)
NORMPROOF_BUFFER_TYPE(v4i32, Int4)
NORMPROOF_BUFFER_TYPE(f32, float)
NORMPROOF_BUFFER_TYPE(v2f32, Float2)
NORMPROOF_BUFFER_TYPE(v4f32, Float4)
}
