#include "properties/matrix/cell.h"

#include <array>
#include <stdexcept>

#include "corpus/json.h"

namespace normproof::matrix {
namespace {

constexpr std::array<std::string_view, 6> kOutcomes = {"survived", "killed",  "crashed",
                                                       "hung",     "not run", "not taken"};

}  // namespace

std::string_view name_of(Cell::Outcome outcome) { return kOutcomes[static_cast<std::size_t>(outcome)]; }

nlohmann::ordered_json to_json(const Cell& cell) {
  nlohmann::ordered_json document = {{"outcome", name_of(cell.outcome)},
                                     {"executions", cell.executions},
                                     {"seconds", cell.seconds},
                                     {"message", cell.message}};
  if (!cell.repro.empty()) document["repro"] = cell.repro;
  return document;
}

Cell cell_from_json(const nlohmann::ordered_json& document) {
  Cell cell;
  const auto name = document.at("outcome").get<std::string>();
  std::size_t outcome = 0;
  while (outcome < kOutcomes.size() && kOutcomes[outcome] != name) ++outcome;
  if (outcome == kOutcomes.size()) throw std::invalid_argument("unknown outcome '" + name + "'");
  cell.outcome = static_cast<Cell::Outcome>(outcome);
  cell.executions = document.at("executions").get<std::int64_t>();
  cell.seconds = document.at("seconds").get<double>();
  cell.message = document.at("message").get<std::string>();
  cell.repro = document.value("repro", "");
  return cell;
}

}  // namespace normproof::matrix
