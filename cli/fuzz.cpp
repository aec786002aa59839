// `normproof fuzz`: run the fuzzers for some minutes and turn what they find into bug reports.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/fuzz_result.h"
#include "cli/html_report.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "cli/resources.h"
#include "cli/sarif.h"
#include "cli/shard.h"
#include "cli/stop_signals.h"
#include "corpus/atomic_file.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "fuzz/campaign/campaign.h"
#include "properties/judging/verification_case.h"
#include "properties/targets/plugin_target.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

struct FuzzOptions {
  campaign::CampaignOptions campaign;
  double minutes = 10;
  bool no_regressions = false;
  std::string json, sarif, html;
};

SarifLog sarif_log_of(const campaign::CampaignResult& result, const std::string& target) {
  SarifLog log;
  log.exit_code = exit_code_of(result);
  for (const auto& finding : result.findings) {
    const std::string words =
        fmt::format("target {}: {}{}; the report and the minimized case lie beside each other", target,
                    finding.signature, finding.is_new ? "" : " (known)");
    log.results.push_back({finding.signature, words, (finding.folder / "report.md").string()});
  }
  log.not_done = result.problems;
  return log;
}

// What the campaign wrote of a finding; nothing where it cannot be read.
std::string report_text(const campaign::RecordedFinding& finding) {
  std::ifstream stream(finding.folder / "report.md", std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(stream), {}};
}

HtmlReport page_of(const campaign::CampaignResult& result, const std::string& target) {
  HtmlReport report;
  report.title = "Fuzzing of " + target;
  report.good = exit_code_of(result) == kAllGood;
  report.verdict =
      fmt::format("{} finding{}", result.findings.size(), result.findings.size() == 1 ? "" : "s");
  for (const auto& finding : result.findings)
    report.sections.push_back(
        text_section(finding.signature, finding.is_new ? "new" : "known", false,
                     (finding.folder / "case.json").string() + "\n\n" + report_text(finding)));
  report.sections.push_back(text_section("The fuzzers", "", true, to_text(result)));
  if (!result.problems.empty())
    report.sections.push_back(text_section("What could not be done", "", false,
                                           fmt::format("{}", fmt::join(result.problems, "\n"))));
  return report;
}

// Cases that a plug-in is asked for before the fuzzers are: if it takes none
// of them it would never be judged.
constexpr std::int64_t kProbes = 400;

// A plug-in is run by the fuzzers whose cases a target runs, each with workers of its own. Throws TargetError
// where the target cannot be had or takes nothing.
void prepare_plugin(campaign::CampaignOptions& wanted) {
  const auto target = make_target(wanted.target);
  const auto combinations = combinations_of(*target);
  bool taken = false;
  for (std::int64_t index = 0; index < kProbes && !taken && !combinations.empty(); ++index) {
    const Case test_case = verification_case(wanted.seed, index, combinations);
    taken = target->run(test_case, materialize(test_case)).status != RunResult::Status::not_taken;
  }
  if (!taken)
    throw TargetError(fmt::format("target {} takes no case: nothing would be judged", wanted.target));
  for (const std::string& name : wanted.names) {
    if (std::ranges::count(campaign::kFuzzersOfTargets, name) > 0) continue;
    throw UsageError(fmt::format("--fuzzer {} does not run a plug-in; {} do", name,
                                 fmt::join(campaign::kFuzzersOfTargets, ", ")));
  }
  if (wanted.names.empty())
    wanted.names.assign(campaign::kFuzzersOfTargets.begin(), campaign::kFuzzersOfTargets.end());
  // The fuzzers' processes have another working folder, and no worker beside them.
  const WorkerSettings settings = plugin_worker_settings(wanted.target);
  wanted.target = settings.library.string();
  wanted.environment.emplace_back("NORMPROOF_WORKER", std::filesystem::absolute(settings.program).string());
}

// What the fuzzers, and whoever copies a command from a report, need to know of this process's environment.
void describe_environment(campaign::CampaignOptions& wanted) {
  if (wanted.target.find("mutant:") != std::string::npos) {
    wanted.environment.emplace_back("NORMPROOF_MUTANTS",
                                    std::filesystem::absolute(mutants_folder()).string());
  }
  for (const char* name : {"NORMPROOF_KERNELS_CUDA", "NORMPROOF_PATIENCE", "NORMPROOF_MEMORY"}) {
    if (const char* value = std::getenv(name)) wanted.environment.emplace_back(name, value);
  }
}

int fuzz(FuzzOptions options) {
  campaign::CampaignOptions& wanted = options.campaign;
  if (names_a_plugin(wanted.target)) prepare_plugin(wanted);
  describe_environment(wanted);
  wanted.time = std::chrono::seconds(static_cast<std::int64_t>(options.minutes * 60 + 1e-6));
  // Reports lie elsewhere, and their commands are called there.
  const char* program = std::getenv("NORMPROOF_PROGRAM");
  const bool is_path = program != nullptr && std::string(program).find('/') != std::string::npos;
  wanted.program = is_path ? shell_quoted_file(std::filesystem::absolute(program).string()) : program_name();
  wanted.folder = std::filesystem::absolute(folder_of_shard(wanted.folder.string(), wanted.shard));
  if (options.no_regressions) {
    wanted.regressions.clear();
  } else if (wanted.regressions.empty()) {
    wanted.regressions = wanted.corpus / "regressions";
  }
  finish_on_stop_signal();
  Progress progress;
  fmt::print("seed {}, target {}, {} jobs, {:.4g} minutes; everything is kept in {}\n", wanted.seed,
             wanted.target, wanted.jobs, options.minutes, wanted.folder.string());
  std::fflush(stdout);
  auto result = campaign::run_campaign(wanted, [&](const campaign::CampaignResult& so_far, double fraction) {
    std::int64_t coverage = 0;
    for (const auto& fuzzer : so_far.fuzzers) coverage += fuzzer.coverage;
    progress.show(fmt::format("{} executions, {:.0f}/s, {} edges, {} findings", so_far.executions(),
                              static_cast<double>(so_far.executions()) / std::max(so_far.seconds, 1e-3),
                              coverage, so_far.findings.size()),
                  std::min(fraction, 1.0));
  });
  progress.clear();
  if (stop_is_requested()) {
    result.problems.push_back(fmt::format("{} after {:.1f} of {:.1f} minutes", stop_text(stop_signal),
                                          result.seconds / 60, options.minutes));
  }
  fmt::print("{}", to_text(result));
  std::fflush(stdout);
  for (const std::string& problem : result.problems) fmt::print(stderr, "normproof: {}\n", problem);
  Json document = to_json(result);
  document["stopped_early"] = stop_is_requested();
  std::vector<std::string> names = wanted.names;
  std::ranges::sort(names);
  describe_run(
      document, wanted.shard,
      {{"target", wanted.target}, {"seed", wanted.seed}, {"minutes", options.minutes}, {"only", names}});
  return exit_code_after_writing(
      exit_code_of(result),
      {{options.json, [&] { write_text_atomically(options.json, json_text(document, 2) + "\n"); }},
       {options.html, [&] { write_html(options.html, page_of(result, wanted.target)); }},
       {options.sarif, [&] { write_sarif(options.sarif, sarif_log_of(result, wanted.target)); }}});
}

}  // namespace

Action add_fuzz(CLI::App& command) {
  const auto options = std::make_shared<FuzzOptions>();
  campaign::CampaignOptions& campaign = options->campaign;
  campaign.corpus = default_corpus_folder();
  campaign.folder = "fuzz-campaign";
  campaign.jobs = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const char* fuzzers = std::getenv("NORMPROOF_FUZZERS");
  campaign.fuzzers = fuzzers != nullptr ? fuzzers : resource("fuzzers").string();
  command.add_option("--minutes", options->minutes, "How long")
      ->check(CLI::PositiveNumber)
      ->check(CLI::Range(0.0, 1e7))
      ->capture_default_str();
  command
      .add_option_function<double>(
          "--seconds", [options](double seconds) { options->minutes = seconds / 60; },
          "The same in seconds, as `verify` takes it")
      ->check(CLI::PositiveNumber)
      ->excludes("--minutes");
  command.add_option("--jobs", campaign.jobs, "Processes at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--seed", campaign.seed, "Seed for all fuzzers")->capture_default_str();
  command
      .add_option("--target", campaign.target,
                  "Kernel under test: host, mutant:NAME, or the path of a plug-in (.so)")
      ->capture_default_str();
  command.add_option("--fuzzer", campaign.names,
                     "Run only these fuzzers, for instance conformance (default: all)");
  command
      .add_option("--output,--folder", campaign.folder,
                  "Corpora and findings; a later campaign goes on from here")
      ->capture_default_str();
  command.add_option("--fuzzer-folder,--fuzzers", campaign.fuzzers, "Folder of the built fuzzers")
      ->capture_default_str();
  command.add_option("--corpus", campaign.corpus, "Folder of the case files to start from")
      ->capture_default_str();
  command.add_option("--regressions", campaign.regressions,
                     "Also copy minimized cases here (default: CORPUS/regressions)");
  command.add_flag("--no-regressions", options->no_regressions, "Do not write regressions");
  add_shard_option(command, campaign.shard);
  command.add_option("--json", options->json, "Write the result to this file");
  command.add_option("--html", options->html, "Write a page with the findings to this file");
  command.add_option("--sarif", options->sarif,
                     "Write the findings to this file in SARIF, for code scanning services");
  return [options] { return fuzz(*options); };
}

}  // namespace normproof
