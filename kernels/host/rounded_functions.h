// CUDA's arithmetic and conversions with a rounding direction in their names. The nearest of fp32 arithmetic
// are in float_intrinsics.h.
#ifndef NORMPROOF_KERNELS_HOST_ROUNDED_FUNCTIONS_H
#define NORMPROOF_KERNELS_HOST_ROUNDED_FUNCTIONS_H

#include <bit>
#include <cstdint>

#include "kernels/host/float_intrinsics.h"
#include "kernels/host/rounding.h"
#include "kernels/host/vector_types.h"

#define NORMPROOF_DIRECTED(NORMPROOF_DEFINE) \
  NORMPROOF_DEFINE(_rz, kZero)               \
  NORMPROOF_DEFINE(_rd, kDown)               \
  NORMPROOF_DEFINE(_ru, kUp)
#define NORMPROOF_ALL_DIRECTIONS(NORMPROOF_DEFINE) \
  NORMPROOF_DEFINE(_rn, kNearest)                  \
  NORMPROOF_DIRECTED(NORMPROOF_DEFINE)

#define NORMPROOF_ARITHMETIC(type, letter, fma_name, rounding, suffix)                                      \
  inline type __##letter##add##suffix(type a, type b) { return normproof::host::add(a, b, rounding); }      \
  inline type __##letter##sub##suffix(type a, type b) { return normproof::host::add(a, -b, rounding); }     \
  inline type __##letter##mul##suffix(type a, type b) { return normproof::host::multiply(a, b, rounding); } \
  inline type __##letter##div##suffix(type a, type b) { return normproof::host::divide(a, b, rounding); }   \
  inline type __##letter##rcp##suffix(type a) { return normproof::host::divide(type(1), a, rounding); }     \
  inline type __##letter##sqrt##suffix(type a) { return normproof::host::square_root(a, rounding); }        \
  inline type fma_name##suffix(type a, type b, type c) {                                                    \
    return normproof::host::fused_multiply_add(a, b, c, rounding);                                          \
  }
#define NORMPROOF_FLOAT(suffix, direction) \
  NORMPROOF_ARITHMETIC(float, f, __fmaf, normproof::host::Rounding::direction, suffix)
#define NORMPROOF_DOUBLE(suffix, direction) \
  NORMPROOF_ARITHMETIC(double, d, __fma, normproof::host::Rounding::direction, suffix)
NORMPROOF_DIRECTED(NORMPROOF_FLOAT)
NORMPROOF_ALL_DIRECTIONS(NORMPROOF_DOUBLE)
#undef NORMPROOF_FLOAT
#undef NORMPROOF_DOUBLE
#undef NORMPROOF_ARITHMETIC

// Subnormal numbers too, whatever the compiler was told; and pairs.
#define NORMPROOF_MORE(suffix, direction)                                                         \
  inline float __fmaf_ieee##suffix(float a, float b, float c) { return __fmaf##suffix(a, b, c); } \
  inline float2 __fadd2##suffix(float2 a, float2 b) {                                             \
    return {__fadd##suffix(a.x, b.x), __fadd##suffix(a.y, b.y)};                                  \
  }                                                                                               \
  inline float2 __fmul2##suffix(float2 a, float2 b) {                                             \
    return {__fmul##suffix(a.x, b.x), __fmul##suffix(a.y, b.y)};                                  \
  }                                                                                               \
  inline float2 __ffma2##suffix(float2 a, float2 b, float2 c) {                                   \
    return {__fmaf##suffix(a.x, b.x, c.x), __fmaf##suffix(a.y, b.y, c.y)};                        \
  }
NORMPROOF_ALL_DIRECTIONS(NORMPROOF_MORE)
#undef NORMPROOF_MORE

// --- conversions: out of range to the end of the range ---

#define NORMPROOF_CONVERSION(type, name, suffix, direction)                            \
  inline type __float2##name##suffix(float a) {                                        \
    return normproof::host::to_integer<type>(a, normproof::host::Rounding::direction); \
  }                                                                                    \
  inline type __double2##name##suffix(double a) {                                      \
    return normproof::host::to_integer<type>(a, normproof::host::Rounding::direction); \
  }                                                                                    \
  inline float __##name##2float##suffix(type a) {                                      \
    return normproof::host::to_float(a, normproof::host::Rounding::direction);         \
  }                                                                                    \
  inline double __##name##2double##suffix(type a) {                                    \
    return normproof::host::to_double(a, normproof::host::Rounding::direction);        \
  }
#define NORMPROOF_CONVERSIONS(suffix, direction)                                     \
  NORMPROOF_CONVERSION(int, int, suffix, direction)                                  \
  NORMPROOF_CONVERSION(unsigned int, uint, suffix, direction)                        \
  NORMPROOF_CONVERSION(long long, ll, suffix, direction)                             \
  NORMPROOF_CONVERSION(unsigned long long, ull, suffix, direction)                   \
  inline float __double2float##suffix(double a) {                                    \
    return normproof::host::rounded<float>(a, normproof::host::Rounding::direction); \
  }
NORMPROOF_ALL_DIRECTIONS(NORMPROOF_CONVERSIONS)
#undef NORMPROOF_CONVERSIONS
#undef NORMPROOF_CONVERSION
#undef NORMPROOF_ALL_DIRECTIONS
#undef NORMPROOF_DIRECTED

inline int __double2hiint(double a) { return static_cast<int>(std::bit_cast<std::uint64_t>(a) >> 32); }
inline int __double2loint(double a) { return static_cast<int>(std::bit_cast<std::uint64_t>(a)); }
inline double __hiloint2double(int high, int low) {
  return std::bit_cast<double>(std::uint64_t{static_cast<std::uint32_t>(high)} << 32 |
                               static_cast<std::uint32_t>(low));
}

#endif
