// Solving for values whose sums and products fall on or beside rounding midpoints.
#include "corpus/aimed_values.h"

#include <algorithm>
#include <array>
#include <bit>

namespace normproof {
namespace {

std::uint32_t square_root(std::uint64_t value) {  // floor, for value < 2^62
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << (bit_length(value) / 2); bit != 0; bit >>= 1) {
    if ((root + bit) * (root + bit) <= value) root += bit;
  }
  return static_cast<std::uint32_t>(root);
}

// The inverse modulo 2^64 of an odd number; every step of Newton's iteration doubles the correct bits,
// from 3.
std::uint64_t inverse_of_odd(std::uint64_t odd) {
  std::uint64_t inverse = odd;
  for (int i = 0; i < 5; ++i) inverse *= 2 - odd * inverse;
  return inverse;
}

// A finite number as integer * 2^exponent with an integer of full precision where it is normal.
struct Integer {
  bool negative;
  std::uint32_t integer;
  int exponent;
};
Integer as_integer(const FloatFormat& format, std::uint32_t bits) {
  const std::uint32_t magnitude = format.magnitude(bits);
  const auto field = static_cast<int>(magnitude >> format.mantissa_bits);
  const std::uint32_t mantissa = magnitude & format.mantissa_mask();
  const bool negative = (bits & format.sign_bit()) != 0;
  const int exponent = format.min_exponent() - format.mantissa_bits + std::max(field, 1) - 1;
  return {negative, field == 0 ? mantissa : mantissa | 1u << format.mantissa_bits, exponent};
}

}  // namespace

int bits_for_exact_squares(std::int64_t columns) {
  // columns * 4^(bits - 1) <= 2^24
  const int columns_bits = bit_length(static_cast<std::uint64_t>(std::max<std::int64_t>(columns, 1)) - 1);
  return std::clamp(1 + (24 - columns_bits) / 2, 1, 12);
}

void fill_power_of_four_mean(Random& random, int bits, std::span<std::uint32_t> integers) {
  const std::uint32_t middle = 1u << (bits - 1);
  const std::uint64_t largest = (std::uint64_t{1} << bits) - 1;
  constexpr std::size_t kGreedy = 8;  // the greedy end of a sum of squares needs about this many terms
  std::uint64_t rest = integers.size() * std::uint64_t{middle} * middle;
  for (std::size_t i = 0; i < integers.size(); ++i) {
    const std::size_t left = integers.size() - i;
    std::uint64_t integer = rest < largest * largest ? square_root(rest) : largest;
    if (left > kGreedy) {
      const std::uint64_t others = (left - 1) * largest * largest;
      const std::uint64_t least = rest > others ? std::uint64_t{square_root(rest - others)} + 1 : 1;
      if (least <= integer) integer = least + random.below(integer - least + 1);
    }
    integers[i] = static_cast<std::uint32_t>(integer);
    rest -= integer * integer;
  }
  if (rest != 0) std::ranges::fill(integers, middle);
}

std::optional<std::uint32_t> tie_partner(Random& random, std::uint32_t integer, int partner_bits,
                                         int result_bits, std::int64_t nudge) {
  const int factors = std::countr_zero(integer);
  const std::uint64_t lowest = std::uint64_t{1} << (partner_bits - 1);
  const int longest = bit_length(integer) + partner_bits;
  const int first = static_cast<int>(random.below(2));
  for (int attempt = 0; attempt < 2; ++attempt) {
    const int product_bits = longest - (first ^ attempt);
    const int dropped = product_bits - result_bits;
    if (dropped <= factors) continue;
    const std::uint64_t target = (std::uint64_t{1} << (dropped - 1)) + static_cast<std::uint64_t>(nudge);
    if ((target & ((std::uint64_t{1} << factors) - 1)) != 0) continue;
    // integer * partner = target modulo 2^dropped, both sides divided by the factors 2 of `integer`.
    const std::uint64_t step = std::uint64_t{1} << (dropped - factors);
    const std::uint64_t residue = (target >> factors) * inverse_of_odd(integer >> factors);
    std::uint64_t partner = lowest + ((residue - lowest) & (step - 1));
    if (partner >= 2 * lowest) continue;
    partner += step * random.below((2 * lowest - 1 - partner) / step + 1);
    if (bit_length(integer * partner) == product_bits) return static_cast<std::uint32_t>(partner);
  }
  return std::nullopt;
}

std::uint32_t tie_addend(Random& random, const FloatFormat& format, std::uint32_t bits) {
  const Integer number = as_integer(format, bits);
  // odd / 2 or odd / 4 units of the last place, at most a quarter of the number
  const int fraction_bits = static_cast<int>(random.between(1, 2));
  const std::uint64_t odd = random.below(std::uint64_t{1} << (format.precision() - 2)) | 1;
  return format.round(random.chance(1, 2), odd, number.exponent - fraction_bits);
}

Addends split_sum(Random& random, const FloatFormat& format, std::uint32_t sum) {
  const Integer number = as_integer(format, sum);
  const std::uint32_t implicit = 1u << format.mantissa_bits;
  const bool lowest_exponent = number.exponent <= format.min_exponent() - format.mantissa_bits + 1;
  if (number.integer < implicit || lowest_exponent) return {sum, number.negative ? format.sign_bit() : 0};
  // In units of the last place of the sum: first = integer - whole, second = whole + fraction.
  const std::uint32_t room = std::min(number.integer - implicit, (1u << (format.precision() - 3)) - 1);
  const auto whole = static_cast<std::uint32_t>(random.below(room + std::uint64_t{1}));
  const bool tie = number.integer % 2 == 0;  // a tie goes to the even neighbour, which must be the sum
  const std::uint32_t denominator = tie ? 2 : 4;
  // Downwards only where the sum is not the first of its binade, below which the last place is finer.
  const bool down = number.integer != implicit && whole != 0 && random.chance(1, 2);
  const std::uint32_t second = denominator * whole + (down ? -1u : 1u);
  return {format.round(number.negative, number.integer - whole, number.exponent),
          format.round(number.negative, second, number.exponent - (tie ? 1 : 2))};
}

}  // namespace normproof
