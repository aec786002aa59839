#include "cli/minimize_call.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/given_calls.h"
#include "cli/judged_calls.h"
#include "cli/output_files.h"
#include "cli/result_json.h"
#include "corpus/atomic_file.h"
#include "properties/judged/call_evaluation.h"
#include "properties/judged/cases.h"
#include "properties/targets/judged_target.h"

namespace normproof {
namespace {

using oracle::judged::Call;
using oracle::judged::Policy;

void print_size(const std::string& what, const Call& call) {
  fmt::print("{}: {} x {}\n", what, call.rows(), call.hidden_size());
}

// `smallest`: null where there was nothing to minimize.
int written(const MinimizeCallOptions& options, const Call* smallest, const Policy& policy,
            const std::string& text) {
  const int exit_code = smallest != nullptr ? kViolationFound : kAllGood;
  ResultJson result = result_document("minimize");
  result.update({{"file", options.file}, {"violates", smallest != nullptr}});
  if (smallest != nullptr) {
    result.update({{"output", options.output},
                   {"operation", smallest->operation->name},
                   {"rows", smallest->rows()},
                   {"hidden_size", smallest->hidden_size()},
                   {"text", text}});
  }
  result["exit_code"] = exit_code;
  return exit_code_after_writing(
      exit_code,
      {{smallest != nullptr ? options.output : "",
        [&] { write_text_atomically(options.output, call_to_json(*smallest, to_string(policy))); }},
       {options.json, [&] { write_result(options.json, result); }}});
}

int minimize_on_target(oracle::judged::StoredCall stored, const MinimizeCallOptions& options) {
  const auto target = make_target(options.target);
  JudgedTarget* judged = target->judged_target();
  const auto& operation = *stored.call.operation;
  if (judged == nullptr || !std::ranges::count(judged->judged_operations(), &operation))
    throw TargetError(
        fmt::format("{}: target {} has no operation {}", options.file, target->name(), operation.name));
  const Policy policy = policy_of_given_call(options.file, stored, options.judging);
  Call call = std::move(stored.call);
  print_size(options.file, call);
  if (!call.has_outputs()) call = judging::asking_for_all(std::move(call), policy);
  const judging::CallEvaluation before = judging::evaluate_call(*judged, call, policy);
  if (before.outcome == judging::CallEvaluation::Outcome::not_taken) {
    fmt::print(stderr, "normproof: {}: target {} does not take the call: {}\n", options.file, target->name(),
               before.run.message);
    return kCouldNotRun;
  }
  if (!before.violates()) {
    fmt::print("conforms to policy {} on target {}: nothing to minimize\n", to_string(policy),
               target->name());
    return written(options, nullptr, policy, {});
  }
  const judging::SmallerCall found = judging::smaller_call(*judged, call, before, policy, options.seconds);
  const bool completed = found.evaluation.run.status == RunResult::Status::completed;
  Call smallest = completed ? found.evaluation.run.call : judging::without_contents(found.call);
  smallest.name = "minimized";
  smallest.description = fmt::format("Violates policy {} on target {}: {}.", to_string(policy),
                                     target->name(), found.evaluation.kind());
  const std::string text = judging::describe(smallest, found.evaluation);
  print_size(options.output, smallest);
  fmt::print("{}replay: {} replay {}{}\n", text, program_name(), shell_quoted_file(options.output),
             judged_target_arguments(*target, policy));
  return written(options, &smallest, policy, text);
}

int minimize_outputs_of_file(const oracle::judged::StoredCall& stored, const MinimizeCallOptions& options) {
  const Policy policy = policy_of_given_call(options.file, stored, options.judging);
  const Call& call = stored.call;
  if (!call.has_outputs())
    throw UsageError(fmt::format("{}: it has no outputs; --target names who makes them", options.file));
  print_size(options.file, call);
  judging::JudgeOptions first_alone;
  first_alone.listed = 1;
  first_alone.doubts = false;
  const judging::Judgement judgement = judging::judge(call, policy, first_alone);
  if (judgement.conforms()) {
    fmt::print("conforms to policy {}: nothing to minimize\n", to_string(policy));
    return written(options, nullptr, policy, {});
  }
  Call smallest = judging::violating_part(call, judgement.first_violations.front(), policy);
  smallest.name = "minimized";
  const judging::Judgement of_part = judging::judge(smallest, policy, first_alone);
  const std::string text = of_part.conforms() ? std::string() : of_part.first_violations.front().text();
  print_size(options.output, smallest);
  if (text.empty()) {
    fmt::print(stderr, "normproof: {} does not violate by itself\n", options.output);
    written(options, &smallest, policy, text);
    return kCouldNotRun;
  }
  fmt::print("{}the {} is kept whole: what it was made by is not known (--target runs smaller calls)\n", text,
             judgement.first_violations.front().kind == "interval" ? "column" : "row");
  fmt::print("check: {} check {}\n", program_name(), shell_quoted_file(options.output));
  return written(options, &smallest, policy, text);
}

}  // namespace

int minimize_call(oracle::judged::StoredCall stored, const MinimizeCallOptions& options) {
  return options.target.empty() ? minimize_outputs_of_file(stored, options)
                                : minimize_on_target(std::move(stored), options);
}

}  // namespace normproof
