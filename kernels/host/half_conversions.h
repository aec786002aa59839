// Conversions from and to __half, or __nv_bfloat16, and its pair. Included by cuda_fp16.h and cuda_bf16.h,
// once each: see half_type.h. NORMPROOF_HALF_NAMED(__float2, _rn) is __float2half_rn, or __float2bfloat16_rn.

namespace normproof::host {
inline NORMPROOF_HALF NORMPROOF_HALF_NAMED(round_to_, )(double value,
                                                        Rounding rounding = Rounding::kNearest) {
  return NORMPROOF_HALF_RAW{NORMPROOF_HALF::bits_of(value, rounding)};
}
}  // namespace normproof::host

inline NORMPROOF_HALF NORMPROOF_HALF_NAMED(__float2, )(float a) {
  return normproof::host::NORMPROOF_HALF_NAMED(round_to_, )(a);
}
inline NORMPROOF_HALF NORMPROOF_HALF_NAMED(__double2, )(double a) {
  return normproof::host::NORMPROOF_HALF_NAMED(round_to_, )(a);
}
inline float NORMPROOF_HALF_NAMED(__, 2float)(NORMPROOF_HALF a) { return normproof::host::to_float(a); }

// In the four directions: from floats and integers, and to integers.
#define NORMPROOF_FROM_FLOAT(suffix, rounding)                                                         \
  inline NORMPROOF_HALF NORMPROOF_HALF_NAMED(__float2, suffix)(float a) {                              \
    return normproof::host::NORMPROOF_HALF_NAMED(round_to_, )(a, normproof::host::Rounding::rounding); \
  }
#define NORMPROOF_INTEGER(type, name, suffix, rounding)                                             \
  inline NORMPROOF_HALF NORMPROOF_HALF_NAMED(__##name##2, suffix)(type a) {                         \
    return normproof::host::NORMPROOF_HALF_NAMED(round_to_, )(normproof::host::integer_to_odd(a),   \
                                                              normproof::host::Rounding::rounding); \
  }                                                                                                 \
  inline type NORMPROOF_HALF_NAMED(__, 2##name##suffix)(NORMPROOF_HALF a) {                         \
    return a.to_integer<type>(normproof::host::Rounding::rounding);                                 \
  }
#define NORMPROOF_DIRECTION(suffix, rounding)                 \
  NORMPROOF_FROM_FLOAT(suffix, rounding)                      \
  NORMPROOF_INTEGER(int, int, suffix, rounding)               \
  NORMPROOF_INTEGER(unsigned int, uint, suffix, rounding)     \
  NORMPROOF_INTEGER(short, short, suffix, rounding)           \
  NORMPROOF_INTEGER(unsigned short, ushort, suffix, rounding) \
  NORMPROOF_INTEGER(long long, ll, suffix, rounding)          \
  NORMPROOF_INTEGER(unsigned long long, ull, suffix, rounding)
NORMPROOF_DIRECTION(_rn, kNearest)
NORMPROOF_DIRECTION(_rz, kZero)
NORMPROOF_DIRECTION(_rd, kDown)
NORMPROOF_DIRECTION(_ru, kUp)
#undef NORMPROOF_DIRECTION
#undef NORMPROOF_INTEGER
#undef NORMPROOF_FROM_FLOAT
inline signed char NORMPROOF_HALF_NAMED(__, 2char_rz)(NORMPROOF_HALF a) {
  return a.to_integer<signed char>();
}
inline unsigned char NORMPROOF_HALF_NAMED(__, 2uchar_rz)(NORMPROOF_HALF a) {
  return a.to_integer<unsigned char>();
}

// --- bits ---

inline unsigned short NORMPROOF_HALF_NAMED(__, _as_ushort)(NORMPROOF_HALF a) { return a.x; }
inline short NORMPROOF_HALF_NAMED(__, _as_short)(NORMPROOF_HALF a) { return static_cast<short>(a.x); }
inline NORMPROOF_HALF NORMPROOF_HALF_NAMED(__ushort_as_, )(unsigned short a) { return NORMPROOF_HALF_RAW{a}; }
inline NORMPROOF_HALF NORMPROOF_HALF_NAMED(__short_as_, )(short a) {
  return NORMPROOF_HALF_RAW{static_cast<unsigned short>(a)};
}

// --- pairs ---

inline NORMPROOF_HALF2 NORMPROOF_HALF_NAMED(__float2, 2_rn)(float a) {
  return {NORMPROOF_HALF_NAMED(__float2, )(a), NORMPROOF_HALF_NAMED(__float2, )(a)};
}
inline NORMPROOF_HALF2 NORMPROOF_HALF_NAMED(__floats2, 2_rn)(float a, float b) {
  return {NORMPROOF_HALF_NAMED(__float2, )(a), NORMPROOF_HALF_NAMED(__float2, )(b)};
}
inline NORMPROOF_HALF2 NORMPROOF_HALF_NAMED(__float22, 2_rn)(float2 a) {
  return {NORMPROOF_HALF_NAMED(__float2, )(a.x), NORMPROOF_HALF_NAMED(__float2, )(a.y)};
}
inline float2 NORMPROOF_HALF_NAMED(__, 22float2)(NORMPROOF_HALF2 a) {
  return {normproof::host::to_float(a.x), normproof::host::to_float(a.y)};
}
inline float __low2float(NORMPROOF_HALF2 a) { return normproof::host::to_float(a.x); }
inline float __high2float(NORMPROOF_HALF2 a) { return normproof::host::to_float(a.y); }
inline NORMPROOF_HALF NORMPROOF_HALF_NAMED(__low2, )(NORMPROOF_HALF2 a) { return a.x; }
inline NORMPROOF_HALF NORMPROOF_HALF_NAMED(__high2, )(NORMPROOF_HALF2 a) { return a.y; }
inline NORMPROOF_HALF2 NORMPROOF_HALF_NAMED(__low2, 2)(NORMPROOF_HALF2 a) { return {a.x, a.x}; }
inline NORMPROOF_HALF2 NORMPROOF_HALF_NAMED(__high2, 2)(NORMPROOF_HALF2 a) { return {a.y, a.y}; }
inline NORMPROOF_HALF2 __lowhigh2highlow(NORMPROOF_HALF2 a) { return {a.y, a.x}; }
inline NORMPROOF_HALF2 NORMPROOF_HALF_NAMED(__lows2, 2)(NORMPROOF_HALF2 a, NORMPROOF_HALF2 b) {
  return {a.x, b.x};
}
inline NORMPROOF_HALF2 NORMPROOF_HALF_NAMED(__highs2, 2)(NORMPROOF_HALF2 a, NORMPROOF_HALF2 b) {
  return {a.y, b.y};
}
inline NORMPROOF_HALF2 NORMPROOF_HALF_PAIR_OF_ONE(NORMPROOF_HALF a) { return {a, a}; }
inline NORMPROOF_HALF2 NORMPROOF_HALF_NAMED(__halves2, 2)(NORMPROOF_HALF a, NORMPROOF_HALF b) {
  return {a, b};
}
inline NORMPROOF_HALF2 NORMPROOF_HALF_NAMED(make_, 2)(NORMPROOF_HALF a, NORMPROOF_HALF b) { return {a, b}; }
