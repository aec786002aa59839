// `normproof fuzz`: run the fuzzers for some minutes and turn what they find into bug reports.
#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/progress.h"
#include "fuzz/campaign/campaign.h"

namespace normproof {
namespace {

struct FuzzOptions {
  campaign::CampaignOptions campaign;
  double minutes = 10;
  bool no_regressions = false;
};

int fuzz(FuzzOptions options) {
  campaign::CampaignOptions& wanted = options.campaign;
  wanted.time = std::chrono::seconds(static_cast<std::int64_t>(options.minutes * 60));
  wanted.program = program_name();
  wanted.folder = std::filesystem::absolute(wanted.folder);
  if (options.no_regressions) {
    wanted.regressions.clear();
  } else if (wanted.regressions.empty()) {
    wanted.regressions = wanted.corpus / "regressions";
  }
  Progress progress;
  fmt::print("seed {}, target {}, {} jobs, {} minutes; everything is kept in {}\n", wanted.seed,
             wanted.target, wanted.jobs, options.minutes, wanted.folder.string());
  const auto result =
      campaign::run_campaign(wanted, [&](const campaign::CampaignResult& so_far, double fraction) {
        std::int64_t coverage = 0;
        for (const auto& fuzzer : so_far.fuzzers) coverage += fuzzer.coverage;
        progress.show(fmt::format("{} executions, {:.0f}/s, {} edges, {} findings", so_far.executions(),
                                  static_cast<double>(so_far.executions()) / std::max(so_far.seconds, 1e-3),
                                  coverage, so_far.findings.size()),
                      std::min(fraction, 1.0));
      });
  progress.clear();
  fmt::print("{:<12} {:>6} {:>12} {:>8} {:>8} {:>9}\n", "fuzzer", "runs", "executions", "edges", "inputs",
             "failures");
  for (const auto& fuzzer : result.fuzzers) {
    fmt::print("{:<12} {:>6} {:>12} {:>8} {:>8} {:>9}\n", fuzzer.name, fuzzer.runs, fuzzer.executions,
               fuzzer.coverage, fuzzer.inputs, fuzzer.failures);
  }
  fmt::print("{} executions in {:.0f} s\n", result.executions(), result.seconds);
  for (const auto& finding : result.findings) {
    fmt::print("FINDING {}{}: {}\n", finding.signature, finding.is_new ? "" : " (known)",
               (finding.folder / "report.md").string());
  }
  for (const std::string& problem : result.problems) fmt::print(stderr, "normproof: {}\n", problem);
  fmt::print("{} findings, {} problems\n", result.findings.size(), result.problems.size());
  if (!result.findings.empty()) return kViolationFound;
  return result.problems.empty() && result.executions() > 0 ? kAllGood : kCouldNotRun;
}

}  // namespace

Action add_fuzz(CLI::App& command) {
  const auto options = std::make_shared<FuzzOptions>();
  campaign::CampaignOptions& campaign = options->campaign;
  campaign.corpus = default_corpus_folder();
  campaign.folder = "fuzz-campaign";
  campaign.jobs = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const char* fuzzers = std::getenv("NORMPROOF_FUZZERS");
  campaign.fuzzers = fuzzers != nullptr ? fuzzers : NORMPROOF_FUZZERS_FOLDER;
  command.add_option("--minutes", options->minutes, "How long")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--jobs", campaign.jobs, "Processes at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--seed", campaign.seed, "Of the fuzzers' random numbers")->capture_default_str();
  command.add_option("--target", campaign.target, "Who runs the cases: host or a mutant")
      ->capture_default_str();
  command.add_option("--fuzzer", campaign.names, "Only these, for instance conformance; all without");
  command.add_option("--folder", campaign.folder, "Corpora and findings; a later campaign goes on from here")
      ->capture_default_str();
  command.add_option("--fuzzers", campaign.fuzzers, "Folder of the built fuzzers")->capture_default_str();
  command.add_option("--corpus", campaign.corpus, "Folder of the case files to start from")
      ->capture_default_str();
  command.add_option("--regressions", campaign.regressions,
                     "Where minimized cases go as well; CORPUS/regressions without");
  command.add_flag("--no-regressions", options->no_regressions, "Leave that folder alone");
  return [options] { return fuzz(*options); };
}

}  // namespace normproof
