// HIP's vectors compute: element by element, with vectors and with numbers. CUDA's do not.
#ifndef NORMPROOF_KERNELS_HOST_HIP_VECTOR_OPERATORS_H
#define NORMPROOF_KERNELS_HOST_HIP_VECTOR_OPERATORS_H

#include <type_traits>

#include "kernels/host/vector_types.h"

// OPERATE(sign) names the elements of a and b; NUMBER(sign) those of a beside the number b, and LEFT the
// other way round.
#define NORMPROOF_HIP_OPERATOR(Vector, sign, operated, numbered, leftward)                  \
  constexpr Vector operator sign(const Vector& a, const Vector& b) { return operated; }     \
  template <class T>                                                                        \
    requires std::is_arithmetic_v<T>                                                        \
  constexpr Vector operator sign(const Vector& a, T number) {                               \
    const auto b = static_cast<decltype(a.x)>(number);                                      \
    return numbered;                                                                        \
  }                                                                                         \
  template <class T>                                                                        \
    requires std::is_arithmetic_v<T>                                                        \
  constexpr Vector operator sign(T number, const Vector& b) {                               \
    const auto a = static_cast<decltype(b.x)>(number);                                      \
    return leftward;                                                                        \
  }                                                                                         \
  constexpr Vector& operator sign##=(Vector & a, const Vector & b) { return a = a sign b; } \
  template <class T>                                                                        \
    requires std::is_arithmetic_v<T>                                                        \
  constexpr Vector& operator sign##=(Vector & a, T b) {                                     \
    return a = a sign b;                                                                    \
  }
#define NORMPROOF_HIP_OPERATORS_1(Vector, sign) \
  NORMPROOF_HIP_OPERATOR(Vector, sign, (Vector{a.x sign b.x}), (Vector{a.x sign b}), (Vector{a sign b.x}))
#define NORMPROOF_HIP_OPERATORS_2(Vector, sign)                              \
  NORMPROOF_HIP_OPERATOR(Vector, sign, (Vector{a.x sign b.x, a.y sign b.y}), \
                         (Vector{a.x sign b, a.y sign b}), (Vector{a sign b.x, a sign b.y}))
#define NORMPROOF_HIP_OPERATORS_3(Vector, sign)                                            \
  NORMPROOF_HIP_OPERATOR(Vector, sign, (Vector{a.x sign b.x, a.y sign b.y, a.z sign b.z}), \
                         (Vector{a.x sign b, a.y sign b, a.z sign b}),                     \
                         (Vector{a sign b.x, a sign b.y, a sign b.z}))
#define NORMPROOF_HIP_OPERATORS_4(Vector, sign)                                                          \
  NORMPROOF_HIP_OPERATOR(Vector, sign, (Vector{a.x sign b.x, a.y sign b.y, a.z sign b.z, a.w sign b.w}), \
                         (Vector{a.x sign b, a.y sign b, a.z sign b, a.w sign b}),                       \
                         (Vector{a sign b.x, a sign b.y, a sign b.z, a sign b.w}))
#define NORMPROOF_HIP_ARITHMETIC(name, sign) \
  NORMPROOF_HIP_OPERATORS_1(name##1, sign)   \
  NORMPROOF_HIP_OPERATORS_2(name##2, sign)   \
  NORMPROOF_HIP_OPERATORS_3(name##3, sign)   \
  NORMPROOF_HIP_OPERATORS_4(name##4, sign)
#define NORMPROOF_HIP_VECTORS(name) \
  NORMPROOF_HIP_ARITHMETIC(name, +) \
  NORMPROOF_HIP_ARITHMETIC(name, -) \
  NORMPROOF_HIP_ARITHMETIC(name, *) \
  NORMPROOF_HIP_ARITHMETIC(name, /)
NORMPROOF_HIP_VECTORS(float)
NORMPROOF_HIP_VECTORS(double)
NORMPROOF_HIP_VECTORS(int)
NORMPROOF_HIP_VECTORS(uint)
NORMPROOF_HIP_VECTORS(long)
NORMPROOF_HIP_VECTORS(ulong)
#undef NORMPROOF_HIP_VECTORS
#undef NORMPROOF_HIP_ARITHMETIC
#undef NORMPROOF_HIP_OPERATORS_1
#undef NORMPROOF_HIP_OPERATORS_2
#undef NORMPROOF_HIP_OPERATORS_3
#undef NORMPROOF_HIP_OPERATORS_4
#undef NORMPROOF_HIP_OPERATOR

#endif
