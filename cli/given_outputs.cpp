#include "cli/given_outputs.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <filesystem>
#include <stdexcept>
#include <utility>

#include "cli/commands.h"
#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "oracle/judged/call_files.h"
#include "properties/models/model_dump.h"

namespace normproof {
namespace {

bool is_case_file(const std::string& file) { return std::filesystem::path(file).extension() == ".json"; }

std::optional<std::uint32_t> epsilon_bits(const JudgingOptions& options) {
  if (options.epsilon.empty()) return std::nullopt;
  const auto bits = fp32_bits_from_text(options.epsilon);
  if (!bits) {
    throw UsageError(fmt::format("--epsilon: expected an fp32 number such as 1e-6 or 0x358637bd, got '{}'",
                                 options.epsilon));
  }
  return bits;
}

// A dump; where there is no such file and the name is FILE#MODULE, a call of a dump of a model.
Dump read_call(const std::string& file, const DumpOptions& options) {
  const std::size_t module = file.rfind('#');
  if (!is_call_of_model(file)) {
    const SafetensorsFile opened = read_safetensors(file);
    if (is_model_dump(opened)) {
      throw SafetensorsError(file, "modules",
                             fmt::format("this is a dump of a model: {}#{} is one of its calls", file,
                                         modules_of(opened).front()));
    }
    return dump_from_safetensors(opened, options);
  }
  const ModuleCall call =
      read_module_call(read_safetensors(file.substr(0, module)), file.substr(module + 1), options);
  if (call.judged() != nullptr)
    throw UsageError(fmt::format("{}: {} is taken by check and identify alone", file,
                                 call.judged()->call.operation->name));
  return *call.dump();
}

// Case and what the file demands of it.
struct FileContents {
  Case test_case;
  Demand demand;
};

FileContents read_file(const std::string& file, const JudgingOptions& options) {
  const auto epsilon = epsilon_bits(options);
  if (!is_case_file(file)) {
    Dump dump = read_call(file, {operation_from_name(options.operation), epsilon});
    return {std::move(dump.test_case), {std::move(dump.policy), false}};
  }
  FileContents result;
  result.test_case = read_case(file, &result.demand);
  Case& test_case = result.test_case;
  if (!test_case.outputs) {
    throw CaseError(file, CaseError("$.outputs",
                                    "missing: there is nothing to judge without them (replay and minimize "
                                    "take a --target that makes them)"));
  }
  if (!options.operation.empty() && options.operation != name_of(test_case.operation)) {
    throw CaseError(
        file, CaseError("$.operation", fmt::format("is {}, but --op says {}; a case file holds the tensors "
                                                   "of one operation",
                                                   name_of(test_case.operation), options.operation)));
  }
  if (epsilon) test_case.bits_of(Parameter::epsilon) = *epsilon;
  return result;
}

oracle::Policy policy_of(const std::string& file, const JudgingOptions& options,
                         const std::optional<std::string>& of_file) {
  oracle::Policy policy;
  if (!options.policy.empty()) {
    try {
      policy = oracle::parse_policy(options.policy);
    } catch (const std::invalid_argument& error) {
      throw UsageError(fmt::format("--policy: {}", error.what()));
    }
  } else if (of_file) {
    try {
      policy = oracle::parse_policy(*of_file);
    } catch (const std::invalid_argument& error) {
      if (is_case_file(file)) throw CaseError(file, CaseError("$.demand.policy", error.what()));
      throw SafetensorsError(file, "policy", error.what());
    }
  }
  if (options.inverse_root_ulp) policy.inverse_root.ulp_bound = *options.inverse_root_ulp;
  if (options.sum_depth) policy.inverse_root.sum_depth = options.sum_depth;
  if (options.flush_to_zero) policy.inverse_root.flush_to_zero = true;
  return policy;
}

// The policy with the order that --order has for the case. Throws UsageError where it has none.
oracle::Policy with_given_order(const std::string& file, const JudgingOptions& options, const Case& test_case,
                                const oracle::Policy& policy) {
  if (options.order.empty()) return policy;
  const auto orders = orders_for(options.order, policy);
  const oracle::GivenOrder* order = orders->find(test_case);
  if (order == nullptr) {
    throw UsageError(fmt::format("--order {}: has no order for {}, which is {} {}, {} rows of {}; it has: {}",
                                 options.order, file, name_of(test_case.operation), name_of(test_case.dtype),
                                 test_case.rows(), test_case.hidden_size(), orders->contents()));
  }
  oracle::Policy result = oracle::with_order(policy, *order);
  if (options.inverse_root_ulp) result.inverse_root.ulp_bound = *options.inverse_root_ulp;
  return result;
}

}  // namespace

void add_judging_options(CLI::App& command, JudgingOptions& options, bool with_policy) {
  std::vector<std::string> operations;
  for (const Operation operation : all_operations()) operations.emplace_back(name_of(operation));
  for (const auto* operation : oracle::judged::judged_operations()) operations.emplace_back(operation->name);
  command.add_option("--op", options.operation, "The operation, instead of what the file says")
      ->check(CLI::IsMember(operations));
  command.add_option("--epsilon", options.epsilon,
                     "The epsilon, instead of what the file says: 1e-6, or fp32 bits");
  if (with_policy) {
    command.add_option(
        "--policy", options.policy,
        "The rounding policy to judge by, for instance native, weight=fp32 or flashinfer,sum=mixed; "
        "default: what the file says, else native");
  }
  command
      .add_option("--inverse-root-ulp", options.inverse_root_ulp,
                  "How many representable numbers r may lie from the correctly rounded root (default 2)")
      ->check(CLI::Range(0, 1 << 20));
  command
      .add_option(
          "--sum-depth", options.sum_depth,
          "Longest chain of additions in the kernel's sum of squares; default: any order of summation")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40));
  add_order_option(command, options.order);
  command.add_flag("--flush-to-zero", options.flush_to_zero,
                   "The kernel may flush subnormal fp32 results to zero");
}

bool is_call_of_model(const std::string& file) {
  const std::size_t module = file.rfind('#');
  return module != std::string::npos && !std::filesystem::exists(file) &&
         std::filesystem::exists(file.substr(0, module));
}

std::vector<std::string> with_calls_of_models(const std::vector<std::string>& files) {
  std::vector<std::string> calls;
  for (const std::string& file : files) {
    std::vector<std::string> modules;
    try {
      if (!is_case_file(file) && std::filesystem::is_regular_file(file)) {
        const SafetensorsFile opened = read_safetensors(file);
        if (is_model_dump(opened)) modules = modules_of(opened);
      }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): whoever reads it says why not
    }
    for (const std::string& module : modules) calls.push_back(file + "#" + module);
    if (modules.empty()) calls.push_back(file);
  }
  return calls;
}

GivenOutputs read_given_outputs(const std::string& file, const JudgingOptions& options) {
  FileContents read = read_file(file, options);
  GivenOutputs given;
  Case& test_case = read.test_case;
  given.policy = with_given_order(file, options, test_case, policy_of(file, options, read.demand.policy));
  given.policy_of_file = options.policy.empty() && read.demand.policy.has_value();
  given.canonical_of_file = read.demand.canonical;
  given.outputs = std::move(*test_case.outputs);
  test_case.outputs.reset();
  given.tensors = take_data(test_case);
  given.test_case = std::move(test_case);
  return given;
}

Case whole_case(const GivenOutputs& given) {
  Case test_case = given.test_case;
  set_data(test_case, given.tensors);
  test_case.outputs = given.outputs;
  return test_case;
}

}  // namespace normproof
