// The baseline of `verify`: violations that are known, by their causes. A known one does not fail a run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/finding.h"

namespace normproof {

// Violations of one cause that a run has found before.
struct BaselineEntry {
  enum class State {
    not_looked_at,  // the run ended before, or was not of its operation or dtype
    not_seen,       // its repro conforms, or what has found it finds nothing any more
    seen,
  };
  std::vector<Cause> causes{};
  std::string says{};  // in a few words, for people
  std::string found_by{};
  std::optional<Case> repro{};  // none where the violation is one of several calls
  State state = State::not_looked_at;
};
std::string_view name_of(BaselineEntry::State state);
inline constexpr std::int64_t kMostBaselineEntries = 10'000;

// What a run makes of its baseline.
struct BaselineUse {
  std::string file;
  std::string digest;  // of the causes that were known before the run
  std::vector<BaselineEntry> entries;
};

// By what a finding is known. Where the judge alone does not see the violation it is what found it: a
// property, or a promise.
std::vector<Cause> causes_of(const Finding& finding);
// "wrong bits, rms_norm bf16, vectorized path: rounding violation".
std::string to_string(const Cause& cause);

// How the outputs were judged: known under another policy is not known.
struct BaselineJudging {
  bool canonical = true;
  std::string policy;
};
// Throws UsageError naming the file where it cannot be read, is no baseline, or of other judging.
BaselineUse read_baseline(const std::string& file, const BaselineJudging& judging);

// What `--write-baseline` writes: the entries of the run's baseline, but for those that were looked at and
// not seen again, and its new findings.
std::string baseline_text(const std::string& target, const BaselineJudging& judging,
                          const std::vector<BaselineEntry>& before, const std::vector<Finding>& findings);

}  // namespace normproof
