// `normproof minimize FILE`: the smallest case that still violates, as a case
// file to paste into a bug report.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <system_error>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/finding.h"
#include "cli/given_calls.h"
#include "cli/given_outputs.h"
#include "cli/minimize_call.h"
#include "cli/output_files.h"
#include "cli/result_json.h"
#include "corpus/case_json.h"
#include "corpus/limits.h"
#include "corpus/message_text.h"
#include "properties/detective/minimize_outputs.h"
#include "properties/judging/evaluate.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

struct MinimizeOptions {
  std::string file;
  JudgingOptions judging;
  std::string target;
  std::string judge = "auto";
  std::string output = "minimized.json", json;
  ShrinkOptions shrinking;
};

// `violates`: whether there was something to minimize; then `text` says what the smallest case shows.
ResultJson result_of(const MinimizeOptions& options, bool violates, const Case& smallest,
                     const std::string& text, int exit_code) {
  ResultJson result = result_document("minimize");
  result.update({{"file", options.file}, {"violates", violates}});
  if (violates) {
    result.update({{"output", options.output},
                   {"operation", name_of(smallest.operation)},
                   {"rows", smallest.rows()},
                   {"hidden_size", smallest.hidden_size()},
                   {"text", text}});
  }
  result["exit_code"] = exit_code;
  return result;
}

int nothing_to_minimize(const MinimizeOptions& options) {
  return exit_code_after_writing(
      kAllGood,
      {{options.json, [&] { write_result(options.json, result_of(options, false, {}, "", kAllGood)); }}});
}

void print_size(const char* what, const Case& test_case) {
  fmt::print("{}: {} x {}\n", what, test_case.rows(), test_case.hidden_size());
}

// A case that a target runs: everything may shrink, because the target gives new outputs.
int minimize_on_target(const MinimizeOptions& options) {
  Case failing = read_case(options.file);
  failing.outputs.reset();
  const auto target =
      judged(make_target(options.target), {options.judge, options.judging.policy, options.judging.order});
  const Evaluation before = evaluate(failing, *target);
  print_size(options.file.c_str(), failing);
  if (before.outcome == Evaluation::Outcome::not_taken) {
    fmt::print(stderr, "normproof: {}: target {} does not take the case: {}\n", options.file, target->name(),
               before.run.message);
    return kCouldNotRun;
  }
  if (!before.violates()) {
    fmt::print("does not violate the contract on target {}: nothing to minimize\n", target->name());
    return nothing_to_minimize(options);
  }
  Evaluation after = before;
  const auto [shrunk, stopped_early] =
      shrink_violation(failing, identity_of(failing, before), *target, after, options.shrinking);
  Case smallest = shrunk;
  smallest.name = "minimized";
  smallest.description = printable(
      fmt::format("Violates the contract on target {}: {}.", target->name(), name_of(after.outcome)),
      kMaximumDescriptionBytes);
  print_size(options.output.c_str(), smallest);
  fmt::print("{}", describe(smallest, after));
  if (stopped_early) fmt::print("{}", stopped_early_text(options.shrinking));
  fmt::print("replay: {} replay {}{}\n", program_name(), shell_quoted_file(options.output),
             target_arguments(*target));
  const auto result = [&] {
    return result_of(options, true, smallest, describe(smallest, after), kViolationFound);
  };
  return exit_code_after_writing(kViolationFound,
                                 {{options.output, [&] { write_case(options.output, smallest); }},
                                  {options.json, [&] { write_result(options.json, result()); }}});
}

int minimize_given_outputs(const MinimizeOptions& options) {
  const GivenOutputs given = read_given_outputs(options.file, options.judging);
  const Case whole = whole_case(given);
  print_size(options.file.c_str(), whole);
  const auto minimized = minimize_outputs(whole, given.policy);
  if (!minimized) {
    fmt::print("conforms to policy {}: nothing to minimize\n", oracle::to_string(given.policy));
    return nothing_to_minimize(options);
  }
  const OutputsViolation& violation = minimized->violation;
  fmt::print("{}", violation.text);
  const auto kept = static_cast<std::int64_t>(minimized->columns.size());
  if (kept < whole.hidden_size()) {
    fmt::print("{} of {} columns show the same\n", kept, whole.hidden_size());
  } else {
    fmt::print("no smaller part with the same inverse RMS shows the same: the row is kept whole\n");
  }
  const Case& smallest = minimized->test_case;
  const std::string policy = oracle::to_string(given.policy);
  const bool as_always = policy == "native" || given.policy.inverse_root.order;
  const Demand demand{as_always ? std::nullopt : std::optional(policy), false};
  print_size(options.output.c_str(), smallest);
  const OutputFile written{options.output, [&] { write_case(options.output, smallest, demand); }};
  const auto still = first_violation(smallest, given.policy);
  if (!still) {
    fmt::print(stderr, "normproof: {} does not violate by itself\n", options.output);
    return exit_code_after_writing(kCouldNotRun, {written});
  }
  // A part of a row has no order of its own.
  const bool by_order =
      given.policy.inverse_root.order && orders_for(options.judging.order, {})->find(smallest);
  fmt::print("check: {} check {}{}{}\n", program_name(), shell_quoted_file(options.output),
             policy == "native" ? "" : " --policy " + shell_quoted(policy),
             by_order ? " --order " + shell_quoted_file(options.judging.order) : "");
  const auto result = [&] { return result_of(options, true, smallest, violation.text, kViolationFound); };
  return exit_code_after_writing(kViolationFound,
                                 {written, {options.json, [&] { write_result(options.json, result()); }}});
}

}  // namespace

Action add_minimize(CLI::App& command) {
  const auto options = std::make_shared<MinimizeOptions>();
  command
      .add_option("file", options->file,
                  "A dump (*.safetensors) or a case file (*.json) with outputs; with --target any case file")
      ->required();
  add_judging_options(command, options->judging, true);
  command.add_option("--target", options->target, "Run the case on this target and shrink everything");
  command
      .add_option("--judge", options->judge, "With --target: canonical, witness, or auto, the target's own")
      ->check(CLI::IsMember({"auto", "canonical", "witness"}))
      ->capture_default_str();
  command
      .add_option("--seconds", options->shrinking.seconds,
                  "With --target: how long to look for smaller cases")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  command.add_flag("--keep-operation", options->shrinking.keep_operation,
                   "With --target: not a simpler operation that shows the violation too");
  command.add_option("--output", options->output, "Where to write the smallest case")->capture_default_str();
  command.add_option("--json", options->json, "Write what was found to this file");
  return [options] {
    if (auto stored = read_given_call(options->file, options->judging, false)) {
      if (options->judge == "canonical")
        throw UsageError(fmt::format("--judge canonical: {} is judged in any order of summation alone",
                                     stored->call.operation->name));
      return minimize_call(*std::move(stored), {options->file, options->judging, options->target,
                                                options->shrinking.seconds, options->output, options->json});
    }
    return options->target.empty() ? minimize_given_outputs(*options) : minimize_on_target(*options);
  };
}

}  // namespace normproof
