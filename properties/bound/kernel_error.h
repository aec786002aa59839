// How far the numbers of a conforming kernel lie from the exact ones: the root of a row, and each element on
// its way to the output, as factors. A kernel conforms where it follows its policy, in any order of summation
// that the policy's inverse root model allows, with a root within its bound.
//
// The factors hold where no step overflows or underflows, with epsilon >= 0. In words (u = 2^-24, d roundings
// of a term, k numbers of the root):
//   the sum          (1 - u)^d to (1 + u)^d times the exact one (oracle/admissible.h, also for fp64 and
//   Kahan) the mean         one rounding more, or two with the rounded 1 / H; none where H is a power of two
//   + epsilon        an exact number >= 0 is added, which only moves a factor towards 1; one rounding
//   the root         the square root of all that, one rounding, and k numbers of at most 2^-23 each
// From there each product is one rounding; the roundings to T are followed by exact_spread (spread.h).
#pragma once

#include <optional>
#include <string>

#include "oracle/canonical.h"
#include "properties/bound/factor.h"

namespace normproof::bound {

// Why no bound is derived for two kernels of these formulas, which have the same dtypes and operation; empty
// where one is.
std::string objection_to_pair(const oracle::Formula& first, const oracle::Formula& second);

// The epsilon that the kernel adds as a multiple of the call's; of what both kernels make of it, where that
// is the same. An epsilon of NaN stands for any that is a normal number of T.
Factor error_of_epsilon(const oracle::Formula& kernel, const oracle::Formula& other);

// The kernel's r (1 / rms where it divides) as a multiple of the exact 1 / sqrt(mean + epsilon) of the row.
// `other` is the kernel that it is compared with: what both have in common, such as a sum in the very same
// order, is no error of either.
Factor error_of_root(const oracle::Formula& kernel, const oracle::Formula& other);

// How a kernel makes y of t, an element times the exact root:
//   n = before * t, rounded to T where rounds_first; p = after * n * w; y = p, rounded to T where
//   rounds_output
struct Chain {
  Factor before;
  bool rounds_first = false;
  Factor after;
  bool rounds_output = true;
  oracle::Rounding rounding = oracle::Rounding::nearest_even;
};
Chain chain_of(const oracle::Formula& kernel, const oracle::Formula& other, const Factor& root);

// Whether the factor that both multiply by is a number of T, so that it can be enumerated.
bool weight_is_in_activation(const oracle::Formula& first, const oracle::Formula& second);

// How far apart the stored sums of the two can be, in numbers of T.
int residual_apart(const oracle::Formula& first, const oracle::Formula& second);

// Where each row has a scale of its own: the scale as a multiple of the row's exact largest |y| over the
// largest code.
Factor error_of_row_scale(const oracle::Formula& kernel, const oracle::Formula& other);

// The one scale that every row has, of an upper bound that is no greater than the least maximum or scale:
// nothing where rows differ.
std::optional<double> scale_of_all_rows(const oracle::Formula& kernel);

// By how much scaling and rounding to fp8 of the two may differ before the last rounding.
Factor error_of_scaling(const oracle::Formula& kernel, const oracle::Formula& other);

}  // namespace normproof::bound
