// `normproof mutants`: measures the suite itself. Which check sees which planted bug?
#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <regex>
#include <thread>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/exit_codes.h"
#include "cli/mutants_result.h"
#include "cli/output_files.h"
#include "cli/resources.h"
#include "cli/shard.h"
#include "corpus/atomic_file.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/message_text.h"
#include "properties/matrix/matrix.h"
#include "properties/targets/plugin_target.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

struct MutantsOptions {
  matrix::MatrixSettings matrix;
  std::string folder = "build/mutants";
  std::string json, html, markdown;
};

void write_text(const fs::path& file, const std::string& text) {
  if (file.has_parent_path()) fs::create_directories(file.parent_path());
  write_text_atomically(file, text);
}

void check_expression(const char* option, const std::string& expression) {
  try {
    static_cast<void>(std::regex(expression));
  } catch (const std::regex_error& error) {
    throw UsageError(fmt::format("{} '{}': {}", option, expression, error.what()));
  }
}

// Everything that decides which cells there are and what they say.
nlohmann::ordered_json what_is_run(const matrix::MatrixSettings& settings, const matrix::Matrix& matrix) {
  return {{"seed", settings.checks.seed},
          {"rows", matrix.all_rows},
          {"only", settings.only_mutants},
          {"target", settings.target},
          {"checks", settings.only_checks},
          {"property_cases", settings.checks.property_cases},
          {"random_cases", settings.checks.random_cases},
          {"fuzzer_runs", settings.checks.fuzzer_runs},
          {"fuzzers", !settings.checks.fuzzers.empty()}};
}

int run(MutantsOptions& options) {
  matrix::MatrixSettings& settings = options.matrix;
  check_expression("--only", settings.only_mutants);
  check_expression("--checks", settings.only_checks);
  options.folder = folder_of_shard(options.folder, settings.shard);
  if (!settings.target.empty()) {
    if (!names_a_plugin(settings.target)) {
      throw UsageError(
          fmt::format("--target '{}': not the path of a plug-in; the production kernels are always there, "
                      "and --only names mutants",
                      settings.target));
    }
    (void)make_target(settings.target);  // one that cannot be had is told at once, not by every cell
  }
  const fs::path program = fs::read_symlink("/proc/self/exe");
  settings.checks.program = program.string();
  settings.checks.corpus = default_corpus_folder();
  settings.checks.findings = (fs::absolute(options.folder) / "repros").string();
  settings.patches = resource("mutants").string();
  settings.results = (fs::path(options.folder) / "results.json").string();
  fs::create_directories(settings.checks.findings);
  // The fuzzers are another build: beside this one, if it was made.
  const fs::path fuzz_build = program.parent_path().parent_path().parent_path() / "fuzz";
  if (fs::exists(fuzz_build / "bin" / "conformance_fuzzer")) {
    settings.checks.fuzzers = (fuzz_build / "bin").string();
    settings.checks.fuzzer_seeds = (fuzz_build / "fuzz" / "seeds" / "cases").string();
  }
  const bool terminal = isatty(STDERR_FILENO) == 1;
  settings.progress = [&](std::size_t done, std::size_t total, const std::string& what) {
    if (terminal) draw(fmt::format("\r\033[K{} of {} cells  {}", done, total, printable_line(what)));
  };
  const matrix::Matrix result = matrix::run_matrix(settings);
  if (terminal) draw("\r\033[K");
  fmt::print("{}", matrix::to_text(result));
  const std::string page =
      options.html.empty() ? (fs::path(options.folder) / "index.html").string() : options.html;
  fmt::print("page: {}\n", page);
  if (settings.checks.fuzzers.empty())
    fmt::print("without the fuzzers: `{} test --preset fuzz` builds them\n", program_name());
  const auto write_json = [&] {
    auto document = nlohmann::ordered_json::parse(matrix::to_json_text(result));
    describe_run(document, settings.shard, what_is_run(settings, result));
    write_text(options.json, json_text(document, 1) + "\n");
  };
  return exit_code_after_writing(
      exit_code_of(result),
      {{page, [&] { write_text(page, matrix::to_html(result)); }},
       {options.json, write_json},
       {options.markdown, [&] { write_text(options.markdown, matrix::to_markdown(result)); }}});
}

}  // namespace

Action add_mutants(CLI::App& command) {
  const auto options = std::make_shared<MutantsOptions>();
  matrix::MatrixSettings& settings = options->matrix;
  settings.jobs = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command.add_option("--output,--folder", options->folder, "Folder for results, repros and the HTML page")
      ->capture_default_str();
  command.add_option(
      "--target", settings.target,
      "Run the checks on this plug-in instead of the mutants; add --only to include mutants as well");
  command.add_option("--only", settings.only_mutants, "Regular expression: only mutants whose names match");
  command.add_option("--checks", settings.only_checks, "Regular expression: only checks whose names match");
  command.add_flag("--fresh", settings.fresh, "Ignore cached results and rerun everything");
  command.add_option("--jobs", settings.jobs, "Cells at the same time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--seed", settings.checks.seed, "Seed of every random choice")->capture_default_str();
  command.add_option("--property-cases", settings.checks.property_cases, "Cases of each property")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--random-cases", settings.checks.random_cases, "Random cases of verify")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--fuzzer-runs", settings.checks.fuzzer_runs,
                  "Executions of each fuzzer; a tenth of it for wide cases")
      ->check(CLI::Range(std::int64_t{10}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  add_shard_option(command, settings.shard);
  command.add_option("--json", options->json, "Write everything to this file, as JSON");
  command.add_option("--html", options->html,
                     "Write the page to this file; default: index.html in the folder");
  command.add_option("--markdown", options->markdown, "Write the table of the README to this file");
  return [options] { return run(*options); };
}

}  // namespace normproof
