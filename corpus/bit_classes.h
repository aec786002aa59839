// Numbers drawn by the class of their bits: sign x exponent class x mantissa class. Uniform bits or a bell
// curve hardly ever hit the values at which rounding, underflow and special-value code goes wrong.
#pragma once

#include <array>
#include <cstdint>

#include "corpus/float_format.h"
#include "corpus/random.h"

namespace normproof {

enum class ExponentClass : std::uint8_t {
  zero,        // +0, -0
  subnormal,   // the mantissa class decides between the least, a middle and the largest one
  min_normal,  // the smallest normal binade
  small,       // any binade below one
  near_one,    // [1/4, 8)
  large,       // any binade from one on
  max,         // the largest finite binade
  infinity,
  nan,
};
enum class MantissaClass : std::uint8_t {
  zero,
  one_bit,
  half,  // 10...0, and one unit beside it
  all_ones,
  all_ones_but_one,
  odd,  // random with the last bit set: products with such numbers use every place
  random,
};
inline constexpr std::array kExponentClasses = {
    ExponentClass::zero,  ExponentClass::subnormal, ExponentClass::min_normal,
    ExponentClass::small, ExponentClass::near_one,  ExponentClass::large,
    ExponentClass::max,   ExponentClass::infinity,  ExponentClass::nan};
inline constexpr std::array kMantissaClasses = {
    MantissaClass::zero,     MantissaClass::one_bit,          MantissaClass::half,
    MantissaClass::all_ones, MantissaClass::all_ones_but_one, MantissaClass::odd,
    MantissaClass::random};

// Mantissa field of the class.
std::uint32_t draw_mantissa(Random& random, const FloatFormat& format, MantissaClass mantissa_class);

// Bits of a number of the two classes, of either sign. Zero, infinity ignore the mantissa class.
std::uint32_t draw_bits(Random& random, const FloatFormat& format, ExponentClass exponent_class,
                        MantissaClass mantissa_class);

// Bits of any class: exponent classes with the frequencies of data class
// `bit_classes`, mantissa classes alike.
std::uint32_t draw_bits(Random& random, const FloatFormat& format);

// A number of either sign in [2^low, 2^(high + 1)) with a mantissa of a random class; binades outside the
// normal range are moved to its ends. Requires low <= high.
std::uint32_t draw_near(Random& random, const FloatFormat& format, int low, int high);

// NaN, infinity, zero or subnormal.
std::uint32_t draw_special(Random& random, const FloatFormat& format);

}  // namespace normproof
