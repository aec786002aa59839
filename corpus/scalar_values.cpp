// Drawing epsilon and the scale.
#include "corpus/scalar_values.h"

#include <bit>

#include "corpus/bit_classes.h"
#include "corpus/float_format.h"

namespace normproof {
namespace {

std::uint32_t fp32_bits(double value) { return std::bit_cast<std::uint32_t>(static_cast<float>(value)); }

std::uint32_t random_fp32(Random& random, int low, int high) {
  const std::uint32_t exponent = kFp32.power_of_two(static_cast<int>(random.between(low, high)));
  return exponent | draw_mantissa(random, kFp32, MantissaClass::random);
}

double largest_of(DType quantized) {
  switch (quantized) {
    case DType::fp8_e4m3fn:
      return 448;
    case DType::fp8_e4m3fnuz:
      return 240;
    default:
      return 57344;
  }
}

}  // namespace

std::uint32_t draw_epsilon(Random& random, const std::function<double()>& mean_square) {
  const std::uint64_t way = random.below(64);
  if (way < 22) return kEpsilon1e6;
  if (way < 42) return kEpsilon1e5;
  if (way < 48) return random_fp32(random, -40, 4);
  if (way < 52) return 0;
  if (way < 56) {  // near the mean square, where a misplaced or missing epsilon shows most
    const double mean = mean_square();
    return fp32_bits(mean * (0.25 + 0.125 * static_cast<double>(random.below(16))));
  }
  switch (way) {
    case 56:
      return kFp32.sign_bit();
    case 57:
      return draw_bits(random, kFp32, ExponentClass::subnormal, random.pick(kMantissaClasses));
    case 58:
      return random_fp32(random, -20, 0) | kFp32.sign_bit();
    case 59:
      return fp32_bits(-mean_square());  // the sum is zero
    case 60:
      return kFp32.infinity() | (random.chance(1, 2) ? kFp32.sign_bit() : 0);
    case 61:
      return kFp32.quiet_nan();
    case 62:
      return random_fp32(random, 60, 127);
    default:
      return draw_bits(random, kFp32);
  }
}

std::uint32_t draw_scale(Random& random, DType quantized) {
  const std::uint64_t way = random.below(64);
  if (way < 8) return kOne;
  if (way < 12) return fp32_bits(0.03);
  if (way < 28) return random_fp32(random, -10, 3);
  if (way < 40) return kFp32.power_of_two(static_cast<int>(random.between(-12, 4)));
  if (way < 56) {  // what calibration gives: the largest |y|, about 2 to 8, maps to the largest number
    return fp32_bits((2 + static_cast<double>(random.below(1 << 16)) / 10923) / largest_of(quantized));
  }
  switch (way) {
    case 56:
      return random.chance(1, 2) ? 0 : kFp32.sign_bit();
    case 57:
      return random_fp32(random, -6, 2) | kFp32.sign_bit();
    case 58:
      return draw_bits(random, kFp32, ExponentClass::subnormal, random.pick(kMantissaClasses));
    case 59:
      return kFp32.infinity() | (random.chance(1, 2) ? kFp32.sign_bit() : 0);
    case 60:
      return kFp32.quiet_nan();
    case 61:
      return random_fp32(random, -126, 127);
    default:
      return random_fp32(random, -20, -10);  // most values are clamped
  }
}

}  // namespace normproof
