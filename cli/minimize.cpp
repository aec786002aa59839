// `normproof minimize FILE`: the smallest case that still violates, as a case file to paste into a bug
// report.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <system_error>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/finding.h"
#include "cli/given_outputs.h"
#include "corpus/case_json.h"
#include "oracle/witness_judge.h"
#include "properties/run/evaluate.h"
#include "properties/run/judge_rows.h"
#include "properties/run/target.h"

namespace normproof {
namespace {

struct MinimizeOptions {
  std::string file;
  JudgingOptions judging;
  std::string target;
  std::string output = "minimized.json";
};

void print_size(const char* what, const Case& test_case) {
  fmt::print("{}: {} x {}\n", what, test_case.rows(), test_case.hidden_size());
}

// A case that a target runs: everything may shrink, because the target gives new outputs.
int minimize_on_target(const MinimizeOptions& options) {
  Case failing = read_case(options.file);
  failing.outputs.reset();
  const auto target = make_target(options.target);
  const Evaluation before = evaluate(failing, *target);
  print_size(options.file.c_str(), failing);
  if (!before.violates()) {
    fmt::print("does not violate the contract on target {}: nothing to minimize\n", target->name());
    return kAllGood;
  }
  Case smallest = shrink_violation(failing, *target);
  const Evaluation after = evaluate(smallest, *target);
  smallest.name = "minimized";
  smallest.description =
      fmt::format("Violates the contract on target {}: {}.", target->name(), name_of(after.outcome));
  write_case(options.output, smallest);
  print_size(options.output.c_str(), smallest);
  fmt::print("{}", describe(smallest, after));
  fmt::print("replay: {} replay {} --target {}\n", program_name(), options.output, target->name());
  return kViolationFound;
}

// The chosen columns of one row as a case of their own.
Case extract(const Case& whole, std::int64_t row, const std::vector<std::int64_t>& columns) {
  Case part = whole;
  part.name = "minimized";
  part.shape = {1, static_cast<std::int64_t>(columns.size())};
  const auto pick = [&](std::vector<std::byte>& data, DType dtype, std::int64_t first) {
    if (data.empty()) return;
    std::vector<std::byte> picked(columns.size() * size_of(dtype));
    for (std::size_t index = 0; index < columns.size(); ++index) {
      store_bits(picked, dtype, static_cast<std::int64_t>(index),
                 load_bits(data, dtype, first + columns[index]));
    }
    data = std::move(picked);
  };
  const std::int64_t first = row * whole.hidden_size();
  pick(part.input.bytes, part.dtype, first);
  pick(part.residual.bytes, part.dtype, first);
  if (part.weight_dtype) pick(part.weight.bytes, *part.weight_dtype, 0);
  pick(part.outputs->out, part.output_dtype(), first);
  pick(part.outputs->residual_out, part.dtype, first);
  part.input_layout = part.residual_layout = part.output_layout = {};
  part.weight_offset = 0;
  part.in_place = false;
  part.launch = {};
  part.schedule = {};
  return part;
}

// The first violation of a case with outputs: its row, and the elements that prove it.
struct Violation {
  std::int64_t row = 0;
  std::vector<std::int64_t> columns;
  bool scale = false;
  std::string text;
};
std::optional<Violation> first_violation(const Case& test_case, const oracle::Policy& policy) {
  oracle::WitnessOptions witness_options;
  witness_options.stop_after = 1;
  const auto verdict =
      oracle::judge_witness(test_case, materialize(test_case), *test_case.outputs, policy, witness_options);
  if (verdict.conforms()) return std::nullopt;
  Violation violation;
  if (verdict.first_violations.empty()) {
    const oracle::Mismatch& mismatch = verdict.first_residual_mismatches.front();
    violation.row = mismatch.row;
    violation.columns = {mismatch.column};
    violation.text = mismatch_line(mismatch) + "\n";
    return violation;
  }
  const oracle::Certificate& certificate = verdict.first_violations.front();
  violation.row = certificate.row;
  for (const auto& element : certificate.elements) violation.columns.push_back(element.column);
  violation.scale = certificate.kind == oracle::ViolationKind::scale;
  violation.text = oracle::to_text(certificate, oracle::formula_of(test_case, policy));
  return violation;
}

// Outputs that somebody else produced: they belong to their inputs, so only rows and columns can be left out.
// What two elements prove, they prove without the rest of their row; what the scale of a row proves takes the
// whole row.
int minimize_outputs(const MinimizeOptions& options) {
  const GivenOutputs given = read_given_outputs(options.file, options.judging);
  const Case whole = whole_case(given);
  print_size(options.file.c_str(), whole);
  const auto violation = first_violation(whole, given.policy);
  if (!violation) {
    fmt::print("conforms to policy {}: nothing to minimize\n", oracle::to_string(given.policy));
    return kAllGood;
  }
  fmt::print("{}", violation->text);
  Case smallest = extract(whole, violation->row, violation->columns);
  const bool proves_alone = !violation->scale && first_violation(smallest, given.policy).has_value();
  if (proves_alone) {
    fmt::print("a row of just {} still violates\n",
               violation->columns.size() == 1 ? "that element" : "those two elements");
  } else {
    fmt::print("{}: the row is kept whole\n", violation->scale
                                                  ? "the element is wrong only against the row's own scale"
                                                  : "a row of just those elements does not violate");
    std::vector<std::int64_t> columns(static_cast<std::size_t>(whole.hidden_size()));
    for (std::size_t column = 0; column < columns.size(); ++column)
      columns[column] = static_cast<std::int64_t>(column);
    smallest = extract(whole, violation->row, columns);
  }
  smallest.description = fmt::format("Outputs that violate policy {}: row {} of a larger run, column{} {}.",
                                     oracle::to_string(given.policy), violation->row,
                                     violation->columns.size() == 1 ? "" : "s", violation->columns.front());
  if (violation->columns.size() == 2)
    smallest.description.insert(smallest.description.size() - 1,
                                fmt::format(" and {}", violation->columns[1]));
  write_case(options.output, smallest);
  print_size(options.output.c_str(), smallest);
  const auto still = first_violation(smallest, given.policy);
  if (!still) {
    fmt::print(stderr, "normproof: {} was written but does not violate by itself\n", options.output);
    return kCouldNotRun;
  }
  const std::string policy = oracle::to_string(given.policy);
  fmt::print("check: {} check {}{}\n", program_name(), options.output,
             policy == "native" ? "" : " --policy " + policy);
  return kViolationFound;
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
  command.add_option("--output", options->output, "Where to write the smallest case")->capture_default_str();
  return [options] {
    return options->target.empty() ? minimize_outputs(*options) : minimize_on_target(*options);
  };
}

}  // namespace normproof
