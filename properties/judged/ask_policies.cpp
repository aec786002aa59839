#include "properties/judged/ask_policies.h"

#include <fmt/format.h>

#include <algorithm>

#include "properties/targets/stop_request.h"

namespace normproof::judging {
namespace {

using Spec = oracle::judged::TensorSpec;

// So many calls confirm a policy that one call is explained by; so many are looked through for one that tells
// those apart which are left, and so many of these policies are compared.
constexpr std::int64_t kConfirmingCalls = 24, kTellingTries = 256;
constexpr std::size_t kMostCompared = 12;

// Policies that say the same of what is made of the unknowns are not to be told apart.
bool differ_in_arithmetic(const std::vector<Policy>& policies) {
  return std::ranges::any_of(policies, [&](const Policy& policy) {
    return !(with_statistics_of(policies.front(), policy) == policies.front());
  });
}

// Whether the policies, in the canonical order, give other bits from these inputs.
bool tells_apart(const Call& call, const std::vector<Policy>& policies) {
  std::vector<std::string> outputs;
  for (const Spec& spec : call.operation->tensors)
    if (spec.direction == Direction::out && spec.extent != oracle::judged::Extent::row && call.has(spec.name))
      outputs.emplace_back(spec.name);
  std::optional<Call> first;
  for (std::size_t i = 0; i < std::min(policies.size(), kMostCompared); ++i) {
    if (!call.operation->misfit(call, policies[i]).empty()) continue;
    Call filled = with_canonical_outputs(call, policies[i], outputs);
    if (!first)
      first = std::move(filled);
    else if (std::ranges::any_of(outputs, [&](const std::string& name) {
               return first->at(name).bytes != filled.at(name).bytes;
             }))
      return true;
  }
  return false;
}

void erase_refuted(const Call& call, std::vector<Policy>& left) {
  std::erase_if(left, [&](const Policy& policy) {
    if (!call.operation->misfit(call, policy).empty()) return false;
    return !judge(call, policy, {1, 0, false}).conforms();
  });
}

struct FirstRun {
  Combination combination;
  JudgedRun run;
};
// Of a call with statistics: a search for them, under each policy, takes long. Without, where the target
// takes no other.
std::optional<FirstRun> first_run(JudgedTarget& target, Combination combination, std::uint64_t seed) {
  const std::optional<Combination> other = without_statistics(combination);
  if (other) combination.statistics = GivenStatistics::always;
  if (const std::optional<Call> call = telling_call(combination, seed)) {
    JudgedRun run = target.run_judged(*call, kCanary);
    if (run.status != RunResult::Status::not_taken) return FirstRun{std::move(combination), std::move(run)};
  }
  return other ? first_run(target, *other, seed) : std::nullopt;
}

}  // namespace

std::optional<PolicyAnswer> ask_policies(JudgedTarget& target, const Combination& asked, const Policy& model,
                                         std::uint64_t seed) {
  const std::optional<FirstRun> first = first_run(target, asked, seed);
  if (!first) return std::nullopt;
  const auto& [combination, run] = *first;
  PolicyAnswer answer{combination, run.status, run.message, run.memory_violations, {}, {}, {}};
  if (run.status != RunResult::Status::completed) return answer;
  answer.call = run.call;
  answer.found = identify(answer.call, model, answer.call.rows(), 1);
  if (!answer.found.identified()) return answer;
  answer.left = answer.found.survivors;
  const auto look_at = [&](const Call& call) {
    const JudgedRun again = target.run_judged(call, kCanary);
    if (again.status != RunResult::Status::completed) return;
    ++answer.calls;
    erase_refuted(again.call, answer.left);
  };
  for (std::int64_t index = chosen_sizes(); index < chosen_sizes() + kConfirmingCalls && answer.followed();
       ++index)
    if (const auto call = verification_call(combination, seed, index)) look_at(*call);
  for (std::int64_t index = 1; index <= kTellingTries && answer.followed() &&
                               differ_in_arithmetic(answer.left) && !stop_is_requested();
       ++index) {
    const auto call = telling_call(combination, seed, index);
    if (!call || !tells_apart(*call, answer.left)) continue;
    ++answer.telling;
    look_at(*call);
  }
  return answer;
}

std::vector<std::string> names_of(const Policy& policy, const Call& call) {
  std::vector<std::string> names;
  for (const auto& named : call.operation->policies) {
    Policy known = as_seen_by(call, parse_policy(*call.operation, named.name));
    known.bounds = policy.bounds;
    if (known == policy) names.push_back(fmt::format("{} ({})", named.name, named.source));
  }
  return names;
}

}  // namespace normproof::judging
