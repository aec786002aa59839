#include "fuzz/campaign/fuzzer_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>

#include "properties/targets/stop_request.h"

namespace normproof::campaign {
namespace {

constexpr std::string_view kSuffix = "_fuzzer";

std::string first_line(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

// The number behind `key` in a line such as "#128 NEW cov: 1207 ft: 2390 corp:
// 57/9Kb"; 0 where it is not there.
std::int64_t number_after(const std::string& line, std::string_view key) {
  const std::size_t position = line.find(key);
  return position == std::string::npos ? 0 : std::strtoll(line.c_str() + position + key.size(), nullptr, 10);
}

}  // namespace

std::vector<Fuzzer> find_fuzzers(const std::filesystem::path& folder) {
  std::vector<Fuzzer> fuzzers;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string file = entry.path().filename().string();
    if (!file.ends_with(kSuffix) || access(entry.path().c_str(), X_OK) != 0) continue;
    Fuzzer fuzzer;
    fuzzer.name = file.substr(0, file.size() - kSuffix.size());
    fuzzer.program = std::filesystem::absolute(entry.path());
    fuzzer.seeds = first_line(fuzzer.program.string() + ".seeds");
    fuzzer.takes_cases = fuzzer.seeds.filename() == "cases";
    fuzzer.takes_calls = fuzzer.seeds.filename() == "kernel_calls";
    fuzzers.push_back(std::move(fuzzer));
  }
  if (fuzzers.empty()) {
    throw std::runtime_error(
        fmt::format("{}: there is no program *{}{}; no package brings the fuzzers: `./normproof fuzz` in a "
                    "clone builds them",
                    folder.string(), kSuffix, error ? " (" + error.message() + ")" : ""));
  }
  std::ranges::sort(fuzzers, {}, &Fuzzer::name);
  return fuzzers;
}

FuzzerStatus read_status(const std::filesystem::path& log) {
  FuzzerStatus status;
  std::ifstream stream(log, std::ios::binary);
  // Only the end is new; a status line is short.
  constexpr std::streamoff kTail = 1 << 16;
  stream.seekg(0, std::ios::end);
  stream.seekg(std::max<std::streamoff>(0, stream.tellg() - kTail));
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("stat::number_of_executed_units:")) status.executions = number_after(line, "units:");
    if (!line.starts_with('#') || line.find("cov:") == std::string::npos) continue;
    status.executions = std::strtoll(line.c_str() + 1, nullptr, 10);
    status.coverage = number_after(line, "cov: ");
    status.corpus = number_after(line, "corp: ");
  }
  return status;
}

KnownTally read_known_tally(const std::filesystem::path& file) {
  KnownTally tally;
  std::ifstream stream(file);
  stream >> tally.violations >> tally.left_out >> tally.seconds;
  return tally;
}

FuzzerProcess::FuzzerProcess(const Fuzzer& fuzzer, const std::vector<std::string>& arguments,
                             const Environment& environment, const std::filesystem::path& log) {
  const std::string script = (fuzzer.program.parent_path() / "run.sh").string();
  std::vector<std::string> words = {script, fuzzer.program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (output < 0) throw std::system_error(errno, std::generic_category(), log.string());

  const pid_t parent = getpid();
  child_ = fork();
  if (child_ < 0) {
    const int reason = errno;
    close(output);
    throw std::system_error(reason, std::generic_category(), "fork");
  }
  if (child_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);     // survives the exec: no fuzzer outlives a killed campaign
    if (getppid() != parent) _exit(127);  // nor one that was killed before this
    setpgid(0, 0);
    signal(SIGINT, SIG_DFL);  // by which it is asked to end; a campaign in the background may ignore it
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    execv(script.c_str(), pointers.data());
    _exit(127);
  }
  close(output);
}

FuzzerProcess::FuzzerProcess(FuzzerProcess&& other) noexcept
    : child_(std::exchange(other.child_, -1)),
      killed_(other.killed_),
      interrupted_(other.interrupted_),
      start_(other.start_) {}

FuzzerProcess::~FuzzerProcess() {
  if (child_ <= 0) return;
  kill(-child_, SIGKILL);
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
}

std::optional<FuzzerProcess::End> FuzzerProcess::poll(std::chrono::seconds limit) {
  int status = 0;
  rusage usage{};
  const pid_t ended = wait4(child_, &status, WNOHANG, &usage);
  if (ended == child_) {
    child_ = -1;
    const auto seconds_of = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return End{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), killed_, interrupted_,
               seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime)};
  }
  if (!killed_ && std::chrono::steady_clock::now() - start_ > limit) {
    killed_ = true;
    kill(-child_, SIGKILL);
    kill(child_, SIGKILL);
  }
  return std::nullopt;
}

void FuzzerProcess::interrupt() {
  if (child_ <= 0 || interrupted_) return;
  interrupted_ = true;
  kill(child_, SIGINT);  // not its group: the worker of a plug-in must not die of it
}

FuzzerProcess::End FuzzerProcess::wait(std::chrono::seconds limit) {
  for (;;) {
    if (const auto end = poll(stop_is_requested() ? std::chrono::seconds(0) : limit)) return *end;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace normproof::campaign
