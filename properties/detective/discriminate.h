// Inputs on which rounding policies differ: what `identify` feeds to a kernel whose arithmetic is unknown.
#pragma once

#include <cstdint>

#include "corpus/call_limits.h"
#include "corpus/case.h"

namespace normproof {

struct DiscriminatingShape : CallKind {
  std::int64_t rows = 8;  // at least 4, so that every kind of row below has one
  std::int64_t hidden_size = 512;
};

// Rows and hidden size inside the limits of a target: what it never takes need not be asked.
void fit_to(const CallLimits& limits, DiscriminatingShape& shape);

// Without a quantized output, the rows from here on are all at random scales.
inline constexpr std::int64_t kFirstRandomRow = 3;

// A valid case with listed values, the same for the same shape and seed. Weights are no powers of two. The
// rows:
// - a row of one magnitude, so that r is exactly known; for a quantized output the weights (or, without one,
//   the row itself) and the scale then put products on midpoints of the output format, or right beside them;
// - with a residual, a row whose sums all round the same way, so that the variance shows which sum it read;
// - a row whose rms is near sqrt(epsilon), so that a misplaced epsilon shows;
// - for quantized outputs, a row of two magnitudes and known r, and with a residual two more, whose sums lie
//   just beside those magnitudes;
// - rows at random scales, hardly ever a power of two;
// - for quantized outputs, a last row with one NaN.
// Throws std::invalid_argument for a shape that no operation has.
Case discriminating_case(const DiscriminatingShape& shape, std::uint64_t seed);
// As a target is asked: inside its limits, or, with an offset, shifted by so many elements.
Case discriminating_case(const DiscriminatingShape& shape, std::int64_t offset, const CallLimits& limits,
                         std::uint64_t seed);

}  // namespace normproof
