#include "properties/targets/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "properties/targets/source_line.h"
#include "properties/targets/stop_request.h"
#include "properties/targets/target.h"
#include "properties/targets/worker/process_memory.h"

extern char** environ;

namespace normproof {
namespace {

// How often a worker that takes its time is asked how much memory it has, and this program whether it is to
// stop; and how many short calls go by between two questions for memory.
constexpr std::chrono::milliseconds kInterval{20};
// A worker that gets less than this part of one processor waits for something.
constexpr int kLeastShare = 20;
constexpr int kMostPatiences = 5;  // by the clock
constexpr std::int64_t kMemoryCalls = 64;
// What a call may take when the program is to stop.
constexpr std::chrono::milliseconds kLastPatience{200};
// For the supervisor to end by itself.
constexpr useconds_t kEndingStep = 500;
constexpr int kMostEndingSteps = 10000;
constexpr const char* kForeignMessage =
    "something else than the answer came over the connection to the worker, which was killed: the library "
    "writes "
    "to a descriptor that is not its own";
constexpr std::int64_t kLeastDeviceMemory = std::int64_t{256} << 20;

TargetError system_error(std::string_view what) {
  return TargetError(fmt::format("{}: {}", what, std::strerror(errno)));
}

TargetError shared_memory_error(std::size_t bytes) {
  const char* hint = errno == EFBIG ? "; the limit of a file's size (ulimit -f) must allow for it" : "";
  return TargetError(
      fmt::format("{} MiB of memory shared with the worker, of which what is used takes room: {}{}",
                  bytes >> 20, std::strerror(errno), hint));
}

std::string reply_text(const char* text, std::size_t capacity) { return {text, strnlen(text, capacity)}; }

}  // namespace

bool counts_as_hung(std::chrono::steady_clock::duration waited, std::chrono::milliseconds used,
                    std::chrono::milliseconds patience) {
  return waited >= patience &&
         (used >= patience || used * kLeastShare < waited || waited >= kMostPatiences * patience);
}

WorkerProcess::WorkerProcess(WorkerSettings settings)
    : settings_(std::move(settings)), output_(settings_.title) {
  std::random_device random;
  asked_.ticket = std::uint64_t{random()} << 32 | random();
  share(worker::kMemoryBytes);
}

void WorkerProcess::share(std::size_t bytes) {
  memory_descriptor_ = memfd_create("normproof-rounds", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  // Sealed: if the worker could make it shorter, this process would die where it reads what is gone.
  if (memory_descriptor_ < 0 || ftruncate(memory_descriptor_, static_cast<off_t>(bytes)) != 0 ||
      fcntl(memory_descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    throw shared_memory_error(bytes);
  void* mapped =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory_descriptor_, 0);
  if (mapped == MAP_FAILED) throw shared_memory_error(bytes);
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
  spawn();
  ++starts_;
  if (const std::string problem = ask(worker::kArenas, settings_.start_patience); !problem.empty())
    throw TargetError(
        fmt::format("{}: while {} was loaded: {}", settings_.title, settings_.library.string(), problem));
  greeting_ = *reinterpret_cast<const worker::Greeting*>(memory_);
  const std::string printed = output_.take_printed();
  if (greeting_.status != NORMPROOF_DEVICE_OK) {
    end();
    throw TargetError(
        fmt::format("{}: {}", settings_.title, reply_text(greeting_.message, sizeof greeting_.message)));
  }
  if (!printed.empty() && settings_.device_library) {
    end();
    throw TargetError(
        fmt::format("{}: it prints to standard output while it is loaded: {}", settings_.title, printed));
  }
  const bool on_device = !settings_.device_library || greeting_.plugin.on_device != 0;
  if (on_device && greeting_.device.free_bytes < kLeastDeviceMemory) {
    end();
    throw TargetError(fmt::format("{}: too little memory is free on {}: {} MiB, at least {} MiB are needed",
                                  settings_.title,
                                  reply_text(greeting_.device.name, sizeof greeting_.device.name),
                                  greeting_.device.free_bytes >> 20, kLeastDeviceMemory >> 20));
  }
  return greeting_;
}

void WorkerProcess::spawn() {
  reinterpret_cast<worker::Greeting*>(memory_)->crash_place[0] = '\0';
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw system_error("socket to the worker");
  // Above the numbers that they get in the worker, so that moving one does not overwrite the other.
  const int their_socket = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
  const int their_memory = fcntl(memory_descriptor_, F_DUPFD_CLOEXEC, 10);
  close(ends[1]);
  const WorkerOutput::Ends output = output_.open();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output.output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.error, STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, their_memory, worker::kMemoryDescriptor);
  posix_spawn_file_actions_adddup2(&actions, their_socket, worker::kSocketDescriptor);
  posix_spawn_file_actions_addclosefrom_np(&actions, worker::kSocketDescriptor + 1);
  // A process group of its own, so that nothing of it is left behind; signals as they are by default,
  // whatever this program does about them.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t every, none;
  sigfillset(&every);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &every);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
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
      posix_spawn(&process_, program.c_str(), &actions, &attributes, arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  for (const int end : {their_socket, their_memory, output.output, output.error}) close(end);
  socket_ = ends[0];
  if (error == 0) return;
  process_ = -1;
  close(std::exchange(socket_, -1));
  throw TargetError(fmt::format("cannot start the worker {}: {}", program, std::strerror(error)));
}

std::string WorkerProcess::ask(std::uint64_t arena, std::chrono::milliseconds patience) {
  hung_ = stopped_ = false;
  processor_before_.reset();
  shared_before_ = shared_memory_in_use();
  // Nothing can have come that was not asked for.
  std::uint8_t byte = 0;
  if (recv(socket_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0) {
    end();
    return kForeignMessage;
  }
  ++asked_.ticket;
  asked_.arena = arena;
  if (send(socket_, &asked_, sizeof asked_, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof asked_) return end();
  return await_answer(patience);
}

std::string WorkerProcess::carry_out(std::size_t arena) {
  const worker::Round& round = *worker::round_of(memory_, arena);
  if (process_ <= 0) release_behind(worker::data_of(memory_, arena) + round.data_bytes);
  try {
    start();
  } catch (const TargetError& error) {
    if (!stopped_) throw;
    return error.what();
  }
  calls_ += round.calls;
  std::string problem = ask(arena, settings_.patience);
  if (!problem.empty()) return problem;
  ++rounds_;
  if (calls_ >= kMemoryCalls) {
    calls_ = 0;
    if (problem = memory_problem(); !problem.empty()) {
      end();
      return problem;
    }
  }
  if (round.status == NORMPROOF_DEVICE_OK) return {};
  problem = reply_text(round.message, sizeof round.message);
  end();
  return problem.empty() ? "the device failed without a message" : problem;
}

std::string WorkerProcess::reason_to_end(std::chrono::steady_clock::duration waited,
                                         std::chrono::milliseconds patience) {
  if (std::string problem = memory_problem(); !problem.empty()) return problem;
  stopped_ = stop_is_requested() && waited >= kLastPatience;
  if (stopped_) return "the run was stopped before it answered";
  hung_ = is_hung(waited, patience);
  if (!hung_) return {};
  return fmt::format("no answer within {:.1f} s: the worker hung and was killed",
                     std::chrono::duration<double>(patience).count());
}

bool WorkerProcess::is_hung(std::chrono::steady_clock::duration waited, std::chrono::milliseconds patience) {
  if (!processor_before_) processor_before_ = processor_time_of_tree(process_);
  return waited >= patience &&
         counts_as_hung(waited, processor_time_of_tree(process_) - *processor_before_, patience);
}

std::string WorkerProcess::await_answer(std::chrono::milliseconds patience) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  Clock::time_point next_look = begin + std::min(kInterval, patience);
  while (true) {
    const auto [output, error] = output_.descriptors();
    std::array<pollfd, 3> events = {{{socket_, POLLIN, 0}, {output, POLLIN, 0}, {error, POLLIN, 0}}};
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next_look - Clock::now()).count();
    const int ready = poll(events.data(), events.size(), static_cast<int>(std::max<std::int64_t>(wait, 0)));
    if (ready > 0 && events[0].revents != 0) return receive_answer();
    if (ready > 0) output_.read();
    const Clock::time_point now = Clock::now();
    if (now < next_look) continue;
    if (std::string reason = reason_to_end(now - begin, patience); !reason.empty()) {
      end();
      return reason;
    }
    next_look = now + kInterval;
    if (now < begin + patience) next_look = std::min(next_look, begin + patience);
  }
}

std::string WorkerProcess::receive_answer() {
  std::array<std::byte, 2 * sizeof(worker::Message)> bytes{};
  const ssize_t count = recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (count <= 0) return end();
  if (count == sizeof asked_ && std::memcmp(bytes.data(), &asked_, sizeof asked_) == 0) {
    output_.read();  // what was printed before the answer
    return {};
  }
  end();
  return kForeignMessage;
}

// What a worker that has died has filled there takes memory no longer.
void WorkerProcess::release_behind(const std::byte* end) {
  if (settings_.memory_limit == 0) return;
  const std::size_t begin = (static_cast<std::size_t>(end - memory_) + 4095) / 4096 * 4096;
  if (begin >= worker::kMemoryBytes) return;
  fallocate(memory_descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
            static_cast<off_t>(worker::kMemoryBytes - begin));
}

std::int64_t WorkerProcess::shared_memory_in_use() const {
  struct stat statistics{};
  constexpr std::int64_t kBlockBytes = 512;
  return fstat(memory_descriptor_, &statistics) == 0 ? statistics.st_blocks * kBlockBytes : 0;
}

std::string WorkerProcess::memory_problem() const {
  if (settings_.memory_limit == 0) return {};
  // What is shared is the rounds' memory, for the most part. This program has written there before it asked.
  const std::int64_t own = own_memory_of_tree(process_) + shared_memory_in_use() - shared_before_;
  if (own <= static_cast<std::int64_t>(settings_.memory_limit)) return {};
  return fmt::format("the worker took {} MiB of memory, of at most {}, and was killed", own >> 20,
                     settings_.memory_limit >> 20);
}

// " at libmine.so+0x12ab", where the worker has said so. Whatever it ran may have written there, too.
std::string WorkerProcess::crash_place() const {
  const auto& greeting = *reinterpret_cast<const worker::Greeting*>(memory_);
  const std::string place = reply_text(greeting.crash_place, sizeof greeting.crash_place);
  const bool is_place = std::ranges::all_of(place, [](char character) {
    return std::isalnum(static_cast<unsigned char>(character)) != 0 ||
           std::string_view("._+-").find(character) != std::string_view::npos;
  });
  if (place.empty() || !is_place) return "";
  // Of another module only its name is known.
  const std::size_t plus = place.rfind('+');
  if (place.substr(0, plus) != settings_.library.filename() || plus == std::string::npos)
    return " at " + place;
  const std::uint64_t offset = std::strtoull(place.c_str() + plus + 1, nullptr, 16);
  const std::string line = source_line_of(settings_.library, offset);
  return line.empty() ? " at " + place : fmt::format(" at {} ({})", place, line);
}

std::string WorkerProcess::end() {
  rounds_ = 0;
  if (socket_ >= 0) close(std::exchange(socket_, -1));
  if (process_ <= 0) return "the worker does not run";
  // Its supervisor sees the socket closed, or the worker's end, and ends all that the worker has begun.
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < kMostEndingSteps && ended == 0; ++i) {
    ended = waitpid(process_, &status, WNOHANG);
    if (ended == 0) usleep(kEndingStep);
  }
  if (ended == 0) {
    kill(-process_, SIGKILL);
    kill(process_, SIGKILL);
    waitpid(process_, &status, 0);
  }
  process_ = -1;
  output_.close();
  if (WIFSIGNALED(status))
    return fmt::format("the worker died of signal {} ({}){}", WTERMSIG(status), strsignal(WTERMSIG(status)),
                       crash_place());
  return fmt::format("the worker ended with status {}", WEXITSTATUS(status));
}

}  // namespace normproof
