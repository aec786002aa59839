// CUDA's built-in vector types (dim3, uint3, float4, ...) with the same names, layout and alignment.
#ifndef NORMPROOF_KERNELS_HOST_VECTOR_TYPES_H
#define NORMPROOF_KERNELS_HOST_VECTOR_TYPES_H

// Declares ELEMENT1 to ELEMENT4 of `type` under the prefix `name`, and their make_ functions.
// CUDA aligns a vector to its size, to 16 bytes at most.
#define NORMPROOF_HOST_VECTOR_TYPES(type, name)                                               \
  struct name##1 { type x; };                                                                 \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                                    \
  struct name##3 { type x, y, z; };                                                           \
  struct alignas(4 * sizeof(type) < 16 ? 4 * sizeof(type) : 16) name##4 { type x, y, z, w; }; \
  constexpr name##1 make_##name##1(type x) { return {x}; }                                    \
  constexpr name##2 make_##name##2(type x, type y) { return {x, y}; }                         \
  constexpr name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }              \
  constexpr name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

// Four numbers of 8 bytes, with the alignment in their names.
#define NORMPROOF_HOST_WIDE_VECTOR_TYPES(type, name)                                                \
  struct alignas(16) name##4_16a { type x, y, z, w; };                                              \
  struct alignas(32) name##4_32a { type x, y, z, w; };                                              \
  constexpr name##4_16a make_##name##4_16a(type x, type y, type z, type w) { return {x, y, z, w}; } \
  constexpr name##4_32a make_##name##4_32a(type x, type y, type z, type w) { return {x, y, z, w}; }

NORMPROOF_HOST_VECTOR_TYPES(float, float)
NORMPROOF_HOST_VECTOR_TYPES(int, int)
NORMPROOF_HOST_VECTOR_TYPES(unsigned int, uint)
NORMPROOF_HOST_VECTOR_TYPES(short, short)
NORMPROOF_HOST_VECTOR_TYPES(unsigned short, ushort)
NORMPROOF_HOST_VECTOR_TYPES(unsigned char, uchar)
NORMPROOF_HOST_VECTOR_TYPES(signed char, char)
NORMPROOF_HOST_VECTOR_TYPES(double, double)
NORMPROOF_HOST_VECTOR_TYPES(long, long)
NORMPROOF_HOST_VECTOR_TYPES(unsigned long, ulong)
NORMPROOF_HOST_VECTOR_TYPES(long long, longlong)
NORMPROOF_HOST_VECTOR_TYPES(unsigned long long, ulonglong)
NORMPROOF_HOST_WIDE_VECTOR_TYPES(double, double)
NORMPROOF_HOST_WIDE_VECTOR_TYPES(long, long)
NORMPROOF_HOST_WIDE_VECTOR_TYPES(unsigned long, ulong)
NORMPROOF_HOST_WIDE_VECTOR_TYPES(long long, longlong)
NORMPROOF_HOST_WIDE_VECTOR_TYPES(unsigned long long, ulonglong)
#undef NORMPROOF_HOST_VECTOR_TYPES
#undef NORMPROOF_HOST_WIDE_VECTOR_TYPES

static_assert(sizeof(float4) == 16 && alignof(float4) == 16 && sizeof(uint3) == 12 && alignof(uint2) == 8);
static_assert(sizeof(double4) == 32 && alignof(double4) == 16 && alignof(ulonglong4_32a) == 32);

// An extent; missing dimensions are 1.
struct dim3 {
  unsigned int x = 1, y = 1, z = 1;
  constexpr dim3(unsigned int x_extent = 1, unsigned int y_extent = 1, unsigned int z_extent = 1)
      : x(x_extent), y(y_extent), z(z_extent) {}
  constexpr dim3(uint3 extent) : x(extent.x), y(extent.y), z(extent.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

#endif
