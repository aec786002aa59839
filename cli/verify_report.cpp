// How a verification's result is printed and written.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/finding_groups.h"
#include "cli/judged_result.h"
#include "cli/shard.h"
#include "cli/stop_signals.h"
#include "cli/verify_demands.h"
#include "cli/verify_run.h"
#include "corpus/atomic_file.h"
#include "properties/judging/report_text.h"
#include "properties/judging/violation_identity.h"
#include "properties/report/html.h"
#include "properties/targets/plugin_target.h"

namespace normproof {
namespace {

std::int64_t count_of(const VerifyResult& result, std::string_view group) {
  return std::count_if(result.checks.begin(), result.checks.end(),
                       [group](const Check& check) { return check.group == group; });
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

// Findings that differ in operation, dtype and numbers alone are one line, the most frequent first.
std::string causes_text(const std::vector<Finding>& findings) {
  const std::vector<FindingGroup> groups = groups_of(findings);
  std::string text = fmt::format("by cause, {} of them:\n", groups.size());
  for (const FindingGroup& group : groups) {
    text += fmt::format("{:>6} x {}{}{}\n", group.count, group.headline, group.subjects.empty() ? "" : "; ",
                        fmt::join(group.subjects, ", "));
    for (const Finding* finding : group.findings) {
      if (!finding->file.empty())
        text += fmt::format("    {:>6} x {}\n", finding->count(), finding->file.string());
    }
  }
  return text;
}

std::string violations_text(const VerifyOptions& options, const VerifyResult& result) {
  const std::int64_t violations = result.violations - result.known_violations;
  std::string text =
      fmt::format("{} {}violation{} found, the first after {} case{} and {:.2f} s{}\n", violations,
                  result.baseline ? "new " : "", violations == 1 ? "" : "s", result.cases_to_first_violation,
                  result.cases_to_first_violation == 1 ? "" : "s", result.seconds_to_first_violation,
                  result.stopped_early ? "; stopped there" : "");
  std::int64_t stored = 0, findings = 0;
  for (const Finding& finding : result.findings) {
    if (finding.known) continue;
    stored += finding.count();
    ++findings;
  }
  if (stored > findings) text += causes_text(result.findings);
  if (violations > stored && (result.baseline || options.every_cause)) {
    text +=
        fmt::format("{} of them are shown above: of random cases a run stores one of each cause\n", stored);
  } else if (violations > stored) {
    text += fmt::format(
        "{} of them are shown above: of random cases a run shrinks and stores the first {}{}\n", stored,
        kMostRandomFindings, result.merged_from > 0 ? ", and the same repro of several shards is one" : "");
  }
  return text;
}

// What the run says of the violations that were known before it.
std::string baseline_text(const VerifyResult& result) {
  if (!result.baseline) return {};
  const BaselineUse& baseline = *result.baseline;
  const auto in = [&](BaselineEntry::State state) {
    return std::ranges::count(baseline.entries, state, &BaselineEntry::state);
  };
  std::string text;
  for (const BaselineEntry& entry : baseline.entries) {
    if (entry.state == BaselineEntry::State::not_seen)
      text +=
          fmt::format("NOT SEEN AGAIN: {}{}\n", entry.says, entry.repro ? "; its repro conforms now" : "");
  }
  for (const Check& check : result.checks) {
    if (check.known && check.group == "property")
      text += fmt::format("property {}: ended at a known violation, and has looked no further\n", check.name);
  }
  for (const Combination& combination : result.hidden)
    text += fmt::format("not compared, every call ended in a known violation: {}\n", to_string(combination));
  const auto left = in(BaselineEntry::State::not_looked_at);
  return text + fmt::format("known: {} violation{}, of {} of the {} causes in {}{}\n",
                            result.known_violations, result.known_violations == 1 ? "" : "s",
                            in(BaselineEntry::State::seen), baseline.entries.size(), baseline.file,
                            left > 0 ? fmt::format("; not looked for: {}", left) : "");
}

// What is said of the operations of cases; nothing where the target has none.
std::string cases_text(const VerifyResult& result) {
  const std::size_t wanted = result.combinations.size();
  if (wanted == 0) return fmt::format("{:.1f} s\n", result.seconds);
  const Counts total = result.tally.total();
  const std::size_t reached = wanted - result.tally.uncovered(result.combinations).size();
  const bool of_paths = result.combinations.front().path != KernelPath::automatic;
  std::string text =
      fmt::format("{} corpus cases, {} properties, {} of {} combinations of operation, dtype, {}, {:.1f} s\n",
                  count_of(result, "corpus"), count_of(result, "property"), reached, wanted,
                  of_paths ? "weight and path" : "and weight that the target takes", result.seconds);
  text += fmt::format("{} of {} sizes (bands of rows x bands of H); not among them: {}\n",
                      result.tally.sizes().count(), SizesReached::wanted_count(), sizes_left_out());
  if (total.not_taken > 0)
    text += fmt::format("not taken by the target: {} case{}\n", with_spaces(total.not_taken),
                        total.not_taken == 1 ? "" : "s");
  return text + promises_text(result.promises);
}

// The last line of a run that ends with 0.
std::string conforms_text(const VerifyOptions& options, const VerifyResult& result) {
  const std::string but = result.known_violations == 0
                              ? ""
                              : fmt::format(" but for {} known violation{}", result.known_violations,
                                            result.known_violations == 1 ? "" : "s");
  if (!options.shard.is_whole())
    return fmt::format("{}: target {} conforms so far{} (seed {})\n", to_string(options.shard),
                       options.target, but, options.seed);
  const std::string policy = oracle::to_string(result.judging.policy);
  const std::string_view other = but.empty() ? "" : "other ";
  std::string text = fmt::format("target {} conforms{}: ", options.target, but);
  const bool canonical_calls = result.judged.is_canonical();
  if (result.combinations.empty())
    return text + fmt::format("in every {}call, {} (seed {})\n", other,
                              canonical_calls ? "every output bit is that of the canonical order"
                                              : "statistics or sums that an honest evaluation can arrive at "
                                                "explain every output bit",
                              options.seed);
  text += result.judging.canonical
              ? fmt::format("every {}output bit is what the contract says", other)
              : fmt::format(
                    "in every {}row, one inverse RMS that a faithful evaluation can reach explains every "
                    "output bit",
                    other);
  text += fmt::format("{} (seed {})\n", policy == "native" ? "" : " by policy " + policy, options.seed);
  if (!result.judged.combinations.empty())
    text +=
        canonical_calls
            ? "so it is, of judged operations, what the canonical order gives\n"
            : "so do, of judged operations, statistics and sums that an honest evaluation can arrive at\n";
  if (names_a_plugin(options.target) && result.orders.empty())
    text += "any order of summation was admitted; --order auto certifies the target's own and judges by it\n";
  return text;
}

std::string learnt_text(const VerifyResult& result) {
  std::string text;
  for (const Learnt& learnt : result.learnt) {
    text += fmt::format("learnt from {} more calls of {} {}, which are not judged{}:\n", learnt.found.calls,
                        name_of(learnt.kind.operation), name_of(learnt.kind.dtype),
                        learnt.found.stopped_early ? "; the time was up" : "");
    for (const std::string& line : learnt.found.lines) text += fmt::format("  {}\n", line);
    if (const std::string limits = limits_text(learnt.found.limits); !limits.empty())
      text += fmt::format("  if it is not made for them, say so and the rest is judged: .limits = {{{}}}\n",
                          limits);
  }
  return text;
}

}  // namespace

std::string to_text(const VerifyOptions& options, const VerifyResult& result) {
  std::string text = fmt::format("{:<36} {:<5} {:>10} {:>11} {:>14} {:>13} {:>11}\n", "operation", "dtype",
                                 "cases", "rows", "elements", "special rows", "mismatches");
  for (const Operation operation : all_operations()) {
    for (const DType dtype : kActivationDTypes) {
      const Counts counts = result.tally.of(operation, dtype);
      if (counts.cases > 0)
        text += table_line(name_of(operation), name_of(dtype), counts, with_spaces(counts.special_rows));
    }
  }
  text += judged_table_text(result.judged);
  Counts all = result.tally.total();
  all += result.judged.total();
  text += table_line("total", "", all, with_spaces(all.special_rows));
  text += cases_text(result);
  text += judged_text(result.judged);
  if (!result.combinations.empty() && !result.judged.combinations.empty())
    text += fmt::format("of {:.1f} s operations by name got {:.1f} s, as above, the others what is left\n",
                        result.seconds, result.judged.seconds);
  text += result.closing_words;
  for (const std::string& reason : result.unchecked) text += fmt::format("NOT CHECKED: {}\n", reason);
  if (found_new(result))
    return text + baseline_text(result) + violations_text(options, result) + learnt_text(result);
  text += learnt_text(result);
  for (const Combination& combination : result.uncovered) {
    text += fmt::format("NOT REACHED: {}\n", to_string(combination));
  }
  if (options.shard.is_whole() && !result.combinations.empty())
    text += missing_sizes_text(result.tally.sizes());
  text += baseline_text(result);
  if (exit_code_of(result) == kAllGood) text += conforms_text(options, result);
  return text;
}

void write_junit(const std::string& path, const VerifyOptions& options, const VerifyResult& result) {
  const auto failures = std::count_if(result.checks.begin(), result.checks.end(),
                                      [](const Check& check) { return !check.passed && !check.known; });
  const auto skipped = std::count_if(result.checks.begin(), result.checks.end(), [](const Check& check) {
    return check.known || (check.passed && !check.skipped.empty());
  });
  const std::size_t errors = result.unchecked.size() + (found_new(result) ? 0 : result.uncovered.size());
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
    text += check.known ? fmt::format("><skipped message=\"known, in {}\"/></testcase>\n",
                                      html::escaped(result.baseline->file))
            : check.passed && !check.skipped.empty()
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
  if (!found_new(result)) {
    for (const Combination& combination : result.uncovered) {
      error_case("coverage", to_string(combination), "no row was compared");
    }
  }
  text += "  </testsuite>\n</testsuites>\n";
  write_text_atomically(path, text);
}

bool found_new(const VerifyResult& result) {
  return result.violations > result.known_violations ||
         std::ranges::any_of(result.findings, [](const Finding& finding) { return !finding.known; });
}

void conclude_coverage(VerifyResult& result) {
  result.uncovered = result.tally.uncovered(result.combinations);
  result.hidden.clear();
  if (!result.baseline) return;
  std::erase_if(result.uncovered, [&](const Combination& combination) {
    const bool ends_in_violations = result.tally.of(combination).violations > 0;
    if (ends_in_violations) result.hidden.push_back(combination);
    return ends_in_violations;
  });
}

void conclude_judged_coverage(VerifyResult& result) {
  constexpr std::size_t kMostNamed = 8;
  std::vector<std::string> without_call;  // that nobody asked for, since the run was short
  for (const JudgedCombination& each : result.judged.combinations) {
    if (each.counts.cases > 0) continue;
    if (each.counts.not_taken > 0)
      result.unchecked.push_back(
          fmt::format("no call of {} was judged: the target took none", to_string(each)));
    else
      without_call.push_back(fmt::format("no call of {} was judged", to_string(each)));
  }
  if (without_call.size() > kMostNamed)
    without_call = {fmt::format("no call was judged of {} of {} combinations of judged operations",
                                without_call.size(), result.judged.combinations.size())};
  result.unchecked.insert(result.unchecked.end(), without_call.begin(), without_call.end());
}

int exit_code_of(const VerifyResult& result) {
  if (found_new(result)) return kViolationFound;
  if (result.stopped_by != 0) return exit_code_of_stop(result.stopped_by);
  return result.uncovered.empty() && result.unchecked.empty() ? kAllGood : kCouldNotRun;
}

}  // namespace normproof
