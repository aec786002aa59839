// A fuzzer as a process: started through run.sh, watched through its log, killed with its parent.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace normproof::campaign {

struct Fuzzer {
  std::string name;  // "conformance"
  std::filesystem::path
      program;  // ".../conformance_fuzzer"; its settings and the name of its seeds lie beside it
  std::filesystem::path seeds;  // folder; may not exist
  bool takes_cases = false;     // its inputs are cases in binary form
  bool takes_calls = false;     // they are calls by name in binary form
  bool runs_target() const { return takes_cases || takes_calls; }
};

// The programs NAME_fuzzer in `folder`, by name. Throws std::runtime_error where there is none.
std::vector<Fuzzer> find_fuzzers(const std::filesystem::path& folder);

// What libFuzzer last said of its progress.
struct FuzzerStatus {
  std::int64_t executions = 0;
  std::int64_t coverage = 0;
  std::int64_t corpus = 0;
};
FuzzerStatus read_status(const std::filesystem::path& log);

// What a fuzzer met that is known already, as it wrote it into the file NORMPROOF_KNOWN_TALLY.
struct KnownTally {
  std::int64_t violations = 0, left_out = 0;
  double seconds = 0;
};
KnownTally read_known_tally(const std::filesystem::path& file);

class FuzzerProcess {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  // Starts `fuzzer` with its own settings and then `arguments`; standard output and error go to `log`. Throws
  // std::system_error where it cannot be started.
  FuzzerProcess(const Fuzzer& fuzzer, const std::vector<std::string>& arguments,
                const Environment& environment, const std::filesystem::path& log);
  FuzzerProcess(FuzzerProcess&& other) noexcept;
  FuzzerProcess& operator=(FuzzerProcess&&) = delete;
  ~FuzzerProcess();

  // How it ended.
  struct End {
    int status = 0;            // exit code, or 128 plus the signal
    bool killed = false;       // by this class, because it took too long
    bool interrupted = false;  // was asked to end
    double processor_seconds = 0;
  };
  // Nothing while it runs. After `limit` from its start it is killed.
  std::optional<End> poll(std::chrono::seconds limit);
  End wait(std::chrono::seconds limit);
  // Asks it to end as soon as it can, and to say what it has done.
  void interrupt();
  std::chrono::duration<double> running_for() const { return std::chrono::steady_clock::now() - start_; }

 private:
  pid_t child_ = -1;
  bool killed_ = false, interrupted_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace normproof::campaign
