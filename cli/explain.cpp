// `normproof explain FILE`: every rounding step behind one output element, and which step the target does
// otherwise.
#include "oracle/explain.h"

#include <fmt/format.h>

#include <memory>
#include <tuple>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "corpus/case_json.h"
#include "oracle/canonical_judge.h"
#include "properties/run/evaluate.h"

namespace normproof {
namespace {

struct ExplainOptions {
  std::string file;
  std::string target = "host";
  JudgeOptions judge;
  std::optional<std::int64_t> row, column;
};

int explain_command(const ExplainOptions& options) {
  const Case test_case = read_case(options.file);
  if (test_case.elements() == 0) {
    fmt::print(stderr, "normproof: {}: the case has no elements to explain (shape has 0 rows)\n",
               options.file);
    return kUsageError;
  }
  const auto check_range = [&](const char* name, std::optional<std::int64_t> value, std::int64_t size) {
    if (!value || (*value >= 0 && *value < size)) return true;
    fmt::print(stderr, "normproof: --{} {} is outside 0 to {}\n", name, *value, size - 1);
    return false;
  };
  if (!check_range("row", options.row, test_case.rows()) ||
      !check_range("column", options.column, test_case.hidden_size())) {
    return kUsageError;
  }
  const CaseTensors tensors = materialize(test_case);
  Evaluation evaluation;
  std::optional<Outputs> outputs;
  if (test_case.outputs) {
    outputs = test_case.outputs;
    evaluation.verdict = oracle::judge_canonical(test_case, tensors, *outputs);
    fmt::print("outputs: as given in {}\n", options.file);
  } else {
    const auto target = judged(make_target(options.target), options.judge);
    evaluation = evaluate(test_case, tensors, *target);
    if (evaluation.run.status == RunResult::Status::completed) outputs = evaluation.run.outputs;
    fmt::print("outputs: of target {}\n", target->name());
    if (evaluation.outcome == Evaluation::Outcome::not_taken) {
      fmt::print(stderr, "normproof: {}: target {} does not take the case: {}\n", options.file,
                 target->name(), evaluation.run.message);
      return kCouldNotRun;
    }
    if (evaluation.violates()) fmt::print("{}", describe(test_case, evaluation));
    if (!target->judging().canonical) {
      fmt::print(
          "judged by the witness judge; the steps are those of the canonical order of summation, which the "
          "target need not follow\n");
    }
  }
  // Without a choice: the first wrong element, else the first element.
  std::int64_t row = options.row.value_or(0), column = options.column.value_or(0);
  if (const auto wrong = evaluation.first_wrong_element(); wrong && !options.row && !options.column)
    std::tie(row, column) = *wrong;
  const auto explanation = oracle::explain(test_case, tensors, outputs, row, column);
  fmt::print("{}", oracle::to_text(explanation));
  return evaluation.violates() || !evaluation.verdict.conforms() ? kViolationFound : kAllGood;
}

}  // namespace

Action add_explain(CLI::App& command) {
  const auto options = std::make_shared<ExplainOptions>();
  command.add_option("file", options->file, "A case file")->required();
  add_target_option(command, options->target);
  add_judge_options(command, options->judge);
  command.add_option("--row", options->row, "Row of the element, from 0; default: the first wrong element");
  command.add_option("--column", options->column, "Column of the element, from 0");
  return [options] { return explain_command(*options); };
}

}  // namespace normproof
