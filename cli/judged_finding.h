// A violation of a judged operation as a finding: smaller, stored as a call file, tried in a fresh process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/verify_run.h"
#include "properties/judged/call_evaluation.h"

namespace normproof {

struct JudgedViolation {
  const judging::Combination& combination;
  std::int64_t index = 0;  // of the combination's calls
  const oracle::judged::Call& call;
  const judging::CallEvaluation& seen;
  const oracle::judged::Policy& policy;
};

// So many calls before a violation are looked at where it does not show alone.
inline constexpr std::int64_t kCallsBefore = 48;

struct JudgedFinding {
  Finding finding;
  std::string text;  // that people see
};
// `before`: the calls of its combination that came before it, the last one last.
JudgedFinding judged_finding(const JudgedViolation& violation,
                             const std::vector<oracle::judged::Call>& before, Target& target,
                             const VerifyOptions& options);

// Writes the call, without what came out, and returns its file. `kind` is part of its name.
std::filesystem::path store_judged_call(const std::filesystem::path& folder, const oracle::judged::Call& call,
                                        const oracle::judged::Policy& policy, std::string_view kind);

}  // namespace normproof
