// A table of the studies, then what is seen of each fault.
#include "cli/assess_family.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace normproof {
namespace {

using assess::family::FamilyFigures;
using assess::family::FamilyStudy;
using assess::family::FaultFigure;
using assess::family::FaultyFigures;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMostFaultsListed = 12;

std::string sizes_of(const FaultyFigures& figures) {
  std::string text;
  for (const auto& [elements, count] : figures.certificates)
    text += fmt::format("{}{} of {}", text.empty() ? "" : ", ", grouped(count), elements);
  return text;
}

void print_faults(const FamilyFigures& figures) {
  const std::size_t dtypes = figures.study->fault_dtypes.size();
  for (std::size_t i = 0; i < figures.faults.size(); ++i) {
    const FaultFigure& figure = figures.faults[i];
    if (i % dtypes == 0) fmt::print("    {:<36}", figure.fault);
    fmt::print("  {} {:>7} / {:<7}{}", name_of(figure.dtype), grouped(figure.seen), grouped(figure.changed),
               mark(figure.reached()));
    if (i % dtypes == dtypes - 1) fmt::print("\n");
  }
}

// Where there are too many for a table.
void print_summary_of_faults(const FamilyFigures& figures) {
  std::int64_t seen = 0, changed = 0;
  for (const FaultFigure& figure : figures.faults) {
    seen += figure.seen;
    changed += figure.changed;
    if (!figure.reached())
      fmt::print("    {}: {} / {}, refused without it {}{}\n", figure.fault, figure.seen, figure.changed,
                 figure.rejected_right, mark(false));
  }
  fmt::print("    {} of {} faults are seen, {} of {} calls that they change\n",
             std::ranges::count_if(figures.faults, [](const FaultFigure& each) { return each.seen > 0; }),
             figures.faults.size(), grouped(seen), grouped(changed));
}

}  // namespace

std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto position = static_cast<std::ptrdiff_t>(text.size()) - 3; position > 0; position -= 3)
    text.insert(static_cast<std::size_t>(position), ",");
  return text;
}

void print_family_head() {
  fmt::print(
      "norm family: rows of honest kernels; rows of faulty ones against trying all that is admissible; "
      "faults "
      "seen, of the rows that they change\n");
}

void print(const FamilyFigures& figures) {
  const FamilyStudy& study = *figures.study;
  const auto boxes = [](std::int64_t most) {
    return most == 0 ? std::string() : fmt::format(", at most {} boxes", grouped(most));
  };
  const auto& honest = figures.honest;
  const auto& faulty = figures.faulty;
  fmt::print("  {}: {} {}, {} elements, {} refused{}{}{}\n", study.name, grouped(honest.rows), study.unit,
             grouped(honest.elements), honest.refused,
             boxes(honest.most_boxes) +
                 (honest.undecided == 0 ? "" : fmt::format(", {} undecided", grouped(honest.undecided))),
             honest.decided_exactly == 0
                 ? ""
                 : fmt::format(", {} decided by exact arithmetic", grouped(honest.decided_exactly)),
             mark(honest.refused == 0));
  if (!honest.first_refusal.empty()) fmt::print("    the first: {}\n", honest.first_refusal);
  fmt::print("    faulty: {} {}, {} refuted, {} disagreements{}; certificates by elements: {}{}\n",
             grouped(faulty.rows), study.unit, grouped(faulty.refuted), faulty.disagreements,
             boxes(faulty.most_boxes), sizes_of(faulty), mark(faulty.disagreements == 0));
  if (!faulty.first_disagreement.empty()) fmt::print("    the first: {}\n", faulty.first_disagreement);
  if (study.faults.size() > kMostFaultsListed) {
    print_summary_of_faults(figures);
  } else {
    print_faults(figures);
  }
}

Json json_of(const FamilyFigures& figures) {
  Json certificates = Json::object();
  for (const auto& [elements, count] : figures.faulty.certificates)
    certificates[std::to_string(elements)] = count;
  Json faults = Json::array();
  for (const FaultFigure& figure : figures.faults)
    faults.push_back({{"fault", figure.fault},
                      {"dtype", name_of(figure.dtype)},
                      {"rows", figure.rows},
                      {"changed", figure.changed},
                      {"seen", figure.seen},
                      {"least_share", figure.least_share},
                      {"rejected_without_fault", figure.rejected_right},
                      {"reached", figure.reached()}});
  return {{"study", figures.study->name},
          {"operations", figures.study->operations},
          {"unit", figures.study->unit},
          {"passed", figures.passed()},
          {"honest",
           {{"rows", figures.honest.rows},
            {"elements", figures.honest.elements},
            {"refused", figures.honest.refused},
            {"most_boxes", figures.honest.most_boxes},
            {"decided_exactly", figures.honest.decided_exactly},
            {"undecided", figures.honest.undecided}}},
          {"faulty",
           {{"rows", figures.faulty.rows},
            {"refuted", figures.faulty.refuted},
            {"disagreements", figures.faulty.disagreements},
            {"too_wide", figures.faulty.too_wide},
            {"most_boxes", figures.faulty.most_boxes},
            {"certificates_by_elements", std::move(certificates)}}},
          {"faults", std::move(faults)}};
}

}  // namespace normproof
