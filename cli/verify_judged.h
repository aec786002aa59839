// The judged operations of a target in a run of verify: calls drawn within its limits, each judged by the
// search judge, or, of our own kernels, by every bit, and some of them made again, a row alone, and elsewhere
// in memory.
#pragma once

#include <vector>

#include "cli/judged_calls.h"
#include "cli/verify_violations.h"
#include "properties/judged/verification_call.h"

namespace normproof {

struct JudgedContext {
  const VerifyOptions& options;
  Target& target;
  const JudgedPolicies& policies;
  const std::vector<judging::Combination>& combinations;  // at least one
  const std::vector<judging::Declined>& declined;         // combinations that the target does not take
  const RunClock& clock;
  Progress& progress;
  Violations& violations;
  VerifyResult& result;
};

// Until options.seconds are over, but at least a few calls of every combination. Adds to the result what it
// has seen.
void verify_judged(const JudgedContext& context);

}  // namespace normproof
