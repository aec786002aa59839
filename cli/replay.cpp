// `normproof replay FILE...`: run cases from JSON files on a target and judge them.
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "corpus/case_json.h"
#include "properties/run/evaluate.h"

namespace normproof {
namespace {

struct ReplayOptions {
  std::vector<std::string> files;
  std::string target = "host";
  bool quiet = false;
};

int replay(const ReplayOptions& options) {
  const auto target = make_target(options.target);
  int violations = 0, unreadable = 0, judged = 0;
  for (const std::string& argument : options.files) {
    const auto files = find_case_files(argument);
    if (files.empty()) {
      fmt::print(stderr, "normproof: {}: there is no case file (*.json)\n", argument);
      ++unreadable;
    }
    for (const auto& file : files) {
      Case test_case;
      try {
        test_case = read_case(file);
      } catch (const CaseError& error) {
        fmt::print(stderr, "normproof: {}\n", error.what());
        ++unreadable;
        continue;
      }
      const Evaluation evaluation = evaluate(test_case, *target);
      ++judged;
      if (evaluation.violates()) {
        ++violations;
        fmt::print("{}: {}", file.string(), describe(test_case, evaluation));
      } else if (!options.quiet) {
        fmt::print("{}: {} ({} rows, {} elements)\n", file.string(), name_of(evaluation.outcome),
                   evaluation.verdict.rows, evaluation.verdict.elements);
      }
    }
  }
  fmt::print("{} cases on target {}: {} conform, {} violate", judged, target->name(), judged - violations,
             violations);
  if (unreadable > 0) fmt::print(", {} files could not be read", unreadable);
  fmt::print("\n");
  if (violations > 0) return kViolationFound;
  return unreadable > 0 ? kUsageError : kAllGood;
}

}  // namespace

Action add_replay(CLI::App& command) {
  const auto options = std::make_shared<ReplayOptions>();
  command.add_option("files", options->files, "Case files, or folders of them")->required();
  add_target_option(command, options->target);
  command.add_flag("--quiet", options->quiet, "Print only violations and the summary");
  return [options] { return replay(*options); };
}

}  // namespace normproof
