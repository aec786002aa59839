#include "cli/baseline.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "cli/commands.h"
#include "cli/result_fields.h"
#include "corpus/case_json.h"
#include "corpus/case_names.h"
#include "corpus/hash.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/message_text.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;
using Outcome = Evaluation::Outcome;

// Those that violate, and "conforms" for what only shows between calls.
constexpr Outcome kOutcomes[] = {Outcome::conforms,      Outcome::wrong_bits,       Outcome::memory,
                                 Outcome::refused_valid, Outcome::accepted_invalid, Outcome::failed,
                                 Outcome::disagrees};

std::optional<Outcome> outcome_from_name(std::string_view name) {
  for (const Outcome outcome : kOutcomes)
    if (name_of(outcome) == name) return outcome;
  return std::nullopt;
}

std::optional<KernelPath> kernel_path_from_name(std::string_view name) {
  for (const auto& [path, known] : kKernelPathNames)
    if (known == name) return path;
  return std::nullopt;
}

Json json_of(const Cause& cause) {
  return {{"outcome", name_of(cause.violation.outcome)},
          {"operation", name_of(cause.operation)},
          {"dtype", name_of(cause.dtype)},
          {"path", find_name(kKernelPathNames, cause.violation.path)},
          {"without_rows", cause.violation.without_rows},
          {"fault", cause.violation.fault}};
}

Cause cause_from(const ResultFields& row) {
  return {{row.named("outcome", outcome_from_name), row.named("path", kernel_path_from_name),
           row.flag("without_rows"), row.text("fault")},
          row.named("operation", operation_from_name),
          row.named("dtype", dtype_from_name)};
}

Json json_of(const BaselineEntry& entry) {
  Json causes = Json::array();
  for (const Cause& cause : entry.causes) causes.push_back(json_of(cause));
  Json json = {{"says", entry.says}, {"found_by", entry.found_by}, {"causes", causes}};
  if (entry.repro) json["repro"] = Json::parse(case_to_json(*entry.repro));
  return json;
}

BaselineEntry entry_from(const ResultFields& row) {
  BaselineEntry entry;
  entry.says = row.text("says");
  entry.found_by = row.text("found_by");
  for (const ResultFields& cause : row.rows("causes")) entry.causes.push_back(cause_from(cause));
  if (entry.causes.empty()) row.refuse("causes", "must name at least one");
  if (!row.has("repro")) return entry;
  try {
    entry.repro = case_from_json(row.at("repro").dump());
  } catch (const CaseError& error) {
    row.refuse(fmt::format("its repro: {}", error.what()));
  }
  return entry;
}

std::string digest_of(const std::vector<BaselineEntry>& entries) {
  std::string text;
  for (const BaselineEntry& entry : entries)
    for (const Cause& cause : entry.causes) text += json_of(cause).dump() + "\n";
  return fmt::format("{:016x}", fnv1a(text));
}

Json document_in(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw UsageError(fmt::format("--baseline {}: cannot be read", file));
  if (const std::string objection = json_objection(text); !objection.empty())
    throw UsageError(fmt::format("--baseline {}: not JSON: {}", file, objection));
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format("--baseline {}: not JSON: {}", file, error.what()));
  }
}

constexpr const char* kFormat = "normproof_baseline";
constexpr std::int64_t kFormatVersion = 1;

std::string_view judge_name(const BaselineJudging& judging) {
  return judging.canonical ? "canonical" : "witness";
}

}  // namespace

std::string_view name_of(BaselineEntry::State state) {
  return state == BaselineEntry::State::seen       ? "seen"
         : state == BaselineEntry::State::not_seen ? "not seen"
                                                   : "not looked at";
}

std::vector<Cause> causes_of(const Finding& finding) {
  if (!finding.causes.empty()) return finding.causes;
  const std::string check = finding.found_by.substr(0, finding.found_by.find(':'));
  return {{{Outcome::conforms, KernelPath::automatic, false, without_numbers(check)},
           finding.test_case.operation,
           finding.test_case.dtype}};
}

std::string to_string(const Cause& cause) {
  const ViolationIdentity& violation = cause.violation;
  const std::string call = fmt::format("{} {}", name_of(cause.operation), name_of(cause.dtype));
  if (violation.outcome == Outcome::conforms) return fmt::format("{}, {}", violation.fault, call);
  return fmt::format("{}, {}{}{}{}", name_of(violation.outcome), call,
                     violation.path == KernelPath::automatic
                         ? ""
                         : fmt::format(", {} path", find_name(kKernelPathNames, violation.path)),
                     violation.without_rows ? ", no rows" : "",
                     violation.fault.empty() ? "" : ": " + violation.fault);
}

BaselineUse read_baseline(const std::string& file, const BaselineJudging& judging) {
  const Json document = document_in(file);
  const std::string where = "--baseline " + file;
  if (!document.is_object() || !document.contains(kFormat))
    throw UsageError(
        fmt::format("{}: no baseline; `normproof verify --write-baseline FILE` writes one", where));
  const ResultFields fields(document, where);
  static_cast<void>(fields.count(kFormat, kFormatVersion, kFormatVersion));
  const auto demand = [&](const char* key, std::string_view wanted) {
    if (const std::string stated = fields.text(key); stated != wanted)
      throw UsageError(
          fmt::format("{}: written by {} {}, this run's is {}", where, key, in_quotes(stated), wanted));
  };
  demand("judge", judge_name(judging));
  demand("policy", judging.policy);
  BaselineUse baseline{file, {}, {}};
  const std::vector<ResultFields> rows = fields.rows("known");
  if (static_cast<std::int64_t>(rows.size()) > kMostBaselineEntries)
    fields.refuse("known", fmt::format("holds more than {} entries", kMostBaselineEntries));
  for (const ResultFields& row : rows) baseline.entries.push_back(entry_from(row));
  baseline.digest = digest_of(baseline.entries);
  return baseline;
}

std::string baseline_text(const std::string& target, const BaselineJudging& judging,
                          const std::vector<BaselineEntry>& before, const std::vector<Finding>& findings) {
  Json known = Json::array();
  for (const BaselineEntry& entry : before)
    if (entry.state != BaselineEntry::State::not_seen) known.push_back(json_of(entry));
  for (const Finding& finding : findings) {
    if (finding.known) continue;
    BaselineEntry entry;
    entry.causes = causes_of(finding);
    entry.says = to_string(entry.causes[finding.causes.size() > 1 ? 1 : 0]);  // of the shrunk case
    // The first two are one where shrinking has kept operation and dtype.
    const auto same = std::ranges::unique(entry.causes);
    entry.causes.erase(same.begin(), same.end());
    entry.found_by = finding.found_by;
    if (!finding.causes.empty()) {
      entry.repro = finding.test_case;
      entry.repro->outputs.reset();
    }
    known.push_back(json_of(entry));
  }
  const Json document = {{kFormat, kFormatVersion},
                         {"target", target},
                         {"judge", judge_name(judging)},
                         {"policy", judging.policy},
                         {"known", known}};
  return json_text(document, 1) + "\n";
}

}  // namespace normproof
