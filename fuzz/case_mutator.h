// The structure-aware mutator: small changes to a case that numerics cares about. Deterministic: everything
// comes from the Random that the fuzzer's seed started.
#pragma once

#include <array>
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

// The other ways to a new case: one drawn anew, two cases crossed, the bytes as the engine mutates them.
inline constexpr std::string_view kFreshCase = "fresh-case", kCrossover = "crossover", kEngine = "engine";
inline constexpr std::array kOtherWays = {kFreshCase, kCrossover, kEngine};

// False for what the environment variable NORMPROOF_WITHOUT_MUTATION names: mutations and other ways, with
// commas between them, to measure what they are worth. Ends the process where it names what there is not.
bool in_use(std::string_view way);

// Applies one to four mutations. The result is valid and within the limits wherever `test_case` is.
Case mutate(const Case& test_case, Random& random, const CaseLimits& limits);

// Takes the shape and everything about execution from `first`, and some
// tensors, rows or scalars from `second`.
Case cross_over(const Case& first, const Case& second, Random& random, const CaseLimits& limits);

}  // namespace normproof::fuzz
