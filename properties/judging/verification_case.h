// The random cases of `verify`: case `index` of a seed, the same on every
// machine and with any number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "corpus/case.h"
#include "properties/judging/tally.h"

namespace normproof {

// Takes the combinations in turn, so that all of them are reached, and draws the size from a mix of many
// short rows and a few long ones; `long_cases`: of more long rows, for a target that they cost little.
Case verification_case(std::uint64_t seed, std::int64_t index, const std::vector<Combination>& combinations,
                       bool long_cases = false);

}  // namespace normproof
