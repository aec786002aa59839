// Which policies a target follows in calls of a judged operation: in an ordinary call, in more of them, and
// in calls that are drawn until the policies that are left give other bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "properties/judged/identify.h"
#include "properties/judged/verification_call.h"

namespace normproof::judging {

struct PolicyAnswer {
  Combination asked;  // of gradients: calls with statistics, or without where the target takes no others
  RunResult::Status status = RunResult::Status::completed;
  std::string message;                         // where the first call was not completed: why
  std::vector<std::string> memory_violations;  // of the first call
  Call call;                                   // the first, with outputs
  Identification found;                        // from it
  std::vector<Policy> left;                    // of its survivors those that explain all calls
  std::int64_t calls = 0;                      // that were looked at beside the first
  std::int64_t telling = 0;  // of them, drawn because the policies left give other bits there
  bool followed() const { return !left.empty(); }
};
// Nothing where the target takes no such call. `model` has the bounds.
std::optional<PolicyAnswer> ask_policies(JudgedTarget& target, const Combination& combination,
                                         const Policy& model, std::uint64_t seed);

// The names under which calls like this one know the policy:
// "pytorch.layer_norm (PyTorch F.layer_norm, CUDA)".
std::vector<std::string> names_of(const Policy& policy, const Call& call);

}  // namespace normproof::judging
