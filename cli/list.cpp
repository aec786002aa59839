// `normproof list`: what there is to choose from, read off the tables that the program itself uses.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/output_files.h"
#include "corpus/atomic_file.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/recipe.h"
#include "oracle/judged/operation.h"
#include "oracle/policy.h"
#include "properties/property.h"
#include "properties/targets/kernel_functions.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

// Names with what is said of each; `named` has `name`, and the text is what `text_of` gives.
Json named_list(const auto& entries, const char* key, const auto& text_of) {
  Json list = Json::array();
  for (const auto& entry : entries) list.push_back({{"name", entry.name}, {key, text_of(entry)}});
  return list;
}
// Those of rows that get scales of their own, which may be made of more.
std::vector<DType> all_codes() { return code_dtypes(operations_with(NormStep::quantize_by_row).front()); }

Json names_of(const auto& values) {
  Json names = Json::array();
  for (const auto value : values) names.push_back(name_of(value));
  return names;
}
Json axes_of(const auto& axes) {
  return named_list(axes, "values", [](const auto& axis) {
    return named_list(axis.values, "formula", [](const auto& value) { return value.formula; });
  });
}

// The same as list() prints.
Json document() {
  const auto source = [](const auto& policy) { return policy.source; };
  Json judged = Json::array();
  for (const auto* operation : oracle::judged::judged_operations())
    judged.push_back({{"name", operation->name},
                      {"sentence", operation->sentence},
                      {"policy_axes", axes_of(operation->axes)},
                      {"policies", named_list(operation->policies, "source", source)}});
  return {{"normproof_list", 1},
          {"operations", names_of(all_operations())},
          {"judged_operations", std::move(judged)},
          {"dtypes", names_of(kActivationDTypes)},
          {"quantized_dtypes", names_of(all_codes())},
          {"policy_axes", axes_of(oracle::policy_axes())},
          {"policies", named_list(oracle::named_policies(), "source", source)},
          {"targets", named_list(available_targets(), "description",
                                 [](const TargetDescription& target) { return target.description; })},
          {"properties", named_list(all_properties(), "sentence",
                                    [](const Property& property) { return property.sentence; })},
          {"data_classes", data_classes()}};
}

void print_list() {
  fmt::print("operations\n");
  for (const Operation operation : all_operations()) fmt::print("  {}\n", name_of(operation));
  fmt::print(
      "judged operations: outputs that are given (check, identify, Python), plug-ins, and kernels of ours "
      "(*)\n");
  const std::vector<std::string> ours = linked_kernels().names();
  for (const auto* operation : oracle::judged::judged_operations())
    fmt::print("  {:<46} {} {}\n", operation->name, std::ranges::count(ours, operation->name) > 0 ? "*" : " ",
               operation->sentence);
  fmt::print("activation dtypes (weights: the same, fp32, or none)\n");
  for (const DType dtype : kActivationDTypes) fmt::print("  {}\n", name_of(dtype));
  fmt::print("quantized dtypes\n");
  for (const DType dtype : all_codes()) fmt::print("  {}\n", name_of(dtype));
  fmt::print("policy axes, the contract's own choice first\n");
  for (const oracle::PolicyAxis& axis : oracle::policy_axes()) {
    for (const oracle::PolicyValue& value : axis.values) {
      fmt::print("  {:<48} {}\n", fmt::format("{}={}", axis.name, value.name), value.formula);
    }
  }
  fmt::print("named policies\n");
  for (const oracle::NamedPolicy& policy : oracle::named_policies()) {
    fmt::print("  {:<48} {}\n", policy.name, policy.source);
  }
  for (const auto* operation : oracle::judged::judged_operations()) {
    fmt::print("policy axes of {}\n", operation->name);
    for (const oracle::judged::Axis& axis : operation->axes) {
      for (const oracle::judged::AxisValue& value : axis.values)
        fmt::print("  {:<48} {}\n", fmt::format("{}={}", axis.name, value.name), value.formula);
    }
    if (!operation->policies.empty()) fmt::print("named policies of {}\n", operation->name);
    for (const oracle::judged::NamedPolicy& policy : operation->policies)
      fmt::print("  {:<48} {}\n", policy.name, policy.source);
  }
  fmt::print("targets (mutants are built on first use)\n");
  for (const auto& target : available_targets()) fmt::print("  {:<48} {}\n", target.name, target.description);
  fmt::print("properties\n");
  for (const Property& property : all_properties())
    fmt::print("  {:<48} {}\n", property.name, property.sentence);
  fmt::print("data classes of recipes\n");
  for (const std::string_view name : data_classes()) fmt::print("  {}\n", name);
}

}  // namespace

Action add_list(CLI::App& command) {
  const auto json = std::make_shared<std::string>();
  command.add_option("--json", *json, "Write the lists to this file");
  return [json] {
    print_list();
    return exit_code_after_writing(
        kAllGood, {{*json, [&] { write_text_atomically(*json, json_text(document(), 2) + "\n"); }}});
  };
}

}  // namespace normproof
