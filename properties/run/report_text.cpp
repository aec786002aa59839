#include "properties/run/report_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "oracle/sum_tree.h"
#include "properties/run/policy_power.h"

namespace normproof {

std::string subject_of(const Case& test_case) {
  std::string text = fmt::format(
      "{} {}, {}", name_of(test_case.operation), name_of(test_case.dtype),
      test_case.weight_dtype ? fmt::format("weight {}", name_of(*test_case.weight_dtype)) : "no weight");
  if (test_case.quantized_dtype) text += fmt::format(", out {}", name_of(*test_case.quantized_dtype));
  if (has(test_case.operation, Parameter::scale))
    text += fmt::format(", scale {}", test_case.value_of(Parameter::scale));
  if (test_case.scale_ub_bits)
    text += fmt::format(", scale_ub {}", std::bit_cast<float>(*test_case.scale_ub_bits));
  return text + fmt::format(", {} x {}, epsilon {}", test_case.rows(), test_case.hidden_size(),
                            test_case.value_of(Parameter::epsilon));
}

std::string with_spaces(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t position = digits.size(); position > 3;) {
    position -= 3;
    digits.insert(position, " ");
  }
  return digits;
}

std::string indented(const std::string& text, const std::string& by) {
  std::string result;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    result += by + text.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return result;
}

std::string model_text(const oracle::InverseRootModel& model) {
  return fmt::format(
      "r within {} ulp, {}{}", model.ulp_bound,
      model.order       ? fmt::format("the given order of summation, {} additions deep", model.order->depth())
      : model.sum_depth ? fmt::format("at most {} additions deep", *model.sum_depth)
                        : "any order of summation",
      model.flush_to_zero ? ", flush to zero allowed" : "");
}

std::string says_little_text(double wrong_accepted) {
  if (wrong_accepted <= kMostWrongExplained) return {};
  return fmt::format(
      "this says little: the policy leaves r so much freedom here that {:.0f} % of random outputs conform as "
      "well\n",
      100 * wrong_accepted);
}

std::string axes_text(oracle::Policy policy) {
  policy.inverse_root = {};
  return oracle::to_string(policy);
}

std::string formula_text(std::string_view axis_name, std::string_view value_name) {
  for (const oracle::PolicyAxis& axis : oracle::policy_axes()) {
    if (axis.name != axis_name) continue;
    for (const oracle::PolicyValue& value : axis.values) {
      if (value.name == value_name) return fmt::format("{}, as in {}", value.formula, value.source);
    }
  }
  return {};
}

std::string rows_text(const std::vector<std::int64_t>& rows) {
  constexpr std::size_t kMostRanges = 6;
  std::vector<std::string> ranges;
  for (std::size_t first = 0; first < rows.size();) {
    std::size_t last = first;
    while (last + 1 < rows.size() && rows[last + 1] == rows[last] + 1) ++last;
    ranges.push_back(first == last ? fmt::format("{}", rows[first])
                                   : fmt::format("{}-{}", rows[first], rows[last]));
    first = last + 1;
  }
  const bool cut = ranges.size() > kMostRanges;
  if (cut) ranges.resize(kMostRanges);
  return fmt::format("row{} {}{}", rows.size() == 1 ? "" : "s", fmt::join(ranges, ", "),
                     cut ? fmt::format(", ... ({} rows)", rows.size()) : "");
}

namespace {

std::string loose_text(const std::vector<LoosePolicy>& loose) {
  std::string text;
  for (std::size_t i = 0; i < std::min(kShownLoose, loose.size()); ++i) {
    text += fmt::format("  {} {}\n", axes_text(loose[i].policy), reason_of(loose[i]));
  }
  if (loose.size() > kShownLoose)
    text += fmt::format("  the same of {} more policies\n", loose.size() - kShownLoose);
  return text;
}

// "which explains all but column 0 (16 of 8192 elements differ)".
std::string elements_text(const Identification& found) {
  constexpr std::size_t kMostColumns = 4;
  const std::string count =
      fmt::format("{} of {} elements differ", found.best_differing, found.best_compared);
  const std::size_t columns = found.best_columns.size();
  if (columns == 0 || columns > kMostColumns) return count;
  return fmt::format("it explains all but column{} {} ({})", columns == 1 ? "" : "s",
                     fmt::join(found.best_columns, ", "), count);
}

std::string unidentified_text(const Identification& found) {
  std::string text = loose_text(found.loose);
  text += fmt::format("  none of the {} known policies {}\n", found.policies,
                      found.loose.empty() ? "explains every row" : "is named");
  for (const std::string& hint : found.hints) text += fmt::format("  it looks like {}\n", hint);
  const auto known =
      std::ranges::count_if(found.split, [](const RowGroup& group) { return group.policy.has_value(); });
  if (known >= 2 || (known == 1 && found.hints.empty())) {
    text += "  the rows follow different policies:\n";
    for (const RowGroup& group : found.split) {
      text += fmt::format("    {}: {}\n", rows_text(group.rows),
                          group.policy ? axes_text(*group.policy) : "none of the known policies");
    }
  }
  if (found.best_rows == found.rows && !found.loose.empty()) return text;
  text += fmt::format("  closest: {}, to which {} of {} rows conform; {}; its first violation:\n",
                      axes_text(found.best), found.best_rows, found.rows, elements_text(found));
  return text + indented(found.best_certificate, "    ");
}

}  // namespace

std::string to_text(const Identification& found, const Case& test_case) {
  if (!found.identified()) return unidentified_text(found);
  std::string text =
      fmt::format("  policy: {}{}\n", axes_text(found.best),
                  found.unique() ? "" : "  (not the only one that explains every row, see below)");
  text += fmt::format("  it explains {:.0f} % of random outputs\n", 100 * found.wrong_explained);
  for (const std::string& name : known_as(found.best, test_case)) text += fmt::format("  named: {}\n", name);
  for (const AxisFinding& axis : found.axes) {
    std::vector<std::string_view> survivors;
    for (const auto& value : axis.values) {
      if (value.survives) survivors.push_back(value.name);
    }
    text += fmt::format("  {:<20} {}\n", axis.name, fmt::join(survivors, " or "));
    for (const auto& value : axis.values) {
      if (value.reason.empty()) {  // the identified one
        text += fmt::format("    {}: {}\n", value.name, formula_text(axis.name, value.name));
      } else if (value.survives) {
        text += fmt::format("    {}: {}\n", value.name, value.reason);
      } else {
        text += fmt::format("    not {}:\n{}", value.name, indented(value.reason, "      "));
      }
    }
  }
  return text;
}

}  // namespace normproof
