#include "cli/explain_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/exit_codes.h"
#include "cli/judged_calls.h"
#include "cli/output_files.h"
#include "cli/result_json.h"
#include "corpus/case.h"
#include "oracle/formats.h"
#include "oracle/judged/call_files.h"
#include "oracle/row_kernels.h"
#include "properties/judged/call_evaluation.h"
#include "properties/targets/judged_target.h"
#include "properties/targets/plugin_target.h"

namespace normproof {
namespace {

using oracle::judged::Call;
using oracle::judged::Extent;
using oracle::judged::NamedBits;
using oracle::judged::Part;
using oracle::judged::Policy;
using oracle::judged::Tensor;
using Spec = oracle::judged::TensorSpec;

std::string number_text(const NamedBits& value) {
  return fmt::format("{} ({})", oracle::value_text(value.dtype, value.bits),
                     oracle::hex_bits(value.dtype, value.bits));
}
std::string list_text(const std::vector<NamedBits>& values) {
  std::string text;
  for (const NamedBits& value : values)
    text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", value.name, number_text(value));
  return text;
}
ResultJson json_of(const std::vector<NamedBits>& values) {
  ResultJson object = ResultJson::object();
  for (const NamedBits& value : values)
    object[std::string(value.name)] = oracle::hex_bits(value.dtype, value.bits);
  return object;
}

struct AskedCall {
  Call call;  // with outputs
  Policy policy;
  bool has_outputs = false;  // somebody's; else there are none to compare with
  std::string whose{};
  judging::Judgement judgement{};
};

// One element of x's shape, and what belongs to it.
struct Place {
  std::int64_t row = 0, column = 0;
};

// Element of the tensor that the place reads, where there is one.
std::optional<std::int64_t> element_of(const Call& call, const Policy& policy, const Spec& spec,
                                       const Place& place) {
  switch (spec.extent) {
    case Extent::elements:
      return place.row * call.hidden_size() + place.column;
    case Extent::hidden:
      return call.hidden_index(call.at(spec.name), place.row, place.column);
    case Extent::row:
      return place.row;
    case Extent::rotation:
      break;
    default:
      return std::nullopt;
  }
  const std::vector<std::int64_t>& shape = call.at("x").shape;
  const std::int64_t heads = shape.size() < 2 ? 1 : shape.end()[-2];
  for (const auto& group : call.operation->columns(call, policy))
    if (group.rotation && std::ranges::count(group.hidden, place.column) > 0)
      return place.row / heads * call.at(spec.name).shape.back() + *group.rotation;
  return std::nullopt;
}

std::vector<NamedBits> operands_of(const Call& call, const Policy& policy, const Place& place) {
  std::vector<NamedBits> operands;
  const auto add = [&](std::string_view name, const Tensor& tensor, std::int64_t at) {
    operands.push_back({name, tensor.dtype, load_bits(tensor.bytes, tensor.dtype, at)});
  };
  for (const Spec& spec : call.operation->tensors) {
    const Tensor* tensor = call.find(spec.name);
    if (tensor == nullptr || spec.direction == Direction::out) continue;
    const auto at = element_of(call, policy, spec, place);
    if (!at) continue;
    add(spec.name, *tensor, *at);
    if (spec.name != "x") continue;
    // What is rotated with it.
    for (const auto& group : call.operation->columns(call, policy)) {
      if (std::ranges::count(group.hidden, place.column) == 0) continue;
      for (const std::int64_t other : group.hidden)
        if (other != place.column) add("its partner", *tensor, place.row * call.hidden_size() + other);
    }
  }
  return operands;
}

// The unit of a part that holds the place, and the element within it.
struct Unit {
  std::int64_t unit = 0, element = 0;
};
Unit unit_of(const Part& part, const Place& place) {
  return part.units_per_row == 0 ? Unit{place.column, 0} : Unit{place.row, place.column};
}

Place first_wrong(const AskedCall& question) {
  if (question.judgement.first_violations.empty()) return {};
  const oracle::judged::Violation& violation = question.judgement.first_violations.front();
  const std::int64_t column = violation.elements.empty() ? 0 : violation.elements.front().column;
  const std::vector<std::int64_t>& shape = question.call.at("x").shape;
  const auto parts = question.call.operation->parts(question.call, question.policy);
  const auto part = std::ranges::find(parts, violation.tensor, &Part::tensor);
  std::int64_t row = violation.row;
  // Of a token the head that does not conform.
  if (part != parts.end() && part->units_per_row > 1) {
    const auto judge = part->judge();
    row *= part->units_per_row;
    const std::int64_t end = row + part->units_per_row;
    while (row + 1 < end && judge->conforms(row)) ++row;
  }
  return {std::min(row, std::max<std::int64_t>(question.call.rows() - 1, 0)),
          std::min(column, shape.back() - 1)};
}

// What comes out there, part by part.
void explain_parts(const AskedCall& question, const Place& place, std::string& text, ResultJson& document) {
  for (const Part& part : question.call.operation->parts(question.call, question.policy)) {
    const auto [unit, element] = unit_of(part, place);
    const auto judge = part.judge();
    const Tensor& tensor = question.call.at(part.tensor);
    const std::vector<NamedBits> unknowns = judge->unknowns(unit);
    if (!unknowns.empty())
      text += fmt::format("  {}: what the canonical order of summation arrives at\n", list_text(unknowns));
    const std::uint32_t right = load_bits(judge->canonical(unit), tensor.dtype, element);
    text += fmt::format("  {} = {}", part.tensor, number_text({"", tensor.dtype, right}));
    ResultJson entry = {{"tensor", part.tensor},
                        {"unknowns", json_of(unknowns)},
                        {"canonical", oracle::hex_bits(tensor.dtype, right)}};
    if (question.has_outputs) {
      const std::uint32_t got =
          load_bits(tensor.bytes, tensor.dtype, unit * part.elements_per_unit + element);
      entry["got"] = oracle::hex_bits(tensor.dtype, got);
      const std::uint64_t apart = oracle::ulp_distance(tensor.dtype, got, right);
      text += oracle::same(tensor.dtype, got, right)
                  ? fmt::format("; {} the same", question.whose)
                  : fmt::format("; {} {}{}", question.whose, number_text({"", tensor.dtype, got}),
                                apart == UINT64_MAX ? "" : fmt::format(", {} ulp apart", apart));
    }
    text += '\n';
    document["outputs"].push_back(std::move(entry));
  }
}

AskedCall question_of(const std::string& file, oracle::judged::StoredCall stored,
                      const std::string& target_name, const JudgeOptions& options) {
  const auto& operation = *stored.call.operation;
  if (operation.fill != nullptr)  // codes and scales come out of one row together
    throw UsageError(fmt::format("{}: explain does not know {}; `normproof check` says what does not fit",
                                 file, operation.name));
  AskedCall question{std::move(stored.call), parse_policy(operation, stored.policy.value_or("native"))};
  try {
    if (question.call.has_outputs() && !options.policy.empty())
      question.policy = parse_policy(operation, options.policy);
  } catch (const std::invalid_argument& error) {
    throw UsageError(fmt::format("--policy: {}", error.what()));
  }
  question.has_outputs = question.call.has_outputs();
  question.whose = "the file has";
  if (question.has_outputs) {
    question.judgement = judging::judge(question.call, question.policy);
    return question;
  }
  question.call =
      judging::without_contents(judging::asking_for_all(std::move(question.call), question.policy));
  const std::unique_ptr<Target> target = judged(make_target(target_name), options);
  const JudgedTarget* has = target->judged_target();
  if (has == nullptr || std::ranges::count(has->judged_operations(), &operation) == 0) return question;
  question.policy = policies_from(options.policy, *target).judged.at(&operation);
  const judging::CallEvaluation evaluation =
      judging::evaluate_call(*target->judged_target(), question.call, question.policy);
  if (evaluation.run.status != RunResult::Status::completed)
    throw TargetError(
        fmt::format("{}: target {} gave no outputs: {}", file, target_name, evaluation.run.message));
  question.has_outputs = true;
  question.whose = "the target gives";
  question.call = evaluation.run.call;
  question.judgement = evaluation.judgement;
  return question;
}

}  // namespace

int explain_call(const std::string& file, oracle::judged::StoredCall stored, const std::string& target,
                 const JudgeOptions& options, std::optional<std::int64_t> row,
                 std::optional<std::int64_t> column, const std::string& json) {
  const oracle::StandardFloatEnvironment environment;
  const AskedCall question = question_of(file, std::move(stored), target, options);
  const Call& call = question.call;
  const auto require = [&](const char* name, std::optional<std::int64_t> value, std::int64_t size) {
    if (value && (*value < 0 || *value >= size))
      throw UsageError(fmt::format("--{} {} is outside 0 to {}", name, *value, size - 1));
  };
  if (call.rows() == 0) throw UsageError(fmt::format("{}: the call has no rows to explain", file));
  require("row", row, call.rows());
  require("column", column, call.hidden_size());
  Place place = first_wrong(question);
  if (row || column) place = {row.value_or(0), column.value_or(0)};
  ResultJson document = result_document("explain");
  const std::vector<NamedBits> operands = operands_of(call, question.policy, place);
  document.update({{"operation", call.operation->name},
                   {"policy", to_string(question.policy)},
                   {"row", place.row},
                   {"column", place.column},
                   {"operands", json_of(operands)},
                   {"formulas", ResultJson::object()},
                   {"outputs", ResultJson::array()}});
  std::string text = fmt::format("{}: {}\n  policy {}\nrow {}, column {}\n  {}\n", file, subject_of(call),
                                 to_string(question.policy), place.row, place.column, list_text(operands));
  for (std::size_t i = 0; i < call.operation->axes.size(); ++i) {
    const oracle::judged::Axis& axis = call.operation->axes[i];
    if (!axis.tensor.empty() && !call.has(axis.tensor)) continue;
    const oracle::judged::AxisValue& value = axis.values[question.policy.values[i]];
    text += fmt::format("  {}={}: {}\n", axis.name, value.name, value.formula);
    document["formulas"][std::string(axis.name)] = value.formula;
  }
  explain_parts(question, place, text, document);
  const bool violates = question.has_outputs && !question.judgement.conforms();
  for (const oracle::judged::Violation& violation : question.judgement.first_violations)
    text += violation.text();
  fmt::print("{}", text);
  const int exit_code = violates ? kViolationFound : kAllGood;
  document["exit_code"] = exit_code;
  return exit_code_after_writing(exit_code, {{json, [&] { write_result(json, document); }}});
}

}  // namespace normproof
