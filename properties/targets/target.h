// Target: who runs a case. The production kernels on the CPU or a GPU, a mutant of them, any shared library.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/call_limits.h"
#include "corpus/case.h"
#include "oracle/order_file.h"
#include "oracle/policy.h"

namespace normproof {

// What came of running one case on a target.
struct RunResult {
  enum class Status {
    completed,
    refused,    // the target rejected the call's arguments and says why
    failed,     // the call was accepted and went wrong: launch error, divergent barrier
    not_taken,  // a foreign kernel is not made for such a call, and says why
  };
  Status status = Status::completed;
  std::string message;  // why it was refused or not taken, or how it failed
  Outputs outputs;      // packed; after a completed run
  // Bytes written outside the outputs, inputs modified; also looked at after a refusal.
  std::vector<std::string> memory_violations;
  // Where a case runs on two targets: how their results differ.
  std::string disagreement;
  KernelPath path = KernelPath::automatic;  // the path that ran, where the target reports it
  int threads_per_block = 0;
};

// What a target is to run: a valid case and its tensors, which outlive the request.
struct RunRequest {
  const Case* test_case = nullptr;
  const CaseTensors* tensors = nullptr;
};

// Who judges a target's outputs, and by which policy.
struct Judging {
  // Whether the canonical order of summation is demanded, and so every bit; otherwise the witness judge
  // judges, who accepts any order.
  bool canonical = true;
  oracle::Policy policy;
  // Orders of summation that are known: a case of one is judged by it, by the witness judge.
  std::shared_ptr<const oracle::Orders> orders = {};
  oracle::Orders::Match match = oracle::Orders::Match::same_length;
  // The policy for the case: with the order that `orders` has for it, if any.
  oracle::Policy policy_of(const Case& test_case) const;
};

class JudgedTarget;

class Target {
 public:
  Target() = default;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  virtual ~Target() = default;

  virtual const std::string& name() const = 0;
  // Runs a valid case on fresh guarded tensors. May be called from several OS threads at once.
  virtual RunResult run(const Case& test_case, const CaseTensors& tensors) = 0;
  // Runs each, with one result for each. A target to which the way is long may take them together.
  virtual std::vector<RunResult> run_all(std::span<const RunRequest> requests);
  // How many requests at a time are enough for that.
  virtual std::int64_t requests_at_once() const { return 1; }

  // Whether the kernels are somebody else's. They promise no order of summation, know nothing of our code
  // paths and thread orders, and refuse what they are not made for; so
  // must_be_refused() does not apply to them.
  virtual bool is_foreign() const { return false; }
  // Whether it is made for cases of this operation and these dtypes; nothing else of the case is looked at.
  virtual bool takes(const Case&) const { return true; }
  // What it declares of the calls of an operation: none is made outside.
  virtual CallLimits limits_of(Operation) const { return {}; }
  // By default a foreign target is judged by the witness judge, by policy native.
  Judging judging() const { return judging_.value_or(Judging{!is_foreign(), {}}); }
  void judge_by(const Judging& judging) { judging_ = judging; }

  // What of it runs judged operations (judged_target.h); null where it has none.
  virtual JudgedTarget* judged_target() { return nullptr; }

  // Whether it can carry out a case that is launched in a CUDA graph; others do not take such cases.
  virtual bool replays_graphs() const { return false; }

  // Whether long rows and many of them cost it little.
  virtual bool prefers_long_cases() const { return false; }
  // How many threads per core should call run() so that neither they nor the target wait.
  virtual int calls_at_once_per_core() const { return 1; }
  // Lines about what it did, for the end of a report.
  virtual std::string closing_words() const { return {}; }

 private:
  std::optional<Judging> judging_;
};

// The case that a kernel target is running in the calling thread, for reports of a crash; null outside a run.
const Case* case_being_run();

// A target that cannot be had here: unknown name, missing library.
class TargetError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// "host": the production kernels on the CPU. "mutant:NAME": a copy of them with
// properties/mutants/NAME.patch. "cuda": the production kernels on a GPU. The path of a shared library, which
// has a '/' or ends in ".so": a plug-in. "A+B": every case on both, whose bits must be the same. Throws
// TargetError naming what is wrong and what would be accepted.
std::unique_ptr<Target> make_target(std::string_view name);

// Where the libraries of the mutants are: beside the program's own folder, or where NORMPROOF_MUTANTS says.
std::filesystem::path mutants_folder();

struct TargetDescription {
  std::string name;
  std::string description;
};
// The targets that make_target can give on this machine.
std::vector<TargetDescription> available_targets();

}  // namespace normproof
