// What CUDA offers device code beside barriers, shuffles and correctly rounded arithmetic: caching hints,
// conversions, minima and maxima, programmatic dependent launch.
#ifndef NORMPROOF_KERNELS_HOST_DEVICE_FUNCTIONS_H
#define NORMPROOF_KERNELS_HOST_DEVICE_FUNCTIONS_H

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "kernels/host/float_intrinsics.h"

// --- loads and stores with caching hints, which change no bits ---

#define NORMPROOF_HOST_LOAD(name)                                             \
  template <class T>                                                          \
  __attribute__((no_sanitize("alignment"))) inline T name(const T* address) { \
    return *address;                                                          \
  }
NORMPROOF_HOST_LOAD(__ldcg)
NORMPROOF_HOST_LOAD(__ldca)
NORMPROOF_HOST_LOAD(__ldcs)
NORMPROOF_HOST_LOAD(__ldlu)
NORMPROOF_HOST_LOAD(__ldcv)
#undef NORMPROOF_HOST_LOAD

#define NORMPROOF_HOST_STORE(name)                                                                        \
  template <class T>                                                                                      \
  __attribute__((no_sanitize("alignment"))) inline void name(T* address, std::type_identity_t<T> value) { \
    *address = value;                                                                                     \
  }
NORMPROOF_HOST_STORE(__stwb)
NORMPROOF_HOST_STORE(__stcg)
NORMPROOF_HOST_STORE(__stcs)
NORMPROOF_HOST_STORE(__stwt)
#undef NORMPROOF_HOST_STORE

// --- conversions ---

inline float __int2float_rn(int a) { return static_cast<float>(a); }
inline float __uint2float_rn(unsigned int a) { return static_cast<float>(a); }

// To the nearest, ties to even; out of range to the end of the range, NaN to 0.
inline int __float2int_rn(float a) {
  if (std::isnan(a)) return 0;
  if (a >= 0x1p31f) return 0x7fffffff;
  if (a < -0x1p31f) return -0x7fffffff - 1;
  return static_cast<int>(std::nearbyint(a));
}
inline int __float2int_rz(float a) {
  if (std::isnan(a)) return 0;
  if (a >= 0x1p31f) return 0x7fffffff;
  if (a < -0x1p31f) return -0x7fffffff - 1;
  return static_cast<int>(a);
}
// To [0, 1], NaN to 0.
inline float __saturatef(float a) { return a > 0 ? (a < 1 ? a : 1.0f) : 0.0f; }

inline unsigned int __brev(unsigned int a) {
  unsigned int reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (a >> bit & 1u) << (31 - bit);
  return reversed;
}
inline int __ffsll(long long a) {
  return a == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(a)) + 1;
}
inline int __popcll(unsigned long long a) { return std::popcount(a); }
inline int __clzll(long long a) { return std::countl_zero(static_cast<unsigned long long>(a)); }
inline int __mul24(int a, int b) { return ((a << 8) >> 8) * ((b << 8) >> 8); }
inline unsigned int __umulhi(unsigned int a, unsigned int b) {
  return static_cast<unsigned int>(std::uint64_t{a} * b >> 32);
}

// --- minima and maxima; of floats, the number where the other is NaN ---

template <class A, class B>
  requires std::is_integral_v<A> && std::is_integral_v<B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using Common = std::common_type_t<A, B>;
  return static_cast<Common>(a) < static_cast<Common>(b) ? static_cast<Common>(a) : static_cast<Common>(b);
}
template <class A, class B>
  requires std::is_integral_v<A> && std::is_integral_v<B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using Common = std::common_type_t<A, B>;
  return static_cast<Common>(a) > static_cast<Common>(b) ? static_cast<Common>(a) : static_cast<Common>(b);
}
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

// --- the rest ---

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

// Blocks and kernels run one after the other: what came before has been done.
inline void cudaGridDependencySynchronize() {}
inline void cudaTriggerProgrammaticLaunchCompletion() {}
inline void __threadfence_system() { std::atomic_signal_fence(std::memory_order_seq_cst); }
inline void __nanosleep(unsigned int) {}
[[noreturn]] inline void __trap() { throw std::runtime_error("__trap()"); }

#endif
