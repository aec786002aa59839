// Values aimed at rounding midpoints. One row in many hits a midpoint by chance in fp32 and hardly any in a
// product of a bf16 and an fp32 number; these functions solve for the values that do.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "corpus/float_format.h"
#include "corpus/random.h"

namespace normproof {

// Significant bits that `fill_power_of_four_mean` can give each of `columns` integers so that every sum of
// their squares, in any order, is exact in fp32.
int bits_for_exact_squares(std::int64_t columns);

// Fills a row with integers below 2^bits whose mean square is exactly 4^(bits - 1). The inverse RMS of
// x_j = integers_j * 2^e is then a power of two, so that x_j * r is exact and known: integers_j / 2^(bits -
// 1). The integers vary where the row is long enough (about 8 columns);
// otherwise all of them are 2^(bits - 1).
void fill_power_of_four_mean(Random& random, int bits, std::span<std::uint32_t> integers);

// An integer of exactly `partner_bits` bits whose product with `integer` lies `nudge` units of the product
// beside a midpoint between two `result_bits`-bit numbers. Nothing where there is none (the product is too
// short to round, or `integer` has too many factors 2). Requires integer > 0, all lengths at most 24 bits.
std::optional<std::uint32_t> tie_partner(Random& random, std::uint32_t integer, int partner_bits,
                                         int result_bits, std::int64_t nudge);

// Bits of a number such that the sum with finite `bits` is on the midpoint of two neighbours, or a quarter or
// three quarters of the last place beside a representable number.
std::uint32_t tie_addend(Random& random, const FloatFormat& format, std::uint32_t bits);

// x and residual, neither of them zero in general, whose exact sum is not representable (a tie, or a quarter
// of the last place off) and rounds to finite `sum` bits.
struct Addends {
  std::uint32_t first;
  std::uint32_t second;
};
Addends split_sum(Random& random, const FloatFormat& format, std::uint32_t sum);

}  // namespace normproof
