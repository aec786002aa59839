// The number types of torch: c10::Half, c10::BFloat16, the 8-bit ones, and their names as values. Written
// from the behaviour that torch documents: arithmetic of two small numbers is one of floats, rounded to the
// small type.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <compare>
#include <complex>
#include <cstdint>
#include <limits>
#include <ostream>
#include <type_traits>

#include "kernels/host/small_floats.h"

namespace c10 {

struct from_bits_t {};

// Where CUDA has no type of its own with the same bits.
struct NoCudaType {};
template <class Cuda>
inline constexpr bool kHasCudaType = !std::is_same_v<Cuda, NoCudaType>;

template <class Self, class Bits, const normproof::host::SmallFloat& kFormat, class Cuda>
struct SmallNumber {
  static constexpr const normproof::host::SmallFloat& kNumberFormat = kFormat;
  Bits x;

  SmallNumber() = default;
  constexpr SmallNumber(Bits bits, from_bits_t) : x(bits) {}
  SmallNumber(float value)
      : x(static_cast<Bits>(normproof::host::round_to_bits(value, kFormat, 8 * int(sizeof(Bits)) - 1))) {}
  SmallNumber(const Cuda& value)
    requires kHasCudaType<Cuda>
      : x(__builtin_bit_cast(Bits, value)) {}
  constexpr operator float() const {
    return normproof::host::value_of_bits(x, kFormat, 8 * int(sizeof(Bits)) - 1);
  }
  operator Cuda() const
    requires kHasCudaType<Cuda>
  {
    return __builtin_bit_cast(Cuda, x);
  }
  static constexpr from_bits_t from_bits() { return {}; }

  friend Self operator+(const Self& a, const Self& b) { return float(a) + float(b); }
  friend Self operator-(const Self& a, const Self& b) { return float(a) - float(b); }
  friend Self operator*(const Self& a, const Self& b) { return float(a) * float(b); }
  friend Self operator/(const Self& a, const Self& b) { return float(a) / float(b); }
  friend Self operator-(const Self& a) {
    constexpr int kSignBit = 8 * int(sizeof(Bits)) - 1;
    if (normproof::host::has_one_zero(kFormat, kSignBit) && float(a) == 0) return a;
    return Self(static_cast<Bits>(a.x ^ Bits(1u << kSignBit)), from_bits_t());
  }
  friend Self& operator+=(Self& a, const Self& b) { return a = a + b; }
  friend Self& operator-=(Self& a, const Self& b) { return a = a - b; }
  friend Self& operator*=(Self& a, const Self& b) { return a = a * b; }
  friend Self& operator/=(Self& a, const Self& b) { return a = a / b; }
  // As floats: CUDA's comparisons of its own types would do as well, so that neither would be chosen.
  friend bool operator==(const Self& a, const Self& b) { return float(a) == float(b); }
  friend auto operator<=>(const Self& a, const Self& b) { return float(a) <=> float(b); }
  friend std::ostream& operator<<(std::ostream& out, const Self& a) { return out << float(a); }
};

// With a number of the language: its type, but of an integer the small one.
#define NORMPROOF_MIXED(Self, sign)                                                                  \
  template <class T>                                                                                 \
    requires std::is_arithmetic_v<T>                                                                 \
  auto operator sign(const Self& a, T b) {                                                           \
    using Wide = std::conditional_t<std::is_integral_v<T>, float, T>;                                \
    return std::conditional_t<std::is_integral_v<T>, Self, T>(static_cast<Wide>(float(a))            \
                                                                  sign static_cast<Wide>(b));        \
  }                                                                                                  \
  template <class T>                                                                                 \
    requires std::is_arithmetic_v<T>                                                                 \
  auto operator sign(T a, const Self& b) {                                                           \
    using Wide = std::conditional_t<std::is_integral_v<T>, float, T>;                                \
    return std::conditional_t<std::is_integral_v<T>, Self, T>(static_cast<Wide>(a)                   \
                                                                  sign static_cast<Wide>(float(b))); \
  }
#define NORMPROOF_MIXED_COMPARISON(Self, sign) \
  template <class T>                           \
    requires std::is_arithmetic_v<T>           \
  bool operator sign(const Self& a, T b) {     \
    return float(a) sign b;                    \
  }                                            \
  template <class T>                           \
    requires std::is_arithmetic_v<T>           \
  bool operator sign(T a, const Self& b) {     \
    return a sign float(b);                    \
  }
#define NORMPROOF_SMALL_NUMBER(Name, Bits, format, Cuda)                 \
  struct Name : SmallNumber<Name, Bits, normproof::host::format, Cuda> { \
    using SmallNumber::SmallNumber;                                      \
  };                                                                     \
  NORMPROOF_MIXED(Name, +)                                               \
  NORMPROOF_MIXED(Name, -)                                               \
  NORMPROOF_MIXED(Name, *)                                               \
  NORMPROOF_MIXED(Name, /)                                               \
  NORMPROOF_MIXED_COMPARISON(Name, <)                                    \
  NORMPROOF_MIXED_COMPARISON(Name, <=)                                   \
  NORMPROOF_MIXED_COMPARISON(Name, >)                                    \
  NORMPROOF_MIXED_COMPARISON(Name, >=)                                   \
  NORMPROOF_MIXED_COMPARISON(Name, ==)                                   \
  NORMPROOF_MIXED_COMPARISON(Name, !=)
NORMPROOF_SMALL_NUMBER(Half, unsigned short, kFp16, __half)
NORMPROOF_SMALL_NUMBER(BFloat16, unsigned short, kBf16, __nv_bfloat16)
NORMPROOF_SMALL_NUMBER(Float8_e4m3fn, unsigned char, kE4m3, __nv_fp8_e4m3)
NORMPROOF_SMALL_NUMBER(Float8_e5m2, unsigned char, kE5m2, __nv_fp8_e5m2)
NORMPROOF_SMALL_NUMBER(Float8_e4m3fnuz, unsigned char, kE4m3fnuz, NoCudaType)
NORMPROOF_SMALL_NUMBER(Float8_e5m2fnuz, unsigned char, kE5m2fnuz, NoCudaType)
#undef NORMPROOF_SMALL_NUMBER
#undef NORMPROOF_MIXED
#undef NORMPROOF_MIXED_COMPARISON
static_assert(sizeof(Half) == 2 && alignof(Half) == 2 && std::is_trivially_copyable_v<Half>);

enum class ScalarType : std::int8_t {
  Byte = 0,
  Char = 1,
  Short = 2,
  Int = 3,
  Long = 4,
  Half = 5,
  Float = 6,
  Double = 7,
  ComplexHalf = 8,
  ComplexFloat = 9,
  ComplexDouble = 10,
  Bool = 11,
  BFloat16 = 15,
  Float8_e5m2 = 23,
  Float8_e4m3fn = 24,
  Float8_e5m2fnuz = 25,
  Float8_e4m3fnuz = 26,
  UInt16 = 27,
  UInt32 = 28,
  UInt64 = 29,
  Undefined = 45,
};

// Each type, its name as a value, and torch's short name of the constant.
#define NORMPROOF_FOR_SCALAR_TYPES(DO)      \
  DO(std::uint8_t, Byte)                    \
  DO(std::int8_t, Char)                     \
  DO(std::int16_t, Short)                   \
  DO(int, Int)                              \
  DO(std::int64_t, Long)                    \
  DO(c10::Half, Half)                       \
  DO(float, Float)                          \
  DO(double, Double)                        \
  DO(bool, Bool)                            \
  DO(c10::BFloat16, BFloat16)               \
  DO(c10::Float8_e5m2, Float8_e5m2)         \
  DO(c10::Float8_e4m3fn, Float8_e4m3fn)     \
  DO(c10::Float8_e5m2fnuz, Float8_e5m2fnuz) \
  DO(c10::Float8_e4m3fnuz, Float8_e4m3fnuz) \
  DO(std::uint16_t, UInt16)                 \
  DO(std::uint32_t, UInt32)                 \
  DO(std::uint64_t, UInt64)

namespace impl {
template <ScalarType>
struct ScalarTypeToCPPType;
}
template <class T>
struct CppTypeToScalarType : std::integral_constant<ScalarType, ScalarType::Undefined> {};
#define NORMPROOF_SCALAR_TYPE(type, name)                                                     \
  template <>                                                                                 \
  struct CppTypeToScalarType<type> : std::integral_constant<ScalarType, ScalarType::name> {}; \
  template <>                                                                                 \
  struct impl::ScalarTypeToCPPType<ScalarType::name> {                                        \
    using type_ = type;                                                                       \
    using type2 = type;                                                                       \
  };                                                                                          \
  inline constexpr ScalarType k##name = ScalarType::name;
NORMPROOF_FOR_SCALAR_TYPES(NORMPROOF_SCALAR_TYPE)
#undef NORMPROOF_SCALAR_TYPE
// Long and long long are two types of the same width.
template <>
struct CppTypeToScalarType<long long> : std::integral_constant<ScalarType, ScalarType::Long> {};

inline constexpr ScalarType kUInt8 = kByte, kInt8 = kChar, kInt16 = kShort, kInt32 = kInt, kInt64 = kLong,
                            kFloat16 = kHalf, kFloat32 = kFloat, kFloat64 = kDouble;

inline const char* toString(ScalarType type) {
  switch (type) {
#define NORMPROOF_SCALAR_TYPE(type, name) \
  case ScalarType::name:                  \
    return #name;
    NORMPROOF_FOR_SCALAR_TYPES(NORMPROOF_SCALAR_TYPE)
#undef NORMPROOF_SCALAR_TYPE
    default:
      return "Undefined";
  }
}
inline std::size_t elementSize(ScalarType type) {
  switch (type) {
#define NORMPROOF_SCALAR_TYPE(type, name) \
  case ScalarType::name:                  \
    return sizeof(type);
    NORMPROOF_FOR_SCALAR_TYPES(NORMPROOF_SCALAR_TYPE)
#undef NORMPROOF_SCALAR_TYPE
    default:
      return 0;
  }
}
inline std::ostream& operator<<(std::ostream& out, ScalarType type) { return out << toString(type); }
inline bool isFloatingType(ScalarType type) {
  return type == kHalf || type == kFloat || type == kDouble || type == kBFloat16 || type == kFloat8_e4m3fn ||
         type == kFloat8_e5m2 || type == kFloat8_e4m3fnuz || type == kFloat8_e5m2fnuz;
}
inline bool isReducedFloatingType(ScalarType type) {
  return isFloatingType(type) && type != kFloat && type != kDouble;
}

}  // namespace c10

template <>
struct std::numeric_limits<c10::Half> {
  static constexpr bool is_specialized = true, is_signed = true, has_infinity = true, has_quiet_NaN = true;
  static constexpr c10::Half of(unsigned short bits) { return c10::Half(bits, c10::from_bits_t()); }
  static constexpr c10::Half min() { return of(0x0400); }
  static constexpr c10::Half max() { return of(0x7bff); }
  static constexpr c10::Half lowest() { return of(0xfbff); }
  static constexpr c10::Half epsilon() { return of(0x1400); }
  static constexpr c10::Half infinity() { return of(0x7c00); }
  static constexpr c10::Half quiet_NaN() { return of(0x7e00); }
};
template <>
struct std::numeric_limits<c10::BFloat16> {
  static constexpr bool is_specialized = true, is_signed = true, has_infinity = true, has_quiet_NaN = true;
  static constexpr c10::BFloat16 of(unsigned short bits) { return c10::BFloat16(bits, c10::from_bits_t()); }
  static constexpr c10::BFloat16 min() { return of(0x0080); }
  static constexpr c10::BFloat16 max() { return of(0x7f7f); }
  static constexpr c10::BFloat16 lowest() { return of(0xff7f); }
  static constexpr c10::BFloat16 epsilon() { return of(0x3c00); }
  static constexpr c10::BFloat16 infinity() { return of(0x7f80); }
  static constexpr c10::BFloat16 quiet_NaN() { return of(0x7fc0); }
};
#define NORMPROOF_LIMITS_OF_FP8(Type, has_infinity_, smallest, largest, most_negative, step)          \
  template <>                                                                                         \
  struct std::numeric_limits<c10::Type> {                                                             \
    static constexpr bool is_specialized = true, is_signed = true, has_quiet_NaN = true;              \
    static constexpr bool has_infinity = has_infinity_;                                               \
    static constexpr c10::Type of(unsigned char bits) { return c10::Type(bits, c10::from_bits_t()); } \
    static constexpr c10::Type min() { return of(smallest); }                                         \
    static constexpr c10::Type max() { return of(largest); }                                          \
    static constexpr c10::Type lowest() { return of(most_negative); }                                 \
    static constexpr c10::Type epsilon() { return of(step); }                                         \
    static constexpr c10::Type infinity() { return of(has_infinity_ ? 0x7c : 0); }                    \
    static constexpr c10::Type quiet_NaN() {                                                          \
      return of(normproof::host::has_one_zero(c10::Type::kNumberFormat, 7) ? 0x80 : 0x7f);            \
    }                                                                                                 \
  };
NORMPROOF_LIMITS_OF_FP8(Float8_e4m3fn, false, 0x08, 0x7e, 0xfe, 0x20)
NORMPROOF_LIMITS_OF_FP8(Float8_e5m2, true, 0x04, 0x7b, 0xfb, 0x34)
NORMPROOF_LIMITS_OF_FP8(Float8_e4m3fnuz, false, 0x08, 0x7f, 0xff, 0x28)
NORMPROOF_LIMITS_OF_FP8(Float8_e5m2fnuz, false, 0x04, 0x7f, 0xff, 0x38)
#undef NORMPROOF_LIMITS_OF_FP8

namespace at {
using c10::BFloat16;
using c10::Half;
using c10::ScalarType;
// What torch computes in for a type, and what it sums up in.
template <class T>
struct OpMathType {
  using type = T;
};
template <>
struct OpMathType<c10::Half> {
  using type = float;
};
template <>
struct OpMathType<c10::BFloat16> {
  using type = float;
};
template <>
struct OpMathType<c10::Float8_e4m3fn> {
  using type = float;
};
template <>
struct OpMathType<c10::Float8_e5m2> {
  using type = float;
};
template <>
struct OpMathType<c10::Float8_e4m3fnuz> {
  using type = float;
};
template <>
struct OpMathType<c10::Float8_e5m2fnuz> {
  using type = float;
};
template <class T>
using opmath_type = typename OpMathType<T>::type;
template <class T, bool is_cuda>
struct AccumulateType {
  using type = std::conditional_t<std::is_integral_v<T>, std::int64_t, opmath_type<T>>;
};
template <class T, bool is_cuda>
using acc_type = typename AccumulateType<T, is_cuda>::type;
template <class T>
using acc_type_device = acc_type<T, true>;
}  // namespace at
namespace torch::headeronly {
using namespace c10;
}
