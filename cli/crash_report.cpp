#include "cli/crash_report.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/finding.h"
#include "cli/judged_finding.h"
#include "corpus/case_json.h"
#include "corpus/limits.h"
#include "corpus/message_text.h"
#include "properties/targets/named_kernels.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

constexpr std::array kSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr unsigned kSecondsToWrite = 5;

// Never destroyed: the handler may run at any time.
struct Settings {
  std::string findings;
  std::string target;
};
Settings& settings() {
  static Settings& instance = *new Settings;
  return instance;
}

// In a child process of its own, because the heap may be in any state.
[[noreturn]] void write_crash(int signal_number) {
  alarm(kSecondsToWrite);
  try {
    if (const oracle::judged::Call* call = judged_call_being_run(); call != nullptr) {
      const auto policy = parse_policy(*call->operation, "native");
      const auto file = store_judged_call(settings().findings, *call, policy, "crash");
      fmt::print("  replay:  {} replay {} --target {}\n", program_name(), shell_quoted_file(file.string()),
                 shell_quoted(settings().target));
      std::fflush(stdout);
      _exit(kAllGood);
    }
    Case repro = *case_being_run();
    repro.name = fmt::format("{}-{}-crash", name_of(repro.operation), name_of(repro.dtype));
    repro.description =
        printable(fmt::format("Crashes target {}: {}.", settings().target, strsignal(signal_number)),
                  kMaximumDescriptionBytes);
    const auto file = std::filesystem::path(settings().findings) / (repro.name + ".json");
    std::filesystem::create_directories(settings().findings);
    write_case(file, repro);
    fmt::print("  replay:  {} replay {} --target {}\n", program_name(), shell_quoted_file(file.string()),
               shell_quoted(settings().target));
  } catch (const std::exception& error) {
    fmt::print("  the repro could not be written: {}\n", error.what());
  }
  std::fflush(stdout);
  _exit(kAllGood);
}

void handle(int signal_number) {
  for (const int number : kSignals) signal(number, SIG_DFL);
  if (case_being_run() == nullptr && judged_call_being_run() == nullptr) {
    raise(signal_number);
    return;
  }
  constexpr char kMessage[] = "VIOLATION: the target crashed\n";
  std::fflush(stdout);
  [[maybe_unused]] const auto written = write(STDOUT_FILENO, kMessage, sizeof kMessage - 1);
  const pid_t child = fork();
  if (child == 0) write_crash(signal_number);
  if (child > 0) waitpid(child, nullptr, 0);
  _exit(kViolationFound);
}

}  // namespace

void report_crashes(const std::string& findings, const std::string& target) {
  settings() = {findings, target};
  struct sigaction action{};
  action.sa_handler = &handle;
  for (const int number : kSignals) sigaction(number, &action, nullptr);
}

}  // namespace normproof
