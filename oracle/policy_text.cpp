// Policies as text: "weight=fp32,sum=mixed" and back.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "oracle/policy.h"

namespace normproof::oracle {
namespace {

std::string known_values(const PolicyAxis& axis) {
  std::string names;
  for (const PolicyValue& value : axis.values)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", value.name);
  return names;
}

std::int64_t parse_count(std::string_view key, std::string_view text, std::int64_t least, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    throw std::invalid_argument(
        fmt::format("policy: {} must be an integer from {} to {}, not \"{}\"", key, least, most, text));
  }
  return value;
}

Policy with_assignment(Policy policy, std::string_view key, std::string_view value) {
  const std::span<const PolicyAxis> axes = policy_axes();
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    if (axes[axis].name != key) continue;
    for (std::size_t i = 0; i < axes[axis].values.size(); ++i) {
      if (axes[axis].values[i].name == value) return with_axis_value(policy, axis, i);
    }
    throw std::invalid_argument(
        fmt::format("policy: {} is one of {}, not \"{}\"", key, known_values(axes[axis]), value));
  }
  if (key == "inverse_root_ulp") {
    policy.inverse_root.ulp_bound = static_cast<int>(parse_count(key, value, 0, 1 << 20));
  } else if (key == "sum_depth") {
    policy.inverse_root.sum_depth = parse_count(key, value, 0, std::int64_t{1} << 40);
  } else if (key == "flush_to_zero" && (value == "on" || value == "off")) {
    policy.inverse_root.flush_to_zero = value == "on";
  } else if (key == "flush_to_zero") {
    throw std::invalid_argument(fmt::format("policy: flush_to_zero is on or off, not \"{}\"", value));
  } else {
    std::string names;
    for (const PolicyAxis& axis : axes) names += fmt::format("{}, ", axis.name);
    throw std::invalid_argument(
        fmt::format("policy: \"{}\" is none of {}inverse_root_ulp, flush_to_zero, sum_depth", key, names));
  }
  return policy;
}

Policy with_assignments(Policy policy, std::string_view text, bool names_allowed) {
  std::vector<std::string_view> assigned;
  for (bool first = true; first || !text.empty(); first = false) {
    const std::size_t comma = text.find(',');
    const std::string_view piece = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    if (comma != std::string_view::npos && text.empty()) {
      throw std::invalid_argument("policy: nothing follows the last comma");
    }
    const std::size_t equals = piece.find('=');
    if (equals != std::string_view::npos) {
      if (std::ranges::find(assigned, piece.substr(0, equals)) != assigned.end()) {
        throw std::invalid_argument(fmt::format("policy: {} is given twice, the second time as \"{}\"",
                                                piece.substr(0, equals), piece));
      }
      assigned.push_back(piece.substr(0, equals));
      policy = with_assignment(policy, piece.substr(0, equals), piece.substr(equals + 1));
      continue;
    }
    const NamedPolicy* named = nullptr;
    std::string names;
    for (const NamedPolicy& candidate : named_policies()) {
      if (candidate.name == piece) named = &candidate;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", candidate.name);
    }
    if (named == nullptr || !first || !names_allowed) {
      throw std::invalid_argument(
          fmt::format("policy: \"{}\" is neither axis=value nor, at the start, one of {}", piece, names));
    }
    policy = with_assignments(policy, named->text, false);
  }
  return policy;
}

}  // namespace

Policy parse_policy(std::string_view text) { return with_assignments(native(), text, true); }

std::string to_string(const Policy& policy) {
  std::string text;
  const auto append = [&](std::string_view key, std::string_view value) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", key, value);
  };
  for (std::size_t axis = 0; axis < policy_axes().size(); ++axis) {
    const std::size_t value = axis_value(policy, axis);
    if (value != 0) append(policy_axes()[axis].name, policy_axes()[axis].values[value].name);
  }
  const InverseRootModel standard;
  if (policy.inverse_root.ulp_bound != standard.ulp_bound) {
    append("inverse_root_ulp", std::to_string(policy.inverse_root.ulp_bound));
  }
  if (policy.inverse_root.flush_to_zero) append("flush_to_zero", "on");
  if (policy.inverse_root.sum_depth) append("sum_depth", std::to_string(*policy.inverse_root.sum_depth));
  return text.empty() ? "native" : text;
}

}  // namespace normproof::oracle
