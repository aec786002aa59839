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

namespace {

bool has(const std::vector<Cause>& causes, const Cause& cause) {
  return std::ranges::find(causes, cause) != causes.end();
}

}  // namespace

bool Violations::is_known(const Cause& cause) const {
  return result_.baseline && std::ranges::any_of(result_.baseline->entries, [&](const BaselineEntry& entry) {
           return has(entry.causes, cause);
         });
}

std::optional<bool> Violations::join(const Cause& cause, const Cause& found, Finding& finding) {
  const auto of_cause = [&](const auto& each) { return has(each.causes, cause); };
  const auto same = std::ranges::find_if(result_.findings, of_cause);
  if (is_known(cause)) {
    // What shrinks to a known violation is known from now on.
    BaselineEntry& entry = *std::ranges::find_if(result_.baseline->entries, of_cause);
    if (!has(entry.causes, found)) entry.causes.push_back(found);
    if (same == result_.findings.end()) {
      record_known(entry, std::move(finding));
      return true;
    }
  }
  if (same == result_.findings.end()) return std::nullopt;
  if (cause != found) same->causes.push_back(found);
  same->also_found_by.push_back(finding.found_by);
  ++result_.violations;
  if (same->known) ++result_.known_violations;
  return same->known;
}

void Violations::record_known(BaselineEntry& entry, Finding finding) {
  entry.state = BaselineEntry::State::seen;
  finding.known = true;
  finding.causes = entry.causes;
  finding.message = entry.says + "\n";
  finding.test_case.name = entry.repro ? entry.repro->name : "";
  fmt::print("known: {} (found by {})\n", entry.says, finding.found_by);
  std::fflush(stdout);
  // What the clock said of it was not the first violation of the run.
  if (!found_new(result_)) {
    result_.cases_to_first_violation = 0;
    result_.seconds_to_first_violation = result_.processor_seconds_to_first_violation = 0;
  }
  result_.findings.push_back(std::move(finding));
  ++result_.violations;
  ++result_.known_violations;
}

bool Violations::record(const Case& failing, std::string found_by, const std::string& message,
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
    if (const auto known = join(found, found, finding)) return *known;
    Shrunk shrunk{failing, false};
    if (options_.shrink) {
      shrunk = shrink_violation(failing, found.violation, target_, evaluation,
                                {.keep_operation = options_.operation.has_value()});
      finding.test_case = shrunk.test_case;
    }
    const Cause smallest{found.violation, finding.test_case.operation, finding.test_case.dtype};
    if (const auto known = join(smallest, found, finding)) return *known;
    finding.causes = {found, smallest};
    finding.message += describe(finding.test_case, evaluation);
    if (shrunk.stopped_early) finding.message += "  " + stopped_early_text({});
  } else {
    const Cause cause = causes_of(finding).front();
    if (const auto known = join(cause, cause, finding)) return *known;
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
  return record(std::move(finding), text);
}

bool Violations::record(Finding finding, const std::string& text) {
  progress_.clear();
  if (finding.causes.empty()) {
    const Cause cause = causes_of(finding).front();
    if (const auto known = join(cause, cause, finding)) return *known;
  }
  fmt::print("{}\n", text);
  std::fflush(stdout);
  result_.findings.push_back(std::move(finding));
  ++result_.violations;
  if (!options_.keep_going) result_.stopped_early = true;
  return false;
}

}  // namespace normproof
