#include "properties/matrix/repro.h"

#include <bit>

#include "corpus/case_json.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/call_evaluation.h"
#include "properties/judging/evaluate.h"
#include "properties/matrix/process.h"
#include "properties/property.h"

namespace normproof::matrix {
namespace {

constexpr double kReproLimit = 60;
constexpr int kPropertyCases = 1000;  // as `verify`

// Whether the last of the cases, run in turn by a fresh process, violates.
bool last_violates(const std::vector<Case>& cases, const std::string& target_name) {
  CellProcess process(
      [&] {
        const auto target = make_target(target_name);
        Cell cell;
        for (const Case& test_case : cases)
          cell.outcome =
              evaluate(test_case, *target).violates() ? Cell::Outcome::killed : Cell::Outcome::survived;
        return cell;
      },
      kReproLimit);
  return process.wait().kills();
}

bool all_conform_on_production(const std::vector<Case>& cases) {
  for (const Case& test_case : cases)
    if (last_violates({test_case}, "host")) return false;
  return !last_violates(cases, "host");
}

// As last_violates().
bool call_violates(const oracle::judged::StoredCall& stored, const std::string& target_name) {
  CellProcess process(
      [&] {
        const auto target = make_target(target_name);
        const auto policy = parse_policy(*stored.call.operation, stored.policy.value_or("native"));
        const judging::CallEvaluation evaluation =
            judging::evaluate_call(*target->judged_target(), stored.call, policy);
        Cell cell;
        cell.outcome = evaluation.violates() ? Cell::Outcome::killed : Cell::Outcome::survived;
        return cell;
      },
      kReproLimit);
  return process.wait().kills();
}

// Whether the property fails, as `verify` checks it.
bool property_fails(std::size_t index, std::uint64_t seed, const std::string& target_name) {
  CellProcess process(
      [&] {
        const auto target = make_target(target_name);
        Tally tally;
        PropertyContext context{*target, tally, seed + index, kPropertyCases, {}, {}, [] { return false; }};
        context.shrink = false;
        Cell cell;
        cell.outcome =
            all_properties()[index].check(context).holds ? Cell::Outcome::survived : Cell::Outcome::killed;
        return cell;
      },
      kReproLimit);
  return process.wait().kills();
}

}  // namespace

Repro check_repro(const std::string& target, const Cell& verify, std::uint64_t seed) {
  Repro repro;
  const auto call =
      verify.repro.empty() ? std::nullopt : oracle::judged::read_call_if_judged(verify.repro, {}, false);
  if (call) {
    repro.kind = "call";
    repro.cases = {call_to_json(call->call, call->policy)};
    repro.violates_on_mutant = call_violates(*call, target);
    repro.conforms_on_production = !call_violates(*call, "host");
    return repro;
  }
  if (!verify.repro.empty()) {
    const Case found = read_case(verify.repro);
    Case before = found;
    before.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(0.5f);
    if (has(found.operation, Parameter::scale))
      before.bits_of(Parameter::scale) = std::bit_cast<std::uint32_t>(3.0f);
    for (const auto& [kind, cases] :
         {std::pair("case", std::vector{found}), std::pair("second call", std::vector{before, found})}) {
      if (!last_violates(cases, target)) continue;
      repro.kind = kind;
      for (const Case& test_case : cases) repro.cases.push_back(case_to_json(test_case));
      repro.violates_on_mutant = true;
      repro.conforms_on_production = all_conform_on_production(cases);
      return repro;
    }
  }
  // The one that `verify` names, or after a crash, which names none, the first that fails.
  const bool named = verify.message.find("property ") != std::string::npos;
  for (std::size_t index = 0; index < all_properties().size(); ++index) {
    const std::string name(all_properties()[index].name);
    if (named && verify.message.find("property " + name + ":") == std::string::npos) continue;
    if (!property_fails(index, seed, target)) continue;
    repro.kind = "property";
    repro.property = name;
    repro.violates_on_mutant = true;
    repro.conforms_on_production = !property_fails(index, seed, "host");
    break;
  }
  return repro;
}

}  // namespace normproof::matrix
