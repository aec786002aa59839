// The structure-aware mutator: small changes to a case that numerics cares about. Deterministic: everything
// comes from the Random that the fuzzer's seed started.
#pragma once

#include <span>
#include <string_view>

#include "corpus/case.h"
#include "corpus/generate.h"
#include "corpus/random.h"

namespace normproof::fuzz {

// One kind of change. `apply` returns false where the case has nothing of the kind to change; it may leave a
// case that is invalid or outside the limits, which mutate() then discards.
struct Mutation {
  std::string_view name;
  bool (*apply)(Case& test_case, Random& random, const CaseLimits& limits);
};

// The table of all mutations.
std::span<const Mutation> all_mutations();
// Those that mutate() draws from: all but the one that the environment variable NORMPROOF_WITHOUT_MUTATION
// names, to measure what it is worth. Ends the process where there is none of that name.
std::span<const Mutation> used_mutations();

// Applies one to four mutations. The result is valid and within the limits wherever `test_case` is.
Case mutate(const Case& test_case, Random& random, const CaseLimits& limits);

// Takes the shape and everything about execution from `first`, and some tensors, rows or scalars from
// `second`.
Case cross_over(const Case& first, const Case& second, Random& random, const CaseLimits& limits);

}  // namespace normproof::fuzz
