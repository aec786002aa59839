// A finding: a case that violates the contract, shrunk, written as JSON and printed with the command that
// replays it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "properties/judging/evaluate.h"
#include "properties/judging/violation_identity.h"
#include "properties/targets/target.h"

namespace normproof {

// Violations of one cause are one finding.
struct Cause {
  ViolationIdentity violation;
  Operation operation;
  DType dtype;
  friend bool operator==(const Cause&, const Cause&) = default;
};

struct Finding {
  Case test_case;                     // shrunk
  std::string found_by;               // "corpus seeds/B1.json", "property bitwise-equality", "random case 17"
  std::string message;                // what is wrong, with the certificate
  std::filesystem::path file;         // the JSON; empty where it could not be written
  std::optional<Outputs> outputs{};   // of the target on the stored case, those that were judged
  std::filesystem::path call_file{};  // of a judged operation: its call, in place of a case
  std::filesystem::path sequence{};   // the calls that show it, where the case alone does not
  // Where the case alone shows the violation: of the cases that were found, and of the shrunk one, whose
  // operation may be a simpler one.
  std::vector<Cause> causes{};
  bool known = false;  // its cause is in the baseline: neither shrunk nor stored
  // More violations of the same cause, which are neither shrunk nor stored: what found them.
  std::vector<std::string> also_found_by{};
  std::int64_t count() const { return 1 + static_cast<std::int64_t>(also_found_by.size()); }
};

struct ShrinkOptions {
  double seconds = 10;  // long rows make each step slow, and a repro is wanted soon
  bool keep_operation = false;
};
struct Shrunk {
  Case test_case;
  bool stopped_early = false;  // the time was up: a smaller case may exist
};
// Shrinks `failing`, whose violation on `target` is `cause`; the result violates in the same way: same kind,
// same place, same fault. The operation becomes a simpler one where that shows it too. `seen` is what was
// seen of it, and becomes what was seen of the result: a target that depends on chance may not do it again.
Shrunk shrink_violation(const Case& failing, const ViolationIdentity& cause, Target& target, Evaluation& seen,
                        const ShrinkOptions& options = {});
// "shrinking stopped early after 10 s: ...", a line for a Shrunk that did.
std::string stopped_early_text(const ShrinkOptions& options);

// FNV-1a: tells findings of the same kind apart in their file names.
std::uint32_t short_hash(std::string_view text);

// Writes the case below `folder` with the outputs that were seen, unless they are large, named by operation,
// dtype and the kind of violation that `evaluation` shows, and fills in `file`.
// Throws CaseError where it cannot.
void store_finding(Finding& finding, const std::filesystem::path& folder, const Target& target,
                   const Evaluation& evaluation);

// The text that people see.
std::string finding_text(const Finding& finding, const Target& target);

}  // namespace normproof
