// From an input that made a fuzzer fail to a bug report: the input is made small, named by what it shows, and
// written to a folder of its own together with everything that a maintainer needs.
#pragma once

#include <filesystem>
#include <string>

#include "fuzz/campaign/fuzzer_process.h"

namespace normproof::campaign {

struct FindingContext {
  std::string target;                 // as in --target
  std::filesystem::path findings;     // one folder per finding is made here
  std::filesystem::path regressions;  // the minimized case goes here as well; empty: nowhere
  std::filesystem::path scratch;      // for files in between; emptied for every input
  std::string program;                // how this program is called, for commands that people copy
};

struct RecordedFinding {
  std::string signature;
  std::filesystem::path folder;
  bool is_new = false;  // else one of this signature was there already, and its count has grown
};

// Handles one input on which `fuzzer` failed. The input is reproduced, minimized with the fuzzer itself as
// the judge (so that crashes and hangs of the target stay in its process), and written:
//   report.md            what was run, what was expected, certificate, bits, commands
//   case.json            the minimized case (where the fuzzer's inputs are cases)
//   outputs.safetensors  its tensors and what the target gave (where it gave outputs)
//   repro.py             a script that needs numpy alone (the same)
//   input, log.txt       the fuzzer's own input, and what it printed
// A folder appears complete or not at all. Throws std::exception where it cannot be written.
RecordedFinding record_finding(const Fuzzer& fuzzer, const std::filesystem::path& input,
                               const FindingContext& context);

}  // namespace normproof::campaign
