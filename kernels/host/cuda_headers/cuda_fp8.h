// Stands in for NVIDIA's cuda_fp8.h: the OCP formats e4m3 and e5m2, and e8m0, the exponent of a scale.
// Written from NVIDIA's documentation.
#ifndef NORMPROOF_CUDA_HEADERS_CUDA_FP8_H
#define NORMPROOF_CUDA_HEADERS_CUDA_FP8_H

#include "kernels/host/tiny_floats.h"

using __nv_fp8_storage_t = unsigned char;
using __nv_fp8x2_storage_t = unsigned short;
using __nv_fp8x4_storage_t = unsigned int;
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };

#define NORMPROOF_FORMAT \
  (interpretation == __NV_E4M3 ? normproof::host::kTinyE4m3 : normproof::host::kTinyE5m2)
#define NORMPROOF_OPTIONS __nv_saturation_t saturation, __nv_fp8_interpretation_t interpretation
#define NORMPROOF_CONVERT(of, value) \
  normproof::host::of##to_tiny(value, NORMPROOF_FORMAT, saturation == __NV_SATFINITE)
NORMPROOF_TINY_CONVERSIONS(fp8, 8, NORMPROOF_OPTIONS, NORMPROOF_CONVERT, NORMPROOF_FORMAT,
                           __nv_fp8_interpretation_t)
#undef NORMPROOF_FORMAT
#undef NORMPROOF_OPTIONS
#undef NORMPROOF_CONVERT
NORMPROOF_TINY_TYPES(__nv_fp8, e4m3, kTinyE4m3, unsigned short, unsigned int)
NORMPROOF_TINY_TYPES(__nv_fp8, e5m2, kTinyE5m2, unsigned short, unsigned int)

// --- e8m0: 2^(bits - 127), 0xFF is NaN; no sign, no zero ---

namespace normproof::host {
// Rounded toward zero or up, of the magnitude; finite ones saturate, or become NaN.
inline unsigned char to_e8m0(double value, bool saturate, Rounding rounding) {
  if (std::isnan(value)) return 0xff;
  const double magnitude = std::fabs(value);
  if (std::isinf(magnitude)) return saturate ? 0xfe : 0xff;
  if (magnitude == 0) return 0;
  int exponent = 0;
  const double fraction = std::frexp(magnitude, &exponent);  // 0.5 <= fraction < 1
  int bits = exponent - 1 + 127;
  if (rounding == Rounding::kUp && fraction > 0.5) ++bits;
  if (bits < 0) return 0;
  return static_cast<unsigned char>(bits > 0xfe ? (saturate ? 0xfe : 0xff) : bits);
}
}  // namespace normproof::host

#define NORMPROOF_E8M0(type, name)                                                                        \
  inline __nv_fp8_storage_t __nv_cvt_##name##_to_e8m0(type a, __nv_saturation_t saturation,               \
                                                      cudaRoundMode mode) {                               \
    return normproof::host::to_e8m0(a, saturation == __NV_SATFINITE, normproof::host::rounding_of(mode)); \
  }                                                                                                       \
  inline __nv_fp8x2_storage_t __nv_cvt_##name##2_to_e8m0x2(type##2 a, __nv_saturation_t saturation,       \
                                                           cudaRoundMode mode) {                          \
    return static_cast<__nv_fp8x2_storage_t>(__nv_cvt_##name##_to_e8m0(a.x, saturation, mode) |           \
                                             __nv_cvt_##name##_to_e8m0(a.y, saturation, mode) << 8);      \
  }
NORMPROOF_E8M0(float, float)
NORMPROOF_E8M0(double, double)
#undef NORMPROOF_E8M0
inline __nv_fp8_storage_t __nv_cvt_bfloat16raw_to_e8m0(__nv_bfloat16_raw a, __nv_saturation_t saturation,
                                                       cudaRoundMode mode) {
  return __nv_cvt_float_to_e8m0(normproof::host::to_float(__nv_bfloat16(a)), saturation, mode);
}
inline __nv_fp8x2_storage_t __nv_cvt_bfloat162raw_to_e8m0x2(__nv_bfloat162_raw a,
                                                            __nv_saturation_t saturation,
                                                            cudaRoundMode mode) {
  return __nv_cvt_float2_to_e8m0x2(__bfloat1622float2(__nv_bfloat162(a)), saturation, mode);
}
inline __nv_bfloat16_raw __nv_cvt_e8m0_to_bf16raw(__nv_fp8_storage_t bits) {
  if (bits == 0xff) return {0x7fff};
  return {static_cast<unsigned short>(bits == 0 ? 0x40 : bits << 7)};  // 2^-127 is subnormal
}
inline __nv_bfloat162_raw __nv_cvt_e8m0x2_to_bf162raw(__nv_fp8x2_storage_t bits) {
  return {__nv_cvt_e8m0_to_bf16raw(static_cast<__nv_fp8_storage_t>(bits & 0xff)).x,
          __nv_cvt_e8m0_to_bf16raw(static_cast<__nv_fp8_storage_t>(bits >> 8)).x};
}
struct __nv_fp8_e8m0 {
  __nv_fp8_storage_t __x;
  __nv_fp8_e8m0() = default;
  template <class T>
    requires std::is_arithmetic_v<T> || std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>
  explicit __nv_fp8_e8m0(T value)
      : __x(normproof::host::to_e8m0(normproof::host::to_double(value), true,
                                     normproof::host::Rounding::kUp)) {}
  explicit operator float() const {
    return normproof::host::to_float(__nv_bfloat16(__nv_cvt_e8m0_to_bf16raw(__x)));
  }
  explicit operator double() const { return static_cast<float>(*this); }
  explicit operator __nv_bfloat16() const { return __nv_cvt_e8m0_to_bf16raw(__x); }
  explicit operator __half() const { return __float2half(static_cast<float>(*this)); }
};

struct alignas(2) __nv_fp8x2_e8m0 {
  __nv_fp8x2_storage_t __x;
  __nv_fp8x2_e8m0() = default;
  explicit __nv_fp8x2_e8m0(float2 a) : __x(__nv_cvt_float2_to_e8m0x2(a, __NV_SATFINITE, cudaRoundPosInf)) {}
  explicit __nv_fp8x2_e8m0(double2 a) : __x(__nv_cvt_double2_to_e8m0x2(a, __NV_SATFINITE, cudaRoundPosInf)) {}
  explicit __nv_fp8x2_e8m0(__nv_bfloat162 a)
      : __x(__nv_cvt_bfloat162raw_to_e8m0x2(a, __NV_SATFINITE, cudaRoundPosInf)) {}
  explicit __nv_fp8x2_e8m0(__half2 a) : __nv_fp8x2_e8m0(__half22float2(a)) {}
  explicit operator __nv_bfloat162() const { return __nv_cvt_e8m0x2_to_bf162raw(__x); }
  explicit operator float2() const { return __bfloat1622float2(static_cast<__nv_bfloat162>(*this)); }
};
struct alignas(4) __nv_fp8x4_e8m0 {
  __nv_fp8x4_storage_t __x;
  __nv_fp8x4_e8m0() = default;
  explicit __nv_fp8x4_e8m0(float4 a)
      : __x(__nv_fp8x2_e8m0(make_float2(a.x, a.y)).__x |
            static_cast<unsigned>(__nv_fp8x2_e8m0(make_float2(a.z, a.w)).__x) << 16) {}
  explicit operator float4() const {
    const auto pair = [&](int shift) {
      return __bfloat1622float2(__nv_bfloat162(
          __nv_cvt_e8m0x2_to_bf162raw(static_cast<__nv_fp8x2_storage_t>(__x >> shift & 0xffff))));
    };
    return {pair(0).x, pair(0).y, pair(16).x, pair(16).y};
  }
};

#endif
