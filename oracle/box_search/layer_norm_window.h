// Which mean and inverse deviation an honest evaluation of LayerNorm's statistics can arrive at: outer
// bounds, proved below, as boxes of fp32 numbers. m and r are bounded each for itself; that they belong
// together is not used.
//
// Let u = 2^-24, mu and V the exact mean and variance of the n numbers x, A = sum |x|, Q = sum x^2, and d the
// longest chain of additions (n - 1, or the policy's sum_depth).
//
// Mean of a sum: each x passes through at most d additions, so the computed sum is sum x_j (1 + e_j) with
//   |e_j| <= g = (1 + u)^d - 1, and lies within g A of the exact one. (A sum of floats never underflows.) The
//   quotient by n, or the product with fl(1/n), is monotone and followed exactly.
// Two passes: fl(x - m) = (x - m)(1 + e), |e| <= u, for whatever m the kernel has, and sum (x_j - m)^2 =
//   n (V + (mu - m)^2). Each term is the square of a number with one rounding, and passes through one more
//   for the square and d additions: the computed mean of squares lies between V (1 - u)^(d+3) and
//   (V + D^2)(1 + u)^(d+3), D the largest |mu - m| of the window. A square that underflows, or an addition of
//   one by fma, is off by 2^-150 at most.
// One pass: mean of x^2 between (Q / n)(1 -+ u)^(d+1), as for the RMS; m^2 exact or rounded; the difference
//   rounded. It may be negative, so that the root is NaN, unless it is clamped.
// Welford: a tree of merges, each of a part a of p elements with one, b, of q elements; a single element
//   added to a running mean is the case q = 1. M = m_a + (m_b - m_a) q/(p+q) or m_a p/(p+q) + m_b q/(p+q) of
//   the computed means, each operation rounded and the quotients rounded up to twice, so that the computed
//   mean is off the exact combination of the computed parts by at most
//     u |M| + (1 + u)((1 + u)^4 - 1) q/(p+q) |m_b - m_a|  <=  k (p |m_a| + q |m_b|)/(p+q),
//     k = u + (1 + u)((1 + u)^4 - 1) ratio,
//   where q <= ratio p in the first form. By induction over the tree (p+q)|m| <= (1 + k)^h sum |x|, and
//   (p+q)|m - mu| <= ((1 + k)^h - 1) sum |x| over the part, h its height. So |m - mu| <= g A / n with
//   g = (1 + k)^d - 1. Underflow adds less than k t per element with t = 2^-120: all of this holds with
//   |x| + t in the place of |x|.
//   Squared deviations: S = S_a + S_b + e^2 pq/(p+q) with e = m_b - m_a of the computed means. Exactly,
//   sum (pq/(p+q)) (mu_b - mu_a)^2 over all merges is n V. The computed means of a part of size s are off by
//   g sqrt(Q_s / s) at most (Cauchy: (sum |x|)^2 <= s Q_s), so by Minkowski's inequality
//     |sqrt(sum (pq/(p+q)) e^2) - sqrt(n V)| <= sqrt(sum min(p,q) 2 g^2 (Q_a / p + Q_b / q)).
//   In that sum each x_j^2 has, from every merge above it, the weight min(p,q) / (size of its own part),
//   which is at most log2((p+q) / size): it is 1 where its part is the smaller one, and z <= log2(1 + z) for
//   z in [0, 1]. These telescope to log2 n. So the right side is at most G = g sqrt(2 Q L), L = log2 n. A
//   term has at most 8 roundings and passes through 2d additions. Where the term is computed as (x - m_old)(x
//   - m_new), m_new off by l, it is e^2 pq/(p+q) - e l with |l| <= k (1 + g) sqrt(Q_s / s), and sum |e l| <=
//   sqrt(sum e^2 pq/(p+q)) k (1 + g) sqrt(2 Q L), because pq/(p+q) >= 1/2 and the sizes s above one element
//   differ: sum 1/s <= L. No term is below -l^2 / (4 pq/(p+q)) before roundings, so a negative sum is bounded
//   by k^2 (1 + g)^2 Q L / 2.
// The root: fl(v + eps), then 1 / sqrt, off the correctly rounded one by as many numbers as the policy says.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "oracle/box_search/layer_norm.h"

namespace normproof::oracle::box_search {

struct LayerNormWindow {
  std::vector<Box> boxes;  // of (m, r)
  Point likely;            // mean and root, each correctly rounded or nearly so
};

// In hardware, with bounds rounded outward.
LayerNormWindow layer_norm_window(const LayerNormRule& rule, std::span<const float> x);
// The boxes by integers alone, with exact sums: within the former.
std::vector<Box> exact_layer_norm_window(const LayerNormRule& rule, std::span<const float> x);

// What of the window has the stored statistics.
std::vector<Box> restricted(const std::vector<Box>& window, const StoredStatistics& stored);

}  // namespace normproof::oracle::box_search
