// The sum of squares of a row, where the policy's inverse root model says the
// kernel's own order of summation.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "oracle/canonical.h"
#include "oracle/sum_tree.h"

namespace normproof::oracle {

// What forbids to judge by an order of that precision under the policy; empty where nothing does.
std::string objection_to_order(const SumTree& tree, const Policy& policy);

// The computed sum, rounded to the variance's format. Nothing where there is no order, where it is one of
// other rows or of another precision, where the row's dtype does not tell which squares are added by an fma
// and it would make a difference (a square of more than 24 bits, or one that underflows), and where such a
// square may be flushed to zero. Then every order is admitted.
std::optional<Value> known_sum(const Formula& formula, std::span<const Value> operands);
// The same in hardware arithmetic, within a StandardFloatEnvironment. `scratch` is overwritten.
std::optional<double> known_sum(const Formula& formula, std::span<const float> operands,
                                std::vector<double>& scratch);

}  // namespace normproof::oracle
