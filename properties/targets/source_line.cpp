#include "properties/targets/source_line.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

extern char** environ;

namespace normproof {
namespace {

constexpr std::chrono::milliseconds kPatience{3000};
constexpr std::size_t kMostText = 4096;

// What the program prints, or nothing where it cannot be run or takes too long.
std::string printed_by(std::vector<std::string> words) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t process = -1;
  const int failed = posix_spawnp(&process, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  const auto last = std::chrono::steady_clock::now() + kPatience;
  while (failed == 0 && text.size() < kMostText) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(last - std::chrono::steady_clock::now());
    pollfd readable{ends[0], POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : poll(&readable, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    std::array<char, 512> part{};
    const ssize_t count = ready > 0 ? read(ends[0], part.data(), part.size()) : 0;
    if (count <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(count));
  }
  close(ends[0]);
  if (failed != 0) return {};
  kill(process, SIGKILL);  // it has said what it says
  while (waitpid(process, nullptr, 0) < 0 && errno == EINTR) continue;
  return text;
}

// What is of the kind FILE:LINE or FILE:LINE:COLUMN, which both programs
// print, the inlined places first.
std::string place_in(const std::string& text) {
  const std::string line = text.substr(0, text.find('\n'));
  const std::size_t colon = line.find(':');
  if (colon == std::string::npos || line.starts_with("??")) return {};
  const std::size_t end = line.find_first_not_of("0123456789", colon + 1);
  const std::string number = line.substr(colon + 1, end == std::string::npos ? end : end - colon - 1);
  return number.empty() || number == "0" ? std::string() : line.substr(0, colon + 1) + number;
}

std::string asked_line_of(const std::filesystem::path& library, std::uint64_t offset) {
  const std::string address = fmt::format("0x{:x}", offset);
  for (const char* symbolizer : {"llvm-symbolizer", "llvm-symbolizer-19", "addr2line"}) {
    const bool is_llvm = std::string_view(symbolizer).starts_with("llvm");
    const std::string text = is_llvm ? printed_by({symbolizer, "--functions=none", "--no-inlines",
                                                   "--obj=" + library.string(), address})
                                     : printed_by({symbolizer, "-e", library.string(), address});
    if (const std::string place = place_in(text); !place.empty()) return place;
  }
  return {};
}

}  // namespace

std::string source_line_of(const std::filesystem::path& library, std::uint64_t offset) {
  // The same place may end many processes, one after the other.
  static std::mutex mutex;
  static std::map<std::pair<std::string, std::uint64_t>, std::string> known;
  const std::lock_guard lock(mutex);
  const auto [entry, is_new] = known.try_emplace({library.string(), offset});
  if (is_new) entry->second = asked_line_of(library, offset);
  return entry->second;
}

}  // namespace normproof
