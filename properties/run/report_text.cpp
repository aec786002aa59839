#include "properties/run/report_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace normproof {

std::string subject_of(const Case& test_case) {
  std::string text = fmt::format(
      "{} {}, {}", name_of(test_case.operation), name_of(test_case.dtype),
      test_case.weight_dtype ? fmt::format("weight {}", name_of(*test_case.weight_dtype)) : "no weight");
  if (test_case.quantized_dtype) {
    text += fmt::format(", out {}, scale {}", name_of(*test_case.quantized_dtype), test_case.scale());
  }
  return text +
         fmt::format(", {} x {}, epsilon {}", test_case.rows(), test_case.hidden_size(), test_case.epsilon());
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
      model.sum_depth ? fmt::format("at most {} additions deep", *model.sum_depth) : "any order of summation",
      model.flush_to_zero ? ", flush to zero allowed" : "");
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

std::string to_text(const Identification& found, const Case& test_case) {
  std::string text;
  if (!found.identified()) {
    text += fmt::format("  none of the {} known policies explains every row\n", found.policies);
    text += fmt::format("  closest: {}, to which {} of {} rows conform; its first violation:\n",
                        axes_text(found.best), found.best_rows, found.rows);
    return text + indented(found.best_certificate, "    ");
  }
  text += fmt::format("  policy: {}{}\n", axes_text(found.best),
                      found.unique() ? "" : "  (not the only one that explains every row, see below)");
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
