#include "cli/result_json.h"

#include "cli/commands.h"
#include "corpus/atomic_file.h"
#include "corpus/json_text.h"
#include "oracle/exact.h"
#include "oracle/formats.h"
#include "oracle/steps.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

ResultJson json_of(const RowGroup& group) {
  return {{"policy", group.policy ? ResultJson(axes_text(*group.policy)) : ResultJson(nullptr)},
          {"rows", group.rows}};
}

ResultJson json_of(const AxisFinding& axis) {
  ResultJson values = ResultJson::object();
  for (const AxisValueFinding& value : axis.values)
    values[std::string(value.name)] = {{"survives", value.survives}, {"reason", value.reason}};
  return values;
}

ResultJson json_of(const oracle::ExplainedStep& step) {
  return {{"step", name_of(step.record.step)},
          {"formula", step.record.formula},
          {"exact", oracle::to_decimal(step.record.exact)},
          {"rounded", oracle::to_decimal(step.record.rounded)},
          {"bits", oracle::hex_bits(*step.record.format, step.rounded_bits)},
          {"is_tie", step.is_tie}};
}

}  // namespace

ResultJson result_document(const std::string& command) {
  return {{"normproof_" + command, 1}, {"command", command_line()}};
}

ResultJson to_json(const Identification& found, const Case& test_case) {
  ResultJson survivors = ResultJson::array(), split = ResultJson::array(), axes = ResultJson::object();
  for (const oracle::Policy& policy : found.survivors) survivors.push_back(axes_text(policy));
  for (const RowGroup& group : found.split) split.push_back(json_of(group));
  for (const AxisFinding& axis : found.axes) axes[std::string(axis.name)] = json_of(axis);
  ResultJson document = {{"identified", found.identified()}, {"unique", found.unique()},
                         {"policy", axes_text(found.best)},  {"rows", found.rows},
                         {"policy_rows", found.best_rows},   {"survivors", std::move(survivors)},
                         {"axes", std::move(axes)}};
  if (found.identified()) {
    document["names"] = known_as(found.best, test_case);
    document["random_outputs_explained"] = found.wrong_explained;
  } else {
    document["certificate"] = found.best_certificate;
    document["split"] = std::move(split);
    document["hints"] = found.hints;
  }
  return document;
}

ResultJson to_json(const oracle::Explanation& explanation) {
  ResultJson steps = ResultJson::array(), outputs = ResultJson::array();
  for (const oracle::ExplainedStep& step : explanation.steps) steps.push_back(json_of(step));
  for (const oracle::ExplainedOutput& explained : explanation.outputs) {
    ResultJson entry = {{"tensor", explained.name},
                        {"dtype", name_of(explained.dtype)},
                        {"wanted", oracle::hex_bits(explained.dtype, explained.wanted)}};
    if (explained.got) entry["got"] = oracle::hex_bits(explained.dtype, *explained.got);
    entry["reproduced_by"] = explained.reproduced_by;
    outputs.push_back(std::move(entry));
  }
  return {{"subject", explanation.subject},   {"row", explanation.row},    {"column", explanation.column},
          {"operands", explanation.operands}, {"steps", std::move(steps)}, {"outputs", std::move(outputs)}};
}

void write_result(const std::string& file, const ResultJson& document) {
  write_text_atomically(file, json_text(document, 1) + "\n");
}

}  // namespace normproof
