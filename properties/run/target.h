// Target: who runs a case. The production kernels on the CPU, a mutant of them, later a GPU or any shared
// library.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"

namespace normproof {

// What came of running one case on a target.
struct RunResult {
  enum class Status {
    completed,
    refused,  // the target rejected the call's arguments and says why
    failed,   // the call was accepted and went wrong: launch error, divergent barrier
  };
  Status status = Status::completed;
  std::string message;  // why it was refused or failed
  Outputs outputs;      // packed; after a completed run
  // Bytes written outside the outputs, inputs modified; also looked at after a refusal.
  std::vector<std::string> memory_violations;
  // Where a case runs on two targets: how their results differ.
  std::string disagreement;
  KernelPath path = KernelPath::automatic;  // the path that ran, where the target reports it
  int threads_per_block = 0;
};

class Target {
 public:
  Target() = default;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  virtual ~Target() = default;

  virtual const std::string& name() const = 0;
  // Runs a valid case on fresh guarded tensors. May be called from several OS threads at once.
  virtual RunResult run(const Case& test_case, const CaseTensors& tensors) = 0;

  // Whether long rows and many of them cost it little.
  virtual bool prefers_long_cases() const { return false; }
  // How many threads per core should call run() so that neither they nor the target wait.
  virtual int calls_at_once_per_core() const { return 1; }
  // Lines about what it did, for the end of a report.
  virtual std::string closing_words() const { return {}; }
};

// The case that a kernel target is running in the calling thread, for reports of a crash; null outside a run.
const Case* case_being_run();

// A target that cannot be had here: unknown name, missing library.
class TargetError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// "host": the production kernels on the CPU. "mutant:NAME": a copy of them with
// properties/mutants/NAME.patch. "cuda": the production kernels on a GPU. "A+B": every case on both, whose
// bits must be the same. Throws TargetError naming what is wrong and what would be accepted.
std::unique_ptr<Target> make_target(std::string_view name);

struct TargetDescription {
  std::string name;
  std::string description;
};
// The targets that make_target can give on this machine.
std::vector<TargetDescription> available_targets();

}  // namespace normproof
