// CUDA's functions of integers: bits and bytes, high halves of products, dot products of bytes.
#ifndef NORMPROOF_KERNELS_HOST_INTEGER_FUNCTIONS_H
#define NORMPROOF_KERNELS_HOST_INTEGER_FUNCTIONS_H

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/host/float_intrinsics.h"
#include "kernels/host/vector_types.h"

// --- bits ---

inline unsigned int __brev(unsigned int a) {
  unsigned int reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (a >> bit & 1u) << (31 - bit);
  return reversed;
}
inline unsigned long long __brevll(unsigned long long a) {
  return std::uint64_t{__brev(static_cast<unsigned>(a))} << 32 | __brev(static_cast<unsigned>(a >> 32));
}
inline int __ffsll(long long a) {
  return a == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(a)) + 1;
}
inline int __popcll(unsigned long long a) { return std::popcount(a); }
inline int __clzll(long long a) { return std::countl_zero(static_cast<unsigned long long>(a)); }

// Byte i of the result is the byte of y:x that nibble i of the selector names; the sign of that byte, eight
// times, if the nibble's high bit is set.
inline unsigned int __byte_perm(unsigned int x, unsigned int y, unsigned int selector) {
  const std::uint64_t bytes = std::uint64_t{y} << 32 | x;
  unsigned int result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned nibble = selector >> (4 * i) & 0xf;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (nibble & 7))) & 0xff;
    if ((nibble & 8) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}

// high:low shifted by shift modulo 32, or by at most 32 (the c at the end); the high or the low word of it.
inline unsigned int __funnelshift_l(unsigned int low, unsigned int high, unsigned int shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) << (shift & 31) >> 32);
}
inline unsigned int __funnelshift_lc(unsigned int low, unsigned int high, unsigned int shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) << std::min(shift, 32u) >> 32);
}
inline unsigned int __funnelshift_r(unsigned int low, unsigned int high, unsigned int shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) >> (shift & 31));
}
inline unsigned int __funnelshift_rc(unsigned int low, unsigned int high, unsigned int shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) >> std::min(shift, 32u));
}

// The position of the bit that is set as the |offset|th from base, upwards or, if negative, downwards; ~0 if
// there is none. An offset of 0 asks for base itself.
inline unsigned int __fns(unsigned int mask, unsigned int base, int offset) {
  const int step = offset < 0 ? -1 : 1;
  int wanted = offset == 0 ? 1 : std::abs(offset);
  for (int bit = static_cast<int>(base); bit >= 0 && bit < 32; bit += step) {
    if ((mask >> bit & 1u) != 0 && --wanted == 0) return static_cast<unsigned>(bit);
    if (offset == 0) break;
  }
  return 0xffffffffu;
}

// --- products and sums ---

inline int __mul24(int a, int b) {
  const auto low24 = [](int value) {
    return static_cast<std::int64_t>(static_cast<std::int32_t>(static_cast<std::uint32_t>(value) << 8) >> 8);
  };
  return static_cast<int>(low24(a) * low24(b));
}
inline unsigned int __umul24(unsigned int a, unsigned int b) { return (a & 0xffffff) * (b & 0xffffff); }
inline int __mulhi(int a, int b) { return static_cast<int>(std::int64_t{a} * b >> 32); }
inline unsigned int __umulhi(unsigned int a, unsigned int b) {
  return static_cast<unsigned int>(std::uint64_t{a} * b >> 32);
}
inline long long __mul64hi(long long a, long long b) {
  __extension__ typedef __int128 Wide;
  return static_cast<long long>(Wide{a} * b >> 64);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<unsigned long long>(Wide{a} * b >> 64);
}
inline int __hadd(int a, int b) { return static_cast<int>((std::int64_t{a} + b) >> 1); }
inline int __rhadd(int a, int b) { return static_cast<int>((std::int64_t{a} + b + 1) >> 1); }
inline unsigned int __uhadd(unsigned int a, unsigned int b) {
  return static_cast<unsigned>((std::uint64_t{a} + b) >> 1);
}
inline unsigned int __urhadd(unsigned int a, unsigned int b) {
  return static_cast<unsigned>((std::uint64_t{a} + b + 1) >> 1);
}
inline unsigned int __sad(int a, int b, unsigned int sum) {
  return sum + static_cast<unsigned>(a > b ? std::int64_t{a} - b : std::int64_t{b} - a);
}
inline unsigned int __usad(unsigned int a, unsigned int b, unsigned int sum) {
  return sum + (a > b ? a - b : b - a);
}

// --- dot products: of four bytes, and of two 16-bit numbers with the low or the high two of four bytes ---

namespace normproof::host::internal {
// Part `index` of the word, as an integer of this type.
template <class Part>
int part_of(unsigned word, int index) {
  return static_cast<Part>(word >> (static_cast<int>(sizeof(Part)) * 8 * index));
}
template <class A, class B>
unsigned dot(unsigned a, unsigned b, unsigned sum, int count, int first_of_b) {
  for (int i = 0; i < count; ++i)
    sum += static_cast<unsigned>(part_of<A>(a, i)) * static_cast<unsigned>(part_of<B>(b, first_of_b + i));
  return sum;
}
inline unsigned word_of(char4 a) { return std::bit_cast<unsigned>(a); }
inline unsigned word_of(uchar4 a) { return std::bit_cast<unsigned>(a); }
inline unsigned word_of(short2 a) { return std::bit_cast<unsigned>(a); }
inline unsigned word_of(ushort2 a) { return std::bit_cast<unsigned>(a); }
inline unsigned word_of(int a) { return static_cast<unsigned>(a); }
inline unsigned word_of(unsigned a) { return a; }
}  // namespace normproof::host::internal

#define NORMPROOF_DOT(name, A, B, Sum, PartA, PartB, count, first)                            \
  inline Sum name(A a, B b, Sum sum) {                                                        \
    using namespace normproof::host::internal;                                                \
    return static_cast<Sum>(                                                                  \
        dot<PartA, PartB>(word_of(a), word_of(b), static_cast<unsigned>(sum), count, first)); \
  }
NORMPROOF_DOT(__dp4a, int, int, int, std::int8_t, std::int8_t, 4, 0)
NORMPROOF_DOT(__dp4a, unsigned, unsigned, unsigned, std::uint8_t, std::uint8_t, 4, 0)
NORMPROOF_DOT(__dp4a, char4, char4, int, std::int8_t, std::int8_t, 4, 0)
NORMPROOF_DOT(__dp4a, uchar4, uchar4, unsigned, std::uint8_t, std::uint8_t, 4, 0)
NORMPROOF_DOT(__dp2a_lo, int, int, int, std::int16_t, std::int8_t, 2, 0)
NORMPROOF_DOT(__dp2a_lo, unsigned, unsigned, unsigned, std::uint16_t, std::uint8_t, 2, 0)
NORMPROOF_DOT(__dp2a_lo, short2, char4, int, std::int16_t, std::int8_t, 2, 0)
NORMPROOF_DOT(__dp2a_lo, ushort2, uchar4, unsigned, std::uint16_t, std::uint8_t, 2, 0)
NORMPROOF_DOT(__dp2a_hi, int, int, int, std::int16_t, std::int8_t, 2, 2)
NORMPROOF_DOT(__dp2a_hi, unsigned, unsigned, unsigned, std::uint16_t, std::uint8_t, 2, 2)
NORMPROOF_DOT(__dp2a_hi, short2, char4, int, std::int16_t, std::int8_t, 2, 2)
NORMPROOF_DOT(__dp2a_hi, ushort2, uchar4, unsigned, std::uint16_t, std::uint8_t, 2, 2)
#undef NORMPROOF_DOT

// --- the bytes of a number in reverse ---

inline unsigned short __nv_bswap16(unsigned short a) { return __builtin_bswap16(a); }
inline unsigned int __nv_bswap32(unsigned int a) { return __builtin_bswap32(a); }
inline unsigned long long __nv_bswap64(unsigned long long a) { return __builtin_bswap64(a); }

#endif
