// WorkerProcess: a process of normproof-worker and the memory shared with it. It is started when it is first
// needed and again after it has died.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "properties/worker/protocol.h"

namespace normproof {

struct WorkerSettings {
  std::filesystem::path program;              // normproof-worker
  std::filesystem::path library;              // the kernels, for instance libkernels_cuda.so
  std::chrono::milliseconds patience{20000};  // for one round; then the worker counts as hung
};

class WorkerProcess {
 public:
  // Throws TargetError where the shared memory cannot be had.
  explicit WorkerProcess(WorkerSettings settings);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  std::byte* memory() const { return memory_; }

  // Starts the process unless it runs. Throws TargetError saying why it cannot work: no program, no library,
  // no driver, no device, too little memory.
  const normproof_device_info& start();

  // Has the round of an arena carried out. Returns what went wrong, or an empty string; then the process has
  // ended.
  std::string carry_out(std::size_t arena);

  int starts() const { return starts_; }

 private:
  std::string await_answer(std::chrono::milliseconds patience);
  std::string end();  // kills what is left of the process; says how it died

  WorkerSettings settings_;
  int memory_descriptor_ = -1;
  std::byte* memory_ = nullptr;
  int socket_ = -1;
  pid_t process_ = -1;
  int starts_ = 0;
  normproof_device_info device_{};
};

}  // namespace normproof
