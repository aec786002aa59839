#include "fuzz/campaign/reproducer.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "corpus/atomic_file.h"
#include "corpus/case_bytes.h"
#include "corpus/case_json.h"
#include "corpus/shrink.h"
#include "fuzz/campaign/signature.h"
#include "properties/targets/worker/process_memory.h"

namespace normproof::campaign {
namespace {

using std::filesystem::path;

constexpr std::chrono::seconds kLimit{45};          // of one execution; libFuzzer itself gives up earlier
constexpr std::chrono::seconds kMinimizeLimit{90};  // of all of them
constexpr std::int64_t kMostMemory = std::int64_t{2} << 30;  // bytes, of a target in a child of this process
constexpr std::int64_t kShrinkSteps = 1500;
constexpr int kCannotRun = 3;  // exit status of a harness

// Shrinks a violation that a plain run shows, as most do: a thousand times faster than asking the fuzzer.
// Nothing where the run here does not show it.
std::optional<Case> shrunk_here(const Case& failing, const std::string& kind,
                                const std::optional<oracle::Policy>& policy,
                                const std::vector<KnownBug>& known, const std::string& target_name,
                                const path& scratch) {
  const path file = scratch / "small.json";
  const bool done = in_child(60, [&] {
    const auto target = make_target(target_name);
    const auto is_the_bug = [&](const Case& candidate) {
      const Evaluation evaluation = evaluate(candidate, *target);
      if (!evaluation.violates() || kind_of(evaluation) != kind) return false;
      if (policy) return follows(*policy, candidate, evaluation, *target);
      return std::ranges::none_of(
          known, [&](const KnownBug& bug) { return is_instance(bug, candidate, evaluation, *target); });
    };
    if (is_the_bug(failing)) write_case(file, minimize(failing, is_the_bug));
  });
  if (!done || !std::filesystem::exists(file)) return std::nullopt;
  return read_case(file);
}

}  // namespace

Answer Reproducer::ask(const path& input) const {
  const path log = scratch_ / "log.txt";
  std::filesystem::remove(log);
  std::filesystem::remove(case_file());
  FuzzerProcess::Environment environment = environment_;
  environment.insert(environment.end(), {{"NORMPROOF_TARGET", target_},
                                         {"NORMPROOF_FINDINGS", scratch_.string()},
                                         {"NORMPROOF_CASE", case_file().string()}});
  FuzzerProcess process(fuzzer_,
                        {"-timeout=30", "-rss_limit_mb=2048",
                         "-artifact_prefix=" + (scratch_ / "artifact-").string(), input.string()},
                        environment, log);
  const FuzzerProcess::End end = process.wait(kLimit);
  Answer answer;
  std::ifstream stream(log, std::ios::binary);
  answer.log.assign(std::istreambuf_iterator<char>(stream), {});
  answer.failed = end.killed || end.status != 0;
  if (answer.failed) answer.kind = end.killed ? "timeout" : failure_kind(answer.log);
  if (answer.failed && answer.kind.empty() && end.status == kCannotRun)
    throw std::runtime_error(fmt::format("the {} fuzzer cannot run: {}", fuzzer_.name, answer.log));
  if (answer.failed && answer.kind.empty()) answer.kind = fmt::format("exit-status-{}", end.status);
  return answer;
}

Answer Reproducer::ask(const Case& test_case) const {
  const auto bytes = case_to_bytes(test_case);
  if (!bytes) return {};
  const path input = scratch_ / "candidate";
  write_text_atomically(input, {reinterpret_cast<const char*>(bytes->data()), bytes->size()});
  return ask(input);
}

bool in_child(unsigned seconds_at_most, const std::function<void()>& work) {
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

Case minimized(const Case& failing, const std::string& kind, const std::optional<oracle::Policy>& policy,
               const std::vector<KnownBug>& known, const std::string& target, const path& scratch,
               const Reproducer& reproducer) {
  if (const auto small = shrunk_here(failing, kind, policy, known, target, scratch)) return *small;
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

}  // namespace normproof::campaign
