#include "properties/judging/report_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "oracle/sum_tree.h"

namespace normproof {

std::string upper_bound_text(const Case& test_case) {
  if (!test_case.has_scale_ub()) return {};
  return fmt::format(", scale_ub {}", test_case.value_of(Parameter::scale_ub));
}

std::string subject_of(const Case& test_case) {
  std::string text = kind_text(test_case);
  if (has(test_case.operation, Parameter::scale))
    text += fmt::format(", scale {}", test_case.value_of(Parameter::scale));
  return text + upper_bound_text(test_case) +
         fmt::format(", {} x {}, epsilon {}", test_case.rows(), test_case.hidden_size(),
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

}  // namespace normproof
