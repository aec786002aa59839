#include "cli/given_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <thread>

#include "cli/commands.h"
#include "corpus/dump.h"
#include "oracle/formats.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/identify.h"
#include "properties/judged/judge.h"
#include "properties/run/report_text.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;
using oracle::judged::Call;
using oracle::judged::Policy;

Policy policy_of(const JudgingOptions& options, const oracle::judged::StoredCall& stored,
                 const std::string& file) {
  const oracle::judged::JudgedOperation& operation = *stored.call.operation;
  Policy policy;
  const bool given = !options.policy.empty();
  try {
    policy = parse_policy(operation, given ? options.policy : stored.policy.value_or("native"));
  } catch (const std::invalid_argument& error) {
    if (given) throw UsageError(fmt::format("--policy: {}", error.what()));
    throw SafetensorsError(file, "policy", error.what());
  }
  const auto set = [&](std::string_view name, std::string_view option, std::optional<std::int64_t> value) {
    if (!value) return;
    for (std::size_t i = 0; i < policy.bounds.size(); ++i) {
      if (operation.bounds[i].name != name) continue;
      policy.bounds[i] = value;
      return;
    }
    throw UsageError(fmt::format("{}: {} has no such bound", option, operation.name));
  };
  set("inverse_root_ulp", "--inverse-root-ulp", options.inverse_root_ulp);
  set("sum_depth", "--sum-depth", options.sum_depth);
  return policy;
}

struct Given {
  Call call;
  Policy policy;
};

Given read_given(const std::string& file, const JudgingOptions& options) {
  oracle::judged::FileOptions file_options;
  file_options.operation = oracle::judged::find_judged_operation(options.operation);
  if (!options.epsilon.empty()) {
    file_options.epsilon = fp32_bits_from_text(options.epsilon);
    if (!file_options.epsilon)
      throw UsageError(fmt::format("--epsilon: expected an fp32 number such as 1e-6 or 0x358637bd, got '{}'",
                                   options.epsilon));
  }
  oracle::judged::StoredCall stored = read_call(file, file_options, true);
  const std::string_view name = stored.call.operation->name;
  if (options.flush_to_zero)
    throw UsageError(fmt::format("--flush-to-zero: the judge of {} does not know kernels that flush", name));
  if (!options.order.empty())
    throw UsageError(fmt::format("--order: the judge of {} takes no order of summation", name));
  Policy policy = policy_of(options, stored, file);
  return {std::move(stored.call), std::move(policy)};
}

Json json_of(const oracle::judged::Violation& violation) {
  Json elements = Json::array();
  for (const oracle::judged::Element& element : violation.elements) {
    Json entry = {{"column", element.column}};
    for (const oracle::judged::NamedBits& value : element.values)
      entry[std::string(value.name)] = oracle::hex_bits(value.dtype, value.bits);
    elements.push_back(std::move(entry));
  }
  Json window = Json::array();
  for (const auto& box : violation.window) {
    Json ranges = Json::object();
    for (const oracle::judged::UnknownRange& range : box)
      ranges[std::string(range.name)] = {oracle::hex_bits(DType::fp32, range.low),
                                         oracle::hex_bits(DType::fp32, range.high)};
    window.push_back(std::move(ranges));
  }
  return {{"tensor", violation.tensor}, {"kind", violation.kind},          {"place", violation.place},
          {"row", violation.row},       {"elements", std::move(elements)}, {"window", std::move(window)}};
}

}  // namespace

bool is_given_call(const std::string& file, const JudgingOptions& options) {
  return !is_call_of_model(file) && oracle::judged::judged_operation_of(file, options.operation) != nullptr;
}

GivenCallReport check_given_call(const std::string& file, const JudgingOptions& options,
                                 std::optional<std::int64_t> rows, std::int64_t threads) {
  Given given = read_given(file, options);
  if (given.call.operation->misfit != nullptr) {
    if (const std::string misfit = given.call.operation->misfit(given.call, given.policy); !misfit.empty())
      throw UsageError(fmt::format("{}: {}", file, misfit));
  }
  if (rows) given.call = judging::first_rows(given.call, *rows, given.policy);
  const judging::Judgement judgement = judging::judge(given.call, given.policy, {threads, 8});
  GivenCallReport report;
  report.good = judgement.conforms();
  report.doubt = judging::doubt_of(judgement);
  report.text =
      fmt::format("{}: {}\n{}", file, subject_of(given.call), judging::to_text(judgement, given.policy));
  Json parts = Json::array();
  for (const judging::PartVerdict& part : judgement.parts)
    parts.push_back({{"tensor", part.tensor},
                     {"unit", part.unit},
                     {"units", part.units},
                     {"conforming", part.conforming},
                     {"elements", part.elements}});
  report.json = {{"file", file},
                 {"operation", given.call.operation->name},
                 {"dtype", name_of(given.call.dtype())},
                 {"hidden_size", given.call.hidden_size()},
                 {"policy", to_string(given.policy)},
                 {"conforms", report.good},
                 {"judge", "search"},
                 {"parts", std::move(parts)},
                 {"certificates", Json::array()},
                 {"not_looked_at", judgement.not_looked_at}};
  for (const oracle::judged::Violation& violation : judgement.first_violations)
    report.json["certificates"].push_back(json_of(violation));
  if (report.good) report.json["random_outputs_accepted"] = judgement.wrong_accepted;
  report.html = text_section(file, report.good ? "conforms" : "violates", report.good, report.text);
  return report;
}

GivenCallReport identify_given_call(const std::string& file, const JudgingOptions& options,
                                    std::int64_t rows) {
  const Given given = read_given(file, options);
  if (given.call.rows() == 0)
    throw UsageError(fmt::format("{}: there are no rows to tell a policy from", file));
  const judging::Identification found =
      judging::identify(given.call, given.policy, rows, std::max(1u, std::thread::hardware_concurrency()));
  GivenCallReport report;
  report.good = found.identified();
  report.text = fmt::format("{}: {}\n  from {} rows\n{}", file, subject_of(given.call), found.rows,
                            judging::to_text(found));
  Json survivors = Json::array();
  for (const Policy& policy : found.survivors) survivors.push_back(to_string(policy));
  Json axes = Json::object();
  for (const judging::AxisFinding& axis : found.axes) {
    for (const judging::ValueFinding& value : axis.values)
      axes[std::string(axis.name)][std::string(value.name)] = {{"survives", value.survives},
                                                               {"reason", value.reason}};
  }
  report.json = {{"file", file},
                 {"subject", subject_of(given.call)},
                 {"identified", found.identified()},
                 {"unique", found.unique()},
                 {"policy", to_string(found.best)},
                 {"conforming", found.best_units},
                 {"units", found.units},
                 {"explain_every_unit", std::move(survivors)},
                 {"known_as", found.names},
                 {"axes", std::move(axes)}};
  if (found.explained()) report.json["random_outputs_explained"] = found.wrong_explained;
  report.html =
      text_section(file, report.good ? to_string(found.best) : "no known policy", report.good, report.text);
  return report;
}

CLI::Validator is_run_by_targets() {
  std::vector<std::string> names;
  for (const Operation operation : kOperations) names.emplace_back(name_of(operation));
  const CLI::IsMember member(names);
  const auto objection = [member](std::string& name) -> std::string {
    if (oracle::judged::find_judged_operation(name) == nullptr) return member(name);
    return fmt::format(
        "this command does not know {}: it is judged where a plug-in runs it, by `normproof verify` and "
        "`replay`, or where outputs are given, by `check DUMP` and `identify DUMP`, and in Python by check, "
        "identify and testing.assert_conforms",
        name);
  };
  return CLI::Validator(objection, member.get_description());
}

CLI::Validator is_run_by_plugins() {
  std::vector<std::string> names;
  for (const Operation operation : kOperations) names.emplace_back(name_of(operation));
  for (const oracle::judged::JudgedOperation* operation : oracle::judged::judged_operations())
    names.emplace_back(operation->name);
  return CLI::IsMember(names);
}

}  // namespace normproof
