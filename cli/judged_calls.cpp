#include "cli/judged_calls.h"

#include <fmt/format.h>

#include <stdexcept>

#include "corpus/case_json.h"
#include "properties/judged/call_evaluation.h"
#include "properties/targets/judged_target.h"

namespace normproof {
namespace {

using oracle::judged::Call;
using oracle::judged::JudgedOperation;
using oracle::judged::Policy;

// Of a part of the text for this operation; nothing where it makes no sense for it, and `problem` says why.
std::optional<Policy> parsed(const JudgedOperation& operation, const std::string& text,
                             std::string& problem) {
  try {
    return parse_policy(operation, text);
  } catch (const std::invalid_argument& error) {
    problem = error.what();
    return std::nullopt;
  }
}

bool is_policy_of_cases(const std::string& text, std::string& problem) {
  try {
    oracle::parse_policy(text);
    return true;
  } catch (const std::invalid_argument& error) {
    problem = error.what();
    return false;
  }
}

std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(';', begin), text.size());
    std::string part = text.substr(begin, end - begin);
    const std::size_t first = part.find_first_not_of(' ');
    if (first != std::string::npos) parts.push_back(part.substr(first));
    begin = end + 1;
  }
  return parts;
}

// A part that names its operation before a ':'.
void add_named(const std::string& name, const std::string& text, Target& target, PolicyChoice& choice) {
  std::string problem;
  for (auto& [operation, policy] : choice.judged) {
    if (operation->name != name) continue;
    const auto given = parsed(*operation, text, problem);
    if (!given) throw UsageError(fmt::format("--policy: {}: {}", name, problem));
    policy = *given;
    return;
  }
  if (!operation_from_name(name))
    throw UsageError(fmt::format("--policy: target {} has no operation '{}'", target.name(), name));
  throw UsageError(fmt::format(
      "--policy: {} has the policy that stands without the name of an operation, not one of its own", name));
}

}  // namespace

PolicyChoice policies_from(const std::string& text, Target& target) {
  PolicyChoice choice;
  JudgedTarget* judged = target.judged_target();
  if (judged == nullptr) {
    choice.of_cases = text;
    return choice;
  }
  for (const JudgedOperation* operation : judged->judged_operations())
    choice.judged[operation] = parse_policy(*operation, "native");
  for (const std::string& part : parts_of(text)) {
    const std::size_t colon = part.find(':');
    if (colon != std::string::npos) {
      add_named(part.substr(0, colon), part.substr(colon + 1), target, choice);
      continue;
    }
    std::string problem, problem_of_judged;
    bool known = is_policy_of_cases(part, problem);
    if (known) choice.of_cases = part;
    for (auto& [operation, policy] : choice.judged) {
      if (const auto given = parsed(*operation, part, problem_of_judged)) {
        policy = *given;
        known = true;
      }
    }
    if (!known) throw UsageError(fmt::format("--policy: {}; {}", problem_of_judged, problem));
  }
  return choice;
}

std::string judged_target_arguments(const Target& target, const Policy& policy) {
  std::string text = fmt::format(" --target {}", shell_quoted(target.name()));
  if (!target.is_foreign() && !target.judging().canonical) text += " --judge witness";
  if (const std::string name = to_string(policy); name != "native")
    text += fmt::format(" --policy {}", shell_quoted(fmt::format("{}:{}", policy.operation->name, name)));
  return text;
}

ReplayedCall replay_call(const std::string& file, oracle::judged::StoredCall stored, Target& target,
                         const JudgeOptions& options) {
  const JudgedOperation& operation = *stored.call.operation;
  JudgedTarget* judged = target.judged_target();
  if (judged == nullptr || !std::ranges::count(judged->judged_operations(), &operation))
    throw TargetError(
        fmt::format("{}: target {} has no operation {}; `normproof check` judges outputs that "
                    "the file holds",
                    file, target.name(), operation.name));
  if (options.judge == "canonical" && !judged->is_canonical())
    throw UsageError(
        fmt::format("--judge canonical: {} is judged in any order of summation alone", operation.name));
  Policy policy = policies_from(options.policy, target).judged.at(&operation);
  if (options.policy.empty() && stored.policy) policy = parse_policy(operation, *stored.policy);
  Call call = std::move(stored.call);
  if (!call.has_outputs()) call = judging::asking_for_all(std::move(call), policy);
  const judging::CallEvaluation evaluation = judging::evaluate_call(*judged, call, policy);
  ReplayedCall replayed;
  if (evaluation.run.status == RunResult::Status::completed) replayed.with_outputs = evaluation.run.call;
  if (evaluation.outcome == judging::CallEvaluation::Outcome::not_taken) {
    replayed.outcome = "not taken";
    replayed.message = evaluation.run.message;
    replayed.text = fmt::format("not taken: {}\n", evaluation.run.message);
    return replayed;
  }
  replayed.outcome = evaluation.violates() ? "violates" : "conforms";
  if (evaluation.violates()) {
    replayed.message = judging::describe(call, evaluation);
    replayed.text = fmt::format("{}  policy {}\n", replayed.message, to_string(policy));
  } else {
    replayed.text = fmt::format("conforms, {}\n{}", subject_of(call), to_text(evaluation.judgement, policy));
  }
  return replayed;
}

}  // namespace normproof
