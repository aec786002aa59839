// Uniting the results of a run's shards.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/result_fields.h"
#include "corpus/shard.h"

namespace normproof {

struct MergeOutput {
  std::string json, html;  // files; empty: none
};

// The result of one shard.
struct ResultPart {
  std::string file;
  nlohmann::ordered_json document;
  Shard shard;
  ResultFields fields() const { return {document, file}; }
  std::string name() const;  // "shard 2 of 3 (2of3.json)"
};

// Each unites the parts of one run of its command, given in the order of their shards, prints what the
// command prints at the end of a whole run, writes the files, and returns the exit code: that of a violation
// where any part says so, by its exit code, its figures or its checks. Throw UsageError where the parts are
// not what the command writes.
int merge_verify(const std::vector<ResultPart>& parts, const MergeOutput& output);
int merge_mutants(const std::vector<ResultPart>& parts, const MergeOutput& output);
int merge_fuzz(const std::vector<ResultPart>& parts, const MergeOutput& output);

// The exit code that a part says it ended with. Throws UsageError where no run ends so.
int stated_exit_code(const ResultPart& part);

// Adds to the merged result which run it is of: that of the parts, as a whole.
void describe_merged_run(nlohmann::ordered_json& document, const std::vector<ResultPart>& parts);

}  // namespace normproof
