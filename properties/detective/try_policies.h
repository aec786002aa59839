// Policies that a target seems to follow, tried on more cases: short rows, sums that are exact in every
// order, random cases, a corpus. What `verify` would refute is not named.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"
#include "properties/targets/target.h"

namespace normproof {

// Cases of the same operation and dtypes as `like`: rows of 1 to 4 columns, rows of one magnitude, and random
// cases of `verify`. The same for the same seed.
std::vector<Case> trial_cases(const Case& like, std::uint64_t seed);

// Whether the case has the operation and dtypes of `like`, so that the same policy must explain it.
bool is_like(const Case& test_case, const Case& like);

// Runs the cases, inside the limits of the target, and says of each policy which one refutes it: "rms_norm
// bf16, ..., 1 x 2, ...: rounding violation ..."; nothing where all are explained. A case that one of
// `excused` explains refutes nothing: it may have taken another path. Calls that do not complete are passed
// over.
std::vector<std::optional<std::string>> refutations(Target& target, std::span<const oracle::Policy> policies,
                                                    std::span<const oracle::Policy> excused,
                                                    std::span<const Case> cases);

}  // namespace normproof
