#include "cli/given_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "cli/commands.h"
#include "corpus/dump.h"
#include "oracle/formats.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/identify.h"
#include "properties/judged/judge.h"
#include "properties/judging/report_text.h"
#include "properties/models/model_dump.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;
using oracle::judged::Call;
using oracle::judged::Policy;

Json json_of(const oracle::judged::Violation& violation) {
  Json elements = Json::array();
  for (const oracle::judged::Element& element : violation.elements) {
    Json entry = {{"column", element.column}};
    if (!element.place.empty()) entry["place"] = element.place;
    Json texts = Json::object();
    for (const oracle::judged::NamedBits& value : element.values) {
      entry[std::string(value.name)] = oracle::hex_bits(value.dtype, value.bits);
      if (!value.text.empty()) texts[std::string(value.name)] = value.text;
    }
    if (!texts.empty()) entry["texts"] = std::move(texts);
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
  return {{"tensor", violation.tensor}, {"kind", violation.kind},     {"place", violation.place},
          {"row", violation.row},       {"reason", violation.reason}, {"elements", std::move(elements)},
          {"window", std::move(window)}};
}

// Of FILE#MODULE; nothing where the module is of another operation.
std::optional<oracle::judged::StoredCall> judged_call_of_model(const std::string& file,
                                                               const oracle::judged::FileOptions& options) {
  const std::size_t place = file.rfind('#');
  const SafetensorsFile opened = read_safetensors(file.substr(0, place));
  const std::string module = file.substr(place + 1);
  const bool is_judged = options.operation != nullptr || judged_operation_of(opened, module) != nullptr;
  if (!is_model_dump(opened) || !is_judged) return std::nullopt;
  ModuleCall call = read_module_call(opened, module, {std::nullopt, options.epsilon});
  if (call.judged() == nullptr) return std::nullopt;
  return std::get<oracle::judged::StoredCall>(std::move(call.call));
}

}  // namespace

std::optional<oracle::judged::StoredCall> read_given_call(const std::string& file,
                                                          const JudgingOptions& options, bool with_outputs) {
  oracle::judged::FileOptions file_options;
  file_options.operation = oracle::judged::find_judged_operation(options.operation);
  const bool is_about_cases = !options.operation.empty() && file_options.operation == nullptr;
  if (is_about_cases) return std::nullopt;
  if (!options.epsilon.empty()) {
    file_options.epsilon = fp32_bits_from_text(options.epsilon);
    if (!file_options.epsilon)
      throw UsageError(fmt::format("--epsilon: expected an fp32 number such as 1e-6 or 0x358637bd, got '{}'",
                                   options.epsilon));
  }
  if (is_call_of_model(file)) return judged_call_of_model(file, file_options);
  return read_call_if_judged(file, file_options, with_outputs);
}

Policy policy_of_given_call(const std::string& file, const oracle::judged::StoredCall& stored,
                            const JudgingOptions& options) {
  const oracle::judged::JudgedOperation& operation = *stored.call.operation;
  if (options.flush_to_zero)
    throw UsageError(
        fmt::format("--flush-to-zero: the judge of {} does not know kernels that flush", operation.name));
  if (!options.order.empty())
    throw UsageError(fmt::format("--order: the judge of {} takes no order of summation", operation.name));
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

Policy fitting_policy(const std::string& file, const oracle::judged::StoredCall& stored,
                      const JudgingOptions& options) {
  Policy policy = policy_of_given_call(file, stored, options);
  const std::string misfit = stored.call.operation->misfit(stored.call, policy);
  if (!misfit.empty()) throw UsageError(fmt::format("{}: {}", file, misfit));
  return policy;
}

GivenCallReport check_given_call(const std::string& file, oracle::judged::StoredCall stored,
                                 const JudgingOptions& options, std::optional<std::int64_t> rows,
                                 std::int64_t threads) {
  const Policy policy = fitting_policy(file, stored, options);
  Call call = std::move(stored.call);
  if (rows) call = judging::first_rows(call, *rows, policy);
  const judging::Judgement judgement = judging::judge(call, policy, {threads, 8});
  GivenCallReport report;
  report.good = judgement.conforms();
  report.doubt = judging::doubt_of(judgement);
  report.text = fmt::format("{}: {}\n{}", file, subject_of(call), judging::to_text(judgement, policy));
  Json parts = Json::array();
  for (const judging::PartVerdict& part : judgement.parts)
    parts.push_back({{"tensor", part.tensor},
                     {"unit", part.unit},
                     {"units", part.units},
                     {"conforming", part.conforming},
                     {"elements", part.elements}});
  report.json = {{"file", file},
                 {"operation", call.operation->name},
                 {"dtype", name_of(call.dtype())},
                 {"hidden_size", call.hidden_size()},
                 {"policy", to_string(policy)},
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

GivenCallReport identify_given_call(const std::string& file, const oracle::judged::StoredCall& stored,
                                    const JudgingOptions& options, std::int64_t rows, std::int64_t threads) {
  const Policy model = policy_of_given_call(file, stored, options);
  const Call& call = stored.call;
  if (call.rows() == 0) throw UsageError(fmt::format("{}: there are no rows to tell a policy from", file));
  const judging::Identification found = judging::identify(call, model, rows, threads);
  GivenCallReport report;
  report.good = found.identified();
  report.text =
      fmt::format("{}: {}\n  from {} rows\n{}", file, subject_of(call), found.rows, judging::to_text(found));
  Json survivors = Json::array();
  for (const Policy& policy : found.survivors) survivors.push_back(to_string(policy));
  Json axes = Json::object();
  for (const judging::AxisFinding& axis : found.axes) {
    for (const judging::ValueFinding& value : axis.values)
      axes[std::string(axis.name)][std::string(value.name)] = {{"survives", value.survives},
                                                               {"reason", value.reason}};
  }
  report.json = {{"file", file},
                 {"subject", subject_of(call)},
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

CLI::Validator names_codes() {
  std::vector<std::string> names;
  for (const DType dtype : code_dtypes(operations_with(NormStep::quantize_by_row).front()))
    names.emplace_back(name_of(dtype));
  return CLI::IsMember(names);
}

DType codes_for(Operation operation, const std::string& quantized) {
  const DType codes = dtype_from_name(quantized).value();
  if (quantizes(operation) && !may_quantize_to(operation, codes))
    throw UsageError(
        fmt::format("--quantized {}: {} makes none, the operations that give each row a scale do", quantized,
                    name_of(operation)));
  return codes;
}

std::optional<std::uint32_t> scale_ub_bits(const std::string& scale_ub) {
  const auto bits = fp32_bits_from_text(scale_ub);
  return bits && is_upper_bound(*bits) ? bits : std::nullopt;
}

std::string objection_to_scale_ub(const std::string& scale_ub) {
  return scale_ub_bits(scale_ub) ? "" : fmt::format("expected an fp32 number above 0, got '{}'", scale_ub);
}

void require_scale_ub(Operation operation) {
  if (!has(operation, Parameter::scale_ub))
    throw UsageError(fmt::format("--scale-ub: {} has no upper bound of scales", name_of(operation)));
}

std::uint32_t scale_ub_for(Operation operation, const std::string& scale_ub) {
  if (scale_ub.empty()) return spec_of(Parameter::scale_ub).usual_bits;
  require_scale_ub(operation);
  if (const std::string objection = objection_to_scale_ub(scale_ub); !objection.empty())
    throw UsageError("--scale-ub: " + objection);
  return scale_ub_bits(scale_ub).value();
}

CLI::Validator is_run_by_targets() {
  std::vector<std::string> names;
  for (const Operation operation : all_operations()) names.emplace_back(name_of(operation));
  const CLI::IsMember member(names);
  const auto objection = [member](std::string& name) -> std::string {
    if (oracle::judged::find_judged_operation(name) == nullptr) return member(name);
    return fmt::format(
        "this command does not know {}: it is judged where a plug-in runs it, by `normproof verify`, "
        "`replay`, "
        "`minimize`, `identify` and `certify`, or where outputs are given, by `check DUMP` and `identify "
        "DUMP`, "
        "and in Python by check, identify and testing.assert_conforms",
        name);
  };
  return CLI::Validator(objection, member.get_description());
}

CLI::Validator is_run_by_plugins() {
  std::vector<std::string> names;
  for (const Operation operation : all_operations()) names.emplace_back(name_of(operation));
  for (const oracle::judged::JudgedOperation* operation : oracle::judged::judged_operations())
    names.emplace_back(operation->name);
  return CLI::IsMember(names);
}

}  // namespace normproof
