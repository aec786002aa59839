// CUDA's functions of two 16-bit or four 8-bit integers in one word, and minima and maxima of three.
#ifndef NORMPROOF_KERNELS_HOST_SIMD_FUNCTIONS_H
#define NORMPROOF_KERNELS_HOST_SIMD_FUNCTIONS_H

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <type_traits>

namespace normproof::host::internal {

// Each part of the words as an int, through `function`, and back: its low bits.
template <class Part, class Function, class... Words>
unsigned each_part(Function function, Words... words) {
  constexpr int kBits = static_cast<int>(sizeof(Part)) * 8;
  unsigned result = 0;
  for (int i = 0; i < 32 / kBits; ++i) {
    const int value = function(static_cast<int>(static_cast<Part>(words >> (kBits * i)))...);
    result |= static_cast<unsigned>(static_cast<std::make_unsigned_t<Part>>(value)) << (kBits * i);
  }
  return result;
}
template <class Part>
int saturated_part(int value) {
  return std::clamp<int>(value, std::numeric_limits<Part>::min(), std::numeric_limits<Part>::max());
}
template <class Part>
unsigned sum_of_differences(unsigned a, unsigned b) {
  unsigned sum = 0;
  each_part<Part>([&](int x, int y) { return sum += static_cast<unsigned>(std::abs(x - y)), 0; }, a, b);
  return sum;
}

}  // namespace normproof::host::internal

#define NORMPROOF_SIMD1(name, Part, expression)                                                           \
  inline unsigned int name(unsigned int first) {                                                          \
    return normproof::host::internal::each_part<Part>([](int a) { return static_cast<int>(expression); }, \
                                                      first);                                             \
  }
#define NORMPROOF_SIMD2(name, Part, expression)                                    \
  inline unsigned int name(unsigned int first, unsigned int second) {              \
    return normproof::host::internal::each_part<Part>(                             \
        [](int a, int b) { return static_cast<int>(expression); }, first, second); \
  }
#define NORMPROOF_COMPARED(relation, letter, sign, condition, n, Part)   \
  NORMPROOF_SIMD2(__vcmp##relation##sign##n, Part, (condition) ? -1 : 0) \
  NORMPROOF_SIMD2(__vset##relation##sign##n, Part, (condition) ? 1 : 0)
// n parts of the types Signed and Unsigned.
#define NORMPROOF_SIMD(n, Signed, Unsigned)                                                            \
  NORMPROOF_SIMD1(__vabs##n, Signed, std::abs(a))                                                      \
  NORMPROOF_SIMD1(__vabsss##n, Signed, normproof::host::internal::saturated_part<Signed>(std::abs(a))) \
  NORMPROOF_SIMD1(__vneg##n, Signed, -a)                                                               \
  NORMPROOF_SIMD1(__vnegss##n, Signed, normproof::host::internal::saturated_part<Signed>(-a))          \
  NORMPROOF_SIMD2(__vadd##n, Unsigned, a + b)                                                          \
  NORMPROOF_SIMD2(__vaddss##n, Signed, normproof::host::internal::saturated_part<Signed>(a + b))       \
  NORMPROOF_SIMD2(__vaddus##n, Unsigned, normproof::host::internal::saturated_part<Unsigned>(a + b))   \
  NORMPROOF_SIMD2(__vsub##n, Unsigned, a - b)                                                          \
  NORMPROOF_SIMD2(__vsubss##n, Signed, normproof::host::internal::saturated_part<Signed>(a - b))       \
  NORMPROOF_SIMD2(__vsubus##n, Unsigned, normproof::host::internal::saturated_part<Unsigned>(a - b))   \
  NORMPROOF_SIMD2(__vavgs##n, Signed, (a + b + (a + b >= 0 ? 1 : 0)) >> 1)                             \
  NORMPROOF_SIMD2(__vavgu##n, Unsigned, (a + b + 1) >> 1)                                              \
  NORMPROOF_SIMD2(__vhaddu##n, Unsigned, (a + b) >> 1)                                                 \
  NORMPROOF_SIMD2(__vabsdiffs##n, Signed, std::abs(a - b))                                             \
  NORMPROOF_SIMD2(__vabsdiffu##n, Unsigned, std::abs(a - b))                                           \
  NORMPROOF_SIMD2(__vmaxs##n, Signed, std::max(a, b))                                                  \
  NORMPROOF_SIMD2(__vmaxu##n, Unsigned, std::max(a, b))                                                \
  NORMPROOF_SIMD2(__vmins##n, Signed, std::min(a, b))                                                  \
  NORMPROOF_SIMD2(__vminu##n, Unsigned, std::min(a, b))                                                \
  inline unsigned int __vsads##n(unsigned int a, unsigned int b) {                                     \
    return normproof::host::internal::sum_of_differences<Signed>(a, b);                                \
  }                                                                                                    \
  inline unsigned int __vsadu##n(unsigned int a, unsigned int b) {                                     \
    return normproof::host::internal::sum_of_differences<Unsigned>(a, b);                              \
  }                                                                                                    \
  NORMPROOF_COMPARED(eq, , , a == b, n, Unsigned)                                                      \
  NORMPROOF_COMPARED(ne, , , a != b, n, Unsigned)                                                      \
  NORMPROOF_COMPARED(lt, , s, a < b, n, Signed)                                                        \
  NORMPROOF_COMPARED(le, , s, a <= b, n, Signed)                                                       \
  NORMPROOF_COMPARED(gt, , s, a > b, n, Signed)                                                        \
  NORMPROOF_COMPARED(ge, , s, a >= b, n, Signed)                                                       \
  NORMPROOF_COMPARED(lt, , u, a < b, n, Unsigned)                                                      \
  NORMPROOF_COMPARED(le, , u, a <= b, n, Unsigned)                                                     \
  NORMPROOF_COMPARED(gt, , u, a > b, n, Unsigned)                                                      \
  NORMPROOF_COMPARED(ge, , u, a >= b, n, Unsigned)
NORMPROOF_SIMD(2, std::int16_t, std::uint16_t)
NORMPROOF_SIMD(4, std::int8_t, std::uint8_t)
#undef NORMPROOF_SIMD
#undef NORMPROOF_COMPARED
#undef NORMPROOF_SIMD1

// --- a sum and then the greater or lesser, of three, not below zero (relu), which one it was (vib) ---

#define NORMPROOF_SIMD3(name, Part, expression)                                                  \
  inline unsigned int name(unsigned int first, unsigned int second, unsigned int third) {        \
    return normproof::host::internal::each_part<Part>(                                           \
        [](int a, int b, int c) { return static_cast<int>(expression); }, first, second, third); \
  }
#define NORMPROOF_WORD3(name, type, expression) \
  inline type name(type a, type b, type c) { return expression; }
#define NORMPROOF_WORD_SUM(a, b, type) static_cast<type>(static_cast<unsigned>(a) + static_cast<unsigned>(b))
#define NORMPROOF_PART_SUM(a, b, Part) static_cast<int>(static_cast<Part>((a) + (b)))
#define NORMPROOF_EXTREMES(word)                                                                             \
  NORMPROOF_WORD3(__viadd##word##_s32, int, std::word(NORMPROOF_WORD_SUM(a, b, int), c))                     \
  NORMPROOF_WORD3(__viadd##word##_s32_relu, int, std::max(std::word(NORMPROOF_WORD_SUM(a, b, int), c), 0))   \
  NORMPROOF_WORD3(__viadd##word##_u32, unsigned int, std::word(a + b, c))                                    \
  NORMPROOF_SIMD3(__viadd##word##_s16x2, std::int16_t, std::word(NORMPROOF_PART_SUM(a, b, std::int16_t), c)) \
  NORMPROOF_SIMD3(__viadd##word##_s16x2_relu, std::int16_t,                                                  \
                  std::max(std::word(NORMPROOF_PART_SUM(a, b, std::int16_t), c), 0))                         \
  NORMPROOF_SIMD3(__viadd##word##_u16x2, std::uint16_t,                                                      \
                  std::word(NORMPROOF_PART_SUM(a, b, std::uint16_t), c))                                     \
  NORMPROOF_WORD3(__vi##word##3_s32, int, std::word(std::word(a, b), c))                                     \
  NORMPROOF_WORD3(__vi##word##3_s32_relu, int, std::max(std::word(std::word(a, b), c), 0))                   \
  NORMPROOF_WORD3(__vi##word##3_u32, unsigned int, std::word(std::word(a, b), c))                            \
  NORMPROOF_SIMD3(__vi##word##3_s16x2, std::int16_t, std::word(std::word(a, b), c))                          \
  NORMPROOF_SIMD3(__vi##word##3_s16x2_relu, std::int16_t, std::max(std::word(std::word(a, b), c), 0))        \
  NORMPROOF_SIMD3(__vi##word##3_u16x2, std::uint16_t, std::word(std::word(a, b), c))                         \
  NORMPROOF_SIMD2(__vi##word##_s16x2_relu, std::int16_t, std::max(std::word(a, b), 0))                       \
  inline int __vi##word##_s32_relu(int a, int b) { return std::max(std::word(a, b), 0); }                    \
  inline int __vib##word##_s32(int a, int b, bool* first) {                                                  \
    *first = std::word(a, b) == a;                                                                           \
    return std::word(a, b);                                                                                  \
  }                                                                                                          \
  inline unsigned int __vib##word##_u32(unsigned int a, unsigned int b, bool* first) {                       \
    *first = std::word(a, b) == a;                                                                           \
    return std::word(a, b);                                                                                  \
  }                                                                                                          \
  inline unsigned int __vib##word##_s16x2(unsigned int a, unsigned int b, bool* high, bool* low) {           \
    const auto of = [](unsigned value) { return static_cast<int>(static_cast<std::int16_t>(value)); };       \
    *high = std::word(of(a >> 16), of(b >> 16)) == of(a >> 16);                                              \
    *low = std::word(of(a), of(b)) == of(a);                                                                 \
    return __v##word##s2(a, b);                                                                              \
  }                                                                                                          \
  inline unsigned int __vib##word##_u16x2(unsigned int a, unsigned int b, bool* high, bool* low) {           \
    *high = std::word(a >> 16, b >> 16) == a >> 16;                                                          \
    *low = std::word(a & 0xffff, b & 0xffff) == (a & 0xffff);                                                \
    return __v##word##u2(a, b);                                                                              \
  }
NORMPROOF_EXTREMES(min)
NORMPROOF_EXTREMES(max)
#undef NORMPROOF_EXTREMES
#undef NORMPROOF_PART_SUM
#undef NORMPROOF_WORD_SUM
#undef NORMPROOF_WORD3
#undef NORMPROOF_SIMD3
#undef NORMPROOF_SIMD2

#endif
