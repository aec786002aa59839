#include "cli/finding.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "cli/commands.h"
#include "corpus/case_json.h"
#include "corpus/limits.h"
#include "corpus/message_text.h"
#include "corpus/shrink.h"
#include "properties/targets/stop_request.h"

namespace normproof {

std::uint32_t short_hash(std::string_view text) {
  std::uint32_t hash = 2166136261u;
  for (const char character : text) hash = (hash ^ static_cast<unsigned char>(character)) * 16777619u;
  return hash;
}

namespace {

// Outputs of more elements are not stored: whoever replays the case gets them again.
constexpr std::int64_t kMostStoredElements = std::int64_t{1} << 18;

// What was seen of the case by itself; where that conforms, it is a relation
// between calls that does not hold.
std::string_view kind_of(const Evaluation& evaluation) {
  return evaluation.violates() ? name_of(evaluation.outcome) : "broken relation";
}

std::string signature(const Case& test_case, const Evaluation& evaluation) {
  std::string kind(kind_of(evaluation));
  std::replace(kind.begin(), kind.end(), ' ', '-');
  return fmt::format("{}-{}-{}", name_of(test_case.operation), name_of(test_case.dtype), kind);
}

}  // namespace

Shrunk shrink_violation(const Case& failing, const ViolationIdentity& cause, Target& target, Evaluation& seen,
                        const ShrinkOptions& options) {
  struct OutOfTime {};
  const auto begin = std::chrono::steady_clock::now();
  Case smallest = failing;
  const auto still_fails = [&](const Case& candidate) {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    if (elapsed.count() > options.seconds || stop_is_requested()) throw OutOfTime();
    if (candidate == smallest) return true;
    Evaluation evaluation = evaluate_until_violation(candidate, target);
    if (!evaluation.violates() || identity_of(candidate, evaluation) != cause) return false;
    smallest = candidate;
    seen = std::move(evaluation);
    return true;
  };
  const auto take_first = [&](const std::vector<Case>& candidates) {
    return std::ranges::any_of(candidates, still_fails);
  };
  const auto take_plain = [&] {
    while (!options.keep_operation && take_first(simpler_operations(smallest))) {
    }
    while (take_first(plain_values(smallest))) {
    }
  };
  const auto shrink = [&] {
    shrink_sizes(smallest, still_fails);  // first, since many rows make each step slow
    take_plain();
    minimize(smallest, still_fails, INT64_MAX);
    // What a long row needed, a short one may not.
    if (!options.keep_operation && take_first(simpler_operations(smallest))) {
      take_plain();
      minimize(smallest, still_fails, INT64_MAX);
    }
  };
  bool stopped_early = false;
  try {
    shrink();
  } catch (const OutOfTime&) {
    stopped_early = true;
  }
  if (smallest != failing) seen = judge_run(smallest, target, std::move(seen.run));
  return {smallest, stopped_early};
}

std::string stopped_early_text(const ShrinkOptions& options) {
  return fmt::format(
      "shrinking stopped early after {:g} s: a smaller case may exist, which `minimize --seconds` finds\n",
      options.seconds);
}

void store_finding(Finding& finding, const std::filesystem::path& folder, const Target& target,
                   const Evaluation& evaluation) {
  Case& repro = finding.test_case;
  if (evaluation.run.status == RunResult::Status::completed) finding.outputs = evaluation.run.outputs;
  repro.name = signature(repro, evaluation);
  repro.description = printable(fmt::format("Violates the contract on target {}: {}. Found by {}.",
                                            target.name(), kind_of(evaluation), finding.found_by),
                                kMaximumDescriptionBytes);
  std::filesystem::create_directories(folder);
  const auto file = folder / fmt::format("{}-{:08x}.json", repro.name, short_hash(case_to_json(repro)));
  if (finding.outputs && evaluation.violates() && repro.elements() <= kMostStoredElements) {
    repro.outputs = finding.outputs;
  } else if (finding.outputs && evaluation.violates()) {
    finding.message += fmt::format("  the outputs are not stored: they have {} elements, more than {}\n",
                                   repro.elements(), kMostStoredElements);
  }
  write_case(file, repro);
  finding.file = file;
}

std::string finding_text(const Finding& finding, const Target& target) {
  std::string text = fmt::format("VIOLATION found by {}\n{}", finding.found_by, finding.message);
  if (text.back() != '\n') text += '\n';
  const auto command = [&](const char* name, const std::filesystem::path& file) {
    return fmt::format("{} {} {}{}\n", program_name(), name, shell_quoted_file(file.string()),
                       target_arguments(target));
  };
  const std::filesystem::path& replayed = finding.sequence.empty() ? finding.file : finding.sequence;
  if (!replayed.empty()) text += "  replay:  " + command("replay", replayed);
  if (!finding.file.empty()) text += "  explain: " + command("explain", finding.file);
  return text;
}

}  // namespace normproof
