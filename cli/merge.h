// Uniting the results of a run's shards.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace normproof {

struct MergeOutput {
  std::string json, html;  // files; empty: none
};

// Each unites the parts of one run of its command, given in the order of their shards, prints what the
// command prints at the end of a whole run, writes the files, and returns the exit code. Throw UsageError and
// nlohmann::json::exception where the parts are not what the command writes.
int merge_verify(const std::vector<nlohmann::ordered_json>& parts, const MergeOutput& output);
int merge_mutants(const std::vector<nlohmann::ordered_json>& parts, const MergeOutput& output);
int merge_fuzz(const std::vector<nlohmann::ordered_json>& parts, const MergeOutput& output);

}  // namespace normproof
