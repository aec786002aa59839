// The tree of a sum with compensated additions: which of them are, in which order each running sum takes its
// parts, and how.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "properties/order/chains.h"

namespace normproof::order {

// What the box is, if it is such a tree. `tree` passes the first half of its own certificate: whose leaves
// meet before whose, chains drawn together or not. The result passes the whole of its certificate
// (certify.h), and rows that tell the accumulators apart. Otherwise `why` says
// what is against it. Throws NoAnswer.
inline constexpr const char* kFitsNoTree =
    "the parts of its sums fit no tree";  // the tree that was given is wrong
struct CompensatedTree {
  SumTree tree;
  std::int64_t certificate_rows = 0;
};
std::optional<CompensatedTree> find_compensated(BlackBox& box, const Reader& reader, const SumTree& tree,
                                                Random& random, std::string& why);

// Whether the box sums random rows, among them such as tell accumulators apart, as the tree says. The tree
// has passed its certificate.
bool has_accumulator(BlackBox& box, const Reader& reader, const SumTree& tree, Random& random,
                     std::string& why);

// Of fp32 rows: the terms of Kahan's sums that are added by an fma of their square and the correction.
// Nothing where it cannot be told. Flags of other leaves are 0.
std::optional<std::vector<std::uint8_t>> fused_terms(BlackBox& box, const Reader& reader,
                                                     const SumTree& tree);

}  // namespace normproof::order
