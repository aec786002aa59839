#include "properties/judged/call_evaluation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "corpus/case.h"
#include "oracle/formats.h"
#include "properties/judged/ask_policies.h"
#include "properties/judged/cases.h"
#include "properties/judging/report_text.h"
#include "properties/judging/violation_identity.h"
#include "properties/targets/stop_request.h"

namespace normproof::judging {
namespace {

using oracle::judged::Extent;
using oracle::judged::Place;
using oracle::judged::Tensor;
using Outcome = CallEvaluation::Outcome;
using Spec = oracle::judged::TensorSpec;

// Whether a weight or bias might have had several rows, and none has.
bool lacks_rows_of_weight(const Call& call) {
  bool may_have = false, has = false;
  for (const Spec& spec : call.operation->tensors) {
    if (spec.rows == oracle::judged::HiddenRows::one) continue;
    may_have = true;
    has = has || call.has_several_rows(spec.name);
  }
  return may_have && !has;
}

std::string places_text(const Call& call) {
  std::vector<std::string> parts;
  for (const Spec& spec : call.operation->tensors) {
    if (!call.has(spec.name)) continue;
    const Place place = call.place_of(spec.name);
    if (place.in_place) parts.push_back(fmt::format("{} is the memory of {}", spec.name, spec.in_place_of));
    if (place.by_columns) parts.push_back(fmt::format("{} is a view by columns", spec.name));
    if (place.gap != 0) parts.push_back(fmt::format("{} has gaps of {} elements", spec.name, place.gap));
    if (place.offset != 0)
      parts.push_back(
          fmt::format("{} begins {} elements above a multiple of 256 bytes", spec.name, place.offset));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::conforms:
      return "conforms";
    case Outcome::wrong_bits:
      return "wrong bits";
    case Outcome::failed:
      return "call failed";
    case Outcome::memory:
      return "memory violation";
    case Outcome::disagrees:
      return "two targets disagree";
    case Outcome::not_taken:
      return "not taken";
  }
  return {};
}

std::string CallEvaluation::identity() const {
  if (outcome == Outcome::failed) return "call failed: " + without_numbers(run.message);
  if (outcome == Outcome::memory) return "memory: " + without_numbers(run.memory_violations.front());
  if (outcome == Outcome::disagrees) return "two targets disagree: " + without_numbers(run.disagreement);
  if (judgement.first_violations.empty()) return std::string(name_of(outcome));
  const Violation& first = judgement.first_violations.front();
  return fmt::format("{} violation in {}", first.kind, first.tensor);
}

std::string CallEvaluation::kind() const {
  if (outcome == Outcome::failed) return identity();
  if (outcome == Outcome::disagrees)
    return fmt::format("two targets disagree in {}", run.disagreement.substr(0, run.disagreement.find('[')));
  if (outcome == Outcome::memory)
    return fmt::format("memory violation in {}",
                       run.memory_violations.front().substr(0, run.memory_violations.front().find(':')));
  return identity();
}

std::string describe(const Call& call, const CallEvaluation& evaluation) {
  std::string text = fmt::format("{}, {}\n", name_of(evaluation.outcome), subject_of(call));
  if (const std::string places = places_text(call); !places.empty()) text += fmt::format("  {}\n", places);
  if (!evaluation.run.message.empty()) text += fmt::format("  the target says: {}\n", evaluation.run.message);
  for (const std::string& violation : evaluation.run.memory_violations)
    text += fmt::format("  {}\n", violation);
  if (!evaluation.run.disagreement.empty()) text += fmt::format("  {}\n", evaluation.run.disagreement);
  for (const Violation& violation : evaluation.judgement.first_violations)
    text += indented(violation.text(), "  ");
  const std::int64_t more = evaluation.judgement.units() - evaluation.judgement.conforming() -
                            static_cast<std::int64_t>(evaluation.judgement.first_violations.size());
  if (more > 0)
    text += fmt::format("  more violations: {} of {} units\n", more, evaluation.judgement.units());
  return text;
}

CallEvaluation evaluate_call(JudgedTarget& target, const Call& call, const Policy& policy,
                             JudgeOptions options) {
  CallEvaluation evaluation;
  evaluation.run = run_and_see_all_written(target, call, policy);
  switch (evaluation.run.status) {
    case RunResult::Status::not_taken:
      evaluation.outcome = Outcome::not_taken;
      break;
    case RunResult::Status::refused:
    case RunResult::Status::failed:
      evaluation.outcome = Outcome::failed;
      break;
    case RunResult::Status::completed:
      options.of_target = true;
      options.canonical = target.is_canonical();
      evaluation.judgement = judge(evaluation.run.call, policy, options);
      if (call.operation->block_layouts != nullptr && !call.place_of("scales").by_columns)
        evaluation.judgement.not_looked_at.emplace_back("views of scales by columns, of strides [1, n]");
      if (!call.operation->epsilon_without.empty() && !takes_epsilon(call))
        evaluation.judgement.not_looked_at.emplace_back(
            "calls without the statistics, which the kernel then computes");
      if (lacks_rows_of_weight(call))
        evaluation.judgement.not_looked_at.emplace_back("weights and biases of several rows");
      if (!evaluation.judgement.conforms()) evaluation.outcome = Outcome::wrong_bits;
      break;
  }
  if (evaluation.outcome != Outcome::failed && !evaluation.run.memory_violations.empty())
    evaluation.outcome = Outcome::memory;
  if (!evaluation.violates() && !evaluation.run.disagreement.empty()) evaluation.outcome = Outcome::disagrees;
  return evaluation;
}

SmallerCall smaller_call(JudgedTarget& target, const Call& failing, const CallEvaluation& seen,
                         const Policy& policy, double seconds) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string identity = seen.identity();
  JudgeOptions options;
  options.doubts = false;
  SmallerCall smallest{failing, seen};
  const auto used = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const auto still_fails = [&](const Call& candidate) {
    if (used() > seconds || stop_is_requested()) return false;
    CallEvaluation evaluation = evaluate_call(target, candidate, policy, options);
    if (!evaluation.violates() || evaluation.identity() != identity) return false;
    smallest = {candidate, std::move(evaluation)};
    return true;
  };
  const auto with_inputs = [&](const Call& inputs) {
    return still_fails(asking_like(inputs, smallest.call, policy));
  };
  // Where it lies first: then all smaller calls lie as usual.
  const auto lie_as_usual = [&] {
    if (Call in_order = smallest.call; std::exchange(in_order.thread_order, 0) != 0) still_fails(in_order);
    Call plain = smallest.call;
    plain.places.clear();
    if (smallest.call.places.empty() || still_fails(plain)) return;
    for (const auto& [name, place] : Call(smallest.call).places) {
      Call fewer = smallest.call;
      fewer.places.erase(name);
      still_fails(fewer);
    }
  };
  // An output that shows nothing need not be asked for.
  const auto ask_for_less = [&] {
    for (const Spec& spec : failing.operation->tensors) {
      if (spec.direction != Direction::out || spec.need == oracle::judged::Need::always) continue;
      Call fewer = smallest.call;
      if (fewer.tensors.erase(std::string(spec.name)) == 0 || !fewer.has_outputs()) continue;
      still_fails(fewer);
    }
  };
  lie_as_usual();
  ask_for_less();
  minimized(smallest.call, policy, with_inputs, std::max(0.0, seconds - used()));
  lie_as_usual();
  return smallest;
}

std::string policies_text(JudgedTarget& target, const Combination& combination, const Policy& model,
                          std::uint64_t seed) {
  const std::optional<PolicyAnswer> answer = ask_policies(target, combination, model, seed);
  if (!answer || answer->status != RunResult::Status::completed) return {};
  const Identification& found = answer->found;
  const Call& call = answer->call;
  const std::string subject =
      fmt::format("{} of {} rows of {}", combination.operation->name, call.rows(), call.hidden_size());
  if (!found.identified()) {
    if (found.explained()) return {};
    return fmt::format("no known policy explains {}; {} explains most, {} of {}\n", subject,
                       to_string(found.best), found.best_units, found.units);
  }
  if (!answer->followed())
    return fmt::format("policies that explain {} do not explain {} more calls: {} was the closest\n", subject,
                       answer->calls, to_string(found.best));
  if (std::ranges::count(answer->left, as_seen_by(call, model)) > 0)
    return fmt::format("policy {} explains {} and {} more calls: what is wrong shows in some calls alone\n",
                       to_string(model), subject, answer->calls);
  const std::string best = to_string(answer->left.front());
  std::string text = fmt::format("it follows {} in {} and in {} more calls", best, subject, answer->calls);
  if (const auto names = names_of(answer->left.front(), call); !names.empty())
    text += fmt::format("; known as {}", fmt::join(names, ", "));
  if (answer->left.size() > 1)
    text += fmt::format("; {} other policies explain them as well", answer->left.size() - 1);
  return text + fmt::format("\n  if that is meant: --policy '{}:{}'\n", combination.operation->name, best);
}

std::string difference_between(const JudgedRun& first, const JudgedRun& second, const Policy& policy,
                               const std::optional<std::int64_t>& row) {
  if (first.status != RunResult::Status::completed || second.status != RunResult::Status::completed)
    return {};
  const std::array<std::int64_t, 1> rows = {row.value_or(0)};
  const Call whole = row ? slice_of_rows(first.call, rows, &policy) : without_padding(first.call, policy);
  const Call beside = without_padding(second.call, policy);
  for (const Spec& spec : beside.operation->tensors) {
    const Tensor *one = whole.find(spec.name), *other = beside.find(spec.name);
    if (spec.direction != Direction::out || one == nullptr || other == nullptr) continue;
    if (row && spec.extent == Extent::hidden) continue;
    if (one->elements() != other->elements()) continue;
    for (std::int64_t i = 0; i < other->elements(); ++i) {
      const std::uint32_t a = load_bits(one->bytes, one->dtype, i),
                          b = load_bits(other->bytes, other->dtype, i);
      if (!oracle::same(one->dtype, a, b))
        return fmt::format("element {} of {}{}: {} and {}", i, row ? fmt::format("row {} of ", *row) : "",
                           spec.name, oracle::value_text(one->dtype, a), oracle::value_text(one->dtype, b));
    }
  }
  return {};
}

}  // namespace normproof::judging
