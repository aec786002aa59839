// `normproof verify`: options of the main job.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <random>

#include "cli/commands.h"
#include "cli/given_calls.h"
#include "cli/html_report.h"
#include "cli/output_files.h"
#include "cli/sarif.h"
#include "cli/shard.h"
#include "cli/stop_signals.h"
#include "cli/verify_demands.h"
#include "cli/verify_orders.h"
#include "cli/verify_run.h"
#include "corpus/atomic_file.h"

namespace normproof {
namespace {

struct CommandOptions {
  VerifyOptions verify;
  std::optional<std::uint64_t> seed;
  std::string operation, dtype, json, junit, html, sarif, sarif_source, write_baseline;
};

std::uint64_t fresh_seed() {
  std::random_device device;
  return device() & 0x7fffffffu;  // short enough to type
}

// The same words for the same bug, known or not.
std::string rule_of(const Finding& finding) {
  const bool has_case = !finding.file.empty() || (finding.known && !finding.test_case.name.empty());
  return has_case ? finding.test_case.name : finding.found_by.substr(0, finding.found_by.find(':'));
}

SarifLog sarif_log_of(const VerifyOptions& options, const VerifyResult& result) {
  SarifLog log;
  log.exit_code = exit_code_of(result);
  for (const Finding& finding : result.findings) {
    const std::filesystem::path& repro = finding.call_file.empty() ? finding.file : finding.call_file;
    const bool has_case = !repro.empty();
    log.results.push_back(
        {rule_of(finding),
         fmt::format("target {}, found by {}{}: {}", options.target, finding.found_by,
                     finding.also_found_by.empty()
                         ? ""
                         : fmt::format(" and {} more of the same cause", finding.also_found_by.size()),
                     finding.message),
         finding.known ? options.baseline
         : has_case    ? repro.string()
                       : options.findings,
         !result.baseline ? ""
         : finding.known  ? "unchanged"
                          : "new"});
  }
  if (result.baseline) {
    for (const BaselineEntry& entry : result.baseline->entries)
      if (entry.state == BaselineEntry::State::not_seen)
        log.results.push_back({entry.repro ? entry.repro->name : entry.says, "not seen again: " + entry.says,
                               options.baseline, "absent"});
  }
  log.not_done = result.unchecked;
  for (const Combination& combination : result.uncovered)
    log.not_done.push_back("not reached: " + to_string(combination));
  return log;
}

void write_baseline(const std::string& file, const VerifyOptions& options, const VerifyResult& result) {
  const std::vector<BaselineEntry> before =
      result.baseline ? result.baseline->entries : std::vector<BaselineEntry>{};
  const BaselineJudging judging = {result.judging.canonical, oracle::to_string(result.judging.policy)};
  write_text_atomically(file, baseline_text(options.target, judging, before, result.findings));
}

int run(CommandOptions& options) {
  VerifyOptions& verify_options = options.verify;
  verify_options.seed = options.seed ? *options.seed : fresh_seed();
  if (!options.operation.empty()) verify_options.operation = operation_from_name(options.operation);
  if (!options.operation.empty() && !verify_options.operation)
    verify_options.judged_operation = options.operation;
  if (!options.dtype.empty()) verify_options.dtype = dtype_from_name(options.dtype);
  const Shard& shard = verify_options.shard;
  if (!options.write_baseline.empty()) {
    if (!shard.is_whole())
      throw UsageError(fmt::format("--write-baseline {} needs a whole run, not {}", options.write_baseline,
                                   to_string(shard)));
    verify_options.keep_going = verify_options.every_cause = true;  // what was not found is not known
  }
  if (!shard.is_whole() && !options.seed) {
    throw UsageError(fmt::format("{} of a run needs the run's --seed", to_string(shard)));
  }
  fmt::print("normproof verify: target {}, seed {}{}\n", verify_options.target, verify_options.seed,
             shard.is_whole() ? "" : ", " + to_string(shard));
  std::fflush(stdout);
  finish_on_stop_signal();
  std::string& order = verify_options.judge.order;
  // Random cases take paths that were not looked at when the order was certified.
  verify_options.judge.match = oracle::Orders::Match::same_call;
  if (order == "auto") {
    order = certified_orders(verify_options);
    if (order.empty()) fmt::print("no order is certified: every order of summation is admitted\n");
  }
  const VerifyResult result = verify(verify_options);
  fmt::print("{}", to_text(verify_options, result));
  return exit_code_after_writing(
      exit_code_of(result),
      {{options.write_baseline, [&] { write_baseline(options.write_baseline, verify_options, result); }},
       {options.json, [&] { write_text_atomically(options.json, to_json_text(verify_options, result)); }},
       {options.junit, [&] { write_junit(options.junit, verify_options, result); }},
       {options.html, [&] { write_html(options.html, verify_report(verify_options, result)); }},
       {options.sarif, [&] {
          SarifLog log = sarif_log_of(verify_options, result);
          log.source = options.sarif_source;
          write_sarif(options.sarif, log);
        }}});
}

template <class Range>
std::vector<std::string> names(const Range& values) {
  std::vector<std::string> result;
  for (const auto& value : values) result.emplace_back(name_of(value));
  return result;
}

void add_demand_option(CLI::App& command, std::vector<Promise>& demands) {
  std::vector<std::string> names;
  for (const Promise promise : kPromises) names.emplace_back(name_of(promise));
  command
      .add_option_function<std::vector<std::string>>(
          "--demand",
          [&demands](const std::vector<std::string>& given) {
            demands.clear();
            for (const std::string& name : given)
              if (const auto promise = promise_from_name(name)) demands.push_back(*promise);
          },
          "Promises about several calls whose breach is a violation, for instance "
          "batch-invariant,deterministic")
      ->delimiter(',')
      ->check(CLI::IsMember(names));
}

}  // namespace

Action add_verify(CLI::App& command) {
  const auto options = std::make_shared<CommandOptions>();
  VerifyOptions& verify_options = options->verify;
  verify_options.corpus = default_corpus_folder();
  add_target_option(command, verify_options.target);
  add_judge_options(command, verify_options.judge);
  command
      .add_option(
          "--order", verify_options.judge.order,
          "Judge by the orders of summation in this file, which `normproof order --json` writes, and run "
          "cases that meet them; auto: certify the target's orders first")
      ->check(CLI::IsMember({"auto"}) | CLI::ExistingFile);
  command
      .add_option("--seconds", verify_options.seconds,
                  "Time for everything together, but to shrink and repeat what is found")
      ->check(CLI::Range(0.0, 1e7))
      ->capture_default_str();
  command
      .add_option("--cases", verify_options.cases,
                  "Judge exactly this many random cases, however long it takes")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--property-cases", verify_options.property_cases,
                  "Check exactly this many cases of each property, however long it takes")
      ->check(CLI::PositiveNumber);
  add_shard_option(command, verify_options.shard);
  command.add_option("--seed", options->seed, "Seed of every random choice (default: a fresh one, printed)");
  command.add_option("--op", options->operation, "Only this operation")->check(is_run_by_plugins());
  command.add_option("--dtype", options->dtype, "Only this activation dtype")
      ->check(CLI::IsMember(names(kActivationDTypes)));
  command.add_option("--corpus", verify_options.corpus, "Folder of case files")->capture_default_str();
  command.add_option("--output,--findings", verify_options.findings, "Folder for the repros of violations")
      ->capture_default_str();
  command.add_option("--jobs", verify_options.threads, "Worker threads (default: automatic)")
      ->check(CLI::Range(1, 1024));
  command.add_flag("--witness,!--no-witness", verify_options.witness,
                   "Judge the random cases with the witness judge too; default: for target cuda");
  add_demand_option(command, verify_options.demands);
  command.add_flag("--keep-going", verify_options.keep_going, "Do not stop at the first violation");
  command.add_flag("!--no-shrink", verify_options.shrink, "Store violating cases as they were found");
  command
      .add_option("--baseline", verify_options.baseline,
                  "Violations whose cause is in this file are known: they are counted and do not fail")
      ->check(CLI::ExistingFile);
  command.add_option("--write-baseline", options->write_baseline,
                     "Write what is known after this run to this file, for --baseline; implies --keep-going");
  command.add_option("--json", options->json, "Write the result to this file");
  command.add_option("--junit", options->junit, "Write the result to this file as JUnit XML");
  command.add_option("--html", options->html, "Write a page with verdict, findings and plots to this file");
  command.add_option("--sarif", options->sarif,
                     "Write the findings to this file in SARIF, for code scanning services");
  command.add_option("--sarif-source", options->sarif_source,
                     "The kernel's source: at this file SARIF shows the findings, their repros beside it");
  return [options] { return run(*options); };
}

}  // namespace normproof
