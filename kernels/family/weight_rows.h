// Calls whose weight, or bias, has several rows: one for each row of x, or for each of a few.
#pragma once

#include <functional>
#include <span>

#include "kernels/family/call_checks.h"

namespace normproof::kernels {

// Runs a call that check() has passed and that has rows of weights, as calls that have none: one for each of
// these rows, of the rows of x that go with it.
Status run_by_weight_rows(const NamedCall& call, std::span<const TensorRule> rules,
                          const std::function<Status(const NamedCall&)>& run);

}  // namespace normproof::kernels
