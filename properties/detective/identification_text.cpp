#include "properties/detective/identification_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "properties/detective/policy_power.h"
#include "properties/judging/report_text.h"

namespace normproof {

std::string says_little_text(double wrong_accepted) {
  if (wrong_accepted <= kMostWrongExplained) return {};
  return fmt::format(
      "this says little: the policy leaves r so much freedom here that {:.0f} % of random outputs conform as "
      "well\n",
      100 * wrong_accepted);
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
