#include "fuzz/campaign/finding_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "corpus/json.h"
#include "corpus/limits.h"
#include "corpus/message_text.h"
#include "corpus/quoting.h"
#include "fuzz/campaign/finding_details.h"
#include "fuzz/campaign/reproducer.h"

namespace normproof::campaign {
namespace {

using Json = nlohmann::ordered_json;
using std::filesystem::path;

constexpr const char* kNotReproducible = "not-reproducible";

std::string read_text(const path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// What a finding's folder says of itself.
struct Identity {
  KnownBug bug;
  std::string target, fuzzer;
};

// JSON is UTF-8, which a path need not be.
std::string stored_name(const std::string& target) { return is_utf8(target) ? target : printable(target); }

void write_identity(const path& file, const Identity& identity) {
  Json document = to_json(identity.bug);
  document["target"] = stored_name(identity.target);
  document["fuzzer"] = identity.fuzzer;
  write_text_atomically(file, document.dump(1) + "\n");
}

// Nothing where the folder has none, as those of other programs, or a damaged one.
std::optional<Identity> read_identity(const path& file) {
  if (!std::filesystem::exists(file)) return std::nullopt;
  try {
    const Json document = Json::parse(read_text(file));
    return Identity{known_bug_from_json(document), document.at("target").get<std::string>(),
                    document.at("fuzzer").get<std::string>()};
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

// Whether a violation of this kind is one that a run shows by itself, so that no fuzzer needs to be asked.
bool is_of_one_run(const std::string& kind) {
  using Outcome = Evaluation::Outcome;
  return std::ranges::any_of(
      std::array{Outcome::wrong_bits, Outcome::memory, Outcome::refused_valid, Outcome::accepted_invalid,
                 Outcome::failed, Outcome::disagrees},
      [&](Outcome outcome) { return kind.starts_with(file_name_of(std::string(name_of(outcome)))); });
}

// Whether the stored case, or the input where there is no case, still fails in the same way.
bool still_violates(const path& folder, const Identity& identity, const FindingContext& context,
                    const std::vector<Fuzzer>& fuzzers) {
  const bool has_case = std::filesystem::exists(folder / "case.json");
  const Case test_case = has_case ? read_case(folder / "case.json") : Case{};
  if (has_case && violates_plainly(test_case, identity.bug.kind, context.target, context.scratch))
    return true;
  if (has_case && is_of_one_run(identity.bug.kind)) return false;
  const auto fuzzer = std::ranges::find(fuzzers, identity.fuzzer, &Fuzzer::name);
  if (fuzzer == fuzzers.end()) return false;
  const Reproducer reproducer(*fuzzer, context.target, context.environment, context.scratch);
  const Answer answer = has_case ? reproducer.ask(test_case) : reproducer.ask(folder / "input");
  return answer.failed && answer.kind == identity.bug.kind;
}

std::string signature_of(const Fuzzer& fuzzer, const std::optional<Case>& test_case,
                         const std::optional<oracle::Policy>& policy, const std::string& kind) {
  std::string signature = test_case ? std::string(name_of(test_case->operation)) : fuzzer.name;
  if (test_case && policy) signature += "-" + oracle::to_string(*policy);
  return file_name_of(signature + "-" + kind);
}

// The name, with a number behind it where it is taken.
std::string free_name(const std::string& name, const path& folder) {
  std::string free = name;
  for (int number = 2; std::filesystem::exists(folder / free); ++number)
    free = fmt::format("{}-{}", name, number);
  return free;
}

std::string commands_text(const Fuzzer& fuzzer, bool has_case, const FindingContext& context,
                          const path& folder) {
  const auto exists = [&](const char* file) { return std::filesystem::exists(folder / file); };
  const std::string target = shell_quoted(context.target);
  std::string commands;
  for (const char* file : {"case.json", "call.json"})
    if (exists(file)) commands += fmt::format("{} replay {} --target {}\n", context.program, file, target);
  if (has_case && exists("outputs.safetensors")) {
    commands += fmt::format("{0} explain case.json --target {1}\n{0} check outputs.safetensors\n",
                            context.program, target);
  }
  if (exists("repro.py")) commands += "python3 repro.py\n";
  for (const auto& [name, value] : context.environment)
    commands += fmt::format("{}={} ", name, shell_quoted(value));
  return commands + fmt::format("NORMPROOF_TARGET={} {} {} input\n", target,
                                shell_quoted_file((fuzzer.program.parent_path() / "run.sh").string()),
                                shell_quoted_file(fuzzer.program.string()));
}

std::string report_text(const Fuzzer& fuzzer, const std::optional<Case>& test_case,
                        const std::string& description, const Answer& answer, const std::string& signature,
                        const FindingContext& context, const path& folder) {
  std::string text = fmt::format("# {}\n\n", signature);
  text += fmt::format("Found by the {} fuzzer on target {}: **{}**.\n\n", fuzzer.name,
                      markdown_code(context.target), answer.kind);
  if (test_case) {
    text += fmt::format(
        "## What was run\n\n`{}` on {} rows of {}, {}{}, epsilon {}. The minimized case:\n\n",
        name_of(test_case->operation), test_case->rows(), test_case->hidden_size(), name_of(test_case->dtype),
        test_case->weight_dtype ? fmt::format(", weight {}", name_of(*test_case->weight_dtype)) : "",
        test_case->value_of(Parameter::epsilon));
    text += markdown_block(case_to_json(*test_case), "json") + "\n";
  }
  text += "## What was expected, what came\n\n";
  constexpr std::size_t kLongestLog = 4000;
  text += markdown_block(description.empty() ? answer.log.substr(0, kLongestLog) : description) + "\n";
  text += "## Commands, to be called in this folder\n\n";
  return text + markdown_block(commands_text(fuzzer, test_case.has_value(), context, folder));
}

// Adds one to the number in `file`.
void count_up(const path& file) {
  std::ifstream stream(file);
  std::int64_t count = 0;
  stream >> count;
  write_text_atomically(file, fmt::format("{}\n", count + 1));
}

RecordedFinding known_again(const KnownBug& bug, const std::optional<Case>& found,
                            const FindingContext& context) {
  const path folder = context.findings / bug.name;
  count_up(folder / "count");
  return {bug.name, folder, false, bug, found};
}

// Beside what is there: nothing is replaced, and what shows this bug already is enough.
void store_regression(const Case& test_case, const RecordedFinding& finding, const FindingContext& context) {
  std::filesystem::create_directories(context.regressions);
  path file = context.regressions / (finding.signature + ".json");
  for (int number = 2; std::filesystem::exists(file); ++number) {
    try {
      if (violates_plainly(read_case(file), finding.bug->kind, context.target, context.scratch)) return;
    } catch (const CaseError&) {
      // Somebody's other file.
    }
    file = context.regressions / fmt::format("{}-{}.json", finding.signature, number);
  }
  write_case(file, test_case);
}

}  // namespace

std::vector<RecordedFinding> open_findings(const FindingContext& context, const std::vector<Fuzzer>& fuzzers,
                                           std::vector<std::string>& problems) {
  std::vector<RecordedFinding> open;
  std::filesystem::create_directories(context.scratch);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(context.findings, error)) {
    const auto identity = read_identity(entry.path() / "finding.json");
    if (!identity || identity->target != stored_name(context.target) ||
        identity->bug.kind == kNotReproducible)
      continue;
    try {
      if (still_violates(entry.path(), *identity, context, fuzzers))
        open.push_back({identity->bug.name, entry.path(), false, identity->bug, {}});
    } catch (const std::exception& error) {
      problems.push_back(fmt::format("left out: {}", error.what()));
    }
  }
  std::ranges::sort(open, {}, &RecordedFinding::signature);
  return open;
}

RecordedFinding record_finding(const Fuzzer& fuzzer, const path& input, const std::vector<KnownBug>& known,
                               const FindingContext& context) {
  std::filesystem::remove_all(context.scratch);
  std::filesystem::create_directories(context.scratch);
  std::filesystem::create_directories(context.findings);
  const Reproducer reproducer(fuzzer, context.target, context.environment, context.scratch);
  Answer answer = reproducer.ask(input);
  std::optional<Case> found, test_case;
  if (!answer.failed) {
    answer.kind = kNotReproducible;
  } else if (fuzzer.takes_cases && std::filesystem::exists(reproducer.case_file())) {
    found = test_case = read_case(reproducer.case_file());
  }
  Identity identity{{.name = {}, .kind = answer.kind, .operation = {}, .policy = {}, .region = {}},
                    context.target,
                    fuzzer.name};
  if (test_case) {
    const Examination examination = examine(*test_case, answer.kind, known, context.target, context.scratch);
    if (examination.known)
      return known_again(*std::ranges::find(known, *examination.known, &KnownBug::name), found, context);
    identity.bug.policy = examination.policy;
    test_case = minimized(examination.blamed, answer.kind, examination.policy, known, context.target,
                          context.scratch, reproducer);
    identity.bug.operation = test_case->operation;
    if (const Answer last = reproducer.ask(*test_case); last.failed) answer.log = last.log;
  }
  const std::string name = signature_of(fuzzer, test_case, identity.bug.policy, answer.kind);
  if (!test_case) {
    // Of an input that is no case nothing more can be told than fuzzer and kind.
    const auto same = std::ranges::find_if(known, [&](const KnownBug& bug) {
      return !bug.operation && bug.kind == answer.kind && bug.name.starts_with(name);
    });
    if (same != known.end()) return known_again(*same, found, context);
  }

  // Complete in a folder of another name first: a reader never meets half a report.
  const path folder = context.scratch / "report";
  std::filesystem::create_directories(folder);
  RecordedFinding finding;
  finding.signature = identity.bug.name = free_name(name, context.findings);
  finding.folder = context.findings / finding.signature;
  finding.is_new = true;
  finding.bug = identity.bug;
  finding.found = found;
  std::string description;
  if (test_case) {
    description = write_details(*test_case, identity.bug.policy, context.target, folder);
    test_case->name = finding.signature.substr(0, 100);
    test_case->description = printable(fmt::format("{} on target {}, found by the {} fuzzer.", answer.kind,
                                                   stored_name(context.target), fuzzer.name),
                                       kMaximumDescriptionBytes);
    write_case(folder / "case.json", *test_case);
    if (!context.regressions.empty()) store_regression(*test_case, finding, context);
  }
  if (fuzzer.takes_calls && std::filesystem::exists(reproducer.case_file()))
    std::filesystem::rename(reproducer.case_file(), folder / "call.json");
  write_text_atomically(folder / "input", read_text(input));
  write_text_atomically(folder / "log.txt", answer.log);
  write_text_atomically(folder / "count", "1\n");
  write_identity(folder / "finding.json", identity);
  write_text_atomically(folder / "report.md", report_text(fuzzer, test_case, description, answer,
                                                          finding.signature, context, folder));
  std::filesystem::rename(folder, finding.folder);
  return finding;
}

}  // namespace normproof::campaign
