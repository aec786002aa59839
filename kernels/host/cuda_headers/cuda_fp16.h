// Stands in for NVIDIA's cuda_fp16.h: __half and its arithmetic, every operation one rounding to the nearest,
// ties to even. Written from NVIDIA's documentation.
#ifndef NORMPROOF_CUDA_HEADERS_CUDA_FP16_H
#define NORMPROOF_CUDA_HEADERS_CUDA_FP16_H

#include <cuda_runtime.h>

#include "kernels/host/small_floats.h"

struct __half_raw {
  unsigned short x;
};

struct alignas(2) __half {
  unsigned short x;

  __half() = default;
  __half(const __half_raw& raw) : x(raw.x) {}
  __half(float value) : x(bits_of(value)) {}
  explicit __half(double value) : x(bits_of(value)) {}
  explicit __half(int value) : x(bits_of(value)) {}
  explicit __half(unsigned value) : x(bits_of(value)) {}
  operator __half_raw() const { return {x}; }
  operator float() const { return normproof::host::value_of_bits(x, normproof::host::kFp16, 15); }
  __half& operator=(float value) {
    x = bits_of(value);
    return *this;
  }

  static unsigned short bits_of(double value) {
    return static_cast<unsigned short>(normproof::host::round_to_bits(value, normproof::host::kFp16, 15));
  }
};

struct alignas(4) __half2 {
  __half x, y;

  __half2() = default;
  __half2(const __half& first, const __half& second) : x(first), y(second) {}
};
using half = __half;
using half2 = __half2;

// --- conversions ---

inline __half __float2half(float a) { return __half(a); }
inline __half __float2half_rn(float a) { return __half(a); }
inline float __half2float(__half a) { return static_cast<float>(a); }
inline __half __double2half(double a) { return __half(a); }
inline __half __int2half_rn(int a) { return __half(a); }
inline unsigned short __half_as_ushort(__half a) { return a.x; }
inline __half __ushort_as_half(unsigned short bits) { return __half(__half_raw{bits}); }
inline __half2 __float2half2_rn(float a) { return {__half(a), __half(a)}; }
inline __half2 __floats2half2_rn(float a, float b) { return {__half(a), __half(b)}; }
inline __half2 __float22half2_rn(float2 a) { return {__half(a.x), __half(a.y)}; }
inline float2 __half22float2(__half2 a) { return {static_cast<float>(a.x), static_cast<float>(a.y)}; }
inline float __low2float(__half2 a) { return static_cast<float>(a.x); }
inline float __high2float(__half2 a) { return static_cast<float>(a.y); }
inline __half __low2half(__half2 a) { return a.x; }
inline __half __high2half(__half2 a) { return a.y; }
inline __half2 __half2half2(__half a) { return {a, a}; }
inline __half2 __halves2half2(__half a, __half b) { return {a, b}; }
inline __half2 make_half2(__half a, __half b) { return {a, b}; }

// --- arithmetic: sums and products of two are exact in double ---

inline __half __hadd(__half a, __half b) {
  return __half(static_cast<double>(float(a)) + static_cast<double>(float(b)));
}
inline __half __hsub(__half a, __half b) {
  return __half(static_cast<double>(float(a)) - static_cast<double>(float(b)));
}
inline __half __hmul(__half a, __half b) {
  return __half(static_cast<double>(float(a)) * static_cast<double>(float(b)));
}
inline __half __hdiv(__half a, __half b) { return __half(float(a) / float(b)); }
inline __half __hadd_rn(__half a, __half b) { return __hadd(a, b); }
inline __half __hsub_rn(__half a, __half b) { return __hsub(a, b); }
inline __half __hmul_rn(__half a, __half b) { return __hmul(a, b); }
inline __half __hfma(__half a, __half b, __half c) {
  return __half(normproof::host::fma_to_odd(float(a), float(b), float(c)));
}
inline __half __hneg(__half a) { return __half(__half_raw{static_cast<unsigned short>(a.x ^ 0x8000)}); }
inline __half __habs(__half a) { return __half(__half_raw{static_cast<unsigned short>(a.x & 0x7fff)}); }
inline bool __hisnan(__half a) { return std::isnan(float(a)); }
inline bool __heq(__half a, __half b) { return float(a) == float(b); }
inline bool __hlt(__half a, __half b) { return float(a) < float(b); }
inline bool __hgt(__half a, __half b) { return float(a) > float(b); }
// The number where one is NaN.
inline __half __hmax(__half a, __half b) { return __half(std::fmax(float(a), float(b))); }
inline __half __hmin(__half a, __half b) { return __half(std::fmin(float(a), float(b))); }
inline __half2 __hadd2(__half2 a, __half2 b) { return {__hadd(a.x, b.x), __hadd(a.y, b.y)}; }
inline __half2 __hsub2(__half2 a, __half2 b) { return {__hsub(a.x, b.x), __hsub(a.y, b.y)}; }
inline __half2 __hmul2(__half2 a, __half2 b) { return {__hmul(a.x, b.x), __hmul(a.y, b.y)}; }
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) {
  return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}

inline __half operator+(const __half& a, const __half& b) { return __hadd(a, b); }
inline __half operator-(const __half& a, const __half& b) { return __hsub(a, b); }
inline __half operator*(const __half& a, const __half& b) { return __hmul(a, b); }
inline __half operator/(const __half& a, const __half& b) { return __hdiv(a, b); }
inline __half operator-(const __half& a) { return __hneg(a); }
inline __half& operator+=(__half& a, const __half& b) { return a = a + b; }
inline __half& operator-=(__half& a, const __half& b) { return a = a - b; }
inline __half& operator*=(__half& a, const __half& b) { return a = a * b; }
inline bool operator==(const __half& a, const __half& b) { return __heq(a, b); }
inline bool operator<(const __half& a, const __half& b) { return __hlt(a, b); }
inline bool operator>(const __half& a, const __half& b) { return __hgt(a, b); }
inline __half2 operator+(const __half2& a, const __half2& b) { return __hadd2(a, b); }
inline __half2 operator-(const __half2& a, const __half2& b) { return __hsub2(a, b); }
inline __half2 operator*(const __half2& a, const __half2& b) { return __hmul2(a, b); }
inline __half2& operator+=(__half2& a, const __half2& b) { return a = a + b; }
inline __half2& operator*=(__half2& a, const __half2& b) { return a = a * b; }

#endif
