#include "cli/judged_finding.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "cli/exit_codes.h"
#include "cli/finding.h"
#include "cli/judged_calls.h"
#include "corpus/atomic_file.h"
#include "oracle/judged/call_files.h"
#include "properties/targets/run_program.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;
using judging::CallEvaluation;
using oracle::judged::Call;

constexpr double kShrinkingSeconds = 10;

class Store {
 public:
  Store(fs::path folder, std::string arguments)
      : folder_(std::move(folder)), arguments_(std::move(arguments)) {}

  // The file of a call, with what came out where it was completed.
  fs::path call(const Call& call, const oracle::judged::Policy& policy, std::string_view kind) const {
    const std::string text = call_to_json(call, to_string(policy));
    std::string name = fmt::format("{}-{}-{}", call.operation->name, name_of(call.dtype()), kind);
    std::ranges::replace(name, ' ', '-');
    fs::create_directories(folder_);
    fs::path file = folder_ / fmt::format("{}-{:08x}.json", name, short_hash(text));
    write_text_atomically(file, text);
    return file;
  }

  // Whether these files, replayed one after the other in a fresh process, violate.
  bool shows(const std::vector<fs::path>& files) const {
    const std::string program = fs::read_symlink("/proc/self/exe").string();
    return run_program(
               {"/bin/sh", "-c",
                fmt::format("exec {} replay --quiet{}{}", shell_quoted(program), listed(files), arguments_)},
               {})
               .exit_code == kViolationFound;
  }
  std::string command(std::string_view name, const std::vector<fs::path>& files) const {
    return fmt::format("{} {}{}{}", program_name(), name, listed(files), arguments_);
  }

 private:
  static std::string listed(const std::vector<fs::path>& files) {
    std::string text;
    for (const fs::path& file : files) text += " " + shell_quoted_file(file.string());
    return text;
  }
  fs::path folder_;
  std::string arguments_;
};

// The files whose replay shows the violation: that of the call, or calls before
// it too; none where nothing does.
std::vector<fs::path> reproduced(const Store& store, const fs::path& file, const std::vector<Call>& before,
                                 const oracle::judged::Policy& policy, std::string& message) {
  if (store.shows({file})) return {file};
  if (stop_is_requested()) {
    message += "  not repeated in a fresh process: the run was stopped\n";
    return {};
  }
  std::vector<fs::path> files;
  for (const Call& call : before)
    files.push_back(store.call(judging::without_contents(call), policy, "before"));
  const std::vector<fs::path> all = files;
  files.push_back(file);
  const bool shows = !before.empty() && store.shows(files);
  // Fewer of them, from the first on.
  for (std::size_t step = files.size() / 2; shows && step > 0; step /= 2) {
    while (files.size() > step + 1) {
      const std::vector<fs::path> fewer(files.begin() + static_cast<std::ptrdiff_t>(step), files.end());
      if (!store.shows(fewer)) break;
      files = fewer;
    }
  }
  if (!shows) files.clear();
  for (const fs::path& each : all)
    if (!std::ranges::count(files, each)) fs::remove(each);
  message += shows
                 ? fmt::format(
                       "  not reproduced in a fresh process by this call alone; after {} calls before it it "
                       "is: they are stored\n",
                       files.size() - 1)
                 : fmt::format(
                       "  not reproduced in a fresh process: not by this call alone, not after the {} calls "
                       "before it\n",
                       before.size());
  return files;
}

// What the plug-in might declare where the call violates only because of where its tensors lie.
std::string limits_hint(const Call& call) {
  std::string limits;
  const auto add = [&](std::string_view member) {
    if (limits.find(member) == std::string::npos)
      limits += fmt::format("{}{}", limits.empty() ? "" : ", ", member);
  };
  for (const auto& [name, place] : call.places) {
    if (place.gap != 0) add(".contiguous = true");
    if (place.in_place) add(".not_in_place = true");
    if (place.offset != 0) add(".alignment = 16");
  }
  if (limits.empty()) return {};
  return fmt::format(
      "  it was not seen where all tensors lie as usual; if the kernel is not made for this: "
      ".limits = {{{}}}\n",
      limits);
}

}  // namespace

fs::path store_judged_call(const fs::path& folder, const Call& call, const oracle::judged::Policy& policy,
                           std::string_view kind) {
  return Store(folder, {}).call(judging::without_contents(call), policy, kind);
}

JudgedFinding judged_finding(const JudgedViolation& violation, const std::vector<Call>& before,
                             Target& target, const VerifyOptions& options) {
  const judging::Combination& combination = violation.combination;
  JudgedTarget& judged = *target.judged_target();
  judging::SmallerCall smallest{violation.call, violation.seen};
  if (options.shrink)
    smallest =
        judging::smaller_call(judged, violation.call, violation.seen, violation.policy, kShrinkingSeconds);
  const CallEvaluation& evaluation = smallest.evaluation;
  JudgedFinding result;
  Finding& finding = result.finding;
  finding.found_by = fmt::format("calls of {} {}, {}: call {} ({}) of seed {}", combination.operation->name,
                                 name_of(combination.dtype), evaluation.kind(), violation.index,
                                 to_string(combination), options.seed);
  // What comes after a ':' there does not tell causes apart.
  std::ranges::replace(
      finding.found_by.begin(),
      finding.found_by.begin() + static_cast<std::ptrdiff_t>(finding.found_by.rfind(": call ")), ':', ',');
  finding.message = judging::describe(smallest.call, evaluation);
  finding.message += fmt::format("  policy {}; {}\n", to_string(violation.policy),
                                 judging::judge_name(judged.is_canonical()));
  if (options.shrink && !violation.call.places.empty()) finding.message += limits_hint(smallest.call);
  if (evaluation.outcome == CallEvaluation::Outcome::wrong_bits)
    finding.message += "  " + judging::policies_text(judged, combination, violation.policy, options.seed);
  if (finding.message.ends_with("  ")) finding.message.resize(finding.message.size() - 2);
  const Store store(options.findings, judged_target_arguments(target, violation.policy));
  std::vector<fs::path> files;
  try {
    const bool completed = evaluation.run.status == RunResult::Status::completed;
    Call stored = completed ? evaluation.run.call : judging::without_contents(smallest.call);
    stored.name = fmt::format("{}-{}", combination.operation->name, name_of(combination.dtype));
    stored.description = fmt::format("Violates policy {} on target {}: {}", to_string(violation.policy),
                                     target.name(), finding.found_by);
    finding.call_file = store.call(stored, violation.policy, name_of(evaluation.outcome));
    files = reproduced(store, finding.call_file, before, violation.policy, finding.message);
    if (files.empty()) finding.found_by += ", not reproduced in a fresh process";
  } catch (const std::exception& error) {
    finding.message += fmt::format("  the repro could not be written: {}\n", error.what());
  }
  result.text = fmt::format("VIOLATION found by {}\n{}", finding.found_by, finding.message);
  if (!files.empty()) result.text += fmt::format("  replay:  {}\n", store.command("replay", files));
  if (finding.call_file.empty() || evaluation.outcome != CallEvaluation::Outcome::wrong_bits) return result;
  for (const std::string_view command : {"explain", "check"}) {
    // It does not know operations whose outputs come out together.
    if (command == "explain" && combination.operation->fill != nullptr) continue;
    result.text += fmt::format("  {:<9}{} {} {}\n", fmt::format("{}:", command), program_name(), command,
                               shell_quoted_file(finding.call_file.string()));
  }
  return result;
}

}  // namespace normproof
