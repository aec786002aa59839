// The violations of a run of `verify`: shrunk, stored, tried in a fresh process, printed, and counted, those
// of one cause together.
#pragma once

#include <chrono>
#include <ctime>
#include <optional>
#include <string>

#include "cli/progress.h"
#include "cli/verify_run.h"
#include "properties/judging/evaluate.h"
#include "properties/targets/recorded_target.h"

namespace normproof {

// Time since a run began: on the wall, and of the processor for all threads together, which a busy machine
// does not lengthen.
class RunClock {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  double processor_seconds() const { return processor_seconds_now() - processor_start_; }

 private:
  using Clock = std::chrono::steady_clock;
  static double processor_seconds_now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
  Clock::time_point start_ = Clock::now();
  double processor_start_ = processor_seconds_now();
};

class Violations {
 public:
  // `recorder`: of a foreign target, which may keep something between calls;
  // else null. All must outlive this.
  Violations(const VerifyOptions& options, Target& target, const RecordedTarget* recorder,
             const RunClock& clock, Progress& progress, VerifyResult& result)
      : options_(options),
        target_(target),
        recorder_(recorder),
        clock_(clock),
        progress_(progress),
        result_(result) {}

  // To be called as soon as a violation is seen.
  void note_first();
  // Shrinks and stores a violating case, judged from what was seen when it was found: the target need not do
  // it again. `message` comes before the judge's description where the judge alone does not see the violation
  // (a property about two runs, say); then nothing may have been `seen` of the case by itself. Returns
  // whether it is known.
  bool record(const Case& failing, std::string found_by, const std::string& message,
              std::optional<Evaluation> seen);
  // One without a case of its own; prints `text`.
  bool record(Finding finding, const std::string& text);
  // Whether a violation of this cause is known.
  bool is_known(const Cause& cause) const;

 private:
  // Adds the violation to the finding of its cause, which is made where the cause is in the baseline. Returns
  // whether it is known; nothing where it is a finding of its own.
  std::optional<bool> join(const Cause& cause, const Cause& found, Finding& finding);
  void record_known(BaselineEntry& entry, Finding finding);

  const VerifyOptions& options_;
  Target& target_;
  const RecordedTarget* recorder_;
  const RunClock& clock_;
  Progress& progress_;
  VerifyResult& result_;
};

}  // namespace normproof
