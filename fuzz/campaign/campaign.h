// A fuzzing campaign: all fuzzers in turn, several at a time, until the time is up. What is worth keeping
// lies in one folder, so that the next campaign goes on where this one ended, however it ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "corpus/shard.h"
#include "fuzz/campaign/finding_folder.h"
#include "fuzz/campaign/fuzzer_process.h"

namespace normproof::campaign {

struct CampaignOptions {
  std::filesystem::path fuzzers;      // folder of the fuzzers' programs
  std::vector<std::string> names;     // only these; empty: all
  std::filesystem::path folder;       // FOLDER/NAME/{corpus,failures}, FOLDER/findings
  std::filesystem::path corpus;       // case files that every fuzzer of cases starts from
  std::filesystem::path regressions;  // see FindingContext
  std::string target = "host";
  std::string program = "normproof";
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
  std::int64_t bytes = 0;     // of the inputs
  double replay_seconds = 0;  // processor time for all of them
};

struct CampaignResult {
  std::vector<FuzzerTally> fuzzers;
  std::vector<RecordedFinding> findings;  // each signature once
  std::vector<std::string> problems;      // what could not be done: unreadable corpus files, a full disk, ...
  double seconds = 0;
  std::int64_t executions() const;
};

// Called often while the campaign runs.
using ShowProgress = std::function<void(const CampaignResult& so_far, double fraction)>;

// Throws std::runtime_error where there is nothing to run.
CampaignResult run_campaign(const CampaignOptions& options, const ShowProgress& show);

}  // namespace normproof::campaign
