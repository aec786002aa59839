// A stage of `verify`: cases that all threads judge, of a seed or of the sweep over all sizes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cli/verify_violations.h"

namespace normproof {

struct CaseStage {
  std::string group;  // of its checks
  std::string name;   // of one of its cases
  std::function<Case(std::int64_t index)> make;
  std::int64_t minimum = 0;                // that are judged however late it is
  std::optional<std::int64_t> count = {};  // exactly so many
  std::int64_t most = INT64_MAX;           // there are no more
  double deadline = 0;                     // seconds since the start of the run
  bool deadline_of_cases = false;          // also for the end of each case, as far as that can be foreseen
  std::int64_t at_once = 1;
};

struct StageContext {
  const VerifyOptions& options;
  Target& target;
  const RunClock& clock;
  Progress& progress;
  Violations& violations;
  VerifyResult& result;
};

// Adds what was judged to the result's tally and checks, and records its
// violations, those of the lowest numbers.
void judge_cases(const CaseStage& stage, const StageContext& context);

}  // namespace normproof
