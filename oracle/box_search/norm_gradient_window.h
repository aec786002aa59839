// Which c1 and c2 (or sums S1 and S2) an honest evaluation can arrive at: outer bounds.
//
// Let u = 2^-24 and d the longest chain of additions. A term of S2 is dy * w with one rounding; one of S1 the
// product of dy, w, x - m and r with at most 4, in any order, and so within (1 + u)^(4 + 4) of the exact
// product of the rounded xh and wdy, three roundings away from it ((1 - u)^-3 < (1 + u)^4). Each passes
// through at most d additions, so that the computed sums are off by at most ((1 + u)^(d + 1) - 1) sum |wdy|
// and
// ((1 + u)^(d + 8) - 1) sum |xh wdy|. A product that underflows is off by 2^-150, and that error is
// multiplied by the factors that follow: by less than 32 (1 + |dy|)(1 + |w|)(1 + |x| + |m|)(1 + |r|) in all.
// The quotient by H, or the product with fl(1/H), is monotone. Where an operand is infinite or NaN, so is the
// sum. Where a term or sum may overflow, c may be any number or NaN.
#pragma once

#include <vector>

#include "oracle/box_search/norm_gradient.h"

namespace normproof::oracle::box_search {

struct GradientWindow {
  std::vector<Box> boxes;  // of (c1, c2)
  Point likely;
};

// The numbers of the window that are not in NormGradientRow.
struct GradientStatistics {
  const float* x;
  const float* weight;  // w, 1 + w or 1, without H
  float mean;
  float inverse_root;
};
GradientWindow norm_gradient_window(const NormGradientRow& row, const GradientStatistics& statistics);
// The boxes by integers alone: within the former.
std::vector<Box> exact_norm_gradient_window(const NormGradientRow& row, const GradientStatistics& statistics);

}  // namespace normproof::oracle::box_search
