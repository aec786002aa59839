// Judged operations of a target: by which policies, and a call file run on it.
#pragma once

#include <map>
#include <string>

#include "cli/commands.h"
#include "oracle/judged/call_files.h"
#include "oracle/judged/operation.h"
#include "properties/targets/target.h"

namespace normproof {

using JudgedPolicies =
    std::map<const oracle::judged::JudgedOperation*, oracle::judged::Policy>;  // native where none is given

// What --policy says, for a target that may have judged operations: one policy, or several with ';' between,
// each after the name of its operation and ':', or for all operations that have such a policy.
struct PolicyChoice {
  std::string of_cases;  // what is about the operations of cases; empty: native
  JudgedPolicies judged;
};
// Throws UsageError where a part of the text makes no sense for any operation of the target.
PolicyChoice policies_from(const std::string& text, Target& target);

// " --target NAME", and " --policy" where it is not native.
std::string judged_target_arguments(const Target& target, const oracle::judged::Policy& policy);

// What became of a call file on a target.
struct ReplayedCall {
  std::string outcome;  // "conforms", "violates", "not taken"
  std::string text;     // what is printed, without the name of the file
  std::string message;  // of what violates or is not taken
  std::optional<oracle::judged::Call> with_outputs{};
};
// By the policy that the options give, else that of the file. Throws TargetError where
// the target has no such operation.
ReplayedCall replay_call(const std::string& file, oracle::judged::StoredCall stored, Target& target,
                         const JudgeOptions& options);

}  // namespace normproof
