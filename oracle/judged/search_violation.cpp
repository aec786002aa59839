// What a search found, as a violation.
#include "oracle/judged/search_violation.h"

#include <fmt/format.h>

#include <cmath>

#include "oracle/formats.h"

namespace normproof::oracle::judged {
namespace {

std::uint32_t bits_at(box_search::Position position) {
  return std::bit_cast<std::uint32_t>(box_search::number_at(position));
}

}  // namespace

Violation violation_of(const box_search::RowVerdict& verdict, std::span<const std::string_view> unknowns,
                       const std::function<std::int64_t(std::int64_t)>& column_of) {
  Violation violation;
  violation.kind = verdict.window.empty() ? "statistics" : "rounding";
  violation.reason = box_search::to_text(verdict, unknowns, column_of);
  for (const std::int32_t slot : verdict.refutation)
    violation.elements.push_back({column_of ? column_of(slot) : slot, {}});
  for (const box_search::Box& box : verdict.window) {
    std::vector<UnknownRange>& ranges = violation.window.emplace_back();
    ranges.push_back({unknowns[0], bits_at(box.first.low), bits_at(box.first.high)});
    if (unknowns.size() > 1)
      ranges.push_back({unknowns[1], bits_at(box.second.low), bits_at(box.second.high)});
  }
  return violation;
}

void tell_witness(const std::optional<box_search::Point>& witness, const box_search::Point& usual,
                  std::span<const std::string_view> unknowns, Violation& violation) {
  if (!witness) return;
  std::string text;
  for (std::size_t i = 0; i < unknowns.size(); ++i) {
    const box_search::Position found = i == 0 ? witness->first : witness->second;
    const auto given = static_cast<double>(box_search::number_at(found));
    const auto wanted = static_cast<double>(box_search::number_at(i == 0 ? usual.first : usual.second));
    text +=
        fmt::format("{}{} = {}", i == 0 ? "" : ", ", unknowns[i], value_text(DType::fp32, bits_at(found)));
    if (std::fabs(given - wanted) > std::fabs(wanted) * 1e-6)
      text += fmt::format(" ({:.6g} times what the canonical order gives)", given / wanted);
  }
  violation.kind = "scale";
  violation.reason += fmt::format("; the whole row would be explained by {}", text);
}

std::vector<ColumnGroup> single_columns(const Call& call, const Policy&) {
  std::vector<ColumnGroup> groups;
  for (std::int64_t column = 0; column < call.hidden_size(); ++column) groups.push_back({{column}, {}});
  return groups;
}

}  // namespace normproof::oracle::judged
