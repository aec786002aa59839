#include "properties/matrix/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <system_error>

#include "corpus/json.h"
#include "corpus/json_text.h"
#include "properties/targets/run_program.h"

namespace normproof::matrix {
namespace {

constexpr std::size_t kLongestMessage = 4000;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

void write_whole(int descriptor, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = write(descriptor, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    done += static_cast<std::size_t>(written);
  }
}

[[noreturn]] void carry_out(const std::function<Cell()>& work, double processor_limit, int descriptor) {
  const auto seconds = static_cast<rlim_t>(processor_limit) + 1;
  const rlimit limit{seconds, seconds + 5};
  setrlimit(RLIMIT_CPU, &limit);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  Cell cell;
  try {
    cell = work();
  } catch (const std::exception& error) {
    cell.outcome = Cell::Outcome::not_run;
    cell.message = error.what();
  }
  if (cell.message.size() > kLongestMessage) cell.message.resize(kLongestMessage);
  write_whole(descriptor, json_text(to_json(cell)));
  _exit(0);
}

}  // namespace

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

CellProcess::CellProcess(const std::function<Cell()>& work, double processor_limit)
    : processor_limit_(processor_limit) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe");
  process_ = fork();
  if (process_ < 0) fail("fork");
  if (process_ == 0) {
    close(ends[0]);
    carry_out(work, processor_limit, ends[1]);
  }
  close(ends[1]);
  pipe_ = ends[0];
  fcntl(pipe_, F_SETFL, O_NONBLOCK);
}

CellProcess::~CellProcess() {
  if (process_ > 0) {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  if (pipe_ >= 0) close(pipe_);
}

std::optional<Cell> CellProcess::poll() {
  read_available(pipe_, received_);
  int status = 0;
  if (waitpid(process_, &status, WNOHANG) != process_) return std::nullopt;
  return collect(status);
}

Cell CellProcess::wait() {
  pollfd ready{pipe_, POLLIN, 0};
  while (read_available(pipe_, received_)) ::poll(&ready, 1, -1);
  int status = 0;
  while (waitpid(process_, &status, 0) != process_) {
    if (errno != EINTR) fail("waitpid");
  }
  return collect(status);
}

Cell CellProcess::collect(int status) {
  process_ = -1;
  read_available(pipe_, received_);
  Cell cell;
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    const bool hung = number == SIGXCPU || number == SIGKILL;
    cell.outcome = hung ? Cell::Outcome::hung : Cell::Outcome::crashed;
    cell.executions = 1;
    cell.message = hung ? fmt::format("not done after {:.0f} s of processor time", processor_limit_)
                        : fmt::format("ended by signal {} ({})", number, strsignal(number));
    return cell;
  }
  try {
    return cell_from_json(nlohmann::ordered_json::parse(received_));
  } catch (const std::exception& error) {
    cell.message = fmt::format("the check ended with exit code {} and without a result: {}",
                               WEXITSTATUS(status), error.what());
    return cell;
  }
}

}  // namespace normproof::matrix
