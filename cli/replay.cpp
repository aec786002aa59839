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
#include "cli/finding.h"
#include "cli/given_calls.h"
#include "cli/html_report.h"
#include "cli/judged_calls.h"
#include "cli/output_files.h"
#include "cli/result_json.h"
#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "corpus/generate.h"
#include "corpus/sequence.h"
#include "fuzz/campaign/repro_script.h"
#include "oracle/canonical_judge.h"
#include "oracle/judged/call_files.h"
#include "properties/check.h"
#include "properties/judging/evaluate.h"
#include "properties/sequence_run.h"

namespace normproof {
namespace {

struct ReplayOptions {
  std::vector<std::string> files;
  std::string target = "host";
  JudgeOptions judge;
  std::string dump, repro, json, html;
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

// Writes what went in and what came out, for `check` and `identify`. Throws
// UsageError where nothing came out.
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

// One run of the command: what became of each file.
class Replay {
 public:
  explicit Replay(const ReplayOptions& options)
      : options_(options), target_(judged(make_target(options.target), options.judge)) {
    if (!options.repro.empty() && !bits_are_determined(*target_)) {
      throw UsageError(
          fmt::format("--repro: the script computes every bit in the canonical order by policy native, which "
                      "is not demanded of target {}; --judge canonical demands it",
                      target_->name()));
    }
    result_.update({{"target", target_->name()}, {"cases", ResultJson::array()}});
  }

  int run() {
    report_crashes("findings", options_.target);
    for (const std::string& argument : options_.files)
      for (const auto& file : files_of(argument)) is_sequence_file(file) ? sequence(file) : one_case(file);
    return conclude();
  }

 private:
  bool writes_outputs() const { return !(options_.dump.empty() && options_.repro.empty()); }

  // None where the argument names none: the others may still hold a violation.
  std::vector<std::filesystem::path> files_of(const std::string& argument) {
    try {
      auto files = find_case_files(argument);
      if (files.empty())
        throw std::runtime_error(fmt::format("{}: there is no case file (*.json)", argument));
      return files;
    } catch (const std::exception& error) {
      not_read(argument, error);
      return {};
    }
  }

  // Of a case that violates: what --html says more of it.
  void note(const std::string& file, std::string_view outcome, const std::string& message,
            const Finding* finding = nullptr) {
    if (!options_.html.empty()) {
      HtmlSection section = finding != nullptr
                                ? finding_section(options_.target, target_->judging(), *finding)
                                : text_section(file, std::string(outcome), outcome == "conforms",
                                               message.empty() ? std::string(outcome) : message);
      sections_.push_back(std::move(section));
    }
    ResultJson entry = {{"file", file}, {"outcome", outcome}};
    if (!message.empty()) entry["message"] = message;
    result_["cases"].push_back(std::move(entry));
  }

  void not_read(const std::string& file, const std::exception& error) {
    fmt::print(stderr, "normproof: {}\n", error.what());
    note(file, "not read", error.what());
    ++unreadable_;
  }

  void sequence(const std::filesystem::path& file) {
    if (writes_outputs()) {
      throw UsageError(
          fmt::format("--dump, --repro: take one case, got a sequence of calls: {}", file.string()));
    }
    try {
      const SequenceRun run = run_sequence(read_sequence(file), *target_);
      const bool none_taken = run.not_taken == run.calls;
      ++replayed_;
      violations_ += run.violates ? 1 : 0;
      not_taken_ += none_taken ? 1 : 0;
      note(file.string(), run.violates ? "violates" : none_taken ? "not taken" : "conforms", run.message);
      if (run.violates || !options_.quiet) fmt::print("{}: {}", file.string(), run.message);
    } catch (const CaseError& error) {
      not_read(file.string(), error);
    }
  }

  // Of a judged operation.
  void one_call(const std::filesystem::path& file, oracle::judged::StoredCall stored) {
    if (!options_.repro.empty())
      throw UsageError(
          fmt::format("--repro: takes a case, got a call of a judged operation: {}", file.string()));
    if (replayed_ > 0 && writes_outputs())
      throw UsageError(fmt::format("--dump: takes one case, got more: {}", options_.dump));
    ReplayedCall call = replay_call(file.string(), std::move(stored), *target_, options_.judge);
    ++replayed_;
    violations_ += call.outcome == "violates" ? 1 : 0;
    not_taken_ += call.outcome == "not taken" ? 1 : 0;
    note(file.string(), call.outcome, call.message);
    if (call.outcome == "violates" || !options_.quiet) fmt::print("{}: {}", file.string(), call.text);
    first_call_ = std::move(call);
  }

  void one_case(const std::filesystem::path& file) {
    std::optional<oracle::judged::StoredCall> stored;
    Case test_case;
    try {
      stored = read_given_call(file.string(), {}, false);
      if (!stored) test_case = read_case(file);
    } catch (const std::exception& error) {
      not_read(file.string(), error);
      return;
    }
    if (stored) {
      one_call(file, *std::move(stored));
      return;
    }
    const Evaluation evaluation = evaluate(test_case, *target_);
    if (replayed_ > 0 && writes_outputs()) {
      throw UsageError(
          fmt::format("--dump, --repro: take one case, got more: {}", options_.dump + options_.repro));
    }
    if (replayed_++ == 0) first_ = {test_case, evaluation};
    by_order_ += evaluation.by_known_order() ? 1 : 0;
    if (evaluation.outcome == Evaluation::Outcome::not_taken) {
      ++not_taken_;
      note(file.string(), "not taken", evaluation.run.message);
      if (!options_.quiet) fmt::print("{}: not taken: {}\n", file.string(), evaluation.run.message);
    } else if (evaluation.violates()) {
      ++violations_;
      const std::string description = describe(test_case, evaluation);
      Finding finding{test_case, "replay", description, file};
      if (evaluation.run.status == RunResult::Status::completed) finding.outputs = evaluation.run.outputs;
      note(file.string(), "violates", description, &finding);
      fmt::print("{}: {}", file.string(), description);
    } else {
      note(file.string(), "conforms", "");
      if (!options_.quiet)
        fmt::print("{}: {} ({} rows, {} elements)\n", file.string(), name_of(evaluation.outcome),
                   evaluation.verdict.rows, evaluation.verdict.elements);
    }
  }

  void print_summary() const {
    fmt::print("{} case{} on target {}: {} conform, {} violate", replayed_, replayed_ == 1 ? "" : "s",
               target_->name(), replayed_ - violations_ - not_taken_, violations_);
    if (not_taken_ > 0) fmt::print(", {} not taken", not_taken_);
    if (unreadable_ > 0) fmt::print(", {} files could not be read", unreadable_);
    fmt::print("\n");
    if (!options_.judge.order.empty())
      fmt::print("{} of {} cases were judged by an order in {}, the others by any order of summation\n",
                 by_order_, replayed_, options_.judge.order);
    fmt::print("{}", target_->closing_words());
  }

  int conclude() {
    print_summary();
    const bool nothing_judged = replayed_ > 0 && replayed_ == not_taken_;
    const int exit_code = violations_ > 0   ? kViolationFound
                          : unreadable_ > 0 ? kUsageError
                          : nothing_judged  ? kCouldNotRun
                                            : kAllGood;
    if (exit_code == kCouldNotRun)
      fmt::print(stderr, "normproof: target {} took none of the cases: nothing was judged\n",
                 target_->name());
    result_.update({{"conform", replayed_ - violations_ - not_taken_},
                    {"violate", violations_},
                    {"not_taken", not_taken_},
                    {"not_read", unreadable_},
                    {"exit_code", exit_code}});
    const OutputFile written{options_.json, [&] { write_result(options_.json, result_); }};
    const OutputFile page{options_.html, [&] { write_page(exit_code); }};
    if (replayed_ == 0) return exit_code_after_writing(exit_code, {written, page});
    return exit_code_after_writing(
        exit_code,
        {written,
         page,
         {options_.dump, [&] { write_first_outputs(); }},
         {options_.repro, [&] { write_repro(options_.repro, first_.first, first_.second, *target_); }}});
  }

  void write_page(int exit_code) {
    HtmlReport report;
    report.title = fmt::format("Replay on target {}", target_->name());
    report.good = exit_code == kAllGood;
    report.verdict = violations_ > 0 ? "violates" : report.good ? "conforms" : "not judged";
    report.diagnosis =
        fmt::format("{} of {} conform, {} violate, {} were not taken, {} could not be read",
                    replayed_ - violations_ - not_taken_, replayed_, violations_, not_taken_, unreadable_);
    report.summary_head = {"file", "verdict"};
    report.sections = std::move(sections_);
    write_html(options_.html, report);
  }

  void write_first_outputs() const {
    if (!first_call_) return write_outputs(options_.dump, first_.first, first_.second);
    if (!first_call_->with_outputs)
      throw UsageError(
          fmt::format("--dump {}: the target gave no outputs: {}", options_.dump, first_call_->message));
    write_call_dump(options_.dump, *first_call_->with_outputs, std::nullopt);
  }

  const ReplayOptions& options_;
  std::unique_ptr<Target> target_;
  int violations_ = 0, unreadable_ = 0, replayed_ = 0, not_taken_ = 0, by_order_ = 0;
  std::pair<Case, Evaluation> first_;  // what --dump and --repro write
  std::optional<ReplayedCall> first_call_;
  ResultJson result_ = result_document("replay");
  std::vector<HtmlSection> sections_;  // of the page
};

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
  command.add_option("--json", options->json, "Write the outcome of every case to this file");
  command.add_option("--html", options->html, "Write a page on every case to this file");
  command.add_flag("--quiet", options->quiet, "Print only violations and the summary");
  return [options] { return Replay(*options).run(); };
}

}  // namespace normproof
