// What only runs of the target can tell about a finding. The target may crash:
// each runs it in a child process.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "fuzz/known/known_bug.h"

namespace normproof::campaign {

// Of a case on which a fuzzer failed.
struct Examination {
  std::optional<std::string> known;      // the name of the known bug that it is an instance of
  std::optional<oracle::Policy> policy;  // that explains it, and what else of its sort violates
  Case blamed;                           // where the bug is: the case, or a part of its operation
};
Examination examine(const Case& test_case, const std::string& kind, const std::vector<KnownBug>& known,
                    const std::string& target, const std::filesystem::path& scratch);

// Whether the case violates by itself, in this way.
bool violates_plainly(const Case& test_case, const std::string& kind, const std::string& target,
                      const std::filesystem::path& scratch);

// Runs the case once more, and writes its tensors and what the target gave into `folder`, and repro.py where
// the contract determines every bit. Returns the violation in words, with certificate and rounding steps;
// empty where the target does not survive it.
std::string write_details(const Case& test_case, const std::optional<oracle::Policy>& policy,
                          const std::string& target, const std::filesystem::path& folder);

}  // namespace normproof::campaign
