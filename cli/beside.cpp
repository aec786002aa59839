#include "cli/beside.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "cli/commands.h"
#include "cli/given_calls.h"
#include "properties/judged/beside.h"
#include "properties/judged/judge.h"
#include "properties/judging/judge_rows.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;
using judging::BesideComparison;
using judging::BesideSide;
using judging::CallSide;
using judging::CaseSide;
using oracle::judged::StoredCall;

struct Compared {
  BesideComparison found;
  std::string fused_file, unfused_file;
  std::string dtype;
  std::int64_t hidden_size = 0;
};

// A library's reason, of the file that --beside names.
template <typename Fused, typename Unfused>
BesideComparison compare(const BesideOptions& options, const Fused& fused, const Unfused& unfused) {
  try {
    return judging::compare_beside(fused, unfused, options.threads);
  } catch (const std::invalid_argument& error) {
    throw UsageError(fmt::format("--beside {}: {}", options.file, error.what()));
  }
}

JudgingOptions of_unfused(const BesideOptions& options) {
  JudgingOptions result = options.judging;
  result.operation.clear();
  result.policy = options.policy;
  result.order.clear();  // it is the fused kernel's
  return result;
}

CaseSide side_of(GivenOutputs given, const std::optional<std::int64_t>& rows) {
  if (rows && *rows < given.test_case.rows())
    return {slice_rows(given.test_case, given.tensors, given.outputs, 0, *rows), std::move(given.policy)};
  return {{std::move(given.test_case), std::move(given.tensors), std::move(given.outputs)},
          std::move(given.policy)};
}

// The unfused dump, of which the policy is the fused one's where nothing says another.
CaseSide read_unfused(const BesideOptions& options, const oracle::Policy& of_fused) {
  GivenOutputs given = read_given_outputs(options.file, of_unfused(options));
  if (!given.policy_of_file && options.policy.empty()) given.policy = of_fused;
  return side_of(std::move(given), options.rows);
}

Compared compare_cases(const std::string& file, const BesideOptions& options) {
  const CaseSide fused = side_of(read_given_outputs(file, options.judging), options.rows);
  const Case& test_case = fused.given.test_case;
  if (!judging::norm_beside(test_case.operation))
    throw UsageError(fmt::format("{}: {} does not quantize, so --beside has no codes to compare", file,
                                 name_of(test_case.operation)));
  const CaseSide unfused = read_unfused(options, judging::policy_beside(fused.policy));
  return {compare(options, fused, unfused), file, options.file, std::string(name_of(test_case.dtype)),
          test_case.hidden_size()};
}

CallSide side_of(const std::string& file, StoredCall stored, const BesideOptions& options,
                 const JudgingOptions& how) {
  oracle::judged::Policy policy = fitting_policy(file, stored, how);
  if (options.rows) stored.call = judging::first_rows(stored.call, *options.rows, policy);
  return {std::move(stored.call), std::move(policy)};
}

Compared compare_calls(const std::string& file, StoredCall stored, const BesideOptions& options) {
  if (!judging::norm_beside(*stored.call.operation))
    throw UsageError(
        fmt::format("{}: --beside does not compare {}; it compares norms that quantize, by a "
                    "scale that is given, by rows or by blocks",
                    file, stored.call.operation->name));
  const CallSide fused = side_of(file, std::move(stored), options, options.judging);
  Compared result{{}, file, options.file, std::string(name_of(fused.call.dtype())), fused.call.hidden_size()};
  if (auto other = read_given_call(options.file, of_unfused(options), true)) {
    JudgingOptions how = of_unfused(options);
    if (how.policy.empty() && !other->policy && other->call.operation == fused.call.operation)
      how.policy = to_string(fused.policy);
    result.found = compare(options, fused, side_of(options.file, *std::move(other), options, how));
  } else {
    result.found = compare(options, fused, read_unfused(options, judging::policy_beside(fused)));
  }
  return result;
}

std::string text_of(const Compared& compared) {
  const BesideComparison& found = compared.found;
  std::string text = fmt::format("{}: {}\n  policy {}; any order of summation that it admits\n",
                                 compared.fused_file, found.fused.subject, found.fused.policy);
  text += fmt::format("  beside {}: {}\n  policy {}{}\n", compared.unfused_file, found.unfused.subject,
                      found.unfused.policy,
                      found.unfused_is_quantized ? "" : "; quantized as the fused policy says");
  text += counts_text(found);
  const auto tell = [&](std::string_view name, const BesideSide& side, const std::string& file) {
    text += fmt::format("  {}: {} of {} rows conform\n", name, side.conforming, side.rows);
    if (!side.conforms)
      text += fmt::format("  why not? {} check {} --policy {}\n", program_name(), shell_quoted(file),
                          shell_quoted(side.policy));
  };
  tell("fused", found.fused, compared.fused_file);
  tell("unfused", found.unfused, compared.unfused_file);
  return text;
}

Json json_of(const BesideComparison& compared, const std::vector<oracle::CodeBeside>& codes) {
  Json result = Json::array();
  for (const oracle::CodeBeside& code : codes) {
    Json reachable = Json::array();
    for (const std::uint32_t each : judging::listed(code.reachable))
      reachable.push_back(oracle::hex_bits(*compared.codes, each));
    result.push_back({{"row", code.row},
                      {"column", code.column},
                      {"fused", oracle::hex_bits(*compared.codes, code.fused)},
                      {"unfused", oracle::hex_bits(*compared.codes, code.unfused)},
                      {"reachable", std::move(reachable)}});
  }
  return result;
}

Json json_of(const BesideSide& side, const std::string& file) {
  return {{"file", file},      {"operation", side.operation},        {"policy", side.policy},
          {"rows", side.rows}, {"conforming_rows", side.conforming}, {"conforms", side.conforms}};
}

Json json_of(const Compared& compared, bool good) {
  const BesideComparison& both = compared.found;
  const oracle::BesideVerdict& found = both.verdict;
  Json scales = Json::array();
  for (const oracle::ScaleDifference& each : found.first_illegal_scales)
    scales.push_back({{"row", each.row},
                      {"first_column", each.scale.begin},
                      {"last_column", each.scale.end - 1},
                      {"fused", both.scale_text(each.scale.fused)},
                      {"unfused", both.scale_text(each.scale.unfused)}});
  return {{"file", compared.fused_file},
          {"operation", both.fused.operation},
          {"dtype", compared.dtype},
          {"hidden_size", compared.hidden_size},
          {"policy", both.fused.policy},
          {"conforms", good},
          {"judge", "beside"},
          {"fused", json_of(both.fused, compared.fused_file)},
          {"unfused", json_of(both.unfused, compared.unfused_file)},
          {"unfused_is_quantized", both.unfused_is_quantized},
          {"codes",
           {{"all", found.codes},
            {"may_differ", found.codes_that_may_differ},
            {"differ", found.codes_that_differ},
            {"differ_legally", found.legal_codes_that_differ()},
            {"illegal", found.illegal_codes},
            {"not_compared", found.codes_not_judged}}},
          {"scales",
           {{"all", found.scales},
            {"may_differ", found.scales_that_may_differ},
            {"differ", found.scales_that_differ},
            {"illegal", found.illegal_scales}}},
          {"illegal_codes", json_of(both, found.first_illegal_codes)},
          {"legal_codes", json_of(both, found.first_legal_codes)},
          {"illegal_scales", std::move(scales)},
          {"not_looked_at", {judging::kNotLookedAtBeside}}};
}

}  // namespace

BesideReport check_beside(const std::string& fused, const BesideOptions& options) {
  auto call = read_given_call(fused, options.judging, true);
  const Compared compared =
      call ? compare_calls(fused, *std::move(call), options) : compare_cases(fused, options);
  BesideReport report;
  report.diagnosis = diagnosis_of(compared.found);
  report.good = report.diagnosis.empty();
  report.text = text_of(compared);
  if (!report.good) report.text += fmt::format("  diagnosis: {}\n", report.diagnosis);
  report.json = json_of(compared, report.good);
  if (!report.good) report.json["diagnosis"] = report.diagnosis;
  return report;
}

}  // namespace normproof
