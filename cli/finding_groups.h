// Findings of a run by what went wrong: 50 findings of one bug are one group.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/finding.h"

namespace normproof {

// Findings that differ in operation, dtype and numbers alone.
struct FindingGroup {
  std::string headline;  // what the target says, or the kind of violation
  std::size_t first = 0;
  std::int64_t count = 0;               // violations
  std::vector<std::string> subjects{};  // "rms_norm bf16"
  std::vector<const Finding*> findings{};
};

// Those that are not known, the most frequent first. The findings must outlive the groups.
std::vector<FindingGroup> groups_of(const std::vector<Finding>& findings);

}  // namespace normproof
