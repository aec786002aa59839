// Verdicts in words.
#include "oracle/box_search/row_search.h"

#include <fmt/format.h>

#include <array>

namespace normproof::oracle::box_search {
namespace {

std::string number(Position position) {
  return value_text(DType::fp32, std::bit_cast<std::uint32_t>(number_at(position)));
}

std::string side_text(std::string_view unknown, const Side& side) {
  if (side.is_point()) return fmt::format("{} = {}", unknown, number(side.low));
  return fmt::format("{} in [{}, {}]", unknown, number(side.low), number(side.high));
}

std::string box_text(const Box& box, std::span<const std::string_view> unknowns) {
  const std::string first = side_text(unknowns[0], box.first);
  return unknowns.size() == 1 ? first : fmt::format("{} with {}", first, side_text(unknowns[1], box.second));
}

}  // namespace

std::string window_text(std::span<const Box> window, std::span<const std::string_view> unknowns) {
  std::string text;
  for (const Box& box : window) text += (text.empty() ? "" : ", or ") + box_text(box, unknowns);
  return text;
}

std::string to_text(const RowVerdict& verdict, std::span<const std::string_view> unknowns,
                    const std::function<std::int64_t(std::int64_t)>& column_of) {
  const bool two = unknowns.size() > 1;
  if (verdict.conforms) {
    std::string text = fmt::format("conforms with {} = {}", unknowns[0], number(verdict.witness.first));
    if (two) text += fmt::format(", {} = {}", unknowns[1], number(verdict.witness.second));
    return text;
  }
  if (verdict.window.empty()) return "the stored values are none that an honest evaluation arrives at";
  const bool several = verdict.refutation.size() != 1;
  std::string text = two ? fmt::format("no {} and {} explain column", unknowns[0], unknowns[1])
                         : fmt::format("no {} explains column", unknowns[0]);
  std::string_view before = several ? "s " : " ";
  for (const std::int32_t slot : verdict.refutation) {
    text += fmt::format("{}{}", before, column_of ? column_of(slot) : slot);
    before = ", ";
  }
  text += several ? " together; an honest evaluation arrives at " : "; an honest evaluation arrives at ";
  return text + window_text(verdict.window, unknowns);
}

}  // namespace normproof::oracle::box_search
