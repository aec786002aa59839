// The exact sum of squares of a row, and what bounds on its floating-point
// evaluations need to know of the terms.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "oracle/exact.h"

namespace normproof::oracle {

struct SquareSum {
  std::int64_t count = 0;  // terms, zeros included
  bool has_nan = false;
  bool has_infinity = false;
  // Of the finite terms, exact.
  Value sum;
  Value largest;
  // Exponents of the lowest set bit of any square, and of the highest set bit of the smallest square that is
  // not zero.
  std::optional<std::int64_t> lowest_bit;
  std::optional<std::int64_t> smallest_top;
};

// Of fp32 operands, by integers alone: one 128-bit sum per exponent, joined at the end.
SquareSum exact_square_sum(std::span<const float> operands);
// The same by one exact addition after the other.
SquareSum exact_square_sum(std::span<const Value> operands);

}  // namespace normproof::oracle
