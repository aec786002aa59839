// What CUDA offers device code beside barriers, shuffles, rounding and functions of integers: caching hints,
// minima and maxima, functions that the C library lacks, programmatic dependent launch.
#ifndef NORMPROOF_KERNELS_HOST_DEVICE_FUNCTIONS_H
#define NORMPROOF_KERNELS_HOST_DEVICE_FUNCTIONS_H

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/host/approximate_math.h"
#include "kernels/host/block_collectives.h"
#include "kernels/host/float_intrinsics.h"
#include "kernels/host/inline_assembly.h"
#include "kernels/host/integer_functions.h"
#include "kernels/host/rounded_functions.h"
#include "kernels/host/simd_functions.h"

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

// To [0, 1], NaN to 0.
inline float __saturatef(float a) { return a > 0 ? (a < 1 ? a : 1.0f) : 0.0f; }

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
inline double min(float a, double b) { return std::fmin(double(a), b); }
inline double min(double a, float b) { return std::fmin(a, double(b)); }
inline double max(float a, double b) { return std::fmax(double(a), b); }
inline double max(double a, float b) { return std::fmax(a, double(b)); }
inline unsigned int umin(unsigned int a, unsigned int b) { return a < b ? a : b; }
inline unsigned int umax(unsigned int a, unsigned int b) { return a < b ? b : a; }
inline long long llmin(long long a, long long b) { return a < b ? a : b; }
inline long long llmax(long long a, long long b) { return a < b ? b : a; }
inline unsigned long long ullmin(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
inline unsigned long long ullmax(unsigned long long a, unsigned long long b) { return a < b ? b : a; }

// --- functions that the C library lacks, rounded from double ---

inline double fdivide(double a, double b) { return a / b; }
inline float fdividef(float a, float b) { return a / b; }
inline double rcbrt(double a) { return 1.0 / std::cbrt(a); }
inline float rcbrtf(float a) { return static_cast<float>(rcbrt(a)); }
inline double rhypot(double a, double b) { return 1.0 / std::hypot(a, b); }
inline float rhypotf(float a, float b) { return static_cast<float>(rhypot(a, b)); }
inline double norm3d(double a, double b, double c) { return std::hypot(a, b, c); }
inline float norm3df(float a, float b, float c) { return static_cast<float>(norm3d(a, b, c)); }
inline double rnorm3d(double a, double b, double c) { return 1.0 / norm3d(a, b, c); }
inline float rnorm3df(float a, float b, float c) { return static_cast<float>(rnorm3d(a, b, c)); }
inline double norm4d(double a, double b, double c, double d) {
  return std::hypot(std::hypot(a, b), std::hypot(c, d));
}
inline float norm4df(float a, float b, float c, float d) { return static_cast<float>(norm4d(a, b, c, d)); }
inline double rnorm4d(double a, double b, double c, double d) { return 1.0 / norm4d(a, b, c, d); }
inline float rnorm4df(float a, float b, float c, float d) { return static_cast<float>(rnorm4d(a, b, c, d)); }
inline double norm(int count, const double* a) {
  double result = 0;
  for (int i = 0; i < count; ++i) result = std::hypot(result, a[i]);
  return result;
}
inline float normf(int count, const float* a) {
  double result = 0;
  for (int i = 0; i < count; ++i) result = std::hypot(result, a[i]);
  return static_cast<float>(result);
}
inline double rnorm(int count, const double* a) { return 1.0 / norm(count, a); }
inline float rnormf(int count, const float* a) {
  double result = 0;
  for (int i = 0; i < count; ++i) result = std::hypot(result, a[i]);
  return static_cast<float>(1.0 / result);
}
inline double sinpi(double a) { return std::sin(std::remainder(a, 2.0) * 3.14159265358979323846); }
inline double cospi(double a) { return std::cos(std::remainder(a, 2.0) * 3.14159265358979323846); }
inline float sinpif(float a) { return static_cast<float>(sinpi(a)); }
inline float cospif(float a) { return static_cast<float>(cospi(a)); }
inline void sincospi(double a, double* sine, double* cosine) { *sine = sinpi(a), *cosine = cospi(a); }
inline void sincospif(float a, float* sine, float* cosine) { *sine = sinpif(a), *cosine = cospif(a); }
inline double normcdf(double a) { return std::erfc(-a / 1.41421356237309504880) / 2; }
inline float normcdff(float a) { return static_cast<float>(normcdf(a)); }
inline float __tanf(float a) { return __sinf(a) / __cosf(a); }
inline float __tanhf(float a) { return static_cast<float>(std::tanh(static_cast<double>(a))); }
inline void __sincosf(float a, float* sine, float* cosine) { *sine = __sinf(a), *cosine = __cosf(a); }

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
inline void __threadfence_cluster() { __threadfence(); }
// How far the calling thread has come: no time passes on the CPU, but a later question gets a greater answer.
inline long long clock64() {
  static thread_local long long asked = 0;
  return ++asked;
}
[[noreturn]] inline void __trap(std::source_location site = std::source_location::current()) {
  throw std::runtime_error(std::string("__trap() at ") + site.file_name() + ":" +
                           std::to_string(site.line()));
}

// All memory is one address space: a shared address is the whole pointer.
inline std::size_t __cvta_generic_to_shared(const void* pointer) {
  return normproof::host::shared_address_of(pointer);
}
inline std::size_t __cvta_generic_to_global(const void* pointer) {
  return reinterpret_cast<std::size_t>(pointer);
}
inline void* __cvta_shared_to_generic(std::size_t address) {
  return normproof::host::shared_pointer_of(address);
}
inline void* __cvta_global_to_generic(std::size_t address) { return reinterpret_cast<void*>(address); }

#endif
