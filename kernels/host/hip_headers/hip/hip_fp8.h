// Stands in for HIP's hip_fp8.h: the OCP formats, and those with one zero (fnuz) that gfx942 has. Written
// from AMD's documentation.
#pragma once

#include <hip/hip_bf16.h>
#include <hip/hip_fp16.h>

#include "kernels/host/tiny_floats.h"

using __hip_fp8_storage_t = unsigned char;
using __hip_fp8x2_storage_t = unsigned short;
using __hip_fp8x4_storage_t = unsigned int;
enum __hip_saturation_t { __HIP_NOSAT = 0, __HIP_SATFINITE = 1 };
enum __hip_fp8_interpretation_t { __HIP_E4M3 = 0, __HIP_E5M2 = 1, __HIP_E4M3_FNUZ = 2, __HIP_E5M2_FNUZ = 3 };

namespace normproof::host {
constexpr const TinyFormat& tiny_format_of(__hip_fp8_interpretation_t interpretation) {
  return interpretation == __HIP_E4M3        ? kTinyE4m3
         : interpretation == __HIP_E5M2      ? kTinyE5m2
         : interpretation == __HIP_E4M3_FNUZ ? kTinyE4m3fnuz
                                             : kTinyE5m2fnuz;
}
}  // namespace normproof::host

#define HIP_FP8_TYPE_OCP 1
#define HIP_FP8_TYPE_FNUZ 1
// Each type says its interpretation, as sources hand both to the functions.
#define NORMPROOF_HIP_FP8_TYPES(suffix, format, interpretation)                       \
  struct __hip_fp8_##suffix : normproof::host::TinyFloat<normproof::host::format> {   \
    using TinyFloat::TinyFloat;                                                       \
    static constexpr __hip_saturation_t __default_saturation = __HIP_SATFINITE;       \
    static constexpr __hip_fp8_interpretation_t __default_interpret = interpretation; \
  };                                                                                  \
  struct alignas(2) __hip_fp8x2_##suffix                                              \
      : normproof::host::TinyVector2<normproof::host::format, unsigned short> {       \
    using TinyVector2::TinyVector2;                                                   \
    static constexpr __hip_saturation_t __default_saturation = __HIP_SATFINITE;       \
    static constexpr __hip_fp8_interpretation_t __default_interpret = interpretation; \
  };                                                                                  \
  struct alignas(4) __hip_fp8x4_##suffix                                              \
      : normproof::host::TinyVector4<normproof::host::format, unsigned int> {         \
    using TinyVector4::TinyVector4;                                                   \
    static constexpr __hip_saturation_t __default_saturation = __HIP_SATFINITE;       \
    static constexpr __hip_fp8_interpretation_t __default_interpret = interpretation; \
  };
NORMPROOF_HIP_FP8_TYPES(e4m3, kTinyE4m3, __HIP_E4M3)
NORMPROOF_HIP_FP8_TYPES(e5m2, kTinyE5m2, __HIP_E5M2)
NORMPROOF_HIP_FP8_TYPES(e4m3_fnuz, kTinyE4m3fnuz, __HIP_E4M3_FNUZ)
NORMPROOF_HIP_FP8_TYPES(e5m2_fnuz, kTinyE5m2fnuz, __HIP_E5M2_FNUZ)
#undef NORMPROOF_HIP_FP8_TYPES

inline __hip_fp8_storage_t __hip_cvt_float_to_fp8(float value, __hip_saturation_t saturation,
                                                  __hip_fp8_interpretation_t interpretation) {
  return normproof::host::to_tiny(value, normproof::host::tiny_format_of(interpretation),
                                  saturation == __HIP_SATFINITE);
}
inline __hip_fp8_storage_t __hip_cvt_double_to_fp8(double value, __hip_saturation_t saturation,
                                                   __hip_fp8_interpretation_t interpretation) {
  return normproof::host::to_tiny(value, normproof::host::tiny_format_of(interpretation),
                                  saturation == __HIP_SATFINITE);
}
inline __hip_fp8_storage_t __hip_cvt_halfraw_to_fp8(__half_raw value, __hip_saturation_t saturation,
                                                    __hip_fp8_interpretation_t interpretation) {
  return __hip_cvt_float_to_fp8(__half2float(__half(value)), saturation, interpretation);
}
inline __hip_fp8_storage_t __hip_cvt_bfloat16raw_to_fp8(__hip_bfloat16_raw value,
                                                        __hip_saturation_t saturation,
                                                        __hip_fp8_interpretation_t interpretation) {
  return __hip_cvt_float_to_fp8(__bfloat162float(__hip_bfloat16(value)), saturation, interpretation);
}
inline __hip_fp8x2_storage_t __hip_cvt_float2_to_fp8x2(float2 value, __hip_saturation_t saturation,
                                                       __hip_fp8_interpretation_t interpretation) {
  return static_cast<__hip_fp8x2_storage_t>(__hip_cvt_float_to_fp8(value.x, saturation, interpretation) |
                                            __hip_cvt_float_to_fp8(value.y, saturation, interpretation) << 8);
}
inline __hip_fp8x2_storage_t __hip_cvt_halfraw2_to_fp8x2(__half2_raw value, __hip_saturation_t saturation,
                                                         __hip_fp8_interpretation_t interpretation) {
  return __hip_cvt_float2_to_fp8x2(__half22float2(__half2(value)), saturation, interpretation);
}
inline __hip_fp8x2_storage_t __hip_cvt_bfloat16raw2_to_fp8x2(__hip_bfloat162_raw value,
                                                             __hip_saturation_t saturation,
                                                             __hip_fp8_interpretation_t interpretation) {
  return __hip_cvt_float2_to_fp8x2(__bfloat1622float2(__hip_bfloat162(value)), saturation, interpretation);
}
inline __half_raw __hip_cvt_fp8_to_halfraw(__hip_fp8_storage_t bits,
                                           __hip_fp8_interpretation_t interpretation) {
  return __float2half(normproof::host::of_tiny(bits, normproof::host::tiny_format_of(interpretation)));
}
inline __half2_raw __hip_cvt_fp8x2_to_halfraw2(__hip_fp8x2_storage_t bits,
                                               __hip_fp8_interpretation_t interpretation) {
  return __half2(__half(__hip_cvt_fp8_to_halfraw(static_cast<unsigned char>(bits & 0xff), interpretation)),
                 __half(__hip_cvt_fp8_to_halfraw(static_cast<unsigned char>(bits >> 8), interpretation)));
}
