// `normproof list`: what there is to choose from, read off the tables that the program itself uses.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "corpus/recipe.h"
#include "oracle/judged/operation.h"
#include "oracle/policy.h"
#include "properties/property.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

int list() {
  fmt::print("operations\n");
  for (const Operation operation : all_operations()) fmt::print("  {}\n", name_of(operation));
  fmt::print(
      "operations judged from given outputs (check, identify, Python) and of plug-ins (verify, replay); "
      "there "
      "are no kernels of ours\n");
  for (const auto* operation : oracle::judged::judged_operations())
    fmt::print("  {:<48} {}\n", operation->name, operation->sentence);
  fmt::print("activation dtypes (weights: the same, fp32, or none)\n");
  for (const DType dtype : kActivationDTypes) fmt::print("  {}\n", name_of(dtype));
  fmt::print("quantized dtypes\n");
  for (const DType dtype : kQuantizedDTypes) fmt::print("  {}\n", name_of(dtype));
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
  return kAllGood;
}

}  // namespace

Action add_list(CLI::App&) { return list; }

}  // namespace normproof
