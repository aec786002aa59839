// Which squares are added by an fma. Only fp32 rows show it: squares of bf16 and fp16 are exact in fp32.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "corpus/random.h"
#include "oracle/sum_tree.h"
#include "properties/order/probe.h"

namespace normproof::order {

// One flag per leaf, one row each: a square that is 5 and a trace is added to a big number whose ulp is 2.
// Rounded before, it is a tie that goes down; in an fma it goes up. Nothing where the rows cannot be read, or
// one reads as neither. `tree` must be certified and of fp32. Throws NoAnswer.
std::optional<std::vector<std::uint8_t>> fused_leaves(BlackBox& box, const oracle::SumTree& tree,
                                                      Random& random);

}  // namespace normproof::order
