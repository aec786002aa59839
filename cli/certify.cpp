// `normproof certify`: an execution certificate of a target, and what two of them say of each other.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <thread>

#include "cli/certifier.h"
#include "cli/commands.h"
#include "cli/compare_kernels.h"
#include "cli/exit_codes.h"
#include "cli/given_calls.h"
#include "cli/output_files.h"
#include "corpus/atomic_file.h"
#include "oracle/sum_tree.h"

namespace normproof {
namespace {

struct CommandOptions {
  CertifyOptions certify;
  std::string json = "certificate.json", examples;
  std::vector<std::string> compare;
};

int certify_target(const CommandOptions& options) {
  const auto target = make_target(options.certify.target);
  fmt::print("normproof certify: target {}, seed {}\n", target->name(), options.certify.seed);
  std::fflush(stdout);
  Progress progress;
  const ExecutionCertificate certificate = certify(*target, options.certify, progress);
  fmt::print("{}", target->closing_words());
  fmt::print("not established:\n");
  for (const std::string& what : certificate.not_established) fmt::print("  {}\n", what);
  const bool explained =
      std::ranges::all_of(certificate.inputs,
                          [](const InputStatement& input) {
                            return input.status == "completed" && input.explained != "no";
                          }) &&
      std::ranges::all_of(certificate.policies,
                          [](const PolicyStatement& statement) { return statement.reason.empty(); }) &&
      certificate.judged.explained();
  return exit_code_after_writing(
      explained ? kAllGood : kViolationFound,
      {{options.json, [&] { write_text_atomically(options.json, to_json(certificate)); }}});
}

int run(const CommandOptions& options) {
  if (options.compare.empty()) return certify_target(options);
  CompareKernelsOptions pair;
  pair.one = options.compare[0];
  pair.other = options.compare[1];
  pair.examples = options.examples;
  return compare_kernels(pair);
}

}  // namespace

void add_certify_options(CLI::App& command, CertifyOptions& options) {
  options.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command
      .add_option_function<std::string>(
          "--op",
          [&options](const std::string& name) {
            options.operation = operation_from_name(name);
            if (!options.operation) options.judged_operation = name;
          },
          "Only this operation")
      ->check(is_run_by_plugins());
  command
      .add_option_function<std::string>(
          "--dtype", [&options](const std::string& name) { options.dtype = dtype_from_name(name); },
          "Only this activation dtype")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}));
  command
      .add_option_function<std::string>(
          "--quantized", [&options](const std::string& name) { options.quantized = *dtype_from_name(name); },
          "The output dtype of what quantizes; int8 where each row gets a scale")
      ->default_str(std::string(name_of(options.quantized)))
      ->check(names_codes());
  command
      .add_option_function<std::string>(
          "--scale-ub",
          [&options](const std::string& text) { options.scale_ub_bits = scale_ub_bits(text).value(); },
          "The upper bound of scales of each call where a row gets a scale; an order is found where it lies "
          "above the outputs")
      ->check(objection_to_scale_ub);
  command.add_option("--hidden", options.hidden_sizes, "The hidden sizes, as 1024,4096")
      ->each([&options](const std::string&) { options.hidden_is_given = true; })
      ->delimiter(',')
      ->check(CLI::Range(std::int64_t{3}, oracle::kMaximumTreeLeaves))
      ->capture_default_str();
  command.add_option("--rows-per-call", options.rows, "The numbers of rows of a call, as 64,1,256")
      ->each([&options](const std::string&) { options.rows_are_given = true; })
      ->delimiter(',')
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{4096}))
      ->capture_default_str();
  command.add_option("--seed", options.seed, "Seed of the inputs; certificates are compared by one seed")
      ->capture_default_str();
  command.add_option("--jobs,--threads", options.threads, "Worker threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

Action add_certify(CLI::App& command) {
  const auto options = std::make_shared<CommandOptions>();
  command
      .add_option(
          "--target", options->certify.target,
          "Whose arithmetic is written down; `normproof list` names the targets, and any plug-in is one")
      ->capture_default_str();
  add_certify_options(command, options->certify);
  command.add_option("--json", options->json, "The file of the certificate")->capture_default_str();
  command
      .add_option("--compare", options->compare,
                  "Two certificates: do they speak of the same bits and, if not, does policy, order or root "
                  "differ, or has one a bug? The same as `normproof compare FILE FILE`")
      ->expected(2)
      ->check(CLI::ExistingFile);
  command.add_option("--output,--examples", options->examples,
                     "With --compare: write the smallest input known to show each difference to this folder");
  return [options] { return run(*options); };
}

}  // namespace normproof
