// `normproof explain FILE`: every rounding step behind one output element, and
// which step the target does otherwise.
#include "oracle/explain.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <memory>
#include <tuple>
#include <utility>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/explain_call.h"
#include "cli/given_calls.h"
#include "cli/given_outputs.h"
#include "cli/output_files.h"
#include "cli/result_json.h"
#include "corpus/case_json.h"
#include "oracle/canonical_judge.h"
#include "oracle/witness_judge.h"
#include "properties/judging/evaluate.h"

namespace normproof {
namespace {

struct ExplainOptions {
  std::string file, json;
  std::string target = "host";
  bool target_is_given = false;
  JudgeOptions judge;
  std::optional<std::int64_t> row, column;
};

// A case, with or without outputs, or a dump.
struct Given {
  Case test_case;
  CaseTensors tensors;
  std::optional<Outputs> outputs;
  oracle::Policy policy;
};

Given read(const ExplainOptions& options) {
  JudgingOptions judging;
  judging.policy = options.judge.policy;
  judging.order = options.judge.order;
  if (options.file.ends_with(".json")) {
    Given given{read_case(options.file), {}, {}, {}};
    given.tensors = materialize(given.test_case);
    given.outputs = given.test_case.outputs;
    if (given.outputs) given.policy = read_given_outputs(options.file, judging).policy;
    return given;
  }
  GivenOutputs dump = read_given_outputs(options.file, judging);
  return {std::move(dump.test_case), std::move(dump.tensors), std::move(dump.outputs), dump.policy};
}

// Given outputs may follow any order of summation: the witness judge first, and where the order is demanded,
// or nothing else is wrong with a case file, the canonical one.
Evaluation judge_given(const Given& given, const ExplainOptions& options) {
  Evaluation evaluation;
  evaluation.policy = given.policy;
  const bool by_order = given.policy.inverse_root.order != nullptr;
  if (options.judge.judge != "canonical") {
    auto verdict = oracle::judge_witness(given.test_case, given.tensors, *given.outputs, given.policy);
    evaluation.verdict.mismatches =
        verdict.rounding_violations + verdict.scale_violations + verdict.residual_mismatches;
    evaluation.verdict.first_mismatches = std::move(verdict.first_residual_mismatches);
    evaluation.certificates = std::move(verdict.first_violations);
    const bool case_file = options.file.ends_with(".json") && options.judge.judge == "auto" && !by_order;
    if (evaluation.verdict.mismatches > 0 || !case_file) return evaluation;
  }
  evaluation.verdict = oracle::judge_canonical(given.test_case, given.tensors, *given.outputs, given.policy);
  return evaluation;
}

// The element to explain: of the first violation the one that differs from what is printed beside it.
std::pair<std::int64_t, std::int64_t> wrong_element(const Given& given, const Outputs& outputs,
                                                    const Evaluation& evaluation) {
  const auto wrong = evaluation.first_wrong_element();
  if (!wrong) return {0, 0};
  if (!evaluation.verdict.first_mismatches.empty() || evaluation.certificates.empty()) return *wrong;
  const Outputs expected = oracle::expected_outputs(given.test_case, given.tensors, evaluation.policy);
  const oracle::Certificate& certificate = evaluation.certificates.front();
  const DType dtype = given.test_case.output_dtype();
  for (const oracle::CertificateElement& element : certificate.elements) {
    const std::int64_t index = certificate.row * given.test_case.hidden_size() + element.column;
    if (!oracle::same(dtype, load_bits(outputs[Role::out], dtype, index),
                      load_bits(expected[Role::out], dtype, index)))
      return {certificate.row, element.column};
  }
  return *wrong;
}

// A file's own outputs are explained, whatever the target is.
void say_what_is_not_run(const ExplainOptions& options) {
  if (options.target_is_given)
    fmt::print(stderr, "normproof: {} holds outputs, which are explained: target {} is not run\n",
               options.file, options.target);
}

int explain_command(const ExplainOptions& options) {
  if (auto stored = read_given_call(options.file, {}, false)) {
    if (stored->call.has_outputs()) say_what_is_not_run(options);
    return explain_call(options.file, *std::move(stored), options.target, options.judge, options.row,
                        options.column, options.json);
  }
  const Given given = read(options);
  const Case& test_case = given.test_case;
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
  const CaseTensors& tensors = given.tensors;
  Evaluation evaluation;
  oracle::Policy policy = given.policy;
  std::optional<Outputs> outputs;
  if (given.outputs) {
    say_what_is_not_run(options);
    outputs = given.outputs;
    evaluation = judge_given(given, options);
    fmt::print("outputs: as given in {}\n", options.file);
  } else {
    const auto target = judged(make_target(options.target), options.judge);
    policy = target->judging().policy_of(test_case);
    evaluation = evaluate(test_case, tensors, *target);
    if (evaluation.run.status == RunResult::Status::completed) outputs = evaluation.run.outputs;
    fmt::print("outputs: of target {}\n", target->name());
    if (evaluation.outcome == Evaluation::Outcome::not_taken) {
      fmt::print(stderr, "normproof: {}: target {} does not take the case: {}\n", options.file,
                 target->name(), evaluation.run.message);
      return kCouldNotRun;
    }
    if (evaluation.violates()) fmt::print("{}", describe(test_case, evaluation));
    if (!options.judge.order.empty() && !evaluation.by_known_order())
      fmt::print("{} has no order for the case\n", options.judge.order);
    if (evaluation.by_known_order()) {
      fmt::print("judged by an order in {}; the steps are those of that order\n", options.judge.order);
    } else if (!target->judging().canonical) {
      fmt::print(
          "judged by the witness judge; the steps are those of the canonical order of summation, which the "
          "target need not follow\n");
    }
  }
  // Without a choice: the first wrong element, else the first element.
  std::int64_t row = options.row.value_or(0), column = options.column.value_or(0);
  if (outputs && !options.row && !options.column)
    std::tie(row, column) = wrong_element(given, *outputs, evaluation);
  const auto explanation = oracle::explain(test_case, tensors, outputs, row, column, policy);
  fmt::print("{}", oracle::to_text(explanation));
  const int exit_code = evaluation.violates() || !evaluation.verdict.conforms() ? kViolationFound : kAllGood;
  return exit_code_after_writing(exit_code, {{options.json, [&] {
                                                ResultJson result = result_document("explain");
                                                result.update(to_json(explanation));
                                                result["exit_code"] = exit_code;
                                                write_result(options.json, result);
                                              }}});
}

}  // namespace

Action add_explain(CLI::App& command) {
  const auto options = std::make_shared<ExplainOptions>();
  command.add_option("file", options->file, "A case file or call file (*.json), or a dump")->required();
  add_target_option(command, options->target);
  add_judge_options(command, options->judge);
  add_order_option(command, options->judge.order);
  command.add_option("--row", options->row, "Row of the element, from 0; default: the first wrong element");
  command.add_option("--column", options->column, "Column of the element, from 0");
  command.add_option("--json", options->json, "Write the steps to this file");
  const CLI::Option* target = command.get_option("--target");
  return [options, target] {
    options->target_is_given = target->count() > 0;
    return explain_command(*options);
  };
}

}  // namespace normproof
