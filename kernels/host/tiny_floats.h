// Types of 8, 6 and 4 bits, and vectors of them: the common part of the stand-ins for cuda_fp8.h, cuda_fp6.h
// and cuda_fp4.h.
#ifndef NORMPROOF_KERNELS_HOST_TINY_FLOATS_H
#define NORMPROOF_KERNELS_HOST_TINY_FLOATS_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/host/small_floats.h"

namespace normproof::host {

struct TinyFormat {
  SmallFloat bits;
  int sign_bit;
  double largest;
  bool has_nan;     // where there is none, NaN becomes the largest number and an overflow always saturates
  int vector_step;  // bits from one element of a vector to the next
};
inline constexpr TinyFormat kTinyE4m3{kE4m3, 7, 448, true, 8};
inline constexpr TinyFormat kTinyE5m2{kE5m2, 7, 57344, true, 8};
// Of these an infinity is NaN, saturated or not.
inline constexpr TinyFormat kTinyE4m3fnuz{kE4m3fnuz, 7, 240, true, 8};
inline constexpr TinyFormat kTinyE5m2fnuz{kE5m2fnuz, 7, 57344, true, 8};
inline constexpr TinyFormat kTinyE2m3{kE2m3, 5, 7.5, false, 8};
inline constexpr TinyFormat kTinyE3m2{kE3m2, 5, 28, false, 8};
inline constexpr TinyFormat kTinyE2m1{kE2m1, 3, 6, false, 4};

// Saturated, what is too large, infinity included, becomes the largest finite number. NaN stays NaN.
inline unsigned char to_tiny(double value, const TinyFormat& format, bool saturate,
                             Rounding rounding = Rounding::kNearest) {
  const bool infinity_is_nan = std::isinf(value) && has_one_zero(format.bits, format.sign_bit);
  if ((saturate || !format.has_nan) && std::fabs(value) > format.largest && !infinity_is_nan)
    value = std::copysign(format.largest, value);
  return static_cast<unsigned char>(round_to_bits(value, format.bits, format.sign_bit, rounding));
}
// The same of a double: of a NaN the sign and the highest bits of the payload stay.
inline unsigned char double_to_tiny(double value, const TinyFormat& format, bool saturate,
                                    Rounding rounding = Rounding::kNearest) {
  if (!std::isnan(value) || !format.has_nan || has_one_zero(format.bits, format.sign_bit))
    return to_tiny(value, format, saturate, rounding);
  const auto second_bit = static_cast<int>(std::bit_cast<std::uint64_t>(value) >> 50 & 1);
  const int nan = format.bits.mantissa_bits == 2 ? 0x7e | second_bit : 0x7f;
  return static_cast<unsigned char>((std::signbit(value) ? 0x80 : 0) | nan);
}
inline float of_tiny(std::uint32_t bits, const TinyFormat& format) {
  const std::uint32_t mask = (2u << format.sign_bit) - 1;
  return value_of_bits(bits & mask, format.bits, format.sign_bit);
}

inline double to_double(float a) { return a; }
inline double to_double(double a) { return a; }
template <std::integral T>
double to_double(T a) {
  return integer_to_odd(a);
}

// One number. Conversions from other types saturate to the finite numbers, those to integers to their range.
template <const TinyFormat& format>
struct TinyFloat {
  unsigned char __x;

  TinyFloat() = default;
  template <class T>
    requires std::is_arithmetic_v<T> || std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>
  explicit TinyFloat(T value) : __x(to_tiny(to_double(value), format, true)) {}
  explicit TinyFloat(double value) : __x(double_to_tiny(value, format, true)) {}

  explicit operator float() const { return of_tiny(__x, format); }
  explicit operator double() const { return of_tiny(__x, format); }
  explicit operator __half() const { return __float2half(of_tiny(__x, format)); }
  explicit operator __nv_bfloat16() const { return __float2bfloat16(of_tiny(__x, format)); }
  explicit operator bool() const { return of_tiny(__x, format) != 0; }
  template <std::integral T>
    requires(!std::is_same_v<T, bool>)
  explicit operator T() const {
    return to_integer<T>(of_tiny(__x, format), Rounding::kZero);
  }
};

template <const TinyFormat& format, class Storage>
struct TinyVector2 {
  Storage __x;

  TinyVector2() = default;
  explicit TinyVector2(double2 a)
      : __x(static_cast<Storage>(double_to_tiny(a.x, format, true) | double_to_tiny(a.y, format, true)
                                                                         << format.vector_step)) {}
  explicit TinyVector2(float2 a) : __x(packed(a.x, a.y)) {}
  explicit TinyVector2(__half2 a) : __x(packed(to_double(a.x), to_double(a.y))) {}
  explicit TinyVector2(__nv_bfloat162 a) : __x(packed(to_double(a.x), to_double(a.y))) {}
  explicit operator float2() const {
    return {of_tiny(__x, format), of_tiny(static_cast<std::uint32_t>(__x) >> format.vector_step, format)};
  }
  explicit operator __half2() const { return __float22half2_rn(static_cast<float2>(*this)); }
  explicit operator __nv_bfloat162() const { return __float22bfloat162_rn(static_cast<float2>(*this)); }

  static Storage packed(double x, double y) {
    return static_cast<Storage>(to_tiny(x, format, true) | to_tiny(y, format, true) << format.vector_step);
  }
};

template <const TinyFormat& format, class Storage>
struct TinyVector4 {
  Storage __x;

  TinyVector4() = default;
  explicit TinyVector4(float4 a) : __x(packed(a.x, a.y, a.z, a.w)) {}
  explicit TinyVector4(double4 a) : __x(packed(a.x, a.y, a.z, a.w)) {}
  explicit TinyVector4(double4_16a a) : __x(packed(a.x, a.y, a.z, a.w)) {}
  explicit TinyVector4(double4_32a a) : __x(packed(a.x, a.y, a.z, a.w)) {}
  TinyVector4(__half2 low, __half2 high)
      : __x(packed(to_double(low.x), to_double(low.y), to_double(high.x), to_double(high.y))) {}
  TinyVector4(__nv_bfloat162 low, __nv_bfloat162 high)
      : __x(packed(to_double(low.x), to_double(low.y), to_double(high.x), to_double(high.y))) {}
  explicit operator float4() const { return {element(0), element(1), element(2), element(3)}; }

  float element(int index) const {
    return of_tiny(static_cast<std::uint32_t>(__x) >> (index * format.vector_step), format);
  }
  static Storage packed(double x, double y, double z, double w) {
    std::uint32_t bits = 0;
    for (const double value : {w, z, y, x}) bits = bits << format.vector_step | to_tiny(value, format, true);
    return static_cast<Storage>(bits);
  }
};

}  // namespace normproof::host

// The conversions between raw bits, __nv_cvt_float_to_fp8 and its siblings. `name` is fp8, fp6 or fp4;
// OPTIONS are the parameters behind the value, CONVERT(prefix, value) rounds one double, FORMAT is that of
// the interpretation.
#define NORMPROOF_TINY_CONVERSIONS(name, step, OPTIONS, CONVERT, FORMAT, Interpretation)                    \
  inline __nv_##name##_storage_t __nv_cvt_double_to_##name(double a, OPTIONS) {                             \
    return CONVERT(double_, a);                                                                             \
  }                                                                                                         \
  inline __nv_##name##_storage_t __nv_cvt_float_to_##name(float a, OPTIONS) { return CONVERT(, a); }        \
  inline __nv_##name##_storage_t __nv_cvt_halfraw_to_##name(__half_raw a, OPTIONS) {                        \
    return CONVERT(, normproof::host::to_double(__half(a)));                                                \
  }                                                                                                         \
  inline __nv_##name##_storage_t __nv_cvt_bfloat16raw_to_##name(__nv_bfloat16_raw a, OPTIONS) {             \
    return CONVERT(, normproof::host::to_double(__nv_bfloat16(a)));                                         \
  }                                                                                                         \
  inline __nv_##name##x2_storage_t __nv_cvt_double2_to_##name##x2(double2 a, OPTIONS) {                     \
    return static_cast<__nv_##name##x2_storage_t>(CONVERT(double_, a.x) | CONVERT(double_, a.y) << (step)); \
  }                                                                                                         \
  inline __nv_##name##x2_storage_t __nv_cvt_float2_to_##name##x2(float2 a, OPTIONS) {                       \
    return static_cast<__nv_##name##x2_storage_t>(CONVERT(, a.x) | CONVERT(, a.y) << (step));               \
  }                                                                                                         \
  inline __nv_##name##x2_storage_t __nv_cvt_halfraw2_to_##name##x2(__half2_raw raw, OPTIONS) {              \
    const __half2 a(raw);                                                                                   \
    return static_cast<__nv_##name##x2_storage_t>(CONVERT(, normproof::host::to_double(a.x)) |              \
                                                  CONVERT(, normproof::host::to_double(a.y)) << (step));    \
  }                                                                                                         \
  inline __nv_##name##x2_storage_t __nv_cvt_bfloat16raw2_to_##name##x2(__nv_bfloat162_raw raw, OPTIONS) {   \
    const __nv_bfloat162 a(raw);                                                                            \
    return static_cast<__nv_##name##x2_storage_t>(CONVERT(, normproof::host::to_double(a.x)) |              \
                                                  CONVERT(, normproof::host::to_double(a.y)) << (step));    \
  }                                                                                                         \
  inline __half_raw __nv_cvt_##name##_to_halfraw(__nv_##name##_storage_t bits,                              \
                                                 Interpretation interpretation) {                           \
    return __float2half(normproof::host::of_tiny(bits, FORMAT));                                            \
  }                                                                                                         \
  inline __half2_raw __nv_cvt_##name##x2_to_halfraw2(__nv_##name##x2_storage_t bits,                        \
                                                     Interpretation interpretation) {                       \
    return __half2(__float2half(normproof::host::of_tiny(bits, FORMAT)),                                    \
                   __float2half(normproof::host::of_tiny(static_cast<unsigned>(bits) >> (step), FORMAT)));  \
  }

// `struct name` of one number, and its vectors.
#define NORMPROOF_TINY_TYPES(prefix, suffix, format, Two, Four)                    \
  struct prefix##_##suffix : normproof::host::TinyFloat<normproof::host::format> { \
    using TinyFloat::TinyFloat;                                                    \
  };                                                                               \
  struct alignas(sizeof(Two)) prefix##x2_##suffix                                  \
      : normproof::host::TinyVector2<normproof::host::format, Two> {               \
    using TinyVector2::TinyVector2;                                                \
  };                                                                               \
  struct alignas(sizeof(Four)) prefix##x4_##suffix                                 \
      : normproof::host::TinyVector4<normproof::host::format, Four> {              \
    using TinyVector4::TinyVector4;                                                \
  };

namespace normproof::host {
inline Rounding rounding_of(cudaRoundMode mode) {
  switch (mode) {
    case cudaRoundZero:
      return Rounding::kZero;
    case cudaRoundPosInf:
      return Rounding::kUp;
    case cudaRoundMinInf:
      return Rounding::kDown;
    default:
      return Rounding::kNearest;
  }
}
}  // namespace normproof::host

#endif
