// Drawing numbers by the class of their bits.
#include "corpus/bit_classes.h"

#include <algorithm>

namespace normproof {
namespace {

// Frequencies in 64ths: infinity and NaN are rare, because one of them decides a whole row.
constexpr auto kExponentDiet = [] {
  struct Share {
    ExponentClass exponent_class;
    int share;
  };
  constexpr std::array<Share, 9> kShares = {{{ExponentClass::zero, 5},
                                             {ExponentClass::subnormal, 8},
                                             {ExponentClass::min_normal, 4},
                                             {ExponentClass::small, 13},
                                             {ExponentClass::near_one, 20},
                                             {ExponentClass::large, 8},
                                             {ExponentClass::max, 4},
                                             {ExponentClass::infinity, 1},
                                             {ExponentClass::nan, 1}}};
  std::array<ExponentClass, 64> diet{};
  std::size_t next = 0;
  for (const Share& share : kShares) {
    for (int i = 0; i < share.share; ++i) diet[next++] = share.exponent_class;
  }
  return diet;
}();

// A field of `bits` bits cut out of `draw`, scaled to [low, high].
int scaled(std::uint64_t draw, int low, int high) {
  return low + static_cast<int>(((draw & 0xffff) * static_cast<std::uint64_t>(high - low + 1)) >> 16);
}

std::uint32_t mantissa_from(std::uint64_t draw, const FloatFormat& format, MantissaClass mantissa_class) {
  const std::uint32_t mask = format.mantissa_mask();
  const auto random_bits = static_cast<std::uint32_t>(draw) & mask;
  const std::uint32_t one_bit = 1u << scaled(draw >> 24, 0, format.mantissa_bits - 1);
  const std::uint32_t half = 1u << (format.mantissa_bits - 1);
  const auto beside = static_cast<std::uint32_t>(scaled(draw >> 24, -1, 1));
  // All of them, in the order of MantissaClass: a branch on a random class costs more.
  const std::array<std::uint32_t, kMantissaClasses.size()> of_class = {
      0, one_bit, half + beside, mask, mask ^ one_bit, random_bits | 1, random_bits};
  return of_class[static_cast<std::size_t>(mantissa_class)];
}

// Uses the low 40 bits of `draw` for the mantissa, 16 above them for the
// exponent and the top one for the sign.
std::uint32_t bits_from(std::uint64_t draw, const FloatFormat& format, ExponentClass exponent_class,
                        MantissaClass mantissa_class) {
  const std::uint32_t sign = (draw >> 63) != 0 ? format.sign_bit() : 0;
  const std::uint32_t mantissa = mantissa_from(draw, format, mantissa_class);
  const std::uint64_t exponent_draw = draw >> 40;
  const auto number = [&](int low, int high) {
    return sign | format.power_of_two(scaled(exponent_draw, low, high)) | mantissa;
  };
  switch (exponent_class) {
    case ExponentClass::zero:
      return sign;
    case ExponentClass::subnormal:
      return sign | std::max(mantissa, 1u);
    case ExponentClass::min_normal:
      return number(format.min_exponent(), format.min_exponent());
    case ExponentClass::small:
      return number(format.min_exponent(), -1);
    case ExponentClass::near_one:
      return number(-2, 2);
    case ExponentClass::large:
      return number(0, format.max_exponent());
    case ExponentClass::max:
      return number(format.max_exponent(), format.max_exponent());
    case ExponentClass::infinity:
      return sign | format.infinity();
    case ExponentClass::nan:
      return sign | format.infinity() | std::max(mantissa, 1u);
  }
  return sign;
}

// Independent bits, so that a class is not tied to the bits of the number.
MantissaClass mantissa_class_from(std::uint64_t draw) {
  return kMantissaClasses[((draw & 0xffff) * kMantissaClasses.size()) >> 16];
}

}  // namespace

std::uint32_t draw_mantissa(Random& random, const FloatFormat& format, MantissaClass mantissa_class) {
  return mantissa_from(random.next(), format, mantissa_class);
}

std::uint32_t draw_bits(Random& random, const FloatFormat& format, ExponentClass exponent_class,
                        MantissaClass mantissa_class) {
  return bits_from(random.next(), format, exponent_class, mantissa_class);
}

std::uint32_t draw_bits(Random& random, const FloatFormat& format) {
  const std::uint64_t classes = random.next();
  return bits_from(random.next(), format, kExponentDiet[classes >> 58], mantissa_class_from(classes));
}

std::uint32_t draw_near(Random& random, const FloatFormat& format, int low, int high) {
  const std::uint64_t classes = random.next();
  const std::uint64_t draw = random.next();
  const int exponent =
      std::clamp(scaled(classes >> 16, low, high), format.min_exponent(), format.max_exponent());
  return format.power_of_two(exponent, (draw >> 63) != 0) |
         mantissa_from(draw, format, mantissa_class_from(classes));
}

std::uint32_t draw_special(Random& random, const FloatFormat& format) {
  static constexpr std::array kSpecial = {ExponentClass::nan, ExponentClass::infinity, ExponentClass::zero,
                                          ExponentClass::subnormal};
  const ExponentClass exponent_class = random.pick(kSpecial);
  return draw_bits(random, format, exponent_class, random.pick(kMantissaClasses));
}

}  // namespace normproof
