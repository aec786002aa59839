#include "properties/run/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "properties/run/process_memory.h"
#include "properties/run/target.h"

extern char** environ;

namespace normproof {
namespace {

// How often a worker that takes its time is asked how much memory it has, and how many short calls go by
// between two such questions.
constexpr std::chrono::milliseconds kMemoryInterval{20};
constexpr std::int64_t kMemoryCalls = 64;
constexpr std::int64_t kLeastDeviceMemory = std::int64_t{256} << 20;

TargetError system_error(std::string_view what) {
  return TargetError(fmt::format("{}: {}", what, std::strerror(errno)));
}

}  // namespace

WorkerProcess::WorkerProcess(WorkerSettings settings) : settings_(std::move(settings)) {
  const std::size_t bytes = worker::kMemoryBytes;
  memory_descriptor_ = memfd_create("normproof-rounds", MFD_CLOEXEC);
  if (memory_descriptor_ < 0 || ftruncate(memory_descriptor_, static_cast<off_t>(bytes)) != 0)
    throw system_error("memory shared with the worker");
  void* mapped =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory_descriptor_, 0);
  if (mapped == MAP_FAILED) throw system_error("memory shared with the worker");
  memory_ = static_cast<std::byte*>(mapped);
}

WorkerProcess::~WorkerProcess() {
  end();
  munmap(memory_, worker::kMemoryBytes);
  close(memory_descriptor_);
}

const worker::Greeting& WorkerProcess::start() {
  if (process_ > 0) return greeting_;
  rounds_ = 0;
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw system_error("socket to the worker");
  // Above the numbers that they get in the worker, so that moving one does not overwrite the other.
  const int their_socket = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
  const int their_memory = fcntl(memory_descriptor_, F_DUPFD_CLOEXEC, 10);
  close(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, their_memory, worker::kMemoryDescriptor);
  posix_spawn_file_actions_adddup2(&actions, their_socket, worker::kSocketDescriptor);
  std::string program = settings_.program.string(), library = settings_.library.string();
  std::string plugin = "--plugin", device_library = settings_.device_library.value_or("").string();
  std::array<char*, 5> arguments = {program.data(), library.data(), nullptr, nullptr, nullptr};
  if (settings_.device_library)
    arguments = {program.data(), plugin.data(), library.data(), device_library.data(), nullptr};
  std::string preload = "LD_PRELOAD=" + settings_.preload;
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (settings_.preload.empty() || !std::string_view(*entry).starts_with("LD_PRELOAD="))
      environment.push_back(*entry);
  }
  if (!settings_.preload.empty()) environment.push_back(preload.data());
  environment.push_back(nullptr);
  const int error =
      posix_spawn(&process_, program.c_str(), &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(their_socket);
  close(their_memory);
  socket_ = ends[0];
  if (error != 0) {
    process_ = -1;
    close(std::exchange(socket_, -1));
    throw TargetError(fmt::format("cannot start the worker {}: {}", program, std::strerror(error)));
  }
  ++starts_;
  if (const std::string problem = await_answer(settings_.start_patience); !problem.empty())
    throw TargetError(fmt::format("{}: while {} was loaded: {}", settings_.title, library, problem));
  greeting_ = *reinterpret_cast<const worker::Greeting*>(memory_);
  if (greeting_.status != NORMPROOF_DEVICE_OK) {
    end();
    throw TargetError(fmt::format("{}: {}", settings_.title, greeting_.message));
  }
  const bool on_device = !settings_.device_library || greeting_.plugin.on_device;
  if (on_device && greeting_.device.free_bytes < kLeastDeviceMemory) {
    end();
    throw TargetError(fmt::format("{}: too little memory is free on {}: {} MiB, at least {} MiB are needed",
                                  settings_.title, greeting_.device.name, greeting_.device.free_bytes >> 20,
                                  kLeastDeviceMemory >> 20));
  }
  return greeting_;
}

std::string WorkerProcess::carry_out(std::size_t arena) {
  start();
  hung_ = false;
  const auto index = static_cast<std::uint8_t>(arena);
  std::string problem;
  if (send(socket_, &index, 1, MSG_NOSIGNAL) != 1) {
    problem = end();
  } else {
    problem = await_answer(settings_.patience);
  }
  if (!problem.empty()) return problem;
  ++rounds_;
  const worker::Round& round = *worker::round_of(memory_, arena);
  calls_ += round.calls;
  if (calls_ >= kMemoryCalls) {
    calls_ = 0;
    if (problem = memory_problem(); !problem.empty()) {
      end(false);
      return problem;
    }
  }
  if (round.status == NORMPROOF_DEVICE_OK) return {};
  problem = round.message;
  end();
  return problem.empty() ? "the device failed without a message" : problem;
}

std::string WorkerProcess::await_answer(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now())
            .count();
    pollfd event{socket_, POLLIN, 0};
    const bool watched = settings_.memory_limit > 0 && left > kMemoryInterval.count();
    const auto wait = watched ? kMemoryInterval.count() : std::max<std::int64_t>(left, 0);
    const int ready = poll(&event, 1, static_cast<int>(wait));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      std::string problem = memory_problem();
      if (problem.empty() && watched) continue;
      hung_ = problem.empty();
      if (hung_) {
        problem = fmt::format("no answer within {:.1f} s: the worker hung and was killed",
                              std::chrono::duration<double>(patience).count());
      }
      end(false);
      return problem;
    }
    std::uint8_t arena = 0;
    if (ready > 0 && read(socket_, &arena, 1) == 1) return {};
    return end();
  }
}

std::string WorkerProcess::memory_problem() const {
  if (settings_.memory_limit == 0) return {};
  const auto memory = memory_of(process_);
  if (!memory) return {};
  // What is shared is the rounds' memory, for the most part.
  const std::int64_t own = memory->resident - memory->shared;
  if (own <= static_cast<std::int64_t>(settings_.memory_limit)) return {};
  return fmt::format("the worker took {} MiB of memory, of at most {}, and was killed", own >> 20,
                     settings_.memory_limit >> 20);
}

std::string WorkerProcess::end(bool by_itself) {
  rounds_ = 0;
  if (socket_ >= 0) close(std::exchange(socket_, -1));
  if (process_ <= 0) return "the worker does not run";
  // As its socket is closed or it crashed; its status tells more.
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 100 && ended == 0 && by_itself; ++i) {
    ended = waitpid(process_, &status, WNOHANG);
    if (ended == 0) usleep(2000);
  }
  if (ended == 0) {
    kill(process_, SIGKILL);
    waitpid(process_, &status, 0);
  }
  process_ = -1;
  if (WIFSIGNALED(status))
    return fmt::format("the worker died of signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return fmt::format("the worker ended with status {}", WEXITSTATUS(status));
}

}  // namespace normproof
