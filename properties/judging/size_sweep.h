// The cases of `verify` that reach every band of rows and of H, see corpus/size_bands.h.
#pragma once

#include <cstdint>
#include <vector>

#include "corpus/case.h"
#include "properties/judging/tally.h"

namespace normproof {

// At least one case for every wanted cell, the cheapest first; then more operations in the cells that cost
// much. The operations of `combinations` take turns, their dtypes and weights too. The values are such that
// the sum of squares is exact in any order, so that r itself is known; in part
// of the later ones they are random.
std::vector<Case> size_sweep(std::uint64_t seed, const std::vector<Combination>& combinations);

}  // namespace normproof
