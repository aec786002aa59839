// Which c1 and c2 (or sums S1 and S2) an honest evaluation can arrive at: outer bounds.
//
// Let u = 2^-24 and d the longest chain of additions. A term of S2 is dy * w with one rounding, one of S1 the
// product of dy, w, x - m and r with at most 4, in any order. Each passes through at most d additions, so
// that the computed sums are off by at most ((1 + u)^(d + 1) - 1) sum |dy w| and
// ((1 + u)^(d + 4) - 1) sum |dy w (x - m) r|. A product that underflows is off by 2^-150, and that error is
// multiplied by the factors that follow: by less than 32 (1 + |dy|)(1 + |w|)(1 + |x| + |m|)(1 + |r|) in all,
// roundings included. The quotient by H, or the product with fl(1/H), is monotone. Where a product or sum
// overflows the unknown is infinite or NaN, since no later operation makes it finite again; so it is where an
// operand is.
#pragma once

#include <vector>

#include "oracle/box_search/norm_gradient.h"

namespace normproof::oracle::box_search {

struct GradientWindow {
  std::vector<Box> boxes;  // of (c1, c2)
  Point likely;
};

GradientWindow norm_gradient_window(const NormGradientRow& row, const GradientStatistics& statistics);
// The boxes by integers alone: within the former.
std::vector<Box> exact_norm_gradient_window(const NormGradientRow& row, const GradientStatistics& statistics);
// The boxes of all m and r in `box`, where r is finite or a point; m is bounded from that of `statistics`.
std::vector<Box> norm_gradient_window_of(const NormGradientRow& row, const GradientStatistics& statistics,
                                         const Box& box, bool exactly);

}  // namespace normproof::oracle::box_search
