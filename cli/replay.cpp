// `normproof replay FILE...`: run cases from JSON files on a target and judge them.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <exception>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <vector>

#include "cli/commands.h"
#include "cli/crash_report.h"
#include "cli/exit_codes.h"
#include "cli/output_files.h"
#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "corpus/generate.h"
#include "corpus/sequence.h"
#include "fuzz/campaign/repro_script.h"
#include "oracle/canonical_judge.h"
#include "properties/check.h"
#include "properties/run/evaluate.h"
#include "properties/sequence_run.h"

namespace normproof {
namespace {

struct ReplayOptions {
  std::vector<std::string> files;
  std::string target = "host";
  JudgeOptions judge;
  std::string dump;
  std::string repro;
  bool quiet = false;
};

// What --dump and --repro write needs outputs.
const Outputs& outputs_of(const Evaluation& evaluation, const char* option, const std::string& file) {
  if (evaluation.run.status != RunResult::Status::completed) {
    throw UsageError(
        fmt::format("{} {}: the target gave no outputs: {}", option, file, evaluation.run.message));
  }
  return evaluation.run.outputs;
}

// Writes what went in and what came out, for `check` and `identify`. Throws UsageError where nothing came
// out.
void write_outputs(const std::string& file, Case test_case, const Evaluation& evaluation) {
  test_case.outputs = outputs_of(evaluation, "--dump", file);
  write_dump(file, test_case);
}

// Writes a script that shows what differs without this program.
void write_repro(const std::string& file, const Case& test_case, const Evaluation& evaluation,
                 const Target& target) {
  const Outputs& got = outputs_of(evaluation, "--repro", file);
  const Outputs wanted = oracle::expected_outputs(test_case, materialize(test_case));
  write_text_atomically(file, campaign::repro_script(test_case, got, wanted, target.name()));
}

int replay(const ReplayOptions& options) {
  const auto target = judged(make_target(options.target), options.judge);
  if (!options.repro.empty() && !bits_are_determined(*target)) {
    throw UsageError(
        fmt::format("--repro: the script computes every bit in the canonical order by policy native, which "
                    "is not demanded of target {}; --judge canonical demands it",
                    target->name()));
  }
  report_crashes("findings", options.target);
  int violations = 0, unreadable = 0, replayed = 0, not_taken = 0, by_order = 0;
  std::pair<Case, Evaluation> first;  // what --dump and --repro write
  for (const std::string& argument : options.files) {
    std::vector<std::filesystem::path> files;
    try {
      files = find_case_files(argument);
      if (files.empty())
        throw std::runtime_error(fmt::format("{}: there is no case file (*.json)", argument));
    } catch (const std::exception& error) {
      // The other arguments may still hold a violation.
      fmt::print(stderr, "normproof: {}\n", error.what());
      ++unreadable;
    }
    for (const auto& file : files) {
      if (is_sequence_file(file)) {
        if (!(options.dump.empty() && options.repro.empty())) {
          throw UsageError(
              fmt::format("--dump, --repro: take one case, got a sequence of calls: {}", file.string()));
        }
        try {
          const SequenceRun run = run_sequence(read_sequence(file), *target);
          ++replayed;
          violations += run.violates ? 1 : 0;
          not_taken += run.not_taken == run.calls ? 1 : 0;
          if (run.violates || !options.quiet) fmt::print("{}: {}", file.string(), run.message);
        } catch (const CaseError& error) {
          fmt::print(stderr, "normproof: {}\n", error.what());
          ++unreadable;
        }
        continue;
      }
      Case test_case;
      try {
        test_case = read_case(file);
      } catch (const std::exception& error) {
        fmt::print(stderr, "normproof: {}\n", error.what());
        ++unreadable;
        continue;
      }
      const Evaluation evaluation = evaluate(test_case, *target);
      if (replayed > 0 && !(options.dump.empty() && options.repro.empty())) {
        throw UsageError(
            fmt::format("--dump, --repro: take one case, got more: {}", options.dump + options.repro));
      }
      if (replayed++ == 0) first = {test_case, evaluation};
      by_order += evaluation.by_known_order() ? 1 : 0;
      if (evaluation.outcome == Evaluation::Outcome::not_taken) {
        ++not_taken;
        if (!options.quiet) fmt::print("{}: not taken: {}\n", file.string(), evaluation.run.message);
      } else if (evaluation.violates()) {
        ++violations;
        fmt::print("{}: {}", file.string(), describe(test_case, evaluation));
      } else if (!options.quiet) {
        fmt::print("{}: {} ({} rows, {} elements)\n", file.string(), name_of(evaluation.outcome),
                   evaluation.verdict.rows, evaluation.verdict.elements);
      }
    }
  }
  fmt::print("{} cases on target {}: {} conform, {} violate", replayed, target->name(),
             replayed - violations - not_taken, violations);
  if (not_taken > 0) fmt::print(", {} not taken", not_taken);
  if (unreadable > 0) fmt::print(", {} files could not be read", unreadable);
  fmt::print("\n");
  if (!options.judge.order.empty())
    fmt::print("{} of {} cases were judged by an order in {}, the others by any order of summation\n",
               by_order, replayed, options.judge.order);
  fmt::print("{}", target->closing_words());
  const bool nothing_judged = replayed > 0 && replayed == not_taken;
  const int exit_code = violations > 0   ? kViolationFound
                        : unreadable > 0 ? kUsageError
                        : nothing_judged ? kCouldNotRun
                                         : kAllGood;
  if (exit_code == kCouldNotRun)
    fmt::print(stderr, "normproof: target {} took none of the cases: nothing was judged\n", target->name());
  if (replayed == 0) return exit_code;
  return exit_code_after_writing(
      exit_code, {{options.dump, [&] { write_outputs(options.dump, first.first, first.second); }},
                  {options.repro, [&] { write_repro(options.repro, first.first, first.second, *target); }}});
}

}  // namespace

Action add_replay(CLI::App& command) {
  const auto options = std::make_shared<ReplayOptions>();
  command.add_option("files", options->files, "Case files, sequences of calls, or folders of case files")
      ->required();
  add_target_option(command, options->target);
  add_judge_options(command, options->judge);
  add_order_option(command, options->judge.order);
  command.add_option("--dump", options->dump, "Write the case's inputs and outputs to this safetensors file");
  command.add_option("--repro", options->repro,
                     "Write a Python script (numpy) that shows the case's differing elements by itself");
  command.add_flag("--quiet", options->quiet, "Print only violations and the summary");
  return [options] { return replay(*options); };
}

}  // namespace normproof
