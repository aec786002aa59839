#include "properties/targets/run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

constexpr int kStopInterval = 50;  // milliseconds between two questions whether to stop

[[noreturn]] void fail_to(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

bool read_available(int descriptor, std::string& text) {
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t length = read(descriptor, buffer.data(), buffer.size());
    if (length > 0) {
      text.append(buffer.data(), static_cast<std::size_t>(length));
    } else if (length == 0) {
      return false;
    } else if (errno != EINTR) {
      return errno == EAGAIN;
    }
  }
}

ProgramResult run_program(const std::vector<std::string>& command,
                          const std::vector<std::string>& environment) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) fail_to("pipe");
  const pid_t process = fork();
  if (process < 0) fail_to("fork");
  if (process == 0) {
    for (const std::string& setting : environment) {
      const std::size_t equals = setting.find('=');
      setenv(setting.substr(0, equals).c_str(), setting.substr(equals + 1).c_str(), 1);
    }
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  ProgramResult result;
  pollfd ready{ends[0], POLLIN, 0};
  while (read_available(ends[0], result.output)) {
    if (stop_is_requested()) kill(process, SIGKILL);
    ::poll(&ready, 1, kStopInterval);
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(process, &status, 0) != process) {
    if (errno != EINTR) fail_to("waitpid");
  }
  result.exit_code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

}  // namespace normproof
