// Policies of judged operations as text and back, and all of them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {
namespace {

constexpr std::string_view kNative = "native";

Policy usual(const JudgedOperation& operation) {
  Policy policy{&operation, std::vector<std::size_t>(operation.axes.size(), 0), {}};
  for (const Bound& bound : operation.bounds) policy.bounds.push_back(bound.usual);
  return policy;
}

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument("policy: " + message); }

void assign(Policy& policy, std::string_view key, std::string_view value) {
  const JudgedOperation& operation = *policy.operation;
  std::string known;
  for (std::size_t i = 0; i < operation.axes.size(); ++i) {
    const Axis& axis = operation.axes[i];
    known += fmt::format("{}, ", axis.name);
    if (axis.name != key) continue;
    const auto found = std::ranges::find(axis.values, value, &AxisValue::name);
    if (found != axis.values.end()) {
      policy.values[i] = static_cast<std::size_t>(found - axis.values.begin());
      return;
    }
    std::string names;
    for (const AxisValue& one : axis.values)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", one.name);
    fail(fmt::format("{} is one of {}, not \"{}\"", key, names, value));
  }
  for (std::size_t i = 0; i < operation.bounds.size(); ++i) {
    const Bound& bound = operation.bounds[i];
    known += fmt::format("{}, ", bound.name);
    if (bound.name != key) continue;
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < bound.least ||
        number > bound.most)
      fail(fmt::format("{} must be an integer from {} to {}, not \"{}\"", key, bound.least, bound.most,
                       value));
    policy.bounds[i] = number;
    return;
  }
  known.resize(known.size() - 2);
  fail(fmt::format("\"{}\" is none of {}, which {} has", key, known, operation.name));
}

void assign_all(Policy& policy, std::string_view text, bool names_allowed) {
  const JudgedOperation& operation = *policy.operation;
  std::vector<std::string_view> assigned;
  for (bool first = true; first || !text.empty(); first = false) {
    const std::size_t comma = text.find(',');
    const std::string_view piece = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    if (comma != std::string_view::npos && text.empty()) fail("nothing follows the last comma");
    const std::size_t equals = piece.find('=');
    if (equals != std::string_view::npos) {
      const std::string_view key = piece.substr(0, equals);
      if (std::ranges::find(assigned, key) != assigned.end())
        fail(fmt::format("{} is given twice, the second time as \"{}\"", key, piece));
      assigned.push_back(key);
      assign(policy, key, piece.substr(equals + 1));
      continue;
    }
    std::string names(kNative);
    for (const NamedPolicy& named : operation.policies) names += fmt::format(", {}", named.name);
    const auto named = std::ranges::find(operation.policies, piece, &NamedPolicy::name);
    const bool known = piece == kNative || named != operation.policies.end();
    if (!known || !first || !names_allowed)
      fail(fmt::format("\"{}\" is neither axis=value nor, at the start, one of {}", piece, names));
    if (piece != kNative && !named->text.empty()) assign_all(policy, named->text, false);
  }
}

}  // namespace

Policy parse_policy(const JudgedOperation& operation, std::string_view text) {
  Policy policy = usual(operation);
  assign_all(policy, text, true);
  const std::string objection = operation.policy_objection(policy);
  if (!objection.empty()) fail(objection);
  return policy;
}

std::string to_string(const Policy& policy) {
  const JudgedOperation& operation = *policy.operation;
  std::string text;
  const auto append = [&](std::string_view key, const auto& value) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", key, value);
  };
  for (std::size_t i = 0; i < policy.values.size(); ++i) {
    if (policy.values[i] != 0)
      append(operation.axes[i].name, operation.axes[i].values[policy.values[i]].name);
  }
  for (std::size_t i = 0; i < policy.bounds.size(); ++i) {
    if (policy.bounds[i] != operation.bounds[i].usual && policy.bounds[i])
      append(operation.bounds[i].name, *policy.bounds[i]);
  }
  return text.empty() ? std::string(kNative) : text;
}

bool has_axis(const Call& call, const Axis& axis) {
  return (axis.tensor.empty() || call.has(axis.tensor)) && (axis.applies == nullptr || axis.applies(call));
}

Policy as_seen_by(const Call& call, Policy policy) {
  for (std::size_t i = 0; i < policy.values.size(); ++i) {
    if (!has_axis(call, policy.operation->axes[i])) policy.values[i] = 0;
  }
  return policy;
}

Policy with_statistics_of(const Policy& other, Policy policy) {
  for (std::size_t i = 0; i < policy.values.size(); ++i) {
    if (policy.operation->axes[i].of_statistics) policy.values[i] = other.values[i];
  }
  return policy;
}

namespace {

bool is_possible(const Call& call, const Policy& policy) {
  const JudgedOperation& operation = *call.operation;
  return operation.policy_objection(policy).empty() && operation.misfit(call, policy).empty();
}

void add_once(std::vector<Policy>& policies, const Policy& policy) {
  if (std::ranges::find(policies, policy) == policies.end()) policies.push_back(policy);
}

}  // namespace

std::vector<Policy> neighbours(const Call& call, const Policy& policy) {
  std::vector<Policy> result;
  for (std::size_t i = 0; i < policy.values.size(); ++i) {
    const Axis& axis = policy.operation->axes[i];
    if (!has_axis(call, axis)) continue;
    for (std::size_t value = 0; value < axis.values.size(); ++value) {
      Policy other = policy;
      other.values[i] = value;
      if (value != policy.values[i] && is_possible(call, other)) result.push_back(std::move(other));
    }
  }
  return result;
}

std::vector<Policy> all_policies(const Call& call, const Policy& model) {
  const JudgedOperation& operation = *call.operation;
  std::vector<Policy> policies = {model};
  std::ranges::fill(policies.front().values, std::size_t{0});
  for (std::size_t i = 0; i < operation.axes.size(); ++i) {
    const Axis& axis = operation.axes[i];
    if (!has_axis(call, axis)) continue;
    const std::size_t known = policies.size();
    for (std::size_t value = 1; value < std::min(axis.combined, axis.values.size()); ++value) {
      for (std::size_t p = 0; p < known; ++p) {
        policies.push_back(policies[p]);
        policies.back().values[i] = value;
      }
    }
  }
  std::erase_if(policies, [&](const Policy& policy) { return !is_possible(call, policy); });
  const auto is_combined = [](const Axis& axis) { return axis.combined >= axis.values.size(); };
  if (std::ranges::all_of(operation.axes, is_combined)) return policies;
  std::vector<Policy> named = {model};
  std::ranges::fill(named.front().values, std::size_t{0});
  for (const NamedPolicy& each : operation.policies) {
    Policy policy = as_seen_by(call, parse_policy(operation, each.name));
    policy.bounds = model.bounds;
    if (is_possible(call, policy)) add_once(policies, policy);
    named.push_back(policy);  // where it is not possible, a policy next to it may be
  }
  for (const Policy& each : named) {
    for (const Policy& other : neighbours(call, each)) add_once(policies, other);
  }
  return policies;
}

}  // namespace normproof::oracle::judged
