#include "cli/judged_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "corpus/json.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

std::string promise_text(Promise promise, const JudgedPromise& seen) {
  if (seen.comparisons == 0) return fmt::format("  {}: not compared\n", breach_of(promise));
  std::string text = fmt::format("  {}: {} (in {} pair{} of calls)\n", breach_of(promise),
                                 seen.differing > 0 ? "seen" : "not seen", seen.comparisons,
                                 seen.comparisons == 1 ? "" : "s");
  if (seen.differing > 0) text += fmt::format("    {}\n", seen.first);
  return text;
}

// Reasons, the most frequent first.
std::string not_taken_text(const JudgedOperationResult& operation) {
  std::vector<std::pair<std::int64_t, std::string>> reasons;
  for (const auto& [reason, count] : operation.not_taken) reasons.emplace_back(-count, reason);
  std::ranges::sort(reasons);
  std::string text;
  constexpr std::size_t kMostReasons = 8;
  for (const auto& [count, reason] : std::span(reasons).first(std::min(reasons.size(), kMostReasons)))
    text += fmt::format("  not taken, {} call{}: {}\n", -count, count == -1 ? "" : "s", reason);
  if (reasons.size() > kMostReasons) text += "  not taken: other calls, for other reasons\n";
  return text;
}

Counts counts_of(const JudgedResult& result, const std::string& operation) {
  Counts counts;
  for (const JudgedCombination& each : result.combinations)
    if (each.operation == operation) counts += each.counts;
  return counts;
}

// Of operations that are judged by every bit, which all have the same blind spots: those, to be said once.
std::vector<std::string> not_looked_at_in_any(const JudgedResult& result) {
  if (!result.is_canonical() || result.operations.size() < 2) return {};
  std::vector<std::string> common;
  for (const JudgedOperationResult& each : result.operations) {
    if (each.not_looked_at.empty()) continue;  // without calls
    if (common.empty()) common = each.not_looked_at;
    std::erase_if(common,
                  [&](const std::string& blind) { return !std::ranges::count(each.not_looked_at, blind); });
  }
  return common;
}

}  // namespace

std::string to_string(const JudgedCombination& combination) {
  return fmt::format("{} {}{}", combination.operation, name_of(combination.dtype),
                     combination.weight.empty() ? "" : ", weight " + combination.weight) +
         (combination.codes.empty() ? "" : ", codes " + combination.codes);
}

Counts JudgedResult::total() const {
  Counts total;
  for (const JudgedCombination& each : combinations) total += each.counts;
  return total;
}

std::string table_line(std::string_view operation, std::string_view dtype, const Counts& counts,
                       const std::string& special_rows) {
  return fmt::format("{:<36} {:<5} {:>10} {:>11} {:>14} {:>13} {:>11}\n", operation, dtype,
                     with_spaces(counts.cases), with_spaces(counts.rows), with_spaces(counts.elements),
                     special_rows, with_spaces(counts.mismatches));
}

std::string judged_table_text(const JudgedResult& result) {
  std::string text;
  for (const JudgedOperationResult& operation : result.operations) {
    for (const DType dtype : kActivationDTypes) {
      Counts counts;
      for (const JudgedCombination& each : result.combinations)
        if (each.operation == operation.operation && each.dtype == dtype) counts += each.counts;
      if (counts.cases > 0) text += table_line(operation.operation, name_of(dtype), counts, "");
    }
  }
  return text;
}

std::string judged_text(const JudgedResult& result) {
  std::string text;
  const std::vector<std::string> common = not_looked_at_in_any(result);
  for (const JudgedOperationResult& operation : result.operations) {
    const Counts counts = counts_of(result, operation.operation);
    text += fmt::format(
        "{}: policy {}, {}; {} calls in {:.1f} s", operation.operation, operation.policy,
        operation.canonical ? "canonical judge: every bit" : "search judge: any order of summation",
        counts.cases, operation.seconds);
    if (operation.looked_at > 0)
      text += fmt::format("; {} of {} say little: outputs with random statistics or sums conform as well",
                          operation.saying_little, operation.looked_at);
    text += "\n" + not_taken_text(operation);
    if (operation.undecided > 0)
      text += fmt::format("  not looked at: {} rows as a whole, whose search was given up\n",
                          operation.undecided);
    for (const std::string& blind : operation.not_looked_at)
      if (!std::ranges::count(common, blind)) text += fmt::format("  not looked at: {}\n", blind);
  }
  if (result.operations.empty()) return text;
  text += "of these operations:\n";
  for (const std::string& blind : common) text += fmt::format("  not looked at: {}\n", blind);
  for (std::size_t i = 0; i < kJudgedPromises.size(); ++i)
    text += promise_text(kJudgedPromises[i], result.promises[i]);
  if (result.relations.empty()) return text;
  text += "relations between calls, and how often they were checked:\n";
  for (const JudgedRelation& each : result.relations) {
    text +=
        fmt::format("  {}: {}{}\n", each.name, each.checked == 0 ? "not compared" : with_spaces(each.checked),
                    each.broken > 0 ? fmt::format(", broken {} times", each.broken) : "");
    if (!each.first.empty()) text += fmt::format("    {}\n", each.first);
  }
  return text;
}

nlohmann::ordered_json judged_json(const JudgedResult& result) {
  Json combinations = Json::array(), operations = Json::array(), promises = Json::array();
  for (const JudgedCombination& each : result.combinations)
    combinations.push_back({{"operation", each.operation},
                            {"dtype", name_of(each.dtype)},
                            {"weight", each.weight},
                            {"codes", each.codes},
                            {"calls", each.counts.cases},
                            {"rows", each.counts.rows},
                            {"elements", each.counts.elements},
                            {"not_conforming", each.counts.mismatches},
                            {"violations", each.counts.violations},
                            {"not_taken", each.counts.not_taken}});
  for (const JudgedOperationResult& each : result.operations) {
    operations.push_back({{"operation", each.operation},
                          {"policy", each.policy},
                          {"judge", each.canonical ? "canonical" : "search"},
                          {"seconds", each.seconds},
                          {"looked_at", each.looked_at},
                          {"saying_little", each.saying_little},
                          {"not_looked_at", each.not_looked_at},
                          {"undecided", each.undecided},
                          {"not_taken", Json::array()}});
    for (const auto& [reason, count] : each.not_taken)
      operations.back()["not_taken"].push_back({{"reason", reason}, {"calls", count}});
  }
  for (std::size_t i = 0; i < kJudgedPromises.size(); ++i)
    promises.push_back({{"name", name_of(kJudgedPromises[i])},
                        {"comparisons", result.promises[i].comparisons},
                        {"differing", result.promises[i].differing},
                        {"first", result.promises[i].first}});
  Json relations = Json::array();
  for (const JudgedRelation& each : result.relations)
    relations.push_back({{"name", each.name},
                         {"checked", each.checked},
                         {"not_compared", each.not_compared},
                         {"broken", each.broken},
                         {"first", each.first}});
  return {{"combinations", std::move(combinations)},
          {"operations", std::move(operations)},
          {"promises", std::move(promises)},
          {"relations", std::move(relations)}};
}

void add_judged(JudgedResult& all, const ResultFields& part) {
  const bool is_first = all.combinations.empty();
  std::size_t next = 0;
  for (const ResultFields& row : part.rows("combinations")) {
    JudgedCombination combination{row.text("operation"),
                                  row.named("dtype", target_dtype_from_name),
                                  row.text("weight"),
                                  row.text("codes"),
                                  {}};
    const JudgedCombination same = combination;
    combination.counts.cases = row.count("calls");
    combination.counts.rows = row.count("rows");
    combination.counts.elements = row.count("elements");
    combination.counts.mismatches = row.count("not_conforming");
    combination.counts.violations = row.count("violations");
    combination.counts.not_taken = row.count("not_taken");
    if (is_first) {
      all.combinations.push_back(combination);
      continue;
    }
    if (next >= all.combinations.size() || to_string(all.combinations[next]) != to_string(same))
      row.refuse("its combinations are others than those of the first shard");
    all.combinations[next++].counts += combination.counts;
  }
  if (!is_first && next != all.combinations.size())
    part.refuse("its combinations are others than those of the first shard");
  next = 0;
  for (const ResultFields& row : part.rows("operations")) {
    const bool canonical = row.has("judge") && row.text("judge") == "canonical";
    if (is_first) all.operations.push_back({row.text("operation"), row.text("policy"), canonical});
    if (next >= all.operations.size() || all.operations[next].operation != row.text("operation") ||
        all.operations[next].policy != row.text("policy") || all.operations[next].canonical != canonical)
      row.refuse("operation, policy or judge is another than that of the first shard");
    JudgedOperationResult& operation = all.operations[next++];
    operation.seconds += row.seconds("seconds");
    operation.looked_at += row.count("looked_at");
    operation.saying_little += row.count("saying_little");
    if (row.has("undecided")) operation.undecided += row.count("undecided");
    const std::vector<std::string> blind = row.texts("not_looked_at");
    if (is_first) operation.not_looked_at = blind;
    std::erase_if(operation.not_looked_at,
                  [&](const auto& each) { return !std::ranges::count(blind, each); });
    for (const ResultFields& reason : row.rows("not_taken"))
      operation.not_taken[reason.text("reason")] += reason.count("calls");
  }
  const std::vector<ResultFields> promises = part.rows("promises");
  for (std::size_t i = 0; i < std::min(promises.size(), kJudgedPromises.size()); ++i) {
    JudgedPromise& promise = all.promises[i];
    promise.comparisons += promises[i].count("comparisons");
    promise.differing += promises[i].count("differing");
    if (promise.first.empty()) promise.first = promises[i].text("first");
  }
  next = 0;
  for (const ResultFields& row : part.rows("relations")) {
    if (is_first) all.relations.push_back({row.text("name")});
    if (next >= all.relations.size() || all.relations[next].name != row.text("name"))
      row.refuse("is another relation than that of the first shard");
    JudgedRelation& relation = all.relations[next++];
    relation.checked += row.count("checked");
    relation.not_compared += row.count("not_compared");
    relation.broken += row.count("broken");
    if (relation.first.empty()) relation.first = row.text("first");
  }
}

}  // namespace normproof
