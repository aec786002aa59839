// A finding: a case that violates the contract, shrunk, written as JSON and printed with the command that
// replays it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "corpus/case.h"
#include "properties/run/evaluate.h"
#include "properties/run/target.h"

namespace normproof {

struct Finding {
  Case test_case;                    // shrunk
  std::string found_by;              // "corpus seeds/B1.json", "property bitwise-equality", "random case 17"
  std::string message;               // what is wrong, with the certificate
  std::filesystem::path file;        // the JSON; empty where it could not be written
  std::optional<Outputs> outputs{};  // of the target on the stored case, where it gave some
};

// Shrinks `failing`, a case that violates on `target`, for some seconds; the result violates too.
Case shrink_violation(const Case& failing, Target& target);

// Writes the case below `folder`, named by operation, dtype and the kind of violation that `evaluation`
// shows, and fills in `file`. Throws CaseError where it cannot.
void store_finding(Finding& finding, const std::filesystem::path& folder, const Target& target,
                   const Evaluation& evaluation);

// The text that people see.
std::string finding_text(const Finding& finding, const Target& target);

}  // namespace normproof
