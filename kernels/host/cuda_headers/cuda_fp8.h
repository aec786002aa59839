// Stands in for NVIDIA's cuda_fp8.h: the OCP formats e4m3 and e5m2. Written from NVIDIA's documentation.
#ifndef NORMPROOF_CUDA_HEADERS_CUDA_FP8_H
#define NORMPROOF_CUDA_HEADERS_CUDA_FP8_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

using __nv_fp8_storage_t = unsigned char;
using __nv_fp8x2_storage_t = unsigned short;
using __nv_fp8x4_storage_t = unsigned int;
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };

// With __NV_SATFINITE what is too large, infinity included, becomes the largest finite number. NaN stays NaN.
inline __nv_fp8_storage_t __nv_cvt_double_to_fp8(double value, __nv_saturation_t saturation,
                                                 __nv_fp8_interpretation_t interpretation) {
  const bool e4m3 = interpretation == __NV_E4M3;
  const normproof::host::SmallFloat& format = e4m3 ? normproof::host::kE4m3 : normproof::host::kE5m2;
  const double largest = e4m3 ? 448.0 : 57344.0;
  if (saturation == __NV_SATFINITE && std::fabs(value) > largest) value = std::copysign(largest, value);
  return static_cast<__nv_fp8_storage_t>(normproof::host::round_to_bits(value, format, 7));
}
inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float value, __nv_saturation_t saturation,
                                                __nv_fp8_interpretation_t interpretation) {
  return __nv_cvt_double_to_fp8(value, saturation, interpretation);
}
inline __nv_fp8x2_storage_t __nv_cvt_float2_to_fp8x2(float2 value, __nv_saturation_t saturation,
                                                     __nv_fp8_interpretation_t interpretation) {
  return static_cast<__nv_fp8x2_storage_t>(__nv_cvt_float_to_fp8(value.x, saturation, interpretation) |
                                           __nv_cvt_float_to_fp8(value.y, saturation, interpretation) << 8);
}
inline __half_raw __nv_cvt_fp8_to_halfraw(__nv_fp8_storage_t bits, __nv_fp8_interpretation_t interpretation) {
  const normproof::host::SmallFloat& format =
      interpretation == __NV_E4M3 ? normproof::host::kE4m3 : normproof::host::kE5m2;
  return __half(normproof::host::value_of_bits(bits, format, 7));
}

#define NORMPROOF_HOST_FP8_TYPE(name, interpretation)                                                   \
  struct name {                                                                                         \
    __nv_fp8_storage_t __x;                                                                             \
    name() = default;                                                                                   \
    explicit name(float value) : __x(__nv_cvt_float_to_fp8(value, __NV_SATFINITE, interpretation)) {}   \
    explicit name(double value) : __x(__nv_cvt_double_to_fp8(value, __NV_SATFINITE, interpretation)) {} \
    explicit name(__half value) : name(static_cast<float>(value)) {}                                    \
    explicit name(__nv_bfloat16 value) : name(static_cast<float>(value)) {}                             \
    explicit operator float() const { return __half(__nv_cvt_fp8_to_halfraw(__x, interpretation)); }    \
    explicit operator __half() const { return __nv_cvt_fp8_to_halfraw(__x, interpretation); }           \
  };
NORMPROOF_HOST_FP8_TYPE(__nv_fp8_e4m3, __NV_E4M3)
NORMPROOF_HOST_FP8_TYPE(__nv_fp8_e5m2, __NV_E5M2)
#undef NORMPROOF_HOST_FP8_TYPE

#endif
