// How a verification's result is printed and written.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/shard.h"
#include "cli/stop_signals.h"
#include "cli/verify_demands.h"
#include "cli/verify_run.h"
#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "corpus/json_text.h"
#include "properties/report/html.h"
#include "properties/run/plugin_target.h"
#include "properties/run/violation_identity.h"

namespace normproof {
namespace {

// Thousands apart: 12 345 678.
std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t position = digits.size(); position > 3;) {
    position -= 3;
    digits.insert(position, " ");
  }
  return digits;
}

std::string table_line(std::string_view operation, std::string_view dtype, const Counts& counts) {
  return fmt::format("{:<36} {:<5} {:>10} {:>11} {:>14} {:>13} {:>11}\n", operation, dtype,
                     grouped(counts.cases), grouped(counts.rows), grouped(counts.elements),
                     grouped(counts.special_rows), grouped(counts.mismatches));
}

std::int64_t count_of(const VerifyResult& result, std::string_view group) {
  return std::count_if(result.checks.begin(), result.checks.end(),
                       [group](const Check& check) { return check.group == group; });
}

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
  const auto name_or_null = [](const std::optional<DType>& dtype) {
    return dtype ? nlohmann::ordered_json(name_of(*dtype)) : nullptr;
  };
  nlohmann::ordered_json row = {{"operation", name_of(combination.operation)},
                                {"dtype", name_of(combination.dtype)},
                                {"weight_dtype", name_or_null(combination.weight_dtype)},
                                {"quantized_dtype", name_or_null(combination.quantized_dtype)},
                                {"path", combination.path == KernelPath::vectorized ? "vectorized"
                                         : combination.path == KernelPath::scalar   ? "scalar"
                                                                                    : "unknown"}};
  row.update(to_json(counts));
  return row;
}

// The bands of sizes that the run has not reached.
std::string missing_sizes_text(const SizesReached& sizes) {
  std::string text;
  for (std::size_t band = 0; band < kRowBands.size(); ++band) {
    if (const std::string missing = sizes.missing(band); !missing.empty())
      text += fmt::format("SIZE NOT REACHED: {} rows with H {}\n", to_string(kRowBands[band]), missing);
  }
  return text;
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

// What went wrong in a few words: what the target says, or the kind of violation.
std::string headline_of(const Finding& finding) {
  constexpr std::string_view kSays = "the target says: ";
  std::string_view text = finding.message;
  const std::size_t says = text.find(kSays);
  if (says != std::string_view::npos) {
    text.remove_prefix(says + kSays.size());
    text = text.substr(0, text.find('\n'));
    return std::string(text.substr(0, text.find(", in block (")));
  }
  if (finding.causes.empty()) return finding.found_by;
  const std::size_t subject = text.find(fmt::format(", {} ", name_of(finding.test_case.operation)));
  text = text.substr(0, std::min(subject, text.find('\n')));
  return std::string(text.substr(text.rfind('\n') + 1));
}

// Findings that differ in operation, dtype and numbers alone are one line, the most frequent first.
std::string causes_text(const std::vector<Finding>& findings) {
  struct Group {
    std::string headline;
    std::size_t first = 0;
    std::int64_t count = 0;
    std::vector<std::string> subjects;
    std::vector<const Finding*> findings;
  };
  std::vector<Group> groups;
  for (const Finding& finding : findings) {
    const std::string headline = headline_of(finding);
    auto group = std::ranges::find_if(groups, [&](const Group& each) {
      return without_numbers(each.headline) == without_numbers(headline);
    });
    if (group == groups.end()) group = groups.insert(group, {headline, groups.size(), 0, {}, {}});
    group->count += finding.count();
    const Case& shown = finding.test_case;
    const std::string subject = fmt::format("{} {}", name_of(shown.operation), name_of(shown.dtype));
    if (!finding.causes.empty() && std::ranges::find(group->subjects, subject) == group->subjects.end())
      group->subjects.push_back(subject);
    if (!finding.file.empty()) group->findings.push_back(&finding);
  }
  std::ranges::sort(groups, {}, [](const Group& group) { return std::pair(-group.count, group.first); });
  std::string text = fmt::format("by cause, {} of them:\n", groups.size());
  for (const Group& group : groups) {
    text += fmt::format("{:>6} x {}{}{}\n", group.count, group.headline, group.subjects.empty() ? "" : "; ",
                        fmt::join(group.subjects, ", "));
    for (const Finding* finding : group.findings)
      text += fmt::format("    {:>6} x {}\n", finding->count(), finding->file.string());
  }
  return text;
}

std::string violations_text(const VerifyResult& result) {
  std::string text =
      fmt::format("{} violation{} found, the first after {} cases and {:.2f} s{}\n", result.violations,
                  result.violations == 1 ? "" : "s", result.cases_to_first_violation,
                  result.seconds_to_first_violation, result.stopped_early ? "; stopped there" : "");
  std::int64_t stored = 0;
  for (const Finding& finding : result.findings) stored += finding.count();
  if (stored > static_cast<std::int64_t>(result.findings.size())) text += causes_text(result.findings);
  if (result.violations > stored) {
    text += fmt::format(
        "{} of them are shown above: of random cases a run shrinks and stores the first {}{}\n", stored,
        kMostRandomFindings, result.merged_from > 0 ? ", and the same repro of several shards is one" : "");
  }
  return text;
}

std::string learnt_text(const VerifyResult& result) {
  std::string text;
  for (const Learnt& learnt : result.learnt) {
    text += fmt::format("learnt from {} more calls of {} {}, which are not judged{}:\n", learnt.found.calls,
                        name_of(learnt.operation), name_of(learnt.dtype),
                        learnt.found.stopped_early ? "; the time was up" : "");
    for (const std::string& line : learnt.found.lines) text += fmt::format("  {}\n", line);
    if (const std::string limits = limits_text(learnt.found.limits); !limits.empty())
      text += fmt::format("  if it is not made for them, say so and the rest is judged: .limits = {{{}}}\n",
                          limits);
  }
  return text;
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
  if (options.cases) run["cases"] = *options.cases;
  if (options.property_cases) run["property_cases"] = *options.property_cases;
  if (options.operation) run["operation"] = name_of(*options.operation);
  if (options.dtype) run["dtype"] = name_of(*options.dtype);
  if (options.witness) run["witness"] = *options.witness;
  for (const Promise promise : options.demands) run["demand"].push_back(name_of(promise));
  return run;
}

}  // namespace

std::string to_text(const VerifyOptions& options, const VerifyResult& result) {
  std::string text = fmt::format("{:<36} {:<5} {:>10} {:>11} {:>14} {:>13} {:>11}\n", "operation", "dtype",
                                 "cases", "rows", "elements", "special rows", "mismatches");
  for (const Operation operation : kOperations) {
    for (const DType dtype : kActivationDTypes) {
      const Counts counts = result.tally.of(operation, dtype);
      if (counts.cases > 0) text += table_line(name_of(operation), name_of(dtype), counts);
    }
  }
  const Counts total = result.tally.total();
  text += table_line("total", "", total);
  const std::size_t wanted = result.combinations.size();
  const std::size_t reached = wanted - result.tally.uncovered(result.combinations).size();
  const bool of_paths = result.combinations.front().path != KernelPath::automatic;
  text +=
      fmt::format("{} corpus cases, {} properties, {} of {} combinations of operation, dtype, {}, {:.1f} s\n",
                  count_of(result, "corpus"), count_of(result, "property"), reached, wanted,
                  of_paths ? "weight and path" : "and weight that the target takes", result.seconds);
  text += fmt::format("{} of {} sizes (bands of rows x bands of H); not among them: {}\n",
                      result.tally.sizes().count(), SizesReached::wanted_count(), sizes_left_out());
  if (total.not_taken > 0)
    text += fmt::format("not taken by the target: {} cases\n", grouped(total.not_taken));
  text += promises_text(result.promises);
  text += result.closing_words;
  for (const std::string& reason : result.unchecked) text += fmt::format("NOT CHECKED: {}\n", reason);
  if (!result.findings.empty()) return text + violations_text(result) + learnt_text(result);
  text += learnt_text(result);
  for (const Combination& combination : result.uncovered) {
    text += fmt::format("NOT REACHED: {}\n", to_string(combination));
  }
  if (options.shard.is_whole()) text += missing_sizes_text(result.tally.sizes());
  if (!options.shard.is_whole() && exit_code_of(result) == kAllGood) {
    text += fmt::format("{}: target {} conforms so far (seed {})\n", to_string(options.shard), options.target,
                        options.seed);
  } else if (exit_code_of(result) == kAllGood) {
    const std::string policy = oracle::to_string(result.judging.policy);
    const std::string by = policy == "native" ? "" : fmt::format(" by policy {}", policy);
    text +=
        result.judging.canonical
            ? fmt::format("target {} conforms: every output bit is what the contract says{} (seed {})\n",
                          options.target, by, options.seed)
            : fmt::format(
                  "target {} conforms: in every row, one inverse RMS that a faithful evaluation can reach "
                  "explains every output bit{} (seed {})\n",
                  options.target, by, options.seed);
    if (names_a_plugin(options.target) && result.orders.empty())
      text +=
          "any order of summation was admitted; --order auto certifies the target's own and judges by it\n";
  }
  return text;
}

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
  const auto& wanted = result.combinations;
  for (const Combination& combination : wanted) {
    document["combinations"].push_back(to_json(combination, result.tally.of(combination)));
  }
  // Calls that no kernel ran or took, and what properties called besides the operation or dtype asked for.
  document["other_calls"] = nlohmann::ordered_json::array();
  const auto add_other = [&](const Combination& combination) {
    const Counts counts = result.tally.of(combination);
    if (counts.cases + counts.not_taken > 0 && std::ranges::find(wanted, combination) == wanted.end())
      document["other_calls"].push_back(to_json(combination, counts));
  };
  for (Combination combination : all_combinations()) {
    add_other(combination);
    if (combination.path != KernelPath::vectorized) continue;
    combination.path = KernelPath::automatic;
    add_other(combination);
  }
  document["sizes"] = to_json(result.tally.sizes());
  for (const Check& check : result.checks) {
    document["checks"].push_back({{"group", check.group},
                                  {"name", check.name},
                                  {"passed", check.passed},
                                  {"cases", check.cases},
                                  {"seconds", check.seconds},
                                  {"message", check.message}});
    if (!check.skipped.empty()) document["checks"].back()["skipped"] = check.skipped;
  }
  document["stopped_early"] = result.stopped_early;
  if (result.stopped_by != 0) document["stopped_by"] = fmt::format("SIG{}", sigabbrev_np(result.stopped_by));
  document["violations_found"] = result.violations;
  document["findings"] = nlohmann::ordered_json::array();
  for (const Finding& finding : result.findings) {
    document["findings"].push_back({{"found_by", finding.found_by},
                                    {"message", finding.message},
                                    {"file", finding.file.string()},
                                    {"count", finding.count()},
                                    {"also_found_by", finding.also_found_by}});
    // The repro itself, for who has only this file.
    if (!finding.file.empty()) {
      document["findings"].back()["case"] = nlohmann::ordered_json::parse(case_to_json(finding.test_case));
    }
  }
  document["promises"] = promises_json(result.promises);
  document["target_says"] = result.closing_words;
  for (const Learnt& learnt : result.learnt) {
    document["learnt"].push_back({{"operation", name_of(learnt.operation)},
                                  {"dtype", name_of(learnt.dtype)},
                                  {"calls", learnt.found.calls},
                                  {"found", learnt.found.lines},
                                  {"limits", limits_text(learnt.found.limits)}});
  }
  if (!result.findings.empty()) {
    document["first_violation"] = {{"cases", result.cases_to_first_violation},
                                   {"seconds", result.seconds_to_first_violation},
                                   {"processor_seconds", result.processor_seconds_to_first_violation}};
  }
  document["unchecked"] = result.unchecked;
  describe_run(document, options.shard, what_is_run(options, result));
  if (result.merged_from > 0) document["shard"]["merged_from"] = result.merged_from;
  return json_text(document, 2) + "\n";
}

void write_junit(const std::string& path, const VerifyOptions& options, const VerifyResult& result) {
  const auto failures = std::count_if(result.checks.begin(), result.checks.end(),
                                      [](const Check& check) { return !check.passed; });
  const auto skipped = std::count_if(result.checks.begin(), result.checks.end(), [](const Check& check) {
    return check.passed && !check.skipped.empty();
  });
  const std::size_t errors =
      result.unchecked.size() + (result.findings.empty() ? result.uncovered.size() : 0);
  std::string text = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
      "  <testsuite name=\"normproof verify {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" "
      "skipped=\"{}\" time=\"{:.3f}\">\n"
      "    <properties><property name=\"seed\" value=\"{}\"/></properties>\n",
      html::escaped(options.target), result.checks.size() + errors, failures, errors, skipped, result.seconds,
      options.seed);
  for (const Check& check : result.checks) {
    text += fmt::format("    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3f}\"", check.group,
                        html::escaped(check.name), check.seconds);
    text += check.passed && !check.skipped.empty()
                ? fmt::format("><skipped message=\"{}\"/></testcase>\n", html::escaped(check.skipped))
            : check.passed ? "/>\n"
                           : fmt::format("><failure message=\"violation\">{}</failure></testcase>\n",
                                         html::escaped(check.message));
  }
  const auto error_case = [&text](std::string_view group, const std::string& name, std::string_view message) {
    text += fmt::format("    <testcase classname=\"{}\" name=\"{}\"><error message=\"{}\"/></testcase>\n",
                        group, html::escaped(name), html::escaped(message));
  };
  for (const std::string& reason : result.unchecked) error_case("unchecked", reason, "not checked");
  if (result.findings.empty()) {
    for (const Combination& combination : result.uncovered) {
      error_case("coverage", to_string(combination), "no row was compared");
    }
  }
  text += "  </testsuite>\n</testsuites>\n";
  write_text_atomically(path, text);
}

int exit_code_of(const VerifyResult& result) {
  if (!result.findings.empty()) return kViolationFound;
  if (result.stopped_by != 0) return exit_code_of_stop(result.stopped_by);
  return result.uncovered.empty() && result.unchecked.empty() ? kAllGood : kCouldNotRun;
}

}  // namespace normproof
