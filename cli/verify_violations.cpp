#include "cli/verify_violations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <utility>
#include <vector>

#include "cli/reproduction.h"
#include "corpus/case_json.h"

namespace normproof {

void Violations::note_first() {
  if (result_.cases_to_first_violation != 0) return;
  result_.seconds_to_first_violation = clock_.seconds();
  result_.processor_seconds_to_first_violation = clock_.processor_seconds();
  result_.cases_to_first_violation = std::max<std::int64_t>(result_.tally.total().cases, 1);
}

// Where a finding of this cause is there already, counts the violation with it: it has a repro.
bool Violations::counts_as_known(const Cause& cause, const Cause& found, const std::string& found_by) {
  const auto known = std::ranges::find_if(result_.findings, [&](const Finding& finding) {
    return std::ranges::find(finding.causes, cause) != finding.causes.end();
  });
  if (known == result_.findings.end()) return false;
  if (cause != found) known->causes.push_back(found);
  known->also_found_by.push_back(found_by);
  ++result_.violations;
  return true;
}

void Violations::record(const Case& failing, std::string found_by, const std::string& message,
                        std::optional<Evaluation> seen) {
  progress_.clear();
  const std::vector<Case> before = recorder_ != nullptr ? recorder_->recent() : std::vector<Case>{};
  Finding finding;
  finding.found_by = std::move(found_by);
  finding.test_case = failing;
  // As few runs as can be: each may take as long as the target's patience.
  Evaluation evaluation = seen ? *std::move(seen) : evaluate(failing, target_);
  finding.message = message.empty() ? "" : message + "\n";
  if (evaluation.violates()) {
    const Cause found{identity_of(failing, evaluation), failing.operation, failing.dtype};
    if (counts_as_known(found, found, finding.found_by)) return;
    Shrunk shrunk{failing, false};
    if (options_.shrink) {
      shrunk = shrink_violation(failing, found.violation, target_, evaluation,
                                {.keep_operation = options_.operation.has_value()});
      finding.test_case = shrunk.test_case;
    }
    const Cause smallest{found.violation, finding.test_case.operation, finding.test_case.dtype};
    if (counts_as_known(smallest, found, finding.found_by)) return;
    finding.causes = {found, smallest};
    finding.message += describe(finding.test_case, evaluation);
    if (shrunk.stopped_early) finding.message += "  " + stopped_early_text({});
  }
  try {
    store_finding(finding, options_.findings, target_, evaluation);
    if (evaluation.violates()) reproduce(finding, before, target_);
  } catch (const std::exception& error) {
    finding.message += finding.file.empty() ? fmt::format("  the repro could not be written: {}\n{}\n",
                                                          error.what(), case_to_json(finding.test_case))
                                            : fmt::format("  it could not be replayed: {}\n", error.what());
  }
  const std::string text = finding_text(finding, target_);
  record(std::move(finding), text);
}

void Violations::record(Finding finding, const std::string& text) {
  progress_.clear();
  fmt::print("{}\n", text);
  std::fflush(stdout);
  result_.findings.push_back(std::move(finding));
  ++result_.violations;
  if (!options_.keep_going) result_.stopped_early = true;
}

}  // namespace normproof
