// The type __half, or __nv_bfloat16, its pair and the raw forms of both. Included by cuda_fp16.h and
// cuda_bf16.h, once each, with NORMPROOF_HALF and its relatives defined: no guard.

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-braces"
#ifdef NORMPROOF_HALF_RAW_HAS_DATA  // in HIP a raw number can be computed with
struct alignas(2) NORMPROOF_HALF_RAW {
  union {
    unsigned short x;
    _Float16 data;
  };
};
struct alignas(4) NORMPROOF_HALF2_RAW {
  NORMPROOF_HALF_RAW x, y;
};
#else
struct alignas(2) NORMPROOF_HALF_RAW {
  unsigned short x;
};
struct alignas(4) NORMPROOF_HALF2_RAW {
  unsigned short x, y;
};
#endif

struct alignas(2) NORMPROOF_HALF {
  unsigned short x;

  NORMPROOF_HALF() = default;
  constexpr NORMPROOF_HALF(const NORMPROOF_HALF_RAW& raw) : x(raw.x) {}
  constexpr operator NORMPROOF_HALF_RAW() const { return {x}; }
  explicit inline NORMPROOF_HALF(NORMPROOF_OTHER_HALF value);
#ifndef NORMPROOF_HALF_NO_CONVERSIONS
  NORMPROOF_HALF(float value) : x(bits_of(value)) {}
  NORMPROOF_HALF(double value) : x(bits_of(value)) {}
  NORMPROOF_HALF(int value) : x(bits_of(value)) {}
  template <std::integral T>
  NORMPROOF_HALF(T value) : x(bits_of(normproof::host::integer_to_odd(value))) {}

  constexpr operator float() const {
    return normproof::host::value_of_bits(x, normproof::host::NORMPROOF_HALF_FORMAT, 15);
  }
  constexpr operator bool() const { return (x & 0x7fff) != 0; }
  operator signed char() const { return to_integer<signed char>(); }
  operator char() const { return to_integer<char>(); }
  operator unsigned char() const { return to_integer<unsigned char>(); }
  operator short() const { return to_integer<short>(); }
  operator unsigned short() const { return to_integer<unsigned short>(); }
  operator int() const { return to_integer<int>(); }
  operator unsigned int() const { return to_integer<unsigned int>(); }
  operator long() const { return to_integer<long>(); }
  operator unsigned long() const { return to_integer<unsigned long>(); }
  operator long long() const { return to_integer<long long>(); }
  operator unsigned long long() const { return to_integer<unsigned long long>(); }
#endif

  template <class To>
  To to_integer(normproof::host::Rounding rounding = normproof::host::Rounding::kZero) const {
    return normproof::host::to_integer<To>(
        normproof::host::value_of_bits(x, normproof::host::NORMPROOF_HALF_FORMAT, 15), rounding);
  }
  static unsigned short bits_of(double value,
                                normproof::host::Rounding rounding = normproof::host::Rounding::kNearest) {
    return static_cast<unsigned short>(
        normproof::host::round_to_bits(value, normproof::host::NORMPROOF_HALF_FORMAT, 15, rounding));
  }
};

struct alignas(4) NORMPROOF_HALF2 {
  NORMPROOF_HALF x, y;

  NORMPROOF_HALF2() = default;
  constexpr NORMPROOF_HALF2(const NORMPROOF_HALF& first, const NORMPROOF_HALF& second)
      : x(first), y(second) {}
  constexpr NORMPROOF_HALF2(const NORMPROOF_HALF2_RAW& raw)
      : x(NORMPROOF_HALF_RAW{raw.x}), y(NORMPROOF_HALF_RAW{raw.y}) {}
  constexpr operator NORMPROOF_HALF2_RAW() const { return {x.x, y.x}; }
};
#pragma GCC diagnostic pop

namespace normproof::host {
template <>
inline constexpr bool kIsShuffledAsBits<NORMPROOF_HALF> = true;
template <>
inline constexpr bool kIsShuffledAsBits<NORMPROOF_HALF2> = true;

// The exact value.
constexpr float to_float(NORMPROOF_HALF a) { return value_of_bits(a.x, NORMPROOF_HALF_FORMAT, 15); }
constexpr double to_double(NORMPROOF_HALF a) { return to_float(a); }
}  // namespace normproof::host
