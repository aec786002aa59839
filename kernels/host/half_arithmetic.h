// Arithmetic and comparison of __half, or __nv_bfloat16, and its pair: each operation is one rounding to the
// nearest, ties to even. Included by cuda_fp16.h and cuda_bf16.h, once each: see half_type.h.

namespace normproof::host::NORMPROOF_HALF_NAMED(of_, ) {
inline NORMPROOF_HALF rounded(double value) { return NORMPROOF_HALF_NAMED(round_to_, )(value); }
inline bool is_nan(NORMPROOF_HALF a) { return (a.x & 0x7fff) > NORMPROOF_HALF_FORMAT.infinity; }
inline NORMPROOF_HALF nan() {
  return NORMPROOF_HALF_RAW{static_cast<unsigned short>(NORMPROOF_HALF_FORMAT.nan)};
}
inline NORMPROOF_HALF truth(bool value) { return rounded(value ? 1.0 : 0.0); }
// To [0, 1]; NaN to +0.
inline NORMPROOF_HALF saturated(NORMPROOF_HALF a) {
  return rounded(to_double(a) > 0 ? std::fmin(to_double(a), 1.0) : 0.0);
}
inline NORMPROOF_HALF relu(NORMPROOF_HALF a) { return is_nan(a) ? nan() : to_double(a) > 0 ? a : rounded(0); }
// The greater or lesser; +0 is above -0. Of a number and NaN it is the number, or NaN if that is to be kept.
inline NORMPROOF_HALF extreme(NORMPROOF_HALF a, NORMPROOF_HALF b, bool greater, bool keep_nan) {
  if (is_nan(a) || is_nan(b)) {
    if (keep_nan || (is_nan(a) && is_nan(b))) return nan();
    return is_nan(a) ? b : a;
  }
  const bool a_below =
      to_double(a) < to_double(b) || (to_double(a) == to_double(b) && (a.x >> 15) > (b.x >> 15));
  return a_below == greater ? b : a;
}
}  // namespace normproof::host::NORMPROOF_HALF_NAMED(of_,)

#define NORMPROOF_HERE normproof::host::NORMPROOF_HALF_NAMED(of_, )

// Sums and products of two are exact in double, quotients keep their one rounding (2 p + 2 bits and more).
#define NORMPROOF_BINARY(name, expression)                                                      \
  inline NORMPROOF_HALF name(NORMPROOF_HALF first, NORMPROOF_HALF second) {                     \
    const double a = normproof::host::to_double(first), b = normproof::host::to_double(second); \
    return NORMPROOF_HERE::rounded(expression);                                                 \
  }
NORMPROOF_BINARY(__hadd, a + b)
NORMPROOF_BINARY(__hsub, a - b)
NORMPROOF_BINARY(__hmul, a* b)
NORMPROOF_BINARY(__hadd_rn, a + b)
NORMPROOF_BINARY(__hsub_rn, a - b)
NORMPROOF_BINARY(__hmul_rn, a* b)
NORMPROOF_BINARY(__hdiv, a / b)
#undef NORMPROOF_BINARY
inline NORMPROOF_HALF __hfma(NORMPROOF_HALF a, NORMPROOF_HALF b, NORMPROOF_HALF c) {
  return NORMPROOF_HERE::rounded(normproof::host::fma_to_odd(
      normproof::host::to_double(a), normproof::host::to_double(b), normproof::host::to_double(c)));
}
inline NORMPROOF_HALF __hfma_sat(NORMPROOF_HALF a, NORMPROOF_HALF b, NORMPROOF_HALF c) {
  return NORMPROOF_HERE::saturated(__hfma(a, b, c));
}
inline NORMPROOF_HALF __hfma_relu(NORMPROOF_HALF a, NORMPROOF_HALF b, NORMPROOF_HALF c) {
  return NORMPROOF_HERE::relu(__hfma(a, b, c));
}
inline NORMPROOF_HALF __hadd_sat(NORMPROOF_HALF a, NORMPROOF_HALF b) {
  return NORMPROOF_HERE::saturated(__hadd(a, b));
}
inline NORMPROOF_HALF __hsub_sat(NORMPROOF_HALF a, NORMPROOF_HALF b) {
  return NORMPROOF_HERE::saturated(__hsub(a, b));
}
inline NORMPROOF_HALF __hmul_sat(NORMPROOF_HALF a, NORMPROOF_HALF b) {
  return NORMPROOF_HERE::saturated(__hmul(a, b));
}
inline NORMPROOF_HALF __hneg(NORMPROOF_HALF a) {
  return NORMPROOF_HALF_RAW{static_cast<unsigned short>(a.x ^ 0x8000)};
}
inline NORMPROOF_HALF __habs(NORMPROOF_HALF a) {
  return NORMPROOF_HALF_RAW{static_cast<unsigned short>(a.x & 0x7fff)};
}
inline NORMPROOF_HALF __hmax(NORMPROOF_HALF a, NORMPROOF_HALF b) {
  return NORMPROOF_HERE::extreme(a, b, true, false);
}
inline NORMPROOF_HALF __hmin(NORMPROOF_HALF a, NORMPROOF_HALF b) {
  return NORMPROOF_HERE::extreme(a, b, false, false);
}
inline NORMPROOF_HALF __hmax_nan(NORMPROOF_HALF a, NORMPROOF_HALF b) {
  return NORMPROOF_HERE::extreme(a, b, true, true);
}
inline NORMPROOF_HALF __hmin_nan(NORMPROOF_HALF a, NORMPROOF_HALF b) {
  return NORMPROOF_HERE::extreme(a, b, false, true);
}
inline bool __hisnan(NORMPROOF_HALF a) { return NORMPROOF_HERE::is_nan(a); }
inline int __hisinf(NORMPROOF_HALF a) {
  if ((a.x & 0x7fff) != normproof::host::NORMPROOF_HALF_FORMAT.infinity) return 0;
  return a.x >> 15 != 0 ? -1 : 1;
}

// --- the same for both of a pair ---

#define NORMPROOF_UNARY2(name, scalar) \
  inline NORMPROOF_HALF2 name(NORMPROOF_HALF2 a) { return {scalar(a.x), scalar(a.y)}; }
#define NORMPROOF_BINARY2(name, scalar)                               \
  inline NORMPROOF_HALF2 name(NORMPROOF_HALF2 a, NORMPROOF_HALF2 b) { \
    return {scalar(a.x, b.x), scalar(a.y, b.y)};                      \
  }
#define NORMPROOF_TERNARY2(name, scalar)                                                 \
  inline NORMPROOF_HALF2 name(NORMPROOF_HALF2 a, NORMPROOF_HALF2 b, NORMPROOF_HALF2 c) { \
    return {scalar(a.x, b.x, c.x), scalar(a.y, b.y, c.y)};                               \
  }
NORMPROOF_UNARY2(__hneg2, __hneg)
NORMPROOF_UNARY2(__habs2, __habs)
NORMPROOF_BINARY2(__hadd2, __hadd)
NORMPROOF_BINARY2(__hsub2, __hsub)
NORMPROOF_BINARY2(__hmul2, __hmul)
NORMPROOF_BINARY2(__hadd2_rn, __hadd)
NORMPROOF_BINARY2(__hsub2_rn, __hsub)
NORMPROOF_BINARY2(__hmul2_rn, __hmul)
NORMPROOF_BINARY2(__hadd2_sat, __hadd_sat)
NORMPROOF_BINARY2(__hsub2_sat, __hsub_sat)
NORMPROOF_BINARY2(__hmul2_sat, __hmul_sat)
NORMPROOF_BINARY2(__h2div, __hdiv)
NORMPROOF_BINARY2(__hmax2, __hmax)
NORMPROOF_BINARY2(__hmin2, __hmin)
NORMPROOF_BINARY2(__hmax2_nan, __hmax_nan)
NORMPROOF_BINARY2(__hmin2_nan, __hmin_nan)
NORMPROOF_TERNARY2(__hfma2, __hfma)
NORMPROOF_TERNARY2(__hfma2_sat, __hfma_sat)
NORMPROOF_TERNARY2(__hfma2_relu, __hfma_relu)
inline NORMPROOF_HALF2 __hisnan2(NORMPROOF_HALF2 a) {
  return {NORMPROOF_HERE::truth(__hisnan(a.x)), NORMPROOF_HERE::truth(__hisnan(a.y))};
}
// a * b + c of complex numbers, by four fused operations.
inline NORMPROOF_HALF2 __hcmadd(NORMPROOF_HALF2 a, NORMPROOF_HALF2 b, NORMPROOF_HALF2 c) {
  return {__hfma(__hneg(a.y), b.y, __hfma(a.x, b.x, c.x)), __hfma(a.y, b.x, __hfma(a.x, b.y, c.y))};
}
#undef NORMPROOF_UNARY2
#undef NORMPROOF_BINARY2
#undef NORMPROOF_TERNARY2

// --- comparison: false where one is NaN, but with a u at the end true. Of pairs: 1 or 0 for each, whether it
// holds for both (__hb..2), all bits or none for each (.._mask) ---

#define NORMPROOF_COMPARE(name, condition)                                                           \
  inline bool __h##name(NORMPROOF_HALF first, NORMPROOF_HALF second) {                               \
    const float a = normproof::host::to_float(first), b = normproof::host::to_float(second);         \
    return condition;                                                                                \
  }                                                                                                  \
  inline NORMPROOF_HALF2 __h##name##2(NORMPROOF_HALF2 a, NORMPROOF_HALF2 b) {                        \
    return {NORMPROOF_HERE::truth(__h##name(a.x, b.x)), NORMPROOF_HERE::truth(__h##name(a.y, b.y))}; \
  }                                                                                                  \
  inline bool __hb##name##2(NORMPROOF_HALF2 a, NORMPROOF_HALF2 b) {                                  \
    return __h##name(a.x, b.x) && __h##name(a.y, b.y);                                               \
  }                                                                                                  \
  inline unsigned int __h##name##2_mask(NORMPROOF_HALF2 a, NORMPROOF_HALF2 b) {                      \
    return (__h##name(a.x, b.x) ? 0xffffu : 0u) | (__h##name(a.y, b.y) ? 0xffff0000u : 0u);          \
  }
NORMPROOF_COMPARE(eq, a == b)
NORMPROOF_COMPARE(ne, a<b || a> b)
NORMPROOF_COMPARE(lt, a < b)
NORMPROOF_COMPARE(le, a <= b)
NORMPROOF_COMPARE(gt, a > b)
NORMPROOF_COMPARE(ge, a >= b)
NORMPROOF_COMPARE(equ, !(a < b || a > b))
NORMPROOF_COMPARE(neu, a != b)
NORMPROOF_COMPARE(ltu, !(a >= b))
NORMPROOF_COMPARE(leu, !(a > b))
NORMPROOF_COMPARE(gtu, !(a <= b))
NORMPROOF_COMPARE(geu, !(a < b))
#undef NORMPROOF_COMPARE

// --- operators ---

#define NORMPROOF_OPERATORS(type, add, subtract, multiply, divide, negate, one)  \
  inline type operator+(const type& a, const type& b) { return add(a, b); }      \
  inline type operator-(const type& a, const type& b) { return subtract(a, b); } \
  inline type operator*(const type& a, const type& b) { return multiply(a, b); } \
  inline type operator/(const type& a, const type& b) { return divide(a, b); }   \
  inline type operator+(const type& a) { return a; }                             \
  inline type operator-(const type& a) { return negate(a); }                     \
  inline type& operator+=(type& a, const type& b) { return a = add(a, b); }      \
  inline type& operator-=(type& a, const type& b) { return a = subtract(a, b); } \
  inline type& operator*=(type& a, const type& b) { return a = multiply(a, b); } \
  inline type& operator/=(type& a, const type& b) { return a = divide(a, b); }   \
  inline type& operator++(type& a) { return a = add(a, one); }                   \
  inline type& operator--(type& a) { return a = subtract(a, one); }              \
  inline type operator++(type& a, int) {                                         \
    const type before = a;                                                       \
    ++a;                                                                         \
    return before;                                                               \
  }                                                                              \
  inline type operator--(type& a, int) {                                         \
    const type before = a;                                                       \
    --a;                                                                         \
    return before;                                                               \
  }
#define NORMPROOF_COMPARISONS(type, prefix, suffix)                                          \
  inline bool operator==(const type& a, const type& b) { return prefix##eq##suffix(a, b); }  \
  inline bool operator!=(const type& a, const type& b) { return prefix##neu##suffix(a, b); } \
  inline bool operator<(const type& a, const type& b) { return prefix##lt##suffix(a, b); }   \
  inline bool operator<=(const type& a, const type& b) { return prefix##le##suffix(a, b); }  \
  inline bool operator>(const type& a, const type& b) { return prefix##gt##suffix(a, b); }   \
  inline bool operator>=(const type& a, const type& b) { return prefix##ge##suffix(a, b); }
#ifndef NORMPROOF_HALF_NO_OPERATORS
NORMPROOF_OPERATORS(NORMPROOF_HALF, __hadd, __hsub, __hmul, __hdiv, __hneg, NORMPROOF_HERE::truth(true))
NORMPROOF_COMPARISONS(NORMPROOF_HALF, __h, )
#endif
#ifndef NORMPROOF_HALF2_NO_OPERATORS
NORMPROOF_OPERATORS(NORMPROOF_HALF2, __hadd2, __hsub2, __hmul2, __h2div, __hneg2,
                    (NORMPROOF_HALF2(NORMPROOF_HERE::truth(true), NORMPROOF_HERE::truth(true))))
NORMPROOF_COMPARISONS(NORMPROOF_HALF2, __hb, 2)
#endif
#undef NORMPROOF_OPERATORS
#undef NORMPROOF_COMPARISONS
#undef NORMPROOF_HERE
