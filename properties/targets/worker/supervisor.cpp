#include "properties/targets/worker/supervisor.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <optional>

#include "properties/targets/worker/process_memory.h"

namespace normproof::worker {
namespace {

// What is killed may begin more until it is dead; a program that does nothing else wins after so many rounds.
constexpr int kKillingRounds = 2000;
constexpr useconds_t kBetweenRounds = 1000;

class Supervisor {
 public:
  Supervisor(pid_t child, int connection) : child_(child), connection_(connection) {}

  [[noreturn]] void run() {
    sigset_t all, ended;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    // Nothing of the program's stays open in here but the connection and the standard streams.
    if (connection_ > 3) close_range(3, static_cast<unsigned>(connection_) - 1, 0);
    close_range(static_cast<unsigned>(connection_) + 1, UINT_MAX, 0);
    const int signals = signalfd(-1, &ended, SFD_CLOEXEC | SFD_NONBLOCK);
    while (true) {
      reap();
      if (status_) break;
      std::array<pollfd, 2> events = {{{connection_, POLLRDHUP, 0}, {signals, POLLIN, 0}}};
      if (poll(events.data(), events.size(), -1) < 0) continue;
      if (events[0].revents != 0) break;
      signalfd_siginfo ignored{};
      while (read(signals, &ignored, sizeof ignored) > 0) continue;
    }
    end_all();
    end_as_the_child_did();
  }

 private:
  // Fetches the status of whoever has ended. False where nobody is left.
  bool reap() {
    while (true) {
      int status = 0;
      const pid_t process = waitpid(-1, &status, WNOHANG);
      if (process == child_) status_ = status;
      if (process < 0 && errno == EINTR) continue;
      if (process <= 0) return process == 0;
    }
  }

  // Processes whose parent has ended fall to this one, so that in the end it sees all of them.
  void end_all() {
    for (int round = 0; reap() && round < kKillingRounds; ++round) {
      for (const pid_t process : children_of(getpid())) kill(process, SIGKILL);
      usleep(kBetweenRounds);
    }
  }

  [[noreturn]] void end_as_the_child_did() const {
    if (!status_) _exit(0);
    if (WIFEXITED(*status_)) _exit(WEXITSTATUS(*status_));
    const int number = WTERMSIG(*status_);
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(number, SIG_DFL);
    sigset_t nothing;
    sigemptyset(&nothing);
    raise(number);
    sigprocmask(SIG_SETMASK, &nothing, nullptr);
    _exit(128 + number);
  }

  const pid_t child_;
  const int connection_;
  std::optional<int> status_;  // of the child, once it has ended
};

}  // namespace

bool become_supervised(int connection) {
  setpgid(0, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child < 0) return false;
  if (child > 0) Supervisor(child, connection).run();
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // if the supervisor is killed
  if (getppid() != self) _exit(127);
  return true;
}

}  // namespace normproof::worker
