// The certificate: H - 2 rows that only one binary tree passes.
//
// For each addition v but the last: do the smallest leaves of its two children meet each other before they
// meet the smallest leaf of v's sibling? If all of them do, the kernel's tree is the claimed one. For the
// leaves of any addition, join those that a triple says to meet before a third leaf of them: each child's
// leaves become connected (by induction, through every addition below it), and nothing joins the two
// children. So every binary tree with these triples divides the leaves in the same way, at every addition
// (the argument of Aho, Sagiv, Szymanski, Ullman: "Inferring a tree from lowest common ancestors", SIAM J.
// Comput. 10, 1981). Fewer rows do not do: each addition needs one of its own.
//
// The theorem is about binary trees. Additions that are wider than the others, or take more than two numbers
// at once, pass these rows too; so as many rows ask the opposite, which only rounding at each addition
// passes. Of compensated sums, whose opposites survive, see chains.h.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "properties/order/reader.h"

namespace normproof::order {

using oracle::SumTree;

// In the order of the tree's additions, the root left out. Empty for less than 3 leaves.
std::vector<Triple> certificate(const SumTree& tree);

struct CertificateResult {
  bool holds = false;
  std::int64_t rows = 0;
  std::int64_t refuted = 0;  // rows that read otherwise
  // Of the opposites alone: the tree is right, but additions are wider than it says, or compensated.
  bool only_opposites = false;
  std::string why;  // what the first of them says, or why there are no rows
};
// Asks all rows of the certificate, and their opposites, in one batch; then those of the chains of
// compensated additions.
CertificateResult certify(BlackBox& box, const Reader& reader, const SumTree& tree, Random& random);

}  // namespace normproof::order
