// A fuzzing campaign: all fuzzers in turn, several at a time, until the time is up. A bug does not end it:
// the fuzzers go on past what is known. What is worth keeping lies in one folder, so that the next campaign
// goes on where this one ended, however it ended.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/shard.h"
#include "fuzz/campaign/finding_folder.h"
#include "fuzz/campaign/fuzzer_process.h"

namespace normproof::campaign {

// The fuzzers that are made to find what is wrong with a target. They come
// first, and they alone run plug-ins.
inline constexpr std::array<std::string_view, 2> kFuzzersOfTargets = {"conformance", "wide"};

struct CampaignOptions {
  std::filesystem::path fuzzers;      // folder of the fuzzers' programs
  std::vector<std::string> names;     // only these; empty: all
  std::filesystem::path folder;       // FOLDER/NAME/{corpus,failures}, FOLDER/findings
  std::filesystem::path corpus;       // case files that every fuzzer of cases starts from
  std::filesystem::path regressions;  // see FindingContext
  std::string target = "host";
  std::string program = "normproof";
  FuzzerProcess::Environment environment;  // of the fuzzers: where they find workers and mutants
  std::chrono::seconds time{600};
  int jobs = 2;
  std::uint64_t seed = 1;
  Shard shard;  // the runs of each fuzzer, numbered over all shards, have the seeds seed + 1, seed + 2, ...
};

struct FuzzerTally {
  std::string name;
  std::int64_t runs = 0;  // of the process
  std::int64_t executions = 0;
  std::int64_t coverage = 0;
  std::int64_t inputs = 0;  // in its corpus, minimized at the end
  std::int64_t failures = 0;
  double run_seconds = 0;             // of all its runs
  std::int64_t known_violations = 0;  // executions that met a known bug; the fuzzer went on
  double known_seconds = 0;           // that they took, out of run_seconds
  std::int64_t left_out = 0;          // executions of nothing: cases where a known bug ends the process
  std::int64_t bytes = 0;             // of the inputs
  double replay_seconds = 0;          // processor time for all of them
};

struct CampaignResult {
  std::vector<FuzzerTally> fuzzers;
  std::vector<RecordedFinding> findings;  // each signature once; known ones that still violate as well
  std::vector<std::string> problems;      // what could not be done: unreadable corpus files, a full disk, ...
  std::vector<std::string> not_looked_at;  // cases around bugs that end a process, fuzzers that rest
  double seconds = 0;
  std::int64_t executions() const {
    std::int64_t sum = 0;
    for (const FuzzerTally& fuzzer : fuzzers) sum += fuzzer.executions;
    return sum;
  }
};

// Called often while the campaign runs.
using ShowProgress = std::function<void(const CampaignResult& so_far, double fraction)>;

// Throws std::runtime_error where there is nothing to run.
CampaignResult run_campaign(const CampaignOptions& options, const ShowProgress& show);

}  // namespace normproof::campaign
