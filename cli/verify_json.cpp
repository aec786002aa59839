// --json of `verify`, which `merge` reads again.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "cli/kind_json.h"
#include "cli/shard.h"
#include "cli/verify_demands.h"
#include "cli/verify_run.h"
#include "corpus/case_json.h"
#include "corpus/json.h"
#include "corpus/json_text.h"

namespace normproof {
namespace {

nlohmann::ordered_json to_json(const Counts& counts) {
  return {{"cases", counts.cases},
          {"rows", counts.rows},
          {"elements", counts.elements},
          {"special_rows", counts.special_rows},
          {"mismatches", counts.mismatches},
          {"violations", counts.violations},
          {"refused_as_demanded", counts.refusals},
          {"not_taken", counts.not_taken}};
}

nlohmann::ordered_json to_json(const Combination& combination, const Counts& counts) {
  nlohmann::ordered_json row = json_of(combination.kind());
  row["path"] = combination.path == KernelPath::vectorized ? "vectorized"
                : combination.path == KernelPath::scalar   ? "scalar"
                                                           : "unknown";
  row.update(to_json(counts));
  return row;
}

// For each band of rows the bands of H that were reached, and those that were not.
nlohmann::ordered_json to_json(const SizesReached& sizes) {
  auto rows = nlohmann::ordered_json::array();
  for (std::size_t row_band = 0; row_band < kRowBands.size(); ++row_band) {
    auto reached = nlohmann::ordered_json::array(), missing = reached;
    for (std::size_t hidden_band = 0; hidden_band < kHiddenBands.size(); ++hidden_band) {
      const SizeCell cell{row_band, hidden_band};
      if (!is_wanted(cell)) continue;
      (sizes.has(cell) ? reached : missing).push_back(to_string(kHiddenBands[hidden_band]));
    }
    rows.push_back(
        {{"rows", to_string(kRowBands[row_band])}, {"reached", reached}, {"not_reached", missing}});
  }
  return rows;
}

// Everything that decides which cases a run judges and when it ends.
nlohmann::ordered_json what_is_run(const VerifyOptions& options, const VerifyResult& result) {
  nlohmann::ordered_json run = {{"target", options.target},
                                {"judge", result.judging.canonical ? "canonical" : "witness"},
                                {"policy", oracle::to_string(result.judging.policy)},
                                {"seed", options.seed},
                                {"seconds", options.seconds},
                                {"corpus_files", result.corpus_files},
                                {"keep_going", options.keep_going}};
  if (!result.orders.empty()) run["orders"] = result.orders;
  if (result.baseline)
    run["baseline"] = {{"file", result.baseline->file},
                       {"digest", result.baseline->digest},
                       {"entries", result.baseline->entries.size()}};
  if (options.cases) run["cases"] = *options.cases;
  if (options.property_cases) run["property_cases"] = *options.property_cases;
  if (options.operation) run["operation"] = name_of(*options.operation);
  if (!options.judged_operation.empty()) run["judged_operation"] = options.judged_operation;
  if (options.dtype) run["dtype"] = name_of(*options.dtype);
  if (options.witness) run["witness"] = *options.witness;
  for (const Promise promise : options.demands) run["demand"].push_back(name_of(promise));
  return run;
}

nlohmann::ordered_json checks_json(const VerifyResult& result) {
  nlohmann::ordered_json rows;
  for (const Check& check : result.checks) {
    rows.push_back({{"group", check.group},
                    {"name", check.name},
                    {"passed", check.passed},
                    {"cases", check.cases},
                    {"seconds", check.seconds},
                    {"message", check.message}});
    if (check.known) rows.back()["known"] = true;
    if (!check.skipped.empty()) rows.back()["skipped"] = check.skipped;
  }
  return rows;
}

nlohmann::ordered_json findings_json(const VerifyResult& result) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Finding& finding : result.findings) {
    rows.push_back({{"found_by", finding.found_by},
                    {"message", finding.message},
                    {"file", finding.file.string()},
                    {"count", finding.count()},
                    {"also_found_by", finding.also_found_by}});
    if (result.baseline) rows.back()["known"] = finding.known;
    if (!finding.call_file.empty()) rows.back()["call_file"] = finding.call_file.string();
    // The repro itself, for who has only this file.
    if (!finding.file.empty()) {
      rows.back()["case"] = nlohmann::ordered_json::parse(case_to_json(finding.test_case));
    }
  }
  return rows;
}

nlohmann::ordered_json baseline_json(const VerifyResult& result) {
  nlohmann::ordered_json entries = nlohmann::ordered_json::array();
  for (const BaselineEntry& entry : result.baseline->entries)
    entries.push_back({{"says", entry.says}, {"state", name_of(entry.state)}});
  return {{"file", result.baseline->file},
          {"known_violations", result.known_violations},
          {"entries", std::move(entries)}};
}

}  // namespace

std::string to_json_text(const VerifyOptions& options, const VerifyResult& result) {
  nlohmann::ordered_json document;
  document["normproof_verify"] = 1;
  document["target"] = options.target;
  document["judge"] = result.judging.canonical ? "canonical" : "witness";
  document["policy"] = oracle::to_string(result.judging.policy);
  document["seed"] = options.seed;
  document["seconds"] = result.seconds;
  document["exit_code"] = exit_code_of(result);
  document["total"] = to_json(result.tally.total());
  document["combinations"] = nlohmann::ordered_json::array();
  const auto& wanted = result.combinations;
  for (const Combination& combination : wanted) {
    document["combinations"].push_back(to_json(combination, result.tally.of(combination)));
  }
  // Calls that no kernel ran or took, and what properties called besides the operation or dtype asked for.
  document["other_calls"] = nlohmann::ordered_json::array();
  const auto add_other = [&](const Combination& combination) {
    const Counts counts = result.tally.of(combination);
    if (counts.cases + counts.not_taken > 0 && std::ranges::none_of(wanted, [&](const Combination& each) {
          return each.shares_row_with(combination);
        }))
      document["other_calls"].push_back(to_json(combination, counts));
  };
  for (Combination combination : all_combinations()) {
    add_other(combination);
    if (combination.path != KernelPath::vectorized) continue;
    combination.path = KernelPath::automatic;
    add_other(combination);
  }
  if (!result.judged.combinations.empty()) document["judged"] = judged_json(result.judged);
  document["sizes"] = to_json(result.tally.sizes());
  if (!result.checks.empty()) document["checks"] = checks_json(result);
  document["stopped_early"] = result.stopped_early;
  if (result.stopped_by != 0) document["stopped_by"] = fmt::format("SIG{}", sigabbrev_np(result.stopped_by));
  document["violations_found"] = result.violations;
  document["findings"] = findings_json(result);
  document["promises"] = promises_json(result.promises);
  document["target_says"] = result.closing_words;
  for (const Learnt& learnt : result.learnt) {
    document["learnt"].push_back({{"operation", name_of(learnt.kind.operation)},
                                  {"dtype", name_of(learnt.kind.dtype)},
                                  {"calls", learnt.found.calls},
                                  {"found", learnt.found.lines},
                                  {"limits", limits_text(learnt.found.limits)}});
  }
  if (result.baseline) document["baseline"] = baseline_json(result);
  if (found_new(result)) {
    document["first_violation"] = {{"cases", result.cases_to_first_violation},
                                   {"seconds", result.seconds_to_first_violation},
                                   {"processor_seconds", result.processor_seconds_to_first_violation}};
  }
  document["unchecked"] = result.unchecked;
  describe_run(document, options.shard, what_is_run(options, result));
  if (result.merged_from > 0) document["shard"]["merged_from"] = result.merged_from;
  return json_text(document, 2) + "\n";
}

}  // namespace normproof
