// Uniting the results of a run's shards.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "cli/result_fields.h"
#include "cli/verify_run.h"
#include "corpus/json.h"
#include "corpus/shard.h"
#include "fuzz/campaign/campaign.h"
#include "properties/matrix/matrix.h"

namespace normproof {

// The --json result of a shard, as it was read.
struct ResultText {
  std::string name, text;  // of the file
};

// The result of the whole run.
struct MergedVerify {
  VerifyOptions options;
  VerifyResult result;
};
struct Merged {
  int exit_code = 0;  // that of a violation where any part says so, by its exit code, figures or checks
  std::string text;   // what the command prints at the end of a whole run
  std::vector<std::string> complaints{};  // lines for standard error
  std::string json{};                     // for --json
  std::variant<MergedVerify, matrix::Matrix, campaign::CampaignResult> whole{};
};

// The results of all shards of one run, in any order, as one. Throws UsageError where they are not that, or
// not what the commands write.
Merged merge_results(const std::vector<ResultText>& results);

// The result of one shard.
struct ResultPart {
  std::string file;
  nlohmann::ordered_json document;
  Shard shard;
  ResultFields fields() const { return {document, file}; }
  std::string name() const;  // "shard 2 of 3 (2of3.json)"
};

// Each unites the parts of one run of its command, given in the order of their
// shards. Throw UsageError, as above.
Merged merge_verify(const std::vector<ResultPart>& parts);
Merged merge_mutants(const std::vector<ResultPart>& parts);
Merged merge_fuzz(const std::vector<ResultPart>& parts);

// The exit code that a part says it ended with. Throws UsageError where no run ends so.
int stated_exit_code(const ResultPart& part);

// Adds to the merged result which run it is of: that of the parts, as a whole.
void describe_merged_run(nlohmann::ordered_json& document, const std::vector<ResultPart>& parts);

}  // namespace normproof
