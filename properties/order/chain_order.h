// In which order compensated sums take their parts: guessed, or sorted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "properties/order/chains.h"

namespace normproof::order {

struct ChainOrder {
  bool is_neumaier = false;
  std::vector<std::vector<std::int32_t>> chains;
};

// `lists`: a leaf of each part of each chain, at least three. All chains are compensated in the same way.
// First it is guessed that they take their parts in ascending or descending order, and a sample of rows
// looked at; then Kahan's sums are sorted, by a quicksort all chains of which ask together. Nothing is
// certified. Nothing where the answers are those of no such sum: `why` says so.
std::optional<ChainOrder> order_chains(BlackBox& box, const Reader& reader,
                                       std::vector<std::vector<std::int32_t>> lists, Random& random,
                                       std::string& why);

}  // namespace normproof::order
