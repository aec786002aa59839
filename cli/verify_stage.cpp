#include "cli/verify_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "oracle/witness_judge.h"
#include "properties/judging/in_parallel.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

// What the witness judge, who assumes no order of summation, holds against outputs
// that the canonical judge accepts.
std::string witness_objection(const Case& test_case, const CaseTensors& tensors,
                              const Evaluation& evaluation) {
  if (evaluation.run.status != RunResult::Status::completed || evaluation.violates()) return {};
  const oracle::WitnessVerdict verdict = oracle::judge_witness(test_case, tensors, evaluation.run.outputs);
  if (verdict.conforms()) return {};
  return fmt::format(
      "the canonical judge accepts the outputs, the witness judge does not: {} rounding violations, {} scale "
      "violations, "
      "{} wrong residuals",
      verdict.rounding_violations, verdict.scale_violations, verdict.residual_mismatches);
}

struct Failure {
  Case test_case;
  std::string message;  // of the witness judge alone
  Evaluation seen;
  std::optional<Cause> cause{};  // where causes are told apart
  bool known = false;
};
constexpr std::size_t kMostNewCauses = 64;

// What a case costs, in elements: a row has a cost of its own. From so much on the time can be measured.
constexpr double kCostOfRow = 16, kMeasurableCost = 1 << 16;
double cost_of(const Case& test_case) {
  return static_cast<double>(test_case.elements()) + kCostOfRow * static_cast<double>(test_case.rows());
}

struct NumberedCase {
  std::int64_t index = 0;
  Case test_case;
  CaseTensors tensors;
};

struct CauseCount {
  Cause cause;
  std::int64_t count = 0;
};

class StageRun {
 public:
  StageRun(const CaseStage& stage, const StageContext& context)
      : stage_(stage),
        context_(context),
        begin_(context.clock.seconds()),
        before_(context.result.tally),
        by_cause_(context.options.every_cause || context.result.baseline),
        witness_(context.target.judging().canonical &&
                 context.options.witness.value_or(context.target.prefers_long_cases())) {}

  void judge() {
    const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    const int threads = context_.options.threads > 0 ? context_.options.threads
                                                     : cores * context_.target.calls_at_once_per_core();
    const std::int64_t violations = context_.result.violations, known = context_.result.known_violations;
    do {
      stop_workers_ = false;
      on_threads(threads, [this] { work(); });
      if (error_) std::rethrow_exception(error_);
      seconds_ = context_.clock.seconds() - begin_;
      record_failures();
      // What has stopped the workers may, when it is small, be known.
    } while (stop_workers_ && !context_.result.stopped_early && !stop_is_requested());
    add_checks();
    VerifyResult& result = context_.result;
    const std::int64_t known_here = known_failing();
    // Who stops at the first new one counts no more of them.
    const std::int64_t new_here = result.stopped_early
                                      ? (result.violations - violations) - (result.known_violations - known)
                                      : failing_ - known_here;
    result.known_violations = known + known_here;
    result.violations = violations + known_here + new_here;
  }

 private:
  void work();
  std::vector<NumberedCase> next_batch(double now);
  void judge_batch(const std::vector<NumberedCase>& batch, double now, Tally& tally);
  void note(const NumberedCase& failing, std::string objection, const Evaluation& evaluation);
  void show(std::int64_t index, double now);
  void keep(std::int64_t index, Failure failure, const Evaluation& seen);
  std::int64_t known_failing(std::optional<std::pair<Operation, DType>> of = {}) const;
  void add_checks();
  void record_failures();

  const CaseStage& stage_;
  const StageContext& context_;
  const double begin_;
  const Tally before_;
  double seconds_ = 0;
  const bool by_cause_;  // tell the causes of what fails apart
  const bool witness_;   // judge by the witness judge, too
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> stop_workers_{false};
  std::atomic<std::int64_t> elements_{0};
  std::atomic<double> seconds_per_cost_{0};   // as seen last
  std::mutex mutex_;                          // guards what follows, and printing
  std::map<std::int64_t, Failure> failures_;  // by index: the lowest, at most kMostRandomFindings
  std::int64_t failing_ = 0;                  // all of them
  std::vector<CauseCount> causes_;            // of all that fail, where they are told apart
  std::exception_ptr error_;
};

// Empty: the stage is over.
std::vector<NumberedCase> StageRun::next_batch(double now) {
  const std::int64_t first = next_.fetch_add(stage_.at_once);
  std::vector<NumberedCase> batch;
  for (std::int64_t i = 0; i < stage_.at_once; ++i) {
    const std::int64_t index = context_.options.shard.item(first + i);
    const bool is_beyond = stage_.count
                               ? index >= *stage_.count
                               : index >= stage_.most || (index >= stage_.minimum && now >= stage_.deadline);
    if (is_beyond) break;
    NumberedCase added{index, stage_.make(index), {}};
    // A case that would last beyond the deadline is not begun; it is among the sizes not reached.
    if (stage_.deadline_of_cases && now + seconds_per_cost_ * cost_of(added.test_case) > stage_.deadline)
      break;
    added.tensors = materialize(added.test_case);
    batch.push_back(std::move(added));
  }
  return batch;
}

void StageRun::judge_batch(const std::vector<NumberedCase>& batch, double now, Tally& tally) {
  std::vector<RunRequest> requests;
  for (const NumberedCase& each : batch) requests.push_back({&each.test_case, &each.tensors});
  const std::vector<Evaluation> evaluations = evaluate_all(requests, context_.target);
  const double cost = cost_of(batch.front().test_case);
  if (stage_.deadline_of_cases && cost >= kMeasurableCost)
    seconds_per_cost_ = (context_.clock.seconds() - now) / cost;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const NumberedCase& each = batch[i];
    const Evaluation& evaluation = evaluations[i];
    tally.add(each.test_case, evaluation);
    elements_ += evaluation.verdict.elements;
    std::string objection =
        witness_ ? witness_objection(each.test_case, each.tensors, evaluation) : std::string();
    if (evaluation.violates() || !objection.empty()) note(each, std::move(objection), evaluation);
  }
}

void StageRun::note(const NumberedCase& failing, std::string objection, const Evaluation& evaluation) {
  const std::lock_guard lock(mutex_);
  ++failing_;
  Failure failure{failing.test_case, std::move(objection), {}};
  if (by_cause_ && evaluation.violates()) {
    const Case& shown = failing.test_case;
    failure.cause = {identity_of(shown, evaluation), shown.operation, shown.dtype};
    failure.known = context_.violations.is_known(*failure.cause);
    const auto same = std::ranges::find(causes_, *failure.cause, &CauseCount::cause);
    if (same != causes_.end())
      ++same->count;
    else
      causes_.push_back({*failure.cause, 1});
  }
  if (!failure.known) {
    context_.violations.note_first();
    if (!context_.options.keep_going) stop_workers_ = true;
  }
  keep(failing.index, std::move(failure), evaluation);
}

// The lowest numbers; where causes are told apart, the lowest of each. New ones are limited: they have
// outputs, which take memory.
void StageRun::keep(std::int64_t index, Failure failure, const Evaluation& seen) {
  if (failure.cause) {
    const auto same =
        std::ranges::find_if(failures_, [&](const auto& each) { return each.second.cause == failure.cause; });
    if (same != failures_.end() && index > same->first) return;
    if (same != failures_.end()) failures_.erase(same);
  }
  const auto is_new = [](const auto& each) { return !each.second.known; };
  const std::size_t most = by_cause_ ? kMostNewCauses : kMostRandomFindings;
  if (!failure.known && static_cast<std::size_t>(std::ranges::count_if(failures_, is_new)) == most) {
    const auto last = std::prev(std::ranges::find_if(failures_.rbegin(), failures_.rend(), is_new).base());
    if (index > last->first) return;
    failures_.erase(last);
  }
  failure.seen = seen;
  if (failure.known) failure.seen.run.outputs = {};  // nobody looks at them
  failures_.insert_or_assign(index, std::move(failure));
}

void StageRun::show(std::int64_t index, double now) {
  if (index % 16 != 0 || !mutex_.try_lock()) return;
  const double fraction = stage_.count ? static_cast<double>(index) / static_cast<double>(*stage_.count)
                                       : (now - begin_) / std::max(stage_.deadline - begin_, 1e-3);
  context_.progress.show(stage_.name + "s", before_.total().cases + index,
                         before_.total().elements + elements_, fraction);
  mutex_.unlock();
}

void StageRun::work() {
  Tally tally;
  try {
    while (!stop_workers_ && !stop_is_requested()) {
      const double now = context_.clock.seconds();
      const std::vector<NumberedCase> batch = next_batch(now);
      if (batch.empty()) break;
      judge_batch(batch, now, tally);
      show(batch.front().index, now);
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    stop_workers_ = true;
  }
  const std::lock_guard lock(mutex_);
  context_.result.tally += tally;
}

// One for each operation and dtype that was judged.
void StageRun::add_checks() {
  for (const Operation operation : all_operations()) {
    for (const DType dtype : kActivationDTypes) {
      const Counts now = context_.result.tally.of(operation, dtype), then = before_.of(operation, dtype);
      if (now.cases == then.cases) continue;
      Check check{stage_.group,
                  fmt::format("{} {}", name_of(operation), name_of(dtype)),
                  now.violations == then.violations,
                  now.cases - then.cases,
                  seconds_,
                  {}};
      const std::int64_t violating = now.violations - then.violations;
      if (!check.passed)
        check.message = fmt::format("{} case{}", violating, violating == 1 ? " violates" : "s violate");
      check.known = violating > 0 && violating == known_failing(std::pair(operation, dtype));
      context_.result.checks.push_back(std::move(check));
    }
  }
}

// Of the failing cases, of one operation and dtype or of all, those whose cause is known by now.
std::int64_t StageRun::known_failing(std::optional<std::pair<Operation, DType>> of) const {
  std::int64_t count = 0;
  for (const CauseCount& each : causes_) {
    const bool counts = !of || *of == std::pair(each.cause.operation, each.cause.dtype);
    if (counts && context_.violations.is_known(each.cause)) count += each.count;
  }
  return count;
}

// The lowest index first: what is reported does not depend on which worker was faster.
void StageRun::record_failures() {
  for (const auto& [index, failure] : failures_) {
    context_.violations.record(failure.test_case,
                               fmt::format("{} {} of seed {}", stage_.name, index, context_.options.seed),
                               failure.message, failure.seen);
    // Who is stopped by a signal records all the same, without shrinking.
    if (context_.result.stopped_early) return;
  }
  failures_.clear();
}

}  // namespace

void judge_cases(const CaseStage& stage, const StageContext& context) { StageRun(stage, context).judge(); }

}  // namespace normproof
