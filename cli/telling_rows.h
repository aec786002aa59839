// One row on which two kernels give other bits, because their policies, orders of summation or roots differ.
#pragma once

#include <optional>
#include <string_view>

#include "cli/execution_certificate.h"
#include "corpus/case.h"
#include "oracle/policy.h"
#include "oracle/sum_tree.h"

namespace normproof {

// The shortest one that is found, in the canonical order.
std::optional<Case> row_that_tells_policies(const CallKind& kind, const oracle::Policy& first,
                                            const oracle::Policy& second);

// Three elements that are not zero, and an epsilon that leaves one ulp of their sum: the two orders give
// outputs that differ by a factor.
std::optional<Case> row_that_tells_orders(const CallKind& kind, const oracle::SumTree& first,
                                          const oracle::SumTree& second, const oracle::Policy& policy);

// Two elements, the first of which has its product with r at a rounding tie of T. The roots by the names that
// a file of orders has for them; nothing where one is none of the known ones.
std::optional<Case> row_that_tells_roots(const CallKind& kind, std::string_view first,
                                         std::string_view second);

}  // namespace normproof
