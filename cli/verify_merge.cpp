// The results of verify's shards as the result of the whole run.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/kind_json.h"
#include "cli/merge.h"
#include "cli/shard.h"
#include "cli/verify_demands.h"
#include "cli/verify_run.h"
#include "corpus/case_json.h"

namespace normproof {
namespace {

VerifyOptions options_from(const ResultFields& run) {
  VerifyOptions options;
  options.target = run.text("target");
  options.seed = run.seed("seed");
  options.seconds = run.seconds("seconds");
  options.keep_going = run.flag("keep_going");
  if (run.has("cases")) options.cases = run.count("cases");
  if (run.has("property_cases"))
    options.property_cases = static_cast<int>(run.count("property_cases", 1, INT32_MAX));
  if (run.has("operation")) options.operation = run.named("operation", operation_from_name);
  if (run.has("judged_operation")) options.judged_operation = run.text("judged_operation");
  if (run.has("dtype")) options.dtype = run.named("dtype", dtype_from_name);
  if (run.has("witness")) options.witness = run.flag("witness");
  if (run.has("demand")) {
    for (const std::string& name : run.texts("demand")) {
      const auto promise = promise_from_name(name);
      if (!promise) run.refuse("demand", "must name promises");
      options.demands.push_back(*promise);
    }
  }
  return options;
}

Judging judging_from(const ResultFields& run) {
  const std::string judge = run.text("judge");
  if (judge != "canonical" && judge != "witness") run.refuse("judge", "must be canonical or witness");
  try {
    return {judge == "canonical", oracle::parse_policy(run.text("policy"))};
  } catch (const std::invalid_argument& error) {
    run.refuse("policy", error.what());
  }
}

std::optional<KernelPath> path_from_name(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, KernelPath>, 3> kPaths = {
      {{"vectorized", KernelPath::vectorized},
       {"scalar", KernelPath::scalar},
       {"unknown", KernelPath::automatic}}};
  for (const auto& [known, path] : kPaths)
    if (known == name) return path;
  return std::nullopt;
}

Combination combination_from(const ResultFields& row) {
  const Combination combination{kind_from(row), row.named("path", path_from_name)};
  // Path automatic: of a target that has none of ours, or of no call.
  Combination of_tables = combination;
  if (of_tables.path == KernelPath::automatic) of_tables.path = KernelPath::vectorized;
  const auto all = all_combinations(combination.operation);
  if (std::ranges::none_of(all, [&](const Combination& each) { return each.shares_row_with(of_tables); }))
    row.refuse(fmt::format("there is no combination {}", to_string(combination)));
  return combination;
}

Counts counts_from(const ResultFields& row) {
  Counts counts;
  counts.cases = row.count("cases");
  counts.rows = row.count("rows");
  counts.elements = row.count("elements");
  counts.special_rows = row.count("special_rows");
  counts.mismatches = row.count("mismatches");
  counts.violations = row.count("violations");
  counts.refusals = row.count("refused_as_demanded");
  counts.not_taken = row.count("not_taken");
  return counts;
}

std::vector<Combination> combinations_from(const ResultFields& part) {
  std::vector<Combination> combinations;
  for (const ResultFields& row : part.rows("combinations")) combinations.push_back(combination_from(row));
  if (combinations.empty() && !part.has("judged"))
    part.refuse("combinations", "must name what the target has to reach");
  return combinations;
}

// Adds the part's rows to the tally of all. Each combination has one row, and the rows sum up to the totals.
void add_counts(Tally& all, const ResultFields& part) {
  Tally tally;
  std::set<std::string> seen;
  for (const char* rows : {"combinations", "other_calls"}) {
    for (const ResultFields& row : part.rows(rows)) {
      const Combination combination = combination_from(row);
      const std::string name = to_string(combination);
      if (!seen.insert(name).second) row.refuse(fmt::format("a second row for {}", name));
      tally.add(combination, counts_from(row));
    }
  }
  const Counts stated = counts_from(part.fields("total")), sum = tally.total();
  if (stated != sum) {
    part.refuse(
        fmt::format("the totals say {} cases, {} elements, {} mismatches, {} violations, the combinations "
                    "{}, {}, {}, {}, or other figures differ",
                    stated.cases, stated.elements, stated.mismatches, stated.violations, sum.cases,
                    sum.elements, sum.mismatches, sum.violations));
  }
  all += tally;
  const Counts total = all.total();
  if (std::max({total.elements, total.rows, total.cases, total.not_taken}) > ResultFields::kMostCount)
    part.refuse("with the other shards there are more than 10^15 elements");
}

SizesReached sizes_from(const ResultFields& part) {
  SizesReached sizes;
  for (const ResultFields& row : part.rows("sizes")) {
    const std::string rows = row.text("rows");
    const auto band = [](const auto& bands, const std::string& name) {
      const auto* found =
          std::ranges::find(bands, name, [](const SizeBand& each) { return to_string(each); });
      return static_cast<std::size_t>(found - bands.begin());
    };
    const std::size_t row_band = band(kRowBands, rows);
    if (row_band == kRowBands.size()) row.refuse("rows", fmt::format("there is no band of rows {}", rows));
    for (const std::string& name : row.texts("reached")) {
      const SizeCell cell{row_band, band(kHiddenBands, name)};
      if (cell.second == kHiddenBands.size() || !is_wanted(cell))
        row.refuse("reached", fmt::format("no run reaches {} rows with H {}", rows, name));
      sizes.add(cell);
    }
  }
  return sizes;
}

Check check_from(const ResultFields& row) {
  Check check{row.text("group"),  row.text("name"),       row.flag("passed"),
              row.count("cases"), row.seconds("seconds"), row.text("message")};
  constexpr std::array<std::string_view, 8> kGroups = {"corpus", "property", "order",  "sizes",
                                                       "random", "promise",  "judged", "relation"};
  if (std::ranges::find(kGroups, check.group) == kGroups.end())
    row.refuse("group", "must be corpus, property, order, sizes, random, promise, judged or relation");
  if (row.has("skipped")) check.skipped = row.text("skipped");
  if (row.has("known")) check.known = row.flag("known");
  return check;
}

void add_check(std::vector<Check>& checks, Check check) {
  const auto same = std::ranges::find_if(
      checks, [&](const Check& other) { return other.group == check.group && other.name == check.name; });
  if (same == checks.end()) {
    checks.push_back(std::move(check));
    return;
  }
  same->known =
      (same->passed || same->known) && (check.passed || check.known) && (same->known || check.known);
  // The random cases of one operation and dtype, of which every shard has some.
  same->passed = same->passed && check.passed;
  same->cases += check.cases;
  same->seconds += check.seconds;
  if (!check.message.empty()) same->message += (same->message.empty() ? "" : "; ") + check.message;
}

// Shards that find the same smallest case found the same bug.
void add_finding(std::vector<Finding>& findings, const ResultFields& row) {
  Finding finding;
  finding.found_by = row.text("found_by");
  finding.message = row.text("message");
  finding.file = row.text("file");
  if (row.has("call_file")) finding.call_file = row.text("call_file");
  if (row.has("known")) finding.known = row.flag("known");
  finding.also_found_by = row.texts("also_found_by");
  if (row.count("count") != finding.count())
    row.refuse("count", fmt::format("must be {}, with also_found_by", finding.count()));
  if (row.has("case")) {
    try {
      finding.test_case = case_from_json(row.at("case").dump());
    } catch (const CaseError& error) {
      row.refuse(fmt::format("its case: {}", error.what()));
    }
  }
  if (!finding.file.empty() && !row.has("case")) row.refuse("the case of its file is missing");
  const auto key = [](const Finding& each) {
    return !each.call_file.empty() ? each.call_file.filename().string()
           : each.file.empty()     ? each.message
                                   : each.file.filename().string();
  };
  const auto same = std::ranges::find_if(findings, [&](const Finding& other) {
    return key(other) == key(finding) && other.known == finding.known;
  });
  if (same == findings.end()) {
    findings.push_back(std::move(finding));
    return;
  }
  same->also_found_by.push_back(finding.found_by);
  same->also_found_by.insert(same->also_found_by.end(), finding.also_found_by.begin(),
                             finding.also_found_by.end());
}

// The baseline of the run, as its parts found it before they began.
BaselineUse baseline_from(const ResultFields& run) {
  BaselineUse baseline{run.text("file"), run.text("digest"), {}};
  baseline.entries.resize(static_cast<std::size_t>(run.count("entries", 0, kMostBaselineEntries)));
  return baseline;
}

std::optional<BaselineEntry::State> baseline_state_from_name(std::string_view name) {
  for (const auto state :
       {BaselineEntry::State::not_looked_at, BaselineEntry::State::not_seen, BaselineEntry::State::seen})
    if (name_of(state) == name) return state;
  return std::nullopt;
}

// An entry that one shard has seen is seen.
void add_baseline(VerifyResult& all, const ResultFields& part) {
  const std::vector<ResultFields> rows = part.rows("entries");
  std::vector<BaselineEntry>& entries = all.baseline->entries;
  if (rows.size() != entries.size())
    part.refuse("entries", fmt::format("must be {}, as many as the run has", entries.size()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string says = rows[i].text("says");
    if (!entries[i].says.empty() && entries[i].says != says)
      rows[i].refuse("says", "must be what the other shards say");
    entries[i].says = says;
    entries[i].state = std::max(entries[i].state, rows[i].named("state", baseline_state_from_name));
  }
  all.known_violations += part.count("known_violations");
}

// Of a promise the shard speaks that compared calls.
void add_promise(Observations& promises, const ResultFields& row) {
  Observation& all = promises[static_cast<std::size_t>(row.named("name", promise_from_name))];
  Observation part;
  part.state = row.named("bits_differ", state_from_name);
  part.comparisons = row.count("comparisons");
  part.message = row.text("message");
  if (row.has("calls")) {
    try {
      for (const auto& call : row.at("calls")) part.calls.push_back(case_from_json(call.dump()));
    } catch (const CaseError& error) {
      row.refuse(fmt::format("one of its calls: {}", error.what()));
    }
  }
  if (part.state == Observation::State::seen && part.calls.size() != 2)
    row.refuse("the two calls whose bits differ are missing");
  if (all.state == Observation::State::seen || part.state == Observation::State::not_compared) {
    if (all.message.empty()) all.message = part.message;
    return;
  }
  if (part.state == all.state) part.comparisons += all.comparisons;
  all = std::move(part);
}

// What a part says of itself besides its findings and what it left unchecked: nothing of it is lost, also
// where those do not say so.
void add_what_it_says_itself(VerifyResult& all, const ResultPart& part, std::int64_t violating_cases,
                             const std::vector<std::string>& failed_checks) {
  std::vector<std::string> says;
  const int code = stated_exit_code(part);
  if (code == kViolationFound) says.push_back("its exit code is 1");
  const std::vector<ResultFields> findings = part.fields().rows("findings");
  const bool has_new = std::ranges::any_of(
      findings, [](const ResultFields& row) { return !row.has("known") || !row.flag("known"); });
  if (violating_cases > 0 && findings.empty())
    says.push_back(fmt::format("{} of its cases violate", violating_cases));
  if (!failed_checks.empty()) says.push_back(fmt::format("it failed {}", fmt::join(failed_checks, ", ")));
  const ResultFields fields = part.fields();
  const std::int64_t known = fields.has("baseline") ? fields.fields("baseline").count("known_violations") : 0;
  if (const auto found = fields.count("violations_found"); found > known && says.empty())
    says.push_back(fmt::format("violations found: {}", found));
  if (!says.empty() && !has_new)
    all.findings.push_back({{}, part.name(), fmt::format("{}; it has no repro", fmt::join(says, ", ")), {}});
  if (code != kAllGood && says.empty() && fields.texts("unchecked").empty())
    all.unchecked.push_back(
        fmt::format("{}: its exit code is {}, and it does not say why", part.name(), code));
  if (!fields.flag("stopped_early")) return;
  all.stopped_early = true;
  if (says.empty() && !has_new && fields.texts("unchecked").empty())
    all.unchecked.push_back(fmt::format("{}: it stopped early, and does not say why", part.name()));
}

void add(VerifyResult& all, const ResultPart& part) {
  const ResultFields fields = part.fields();
  add_counts(all.tally, fields);
  if (fields.has("judged")) add_judged(all.judged, fields.fields("judged"));
  all.tally.add(sizes_from(fields));
  const bool found_before = found_new(all);
  std::vector<std::string> failed;
  const std::vector<std::string> unchecked = fields.texts("unchecked");
  if (fields.has("checks")) {
    for (const ResultFields& row : fields.rows("checks")) {
      Check check = check_from(row);
      // A property that could check no case fails as well, and is named among what is unchecked.
      const bool is_unchecked = check.cases == 0 && !unchecked.empty();
      if (!check.passed && !check.known && !is_unchecked) failed.push_back(check.group + " " + check.name);
      // Those of promises are made again from what all shards have seen.
      if (check.group != "promise") add_check(all.checks, std::move(check));
    }
  }
  if (fields.has("promises"))
    for (const ResultFields& row : fields.rows("promises")) add_promise(all.promises, row);
  for (const ResultFields& row : fields.rows("findings")) add_finding(all.findings, row);
  for (const std::string& reason : unchecked)
    if (std::ranges::count(all.unchecked, reason) == 0) all.unchecked.push_back(reason);
  add_what_it_says_itself(all, part, fields.fields("total").count("violations"), failed);
  if (const auto words = fields.text("target_says"); !words.empty())
    all.closing_words += words.back() == '\n' ? words : words + "\n";
  // Shards run at the same time.
  all.seconds = std::max(all.seconds, fields.seconds("seconds"));
  all.violations += fields.count("violations_found");
  if (all.baseline) add_baseline(all, fields.fields("baseline"));
  if (!fields.has("first_violation")) return;
  const ResultFields first = fields.fields("first_violation");
  const double seconds = first.seconds("seconds");
  if (found_before && seconds >= all.seconds_to_first_violation) return;
  all.seconds_to_first_violation = seconds;
  all.processor_seconds_to_first_violation = first.seconds("processor_seconds");
  all.cases_to_first_violation = first.count("cases");
}

// As a whole run has them: the corpus with its seeds first, the properties, the random cases.
void sort_checks(std::vector<Check>& checks) {
  const auto key = [](const Check& check) {
    const int group = check.group == "corpus"     ? 0
                      : check.group == "property" ? 1
                      : check.group == "order"    ? 2
                      : check.group == "sizes"    ? 3
                                                  : 4;
    return std::tuple(group, !check.name.starts_with("seeds/"), check.name);
  };
  std::ranges::sort(checks, {}, key);
}

}  // namespace

Merged merge_verify(const std::vector<ResultPart>& parts) {
  const ResultFields run = parts.front().fields().fields("run");
  const VerifyOptions options = options_from(run);
  VerifyResult result;
  result.merged_from = parts.size();
  result.judging = judging_from(run);
  if (run.has("orders")) result.orders = run.text("orders");
  if (run.has("baseline")) result.baseline = baseline_from(run.fields("baseline"));
  result.corpus_files = run.count("corpus_files");
  result.combinations = combinations_from(parts.front().fields());
  for (const ResultPart& part : parts) {
    if (combinations_from(part.fields()) != result.combinations)
      part.fields().refuse(fmt::format("its combinations are others than those of {}", parts.front().file));
    if (part.fields().has("judged") != parts.front().fields().has("judged"))
      part.fields().refuse(
          fmt::format("judged operations are in one of it and {} alone", parts.front().file));
    add(result, part);
  }
  result.violations = std::max(result.violations, static_cast<std::int64_t>(result.findings.size()));
  sort_checks(result.checks);
  // What each shard says of its own calls does not hold of all, where one found a violation.
  if (result.judging.canonical && options.demands.empty()) {
    for (const Promise promise : kPromises)
      if (promise != Promise::graph_replay) result.promises[static_cast<std::size_t>(promise)] = {};
  }
  if (!result.combinations.empty()) conclude_promises(options, result);
  conclude_coverage(result);
  if (!found_new(result)) conclude_judged_coverage(result);
  Merged merged;
  merged.exit_code = exit_code_of(result);
  for (const Finding& finding : result.findings) {
    if (finding.known) {
      merged.text += fmt::format("known: {} (found by {})\n",
                                 finding.message.substr(0, finding.message.find('\n')), finding.found_by);
      continue;
    }
    merged.text += fmt::format("VIOLATION found by {}\n{}{}", finding.found_by, finding.message,
                               finding.message.ends_with('\n') ? "" : "\n");
    const auto& repro = finding.call_file.empty() ? finding.file : finding.call_file;
    if (!repro.empty()) merged.text += fmt::format("  repro:   {}\n", repro.string());
  }
  merged.text += to_text(options, result);
  merged.json = to_json_text(options, result);
  merged.whole = MergedVerify{options, std::move(result)};
  return merged;
}

}  // namespace normproof
