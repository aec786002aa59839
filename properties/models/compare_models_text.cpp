// What two dumps of a model say of each other, as text.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "oracle/formats.h"
#include "properties/judging/report_text.h"
#include "properties/models/compare_models.h"

namespace normproof {
namespace {

// Modules of which so many are listed; the others are counted.
constexpr std::size_t kMostListed = 12;
constexpr std::size_t kMostNames = 3;  // of a policy

std::string side_text(const NormSide& side, const std::string& name) {
  if (!side.policy)
    return fmt::format("{}: follows no known policy\n{}", name, indented(side.why_none, "  "));
  const std::string& policy = *side.policy;
  std::vector<std::string> known = side.names;
  std::erase_if(known, [&](const std::string& each) { return each.starts_with(policy + " "); });
  for (std::string& each : known) each.resize(std::min(each.find(" ("), each.size()));
  const bool more = known.size() > kMostNames;
  known.resize(std::min(known.size(), kMostNames));
  const std::string who =
      known.empty() ? "" : fmt::format(" ({}{})", fmt::join(known, ", "), more ? ", ..." : "");
  return fmt::format("{}: {}{}\n", name, policy, who);
}

std::string why(const ComparedNorm& norm, const std::array<std::string, 2>& names) {
  switch (norm.difference) {
    case NormDifference::none:
    case NormDifference::undecided:
      return "";
    case NormDifference::call:
      return fmt::format("another call: {}\n", norm.text);
    case NormDifference::weight:
      return fmt::format("another weight: {}\n", norm.text);
    case NormDifference::epsilon:
      return fmt::format("another epsilon: {}\n", norm.text);
    case NormDifference::unseen:
      return fmt::format("{}; no row that was recorded shows it: record more\n", norm.text);
    case NormDifference::passed_on:
    case NormDifference::order:
      if (!norm.sides[0].policy) return "";
      return fmt::format(
          "both follow {}{}\n", *norm.sides[0].policy,
          norm.difference == NormDifference::order
              ? fmt::format(
                    ", each row by {} of its own within the bound: another order of summation, or root",
                    norm.unknowns)
              : "");
    case NormDifference::policy:
    case NormDifference::bug:
    case NormDifference::unknown:
      return side_text(norm.sides[0], names[0]) + side_text(norm.sides[1], names[1]);
  }
  return "";
}

std::string shift_text(const RootShift& shift) {
  return fmt::format("r of the second is larger in {} rows and smaller in {}, by at most {} ulp{}\n",
                     shift.larger, shift.smaller, shift.greatest,
                     shift.one_sided()
                         ? ": to one side alone, as another epsilon or divisor does, and hardly an order"
                         : "");
}

std::string element_text(const DifferingElement& element) {
  return fmt::format(
      "row {}, {}[{}]: {} ({}) and {} ({})\n", to_text(element.place), element.tensor, element.column,
      oracle::hex_bits(element.dtype, element.bits[0]), oracle::value_text(element.dtype, element.bits[0]),
      oracle::hex_bits(element.dtype, element.bits[1]), oracle::value_text(element.dtype, element.bits[1]));
}

std::string list_of(const ModelComparison& comparison, const std::string& title, auto is_meant) {
  std::vector<std::string> modules;
  std::size_t count = 0;
  for (const ComparedNorm& norm : comparison.norms) {
    if (!is_meant(norm)) continue;
    ++count;
    if (modules.size() == kMostListed) continue;
    const bool named = is_arithmetic(norm.difference);
    modules.push_back(named ? fmt::format("{} ({})", norm.module, name_of(norm.difference)) : norm.module);
  }
  if (count == 0) return "";
  return fmt::format("{}: {} norm{}: {}{}\n", title, count, count == 1 ? "" : "s", fmt::join(modules, ", "),
                     count > modules.size() ? ", ..." : "");
}

// Where no norm's arithmetic differs: what can be said of where the difference comes from.
std::string innocent_text(const ModelComparison& comparison) {
  const bool whole = std::ranges::all_of(comparison.norms, &ComparedNorm::whole);
  const std::string where = whole ? "" : ", in the rows that were recorded";
  if (!comparison.first_other_inputs) return fmt::format("every norm got and gave the same bits{}\n", where);
  const std::size_t first = *comparison.first_other_inputs;
  const std::string place =
      first == 0 ? "before it" : fmt::format("between {} and it", comparison.norms[first - 1].module);
  return fmt::format("no norm's arithmetic differs{}; inputs differ first in {}: the cause lies {}\n", where,
                     comparison.norms[first].module, place);
}

}  // namespace

std::string to_text(const ComparedNorm& norm, const std::array<std::string, 2>& names) {
  std::string text = fmt::format("{}: {}\n  {}\n", norm.module, name_of(norm.difference), norm.subject);
  if (norm.difference != NormDifference::call)
    text += fmt::format("  rows: {}, with the same inputs {}, of these with other outputs {}\n", norm.rows,
                        norm.same_inputs, norm.different);
  text += indented(why(norm, names), "  ");
  if (norm.shift) text += "  " + shift_text(*norm.shift);
  if (norm.element) text += "  " + element_text(*norm.element);
  return text;
}

std::string to_text(const ModelComparison& comparison, const std::array<std::string, 2>& names) {
  std::string text = fmt::format("compared: {} norms, {} rows, of which {} have the same inputs\n",
                                 comparison.norms.size(), comparison.rows, comparison.same_inputs);
  if (comparison.first) {
    text += "first to differ: " + to_text(comparison.norms[*comparison.first], names);
  } else if (!comparison.norms.empty()) {
    text += innocent_text(comparison);
  }
  const auto is = [](NormDifference difference) {
    return [difference](const ComparedNorm& norm) { return norm.difference == difference; };
  };
  const ComparedNorm* first = comparison.first ? &comparison.norms[*comparison.first] : nullptr;
  text += list_of(comparison, "also differ",
                  [&](const ComparedNorm& norm) { return is_arithmetic(norm.difference) && &norm != first; });
  text += list_of(comparison, "only pass on what came in", is(NormDifference::passed_on));
  text += list_of(comparison, "same bits", is(NormDifference::none));
  text += list_of(comparison, "not told, since no row has the same inputs and neither follows a known policy",
                  is(NormDifference::undecided));
  if (!comparison.not_compared.empty()) {
    text += "not compared:\n";
    for (const std::string& what : comparison.not_compared) text += "  " + what + "\n";
  }
  return text;
}

}  // namespace normproof
