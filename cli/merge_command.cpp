// `normproof merge`: one result from the results of all shards of a run.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "cli/commands.h"
#include "cli/html_report.h"
#include "cli/merge.h"
#include "cli/output_files.h"
#include "corpus/atomic_file.h"

namespace normproof {
namespace {

struct MergeOptions {
  std::vector<std::string> files;
  std::string json, html;  // files; empty: none
};

ResultText read_text(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) throw UsageError(fmt::format("{}: cannot be read", file));
  return {file, std::move(text).str()};
}

void write_page(const std::string& file, const Merged& merged) {
  if (const auto* verify = std::get_if<MergedVerify>(&merged.whole))
    write_html(file, verify_report(verify->options, verify->result));
  else
    write_text_atomically(file, to_html(std::get<matrix::Matrix>(merged.whole)));
}

int run(const MergeOptions& options) {
  std::vector<ResultText> results;
  for (const std::string& file : options.files) results.push_back(read_text(file));
  const Merged merged = merge_results(results);
  if (!options.html.empty() && std::holds_alternative<campaign::CampaignResult>(merged.whole))
    throw UsageError("--html is for the results of verify and mutants");
  fmt::print("{}", merged.text);
  std::fflush(stdout);
  for (const std::string& complaint : merged.complaints) fmt::print(stderr, "normproof: {}\n", complaint);
  return exit_code_after_writing(merged.exit_code,
                                 {{options.json, [&] { write_text_atomically(options.json, merged.json); }},
                                  {options.html, [&] { write_page(options.html, merged); }}});
}

}  // namespace

Action add_merge(CLI::App& command) {
  const auto options = std::make_shared<MergeOptions>();
  command.add_option("results", options->files, "The --json results of all shards of one run")->required();
  command.add_option("--json", options->json, "Write the merged result to this file");
  command.add_option("--html", options->html,
                     "Write the page of the merged run to this file: verify and mutants");
  return [options] { return run(*options); };
}

}  // namespace normproof
