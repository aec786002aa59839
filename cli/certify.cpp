// `normproof certify`: an execution certificate of a target, and what two of them say of each other.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <system_error>
#include <thread>

#include "cli/certificate_compare.h"
#include "cli/certifier.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/given_calls.h"
#include "cli/output_files.h"
#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "oracle/sum_tree.h"

namespace normproof {
namespace {

struct CommandOptions {
  CertifyOptions certify;
  std::string operation, dtype, quantized = "fp8_e4m3fn", json = "certificate.json", examples;
  std::vector<std::string> compare;
};

std::string content_of(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(stream), {}};
  if (!stream.is_open() || stream.bad())
    throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), file);
  return content;
}

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

void print_example(const CommandOptions& options, const Difference& difference, std::size_t number) {
  if (!difference.example) {
    fmt::print("    no input is known that shows it alone\n");
    return;
  }
  const Case& example = *difference.example;
  fmt::print("    shown by one row of {} element{}\n", example.hidden_size(),
             example.hidden_size() == 1 ? "" : "s");
  if (options.examples.empty()) return;
  std::filesystem::create_directories(options.examples);
  const auto file =
      std::filesystem::path(options.examples) / fmt::format("{}-{}.json", difference.cause, number);
  write_case(file, example);
  fmt::print("      {} replay {} --target TARGET\n", program_name(), shell_quoted_file(file.string()));
}

int compare(const CommandOptions& options) {
  const std::string &first = options.compare[0], &second = options.compare[1];
  const CertificateComparison found =
      compare_certificates(content_of(first), first, content_of(second), second);
  fmt::print("{} inputs, {} rows, {} orders compared: {} rows differ\n", found.inputs, found.rows,
             found.orders, found.different_rows);
  for (std::size_t i = 0; i < found.differences.size(); ++i) {
    fmt::print("  {}: {}\n", found.differences[i].cause, found.differences[i].text);
    print_example(options, found.differences[i], i + 1);
  }
  if (!found.not_compared.empty()) {
    fmt::print("not compared:\n");
    for (const std::string& what : found.not_compared) fmt::print("  {}\n", what);
  }
  if (found.same())
    fmt::print("the same bits on all of these inputs, the same policies, the same certified orders\n");
  else if (found.different_rows == 0)
    fmt::print("the same bits on all of these inputs, but not the same arithmetic\n");
  else
    fmt::print("not the same bits\n");
  return found.same() ? kAllGood : kViolationFound;
}

int run(CommandOptions& options) {
  if (!options.compare.empty()) return compare(options);
  if (!options.operation.empty()) options.certify.operation = operation_from_name(options.operation);
  if (!options.operation.empty() && !options.certify.operation)
    options.certify.judged_operation = options.operation;
  if (!options.dtype.empty()) options.certify.dtype = dtype_from_name(options.dtype);
  options.certify.quantized = dtype_from_name(options.quantized).value();
  return certify_target(options);
}

}  // namespace

Action add_certify(CLI::App& command) {
  const auto options = std::make_shared<CommandOptions>();
  CertifyOptions& certify_options = options->certify;
  certify_options.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command
      .add_option(
          "--target", certify_options.target,
          "Whose arithmetic is written down; `normproof list` names the targets, and any plug-in is one")
      ->capture_default_str();
  command.add_option("--op", options->operation, "Only this operation")->check(is_run_by_plugins());
  command.add_option("--dtype", options->dtype, "Only this activation dtype")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}));
  command.add_option("--quantized", options->quantized, "The output dtype of the fp8 operations")
      ->check(CLI::IsMember({"fp8_e4m3fn", "fp8_e5m2", "fp8_e4m3fnuz", "fp8_e5m2fnuz"}))
      ->capture_default_str();
  command.add_option("--hidden", certify_options.hidden_sizes, "The hidden sizes, as 1024,4096")
      ->delimiter(',')
      ->check(CLI::Range(std::int64_t{3}, oracle::kMaximumTreeLeaves))
      ->capture_default_str();
  command.add_option("--rows-per-call", certify_options.rows, "The numbers of rows of a call, as 64,1,256")
      ->delimiter(',')
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{4096}))
      ->capture_default_str();
  command
      .add_option("--seed", certify_options.seed, "Seed of the inputs; certificates are compared by one seed")
      ->capture_default_str();
  command.add_option("--jobs,--threads", certify_options.threads, "Threads that call the target")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--json", options->json, "The file of the certificate")->capture_default_str();
  command
      .add_option("--compare", options->compare,
                  "Two certificates: do they speak of the same bits and, if not, does policy, order or root "
                  "differ, or has one a bug?")
      ->expected(2)
      ->check(CLI::ExistingFile);
  command.add_option("--examples", options->examples,
                     "With --compare: write the smallest input known to show each difference to this folder");
  return [options] { return run(*options); };
}

}  // namespace normproof
