// WorkerProcess: a process of normproof-worker and the memory shared with it. It is started when it is first
// needed and again after it has died. What it says is taken as what it is:
// bytes that anybody may have written.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "properties/targets/worker.h"
#include "properties/targets/worker/protocol.h"
#include "properties/targets/worker_output.h"

namespace normproof {

struct WorkerSettings {
  std::filesystem::path program;  // normproof-worker
  std::filesystem::path library;  // the kernels, for instance libkernels_cuda.so
  // For one round, in processor time while the worker computes; then it counts as hung.
  std::chrono::milliseconds patience{20000};
  // Opening a device for the first time can take long.
  std::chrono::milliseconds start_patience{120000};
  // The library is a plug-in, which gets device memory, if it asks for it, by means of this other library.
  std::optional<std::filesystem::path> device_library;
  // Memory of its own, in bytes, beyond which the worker is killed; 0: any amount. Looked at while a round
  // takes its time, and now and then.
  std::size_t memory_limit = 0;
  // A library that the process loads before all others, for instance the runtime of a sanitizer; empty: none.
  std::string preload;
  std::string title = "target cuda";  // for messages
};

// Whether a worker that has not answered after `waited`, and has computed for `used` of that time, counts as
// hung. Patience is for what it computes: where other programs keep the processors busy, it needs longer by
// the clock. One that waits, and computes next to nothing, hangs when the clock says so.
bool counts_as_hung(std::chrono::steady_clock::duration waited, std::chrono::milliseconds used,
                    std::chrono::milliseconds patience);

class WorkerProcess final : public Worker {
 public:
  // Throws TargetError where the shared memory cannot be had.
  explicit WorkerProcess(WorkerSettings settings);
  ~WorkerProcess() override;

  std::byte* memory() const override { return memory_; }

  // Starts the process unless it runs. Throws TargetError saying why it cannot work: no program, no library,
  // no driver, no device, too little memory.
  const worker::Greeting& start() override;

  // Has the round of an arena carried out. Returns what went wrong, or an empty
  // string; then the process has ended.
  std::string carry_out(std::size_t arena) override;

  int starts() const { return starts_; }
  // Rounds that the running process has carried out; 0 where none runs.
  std::int64_t rounds() const override { return rounds_; }
  std::string printed() override { return output_.take_printed(); }
  // Whether the last failure was that the worker gave no answer.
  bool hung() const override { return hung_; }
  bool stopped() const override { return stopped_; }

 private:
  void spawn();
  void share(std::size_t bytes);
  // Asks for a round, or the greeting, and waits for the answer. Returns what went wrong, or an empty string.
  std::string ask(std::uint64_t arena, std::chrono::milliseconds patience);
  std::string await_answer(std::chrono::milliseconds patience);
  std::string receive_answer();
  // Why the answer is not waited for any longer, at a time after the question; empty where it is.
  bool is_hung(std::chrono::steady_clock::duration waited, std::chrono::milliseconds patience);
  std::string reason_to_end(std::chrono::steady_clock::duration waited, std::chrono::milliseconds patience);
  void release_behind(const std::byte* end);
  // Of the shared memory, in bytes.
  std::int64_t shared_memory_in_use() const;
  std::string memory_problem() const;
  std::string crash_place() const;
  // Ends what is left of the process, with all that it has begun, and says how it died.
  std::string end();

  WorkerSettings settings_;
  int memory_descriptor_ = -1;
  std::byte* memory_ = nullptr;
  int socket_ = -1;
  pid_t process_ = -1;              // the supervisor, whose child does the work
  worker::Message asked_;           // what it has to answer
  std::int64_t shared_before_ = 0;  // shared memory that was in use then
  int starts_ = 0;
  std::int64_t rounds_ = 0;
  std::int64_t calls_ = 0;  // since it was asked how much memory it has
  bool hung_ = false, stopped_ = false;
  std::optional<std::chrono::milliseconds>
      processor_before_;  // of the worker, at the first look after it was asked
  WorkerOutput output_;
  worker::Greeting greeting_{};
};

}  // namespace normproof
