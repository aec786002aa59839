// From an input that made a fuzzer fail to a bug report: the input is made small, named by what it shows, and
// written to a folder of its own together with everything that a maintainer needs.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "corpus/case.h"
#include "fuzz/campaign/fuzzer_process.h"
#include "fuzz/known/known_bug.h"

namespace normproof::campaign {

struct FindingContext {
  std::string target;                 // as in --target
  std::filesystem::path findings;     // one folder per finding is made here
  std::filesystem::path regressions;  // the minimized case goes here as well; empty: nowhere
  std::filesystem::path scratch;      // for files in between; emptied for every input
  std::string program;                // how this program is called, for commands that people copy
  FuzzerProcess::Environment
      environment{};  // what a fuzzer needs besides the target's name, for these commands
};

struct RecordedFinding {
  std::string signature;
  std::filesystem::path folder{};
  bool is_new = false;  // else it was known, and its count has grown
  std::optional<KnownBug> bug{};
  std::optional<Case> found{};  // the fuzzer's case, not made small
};

// The findings in the folder that are of the context's target and whose stored case still violates: open
// bugs. `fuzzers` are those that can be asked. What cannot be read is added to `problems`.
std::vector<RecordedFinding> open_findings(const FindingContext& context, const std::vector<Fuzzer>& fuzzers,
                                           std::vector<std::string>& problems);

// Handles one input on which `fuzzer` failed; `known` are the open bugs. The input is reproduced, minimized
// with the fuzzer itself as the judge where a plain run does not show it (so that crashes and hangs of the
// target stay in its process), and written:
//   report.md            what was run, what was expected, certificate, bits, commands
//   case.json            the minimized case (where the fuzzer's inputs are cases)
//   call.json            the call (where they are calls by name)
//   outputs.safetensors  its tensors and what the target gave (where it gave outputs)
//   repro.py             a script that needs numpy alone (the same)
//   input, log.txt       the fuzzer's own input, and what it printed
//   finding.json, count  what is recognized by, for later campaigns; how often it was found
// A folder appears complete or not at all, and none takes the place of another. Throws std::exception where
// it cannot be written.
RecordedFinding record_finding(const Fuzzer& fuzzer, const std::filesystem::path& input,
                               const std::vector<KnownBug>& known, const FindingContext& context);

}  // namespace normproof::campaign
