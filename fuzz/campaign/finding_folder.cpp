#include "fuzz/campaign/finding_folder.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "corpus/atomic_file.h"
#include "corpus/case_bytes.h"
#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "corpus/generate.h"
#include "corpus/limits.h"
#include "corpus/message_text.h"
#include "corpus/quoting.h"
#include "corpus/shrink.h"
#include "fuzz/campaign/repro_script.h"
#include "fuzz/campaign/signature.h"
#include "oracle/canonical_judge.h"
#include "oracle/explain.h"
#include "oracle/witness_judge.h"
#include "properties/run/evaluate.h"
#include "properties/run/process_memory.h"
#include "properties/run/target.h"

namespace normproof::campaign {
namespace {

using std::filesystem::path;

constexpr std::chrono::seconds kLimit{45};          // of one execution; libFuzzer itself gives up earlier
constexpr std::chrono::seconds kMinimizeLimit{90};  // of all of them
constexpr std::int64_t kMostMemory = std::int64_t{2} << 30;  // bytes, of a target in a child of this process
constexpr std::int64_t kShrinkSteps = 1500;

std::string read_text(const path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// What the fuzzer says of one input.
struct Answer {
  bool failed = false;
  std::string kind;
  std::string log;
};

class Reproducer {
 public:
  Reproducer(const Fuzzer& fuzzer, const FindingContext& context) : fuzzer_(fuzzer), context_(context) {}

  Answer ask(const path& input) const {
    const path log = context_.scratch / "log.txt";
    std::filesystem::remove(log);
    std::filesystem::remove(case_file());
    FuzzerProcess process(
        fuzzer_, {"-timeout=30", "-rss_limit_mb=2048", "-artifact_prefix=" + scratch("artifact-"), input},
        {{"NORMPROOF_TARGET", context_.target},
         {"NORMPROOF_FINDINGS", context_.scratch.string()},
         {"NORMPROOF_CASE", case_file().string()}},
        log);
    const FuzzerProcess::End end = process.wait(kLimit);
    Answer answer;
    answer.log = read_text(log);
    answer.failed = end.killed || end.status != 0;
    if (answer.failed) answer.kind = end.killed ? "timeout" : failure_kind(answer.log);
    if (answer.failed && answer.kind.empty()) answer.kind = fmt::format("exit-status-{}", end.status);
    return answer;
  }
  Answer ask(const Case& test_case) const {
    const auto bytes = case_to_bytes(test_case);
    if (!bytes) return {};
    const path input = context_.scratch / "candidate";
    write_text_atomically(input, {reinterpret_cast<const char*>(bytes->data()), bytes->size()});
    return ask(input);
  }
  // Where the fuzzer writes the case that its input stands for.
  path case_file() const { return context_.scratch / "case.json"; }
  std::string scratch(const char* name) const { return (context_.scratch / name).string(); }

 private:
  const Fuzzer& fuzzer_;
  const FindingContext& context_;
};

// Runs `work` in a child process, since the target may crash, hang or eat all memory in it; whether it
// returned in time.
template <class Work>
bool in_child(unsigned seconds_at_most, Work work) {
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) {
    alarm(seconds_at_most);
    try {
      work();
    } catch (const std::exception& error) {
      fmt::print(stderr, "normproof: {}\n", error.what());
      _exit(3);
    }
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    const auto memory = memory_of(child);
    if (memory && memory->resident > kMostMemory) kill(child, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return status == 0;
}

// Shrinks a violation that a plain run shows, as most do: a thousand times faster than asking the fuzzer.
// Nothing where the run here does not show it.
std::optional<Case> shrunk_here(const Case& failing, const FindingContext& context) {
  const path file = context.scratch / "small.json";
  const bool done = in_child(60, [&] {
    const auto target = make_target(context.target);
    const auto outcome = evaluate(failing, *target).outcome;
    const Case small = minimize(
        failing, [&](const Case& candidate) { return evaluate(candidate, *target).outcome == outcome; });
    if (evaluate(small, *target).violates()) write_case(file, small);
  });
  if (!done || !std::filesystem::exists(file)) return std::nullopt;
  return read_case(file);
}

// The smallest case found that fails in the same way.
Case minimized(const Case& failing, const std::string& kind, const FindingContext& context,
               const Reproducer& reproducer) {
  if (const auto small = shrunk_here(failing, context)) {
    const Answer answer = reproducer.ask(*small);
    if (answer.failed && answer.kind == kind) return *small;
  }
  const auto deadline = std::chrono::steady_clock::now() + kMinimizeLimit;
  return minimize(
      failing,
      [&](const Case& candidate) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        const Answer answer = reproducer.ask(candidate);
        return answer.failed && answer.kind == kind;
      },
      kShrinkSteps);
}

// What only an execution in this process can tell.
struct Details {
  std::optional<std::string> policy;
  std::string description;  // of the violation, with the certificate
};

// The case runs once more, here, and everything about its outputs is written into `folder`. To be called in a
// child process: the target may crash.
void write_details(const Case& test_case, const FindingContext& context, const path& folder) {
  const auto target = make_target(context.target);
  const CaseTensors tensors = materialize(test_case);
  const Evaluation evaluation = evaluate(test_case, tensors, *target);
  std::string text = describe(test_case, evaluation);
  if (evaluation.run.status == RunResult::Status::completed) {
    const Outputs& outputs = evaluation.run.outputs;
    const bool canonical = target->judging().canonical;
    if (const auto policy = explaining_policy(test_case, outputs, canonical)) {
      write_text_atomically(folder / "policy", *policy);
      text += fmt::format("\nEvery bit is what policy {} gives.\n", *policy);
    }
    if (canonical) {  // else the description has them already
      const auto witness = oracle::judge_witness(test_case, tensors, outputs);
      const oracle::Formula formula = oracle::formula_of(test_case, oracle::native());
      for (const auto& certificate : witness.first_violations)
        text += "\n" + oracle::to_text(certificate, formula);
    }
    if (const auto wrong = evaluation.first_wrong_element())
      text +=
          "\n" + oracle::to_text(oracle::explain(test_case, tensors, outputs, wrong->first, wrong->second));
    Case with_outputs = test_case;
    with_outputs.outputs = outputs;
    write_dump(folder / "outputs.safetensors", with_outputs);
    // The script computes every bit in the canonical order, which is not demanded of a foreign kernel.
    if (canonical && !evaluation.verdict.conforms()) {
      const Outputs wanted = oracle::expected_outputs(test_case, tensors);
      write_text_atomically(folder / "repro.py", repro_script(test_case, outputs, wanted, context.target));
    }
  }
  write_text_atomically(folder / "violation.txt", text);
}

Details details_of(const Case& test_case, const FindingContext& context, const path& folder) {
  const bool done = in_child(60, [&] { write_details(test_case, context, folder); });
  Details details;
  if (std::filesystem::exists(folder / "policy")) {
    details.policy = read_text(folder / "policy");
    std::filesystem::remove(folder / "policy");
  }
  if (done) details.description = read_text(folder / "violation.txt");
  std::filesystem::remove(folder / "violation.txt");
  return details;
}

std::string signature_of(const Fuzzer& fuzzer, const std::optional<Case>& test_case, const Details& details,
                         const std::string& kind) {
  std::vector<std::string> parts;
  if (test_case) {
    parts.emplace_back(name_of(test_case->operation));
    if (details.policy) parts.push_back(*details.policy);
  } else {
    parts.push_back(fuzzer.name);
  }
  parts.push_back(kind);
  return file_name_of(fmt::format("{}", fmt::join(parts, "-")));
}

std::string report_text(const Fuzzer& fuzzer, const std::optional<Case>& test_case, const Details& details,
                        const Answer& answer, const std::string& signature, const FindingContext& context,
                        const path& folder) {
  std::string text = fmt::format("# {}\n\n", signature);
  text += fmt::format("Found by the {} fuzzer on target {}: **{}**.\n\n", fuzzer.name,
                      markdown_code(context.target), answer.kind);
  const std::string target = shell_quoted(context.target);
  if (test_case) {
    text += fmt::format(
        "## What was run\n\n`{}` on {} rows of {}, {}{}, epsilon {}. The minimized case:\n\n",
        name_of(test_case->operation), test_case->rows(), test_case->hidden_size(), name_of(test_case->dtype),
        test_case->weight_dtype ? fmt::format(", weight {}", name_of(*test_case->weight_dtype)) : "",
        test_case->epsilon());
    text += markdown_block(case_to_json(*test_case), "json") + "\n";
  }
  text += "## What was expected, what came\n\n";
  constexpr std::size_t kLongestLog = 4000;
  text +=
      markdown_block(details.description.empty() ? answer.log.substr(0, kLongestLog) : details.description) +
      "\n";
  text += "## Commands\n\n";
  std::string commands;
  if (test_case) {
    commands += fmt::format("{} replay case.json --target {}\n", context.program, target);
    if (std::filesystem::exists(folder / "outputs.safetensors")) {
      commands += fmt::format("{0} explain case.json --target {1}\n{0} check outputs.safetensors\n",
                              context.program, target);
    }
  }
  if (std::filesystem::exists(folder / "repro.py")) commands += "python3 repro.py\n";
  commands +=
      fmt::format("NORMPROOF_TARGET={} {} input\n", target, shell_quoted_file(fuzzer.program.string()));
  return text + markdown_block(commands);
}

// Adds one to the number in `file`.
void count_up(const path& file) {
  std::ifstream stream(file);
  std::int64_t count = 0;
  stream >> count;
  write_text_atomically(file, fmt::format("{}\n", count + 1));
}

}  // namespace

RecordedFinding record_finding(const Fuzzer& fuzzer, const path& input, const FindingContext& context) {
  std::filesystem::remove_all(context.scratch);
  std::filesystem::create_directories(context.scratch);
  std::filesystem::create_directories(context.findings);
  const Reproducer reproducer(fuzzer, context);
  Answer answer = reproducer.ask(input);
  std::optional<Case> test_case;
  if (!answer.failed) {
    answer.kind = "not-reproducible";
  } else if (fuzzer.takes_cases && std::filesystem::exists(reproducer.case_file())) {
    test_case = read_case(reproducer.case_file());
  }

  // Complete in a folder of another name first: a reader never meets half a report.
  const path folder = context.scratch / "report";
  Details details;
  RecordedFinding finding;
  const auto name_it = [&] {
    std::filesystem::remove_all(folder);  // what the case said before it was made small
    std::filesystem::create_directories(folder);
    if (test_case) details = details_of(*test_case, context, folder);
    finding.signature = signature_of(fuzzer, test_case, details, answer.kind);
    finding.folder = context.findings / finding.signature;
    finding.is_new = !std::filesystem::exists(finding.folder);
    if (!finding.is_new) count_up(finding.folder / "count");
    return finding.is_new;
  };
  if (!name_it()) return finding;  // known: no need to make it small
  if (test_case) {
    test_case = minimized(*test_case, answer.kind, context, reproducer);
    if (const Answer last = reproducer.ask(*test_case); last.failed) answer = last;
    // A small case may follow more policies, and so be one that is known already.
    if (!name_it()) return finding;
  }
  if (test_case) {
    test_case->name = finding.signature.substr(0, 100);
    test_case->description = printable(
        fmt::format("{} on target {}, found by the {} fuzzer.", answer.kind, context.target, fuzzer.name),
        kMaximumDescriptionBytes);
    write_case(folder / "case.json", *test_case);
    if (!context.regressions.empty()) {
      std::filesystem::create_directories(context.regressions);
      write_case(context.regressions / (finding.signature + ".json"), *test_case);
    }
  }
  write_text_atomically(folder / "input", read_text(input));
  write_text_atomically(folder / "log.txt", answer.log);
  write_text_atomically(folder / "count", "1\n");
  write_text_atomically(folder / "report.md",
                        report_text(fuzzer, test_case, details, answer, finding.signature, context, folder));
  std::filesystem::rename(folder, finding.folder);
  return finding;
}

}  // namespace normproof::campaign
