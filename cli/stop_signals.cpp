#include "cli/stop_signals.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "corpus/atomic_file.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

constexpr std::array kStopSignals = {SIGINT, SIGTERM, SIGHUP};
constexpr int kShellOffset = 128;

std::atomic<bool> work_finishes{false};

void handle(int signal_number) {
  const int before = errno;
  int nobody = 0;
  if (work_finishes && stop_signal.compare_exchange_strong(nobody, signal_number)) {
    constexpr char kMessage[] = "\nnormproof: stopping; a second signal ends it at once\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  } else {
    remove_unfinished_files();
    signal(signal_number, SIG_DFL);
    raise(signal_number);  // comes when this function returns
  }
  errno = before;
}

}  // namespace

void handle_signals() {
  signal(SIGXFSZ, SIG_IGN);
  for (const int number : kStopSignals) {
    struct sigaction action{};
    sigaction(number, nullptr, &action);
    if (action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = &handle;
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, nullptr);
  }
}

void finish_on_stop_signal() { work_finishes = true; }

int exit_code_of_stop(int signal_number) { return kShellOffset + signal_number; }

bool is_exit_code_of_stop(int exit_code) {
  return std::ranges::count(kStopSignals, exit_code - kShellOffset) > 0;
}

std::string stop_text(int signal_number) {
  return fmt::format("stopped by SIG{}", sigabbrev_np(signal_number));
}

}  // namespace normproof
