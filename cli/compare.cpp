// `normproof compare A B`: of two dumps of a model, which norm computes otherwise in one than in the other,
// although its inputs agree, and why; of two kernels, what differs between them.
#include "properties/models/compare_models.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "cli/certifier.h"
#include "cli/commands.h"
#include "cli/compare_kernels.h"
#include "cli/exit_codes.h"
#include "cli/output_files.h"
#include "cli/result_json.h"
#include "corpus/safetensors.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

using CompareOptions = CompareKernelsOptions;

ResultJson json_of(const NormSide& side) {
  if (!side.asked) return nullptr;
  ResultJson entry = {{"policy", nullptr}, {"names", side.names}};
  if (side.policy) entry["policy"] = *side.policy;
  if (!side.why_none.empty()) entry["why_none"] = side.why_none;
  return entry;
}

ResultJson json_of(const ComparedNorm& norm, const std::array<std::string, 2>& names) {
  ResultJson entry = {{"module", norm.module},
                      {"subject", norm.subject},
                      {"difference", name_of(norm.difference)},
                      {"is_arithmetic", is_arithmetic(norm.difference)},
                      {"rows", norm.rows},
                      {"same_inputs", norm.same_inputs},
                      {"different", norm.different},
                      {"sides", ResultJson::array()},
                      {"text", to_text(norm, names)}};
  for (const NormSide& side : norm.sides) entry["sides"].push_back(json_of(side));
  if (norm.shift) {
    entry["shift_of_r"] = {{"larger", norm.shift->larger},
                           {"smaller", norm.shift->smaller},
                           {"greatest_ulp", norm.shift->greatest},
                           {"one_sided", norm.shift->one_sided()}};
  }
  return entry;
}

ResultJson json_of(const ModelComparison& found, const std::array<std::string, 2>& names) {
  const auto module_of = [&](const std::optional<std::size_t>& norm) -> ResultJson {
    return norm ? ResultJson(found.norms[*norm].module) : nullptr;
  };
  ResultJson result = result_document("compare");
  result.update({{"files", names},
                 {"rows", found.rows},
                 {"same_inputs", found.same_inputs},
                 {"first", module_of(found.first)},
                 {"first_other_inputs", module_of(found.first_other_inputs)},
                 {"norms", ResultJson::array()},
                 {"not_compared", found.not_compared}});
  for (const ComparedNorm& norm : found.norms) result["norms"].push_back(json_of(norm, names));
  return result;
}

int compare_dumps(const CompareOptions& options) {
  const std::array<std::string, 2> names = {options.one, options.other};
  ModelComparison found;
  try {
    found =
        compare_models(read_model_dump(options.one), read_model_dump(options.other), options.certify.threads);
  } catch (const SafetensorsError& error) {
    fmt::print(stderr, "normproof: {}\n", error.what());
    return kUsageError;
  } catch (const std::system_error& error) {
    fmt::print(stderr, "normproof: {}\n", error.what());
    return kCouldNotRun;
  }
  fmt::print("{}", to_text(found, names));
  if (found.norms.empty()) fmt::print("the two have no row of any norm in common: nothing was compared\n");
  if (found.first) {
    fmt::print("one norm alone: {0} check '{1}#MODULE', {0} identify '{1}#MODULE'\n", program_name(),
               options.other);
  }
  const int exit_code = found.norms.empty() ? kCouldNotRun : found.first ? kViolationFound : kAllGood;
  ResultJson result = json_of(found, names);
  result["exit_code"] = exit_code;
  return exit_code_after_writing(exit_code, {{options.json, [&] { write_result(options.json, result); }}});
}

// What says which calls are made, where none is.
void require_no_calls(const CompareOptions& options) {
  const CertifyOptions usual;
  for (const auto& [name, given] :
       {std::pair("--scale-ub", options.certify.scale_ub_bits != usual.scale_ub_bits),
        std::pair("--quantized", options.certify.quantized != usual.quantized)})
    if (given)
      throw UsageError(fmt::format("{}: is of calls of kernels; {} and {} are files of calls that were made",
                                   name, options.one, options.other));
}

int compare(const CompareOptions& options) {
  const bool one = is_kernel(options.one), other = is_kernel(options.other);
  if (one != other)
    throw UsageError(fmt::format("{} is a kernel, {} is none: expected two dumps of a model, or two kernels",
                                 one ? options.one : options.other, one ? options.other : options.one));
  if (one) {
    if (is_certificate(options.one) && is_certificate(options.other)) require_no_calls(options);
    return compare_kernels(options);
  }
  const bool for_kernels = !options.html.empty() || !options.examples.empty() || !options.bench.empty();
  if (for_kernels)
    throw UsageError("--html, --bench, --output: are of two kernels; these are dumps of a model");
  require_no_calls(options);
  return compare_dumps(options);
}

}  // namespace

Action add_compare(CLI::App& command) {
  const auto options = std::make_shared<CompareOptions>();
  command
      .add_option(
          "one", options->one,
          "A kernel: a target such as host or ./libmine.so, or its certificate (*.json) by `normproof "
          "certify`; or a dump of a model's norms (*.safetensors) by normproof.torch.watch")
      ->required();
  command
      .add_option("other", options->other,
                  "Another kernel; or another dump: of another engine, version, or way to run the model")
      ->required();
  add_certify_options(command, options->certify);
  command
      .add_option("--bench", options->bench,
                  "Of two kernels: what `normproof bench --json` wrote of the one and of the other")
      ->expected(2)
      ->check(CLI::ExistingFile);
  command.add_option("--json", options->json, "Write what was found to this file");
  command.add_option(
      "--html", options->html,
      "Of two kernels: write a page that holds them side by side: bits, policies, orders, speed");
  command.add_option("--output,--examples", options->examples,
                     "Of two kernels: write the smallest input known to show each difference to this folder");
  return [options] { return compare(*options); };
}

}  // namespace normproof
