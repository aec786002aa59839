// The results of a campaign's shards as the result of the whole campaign.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/fuzz_result.h"
#include "cli/merge.h"
#include "cli/stop_signals.h"
#include "corpus/json_text.h"

namespace normproof {
namespace {

void add(campaign::CampaignResult& all, const ResultPart& part) {
  const ResultFields fields = part.fields();
  for (const ResultFields& row : fields.rows("fuzzers")) {
    const std::string name = row.text("name");
    auto fuzzer = std::ranges::find(all.fuzzers, name, &campaign::FuzzerTally::name);
    if (fuzzer == all.fuzzers.end()) {
      all.fuzzers.push_back({.name = name});
      fuzzer = all.fuzzers.end() - 1;
    }
    fuzzer->runs += row.count("runs");
    fuzzer->executions += row.count("executions");
    fuzzer->coverage = std::max(fuzzer->coverage, row.count("edges"));
    fuzzer->inputs += row.count("inputs");
    fuzzer->bytes += row.count("bytes");
    fuzzer->replay_seconds += row.seconds("replay_seconds");
    fuzzer->failures += row.count("failures");
    fuzzer->run_seconds += row.seconds("run_seconds");
    fuzzer->known_violations += row.count("known_violations");
    fuzzer->known_seconds += row.seconds("known_seconds");
    fuzzer->left_out += row.count("left_out");
  }
  const auto findings = fields.rows("findings");
  for (const ResultFields& row : findings) {
    const std::string signature = row.text("signature");
    const bool is_new = row.flag("is_new");
    const auto same = std::ranges::find(all.findings, signature, &campaign::RecordedFinding::signature);
    if (same == all.findings.end()) {
      all.findings.push_back({signature, row.text("folder"), is_new, {}, {}});
    } else {
      same->is_new = same->is_new && is_new;  // a shard that knew it knows it for all
    }
  }
  const auto not_looked_at = fields.texts("not_looked_at");
  for (const std::string& what : not_looked_at)
    if (std::ranges::count(all.not_looked_at, what) == 0) all.not_looked_at.push_back(what);
  const auto problems = fields.texts("problems");
  for (const std::string& problem : problems)
    if (std::ranges::count(all.problems, problem) == 0) all.problems.push_back(problem);
  if (fields.flag("stopped_early") && problems.empty())
    all.problems.push_back(fmt::format("{} stopped early, and does not say why", part.name()));
  all.seconds = std::max(all.seconds, fields.seconds("seconds"));
}

// Nothing that a part says of itself is lost, also where its lists do not say so.
int worst_exit_code(int of_the_lists, const std::vector<ResultPart>& parts,
                    std::vector<std::string>& complaints) {
  int worst = of_the_lists;
  for (const ResultPart& part : parts) {
    const int code = stated_exit_code(part);
    if (code == kAllGood || worst == kViolationFound) continue;
    if (is_exit_code_of_stop(code)) continue;  // a problem, which says so
    if (code != worst) complaints.push_back(fmt::format("{} ended with exit code {}", part.name(), code));
    worst = code;
  }
  return worst;
}

}  // namespace

Merged merge_fuzz(const std::vector<ResultPart>& parts) {
  campaign::CampaignResult result;
  for (const ResultPart& part : parts) add(result, part);
  Merged merged;
  merged.exit_code = worst_exit_code(exit_code_of(result), parts, merged.complaints);
  merged.text = to_text(result);
  merged.complaints.insert(merged.complaints.end(), result.problems.begin(), result.problems.end());
  auto document = to_json(result);
  document["exit_code"] = merged.exit_code;
  describe_merged_run(document, parts);
  merged.json = json_text(document, 2) + "\n";
  merged.whole = std::move(result);
  return merged;
}

}  // namespace normproof
