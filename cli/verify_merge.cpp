// The results of verify's shards as the result of the whole run.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/html_report.h"
#include "cli/merge.h"
#include "cli/shard.h"
#include "cli/verify_run.h"
#include "corpus/case_json.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

template <class Value>
Value require_known(std::optional<Value> value, const Json& name) {
  if (!value) throw UsageError(fmt::format("a damaged result: unknown name {}", name.dump()));
  return *value;
}

std::optional<DType> dtype_from(const Json& name) {
  if (name.is_null()) return std::nullopt;
  return require_known(dtype_from_name(name.get<std::string>()), name);
}

VerifyOptions options_from(const Json& run) {
  VerifyOptions options;
  options.target = run.at("target").get<std::string>();
  options.seed = run.at("seed").get<std::uint64_t>();
  if (run.contains("operation")) {
    options.operation = require_known(operation_from_name(run.at("operation").get<std::string>()), run);
  }
  if (run.contains("dtype")) options.dtype = dtype_from(run.at("dtype"));
  return options;
}

Judging judging_from(const Json& run) {
  return {run.at("judge") == "canonical", oracle::parse_policy(run.at("policy").get<std::string>())};
}

Combination combination_from(const Json& row) {
  const auto path = row.at("path").get<std::string>();
  return {require_known(operation_from_name(row.at("operation").get<std::string>()), row.at("operation")),
          require_known(dtype_from(row.at("dtype")), row.at("dtype")), dtype_from(row.at("weight_dtype")),
          dtype_from(row.at("quantized_dtype")),
          path == "vectorized" ? KernelPath::vectorized
          : path == "scalar"   ? KernelPath::scalar
                               : KernelPath::automatic};
}

void add_row(Tally& tally, const Json& row) {
  Counts counts;
  counts.cases = row.at("cases").get<std::int64_t>();
  counts.rows = row.at("rows").get<std::int64_t>();
  counts.elements = row.at("elements").get<std::int64_t>();
  counts.special_rows = row.at("special_rows").get<std::int64_t>();
  counts.mismatches = row.at("mismatches").get<std::int64_t>();
  counts.violations = row.at("violations").get<std::int64_t>();
  counts.refusals = row.at("refused_as_demanded").get<std::int64_t>();
  counts.not_taken = row.at("not_taken").get<std::int64_t>();
  tally.add(combination_from(row), counts);
}

void add_check(std::vector<Check>& checks, const Json& row) {
  Check check{row.at("group").get<std::string>(), row.at("name").get<std::string>(),
              row.at("passed").get<bool>(),       row.at("cases").get<std::int64_t>(),
              row.at("seconds").get<double>(),    row.at("message").get<std::string>()};
  const auto same = std::ranges::find_if(
      checks, [&](const Check& other) { return other.group == check.group && other.name == check.name; });
  if (same == checks.end()) {
    checks.push_back(std::move(check));
    return;
  }
  // The random cases of one operation and dtype, of which every shard has some.
  same->passed = same->passed && check.passed;
  same->cases += check.cases;
  same->seconds += check.seconds;
  if (!check.message.empty()) same->message += (same->message.empty() ? "" : "; ") + check.message;
}

// Shards that find the same smallest case found the same bug.
void add_finding(std::vector<Finding>& findings, const Json& row) {
  Finding finding;
  finding.found_by = row.at("found_by").get<std::string>();
  finding.message = row.at("message").get<std::string>();
  finding.file = row.at("file").get<std::string>();
  if (row.contains("case")) finding.test_case = case_from_json(row.at("case").dump());
  const auto key = [](const Finding& each) {
    return each.file.empty() ? each.message : each.file.filename().string();
  };
  const auto same =
      std::ranges::find_if(findings, [&](const Finding& other) { return key(other) == key(finding); });
  if (same == findings.end()) {
    findings.push_back(std::move(finding));
  } else if (same->found_by.find(finding.found_by) == std::string::npos) {
    same->found_by += "; " + finding.found_by;
  }
}

void add(VerifyResult& all, const Json& part) {
  for (const char* rows : {"combinations", "other_calls"})
    for (const Json& row : part.at(rows)) add_row(all.tally, row);
  if (part.contains("checks"))
    for (const Json& row : part.at("checks")) add_check(all.checks, row);
  const bool found_before = !all.findings.empty();
  for (const Json& row : part.at("findings")) add_finding(all.findings, row);
  for (const Json& reason : part.at("unchecked")) {
    const auto text = reason.get<std::string>();
    if (std::ranges::count(all.unchecked, text) == 0) all.unchecked.push_back(text);
  }
  if (const auto words = part.at("target_says").get<std::string>(); !words.empty())
    all.closing_words += words.back() == '\n' ? words : words + "\n";
  // Shards run at the same time.
  all.seconds = std::max(all.seconds, part.at("seconds").get<double>());
  if (!part.contains("first_violation")) return;
  const Json& first = part.at("first_violation");
  const auto seconds = first.at("seconds").get<double>();
  if (found_before && seconds >= all.seconds_to_first_violation) return;
  all.seconds_to_first_violation = seconds;
  all.processor_seconds_to_first_violation = first.at("processor_seconds").get<double>();
  all.cases_to_first_violation = first.at("cases").get<std::int64_t>();
}

// As a whole run has them: the corpus with its seeds first, the properties, the random cases.
void sort_checks(std::vector<Check>& checks) {
  const auto key = [](const Check& check) {
    const int group = check.group == "corpus" ? 0 : check.group == "property" ? 1 : 2;
    return std::tuple(group, !check.name.starts_with("seeds/"), check.name);
  };
  std::ranges::sort(checks, {}, key);
}

}  // namespace

int merge_verify(const std::vector<Json>& parts, const MergeOutput& output) {
  const VerifyOptions options = options_from(parts.front().at("run"));
  VerifyResult result;
  result.is_merged = true;
  std::int64_t cases = 0;
  for (const Json& part : parts) {
    add(result, part);
    cases += part.at("total").at("cases").get<std::int64_t>();
  }
  if (result.tally.total().cases != cases) {
    throw UsageError(fmt::format("a damaged result: the totals say {} cases, the combinations {}", cases,
                                 result.tally.total().cases));
  }
  sort_checks(result.checks);
  for (const Json& row : parts.front().at("combinations"))
    result.combinations.push_back(combination_from(row));
  result.uncovered = result.tally.uncovered(result.combinations);
  result.judging = judging_from(parts.front().at("run"));
  for (const Finding& finding : result.findings) {
    fmt::print("VIOLATION found by {}\n{}  repro:   {}\n", finding.found_by, finding.message,
               finding.file.string());
  }
  fmt::print("{}", to_text(options, result));
  if (!output.json.empty()) write_json(output.json, options, result);
  if (!output.html.empty()) write_html(output.html, verify_report(options, result));
  return exit_code_of(result);
}

}  // namespace normproof
