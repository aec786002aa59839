#include "cli/verify_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>

#include "cli/crash_report.h"
#include "cli/progress.h"
#include "cli/reproduction.h"
#include "cli/stop_signals.h"
#include "cli/verify_demands.h"
#include "corpus/case_json.h"
#include "corpus/generate.h"
#include "oracle/witness_judge.h"
#include "properties/property.h"
#include "properties/run/evaluate.h"
#include "properties/run/in_parallel.h"
#include "properties/run/recorded_target.h"
#include "properties/run/size_sweep.h"
#include "properties/run/stop_request.h"
#include "properties/run/verification_case.h"

namespace normproof {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of all threads together; a busy machine does not lengthen it.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Share of the time that the properties may take; the random cases get what is left.
constexpr double kPropertyShare = 0.3;
// Enough for each property to check something.
constexpr double kLeastPropertySeconds = 0.1;
// So many random cases follow in any case, so that every combination is reached on a slow machine too.
constexpr std::int64_t kRoundsOfCombinations = 4;
// The cases that reach every size may run until this share of the time is over.
constexpr double kSizesUntil = 0.85;

// What the witness judge, who assumes no order of summation, holds against outputs that the canonical judge
// accepts.
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
};

// Cases that all threads judge: of a seed, or of the sweep over all sizes.
struct CaseStage {
  std::string group;  // of its checks
  std::string name;   // of one of its cases
  std::function<Case(std::int64_t index)> make;
  std::int64_t minimum = 0;                // that are judged however late it is
  std::optional<std::int64_t> count = {};  // exactly so many
  std::int64_t most = INT64_MAX;           // there are no more
  double deadline = 0;                     // seconds since the start of the run
  bool deadline_of_cases = false;          // also for the end of each case, as far as that can be foreseen
  std::int64_t at_once = 1;
};

// What a case costs, in elements: a row has a cost of its own. From so much on the time can be measured.
constexpr double kCostOfRow = 16, kMeasurableCost = 1 << 16;
double cost_of(const Case& test_case) {
  return static_cast<double>(test_case.elements()) + kCostOfRow * static_cast<double>(test_case.rows());
}

struct RandomCase {
  std::int64_t index = 0;
  Case test_case;
  CaseTensors tensors;
};

class Verification {
 public:
  explicit Verification(const VerifyOptions& options)
      : options_(options),
        target_(judged(recorded(make_target(options.target)), options.judge)),
        combinations_(combinations_of(*target_, options.operation, options.dtype)) {
    if (combinations_.empty()) {
      throw TargetError(fmt::format("target {} takes {}", options.target,
                                    options.operation || options.dtype
                                        ? "nothing of what --op and --dtype leave"
                                        : "no operation with any dtype"));
    }
  }

  VerifyResult run();

 private:
  void replay_corpus();
  void check_properties();
  void judge_sizes();
  void judge_random_cases();
  void judge_cases(const CaseStage& stage);
  bool counts_as_known(const Cause& cause, const Cause& found, const std::string& found_by);
  void record(const Case& failing, std::string found_by, const std::string& message,
              std::optional<Evaluation> seen);
  void observe_promises();
  std::unique_ptr<Target> recorded(std::unique_ptr<Target> target);
  void note_first_violation();
  void note_stop();
  bool stop() const { return result_.stopped_early || stop_is_requested(); }
  bool selected(const Case& test_case) const {
    return (!options_.operation || test_case.operation == *options_.operation) &&
           (!options_.dtype || test_case.dtype == *options_.dtype);
  }

  const VerifyOptions& options_;
  const RecordedTarget* recorder_ = nullptr;  // of a foreign target
  std::unique_ptr<Target> target_;
  std::vector<Combination> combinations_;
  Clock::time_point start_ = Clock::now();
  double processor_start_ = processor_seconds();
  Progress progress_;
  VerifyResult result_;
};

VerifyResult Verification::run() {
  report_crashes(options_.findings, options_.target);
  replay_corpus();
  if (!stop()) observe_promises();
  if (!stop()) check_properties();
  if (!stop()) judge_sizes();
  if (!stop()) judge_random_cases();
  progress_.clear();
  result_.combinations = combinations_;
  // What one shard does not reach, or the target does not take of it, another may.
  if (options_.shard.is_whole()) {
    result_.uncovered = result_.tally.uncovered(combinations_);
    const Counts total = result_.tally.total();
    if (!stop() && total.rows == 0 && total.not_taken > 0)
      result_.unchecked.push_back(fmt::format("the target took none of {} cases", total.not_taken));
  }
  result_.judging = target_->judging();
  conclude_promises(options_, result_);
  result_.seconds = seconds_since(start_);
  if (stop_is_requested()) note_stop();
  result_.closing_words = target_->closing_words();
  return std::move(result_);
}

// What was not done is said as a whole, not combination by combination.
void Verification::note_stop() {
  result_.stopped_by = stop_signal;
  result_.stopped_early = true;
  result_.uncovered.clear();
  result_.unchecked.push_back(
      fmt::format("{} after {:.1f} s, the rest of the run", stop_text(result_.stopped_by), result_.seconds));
}

void Verification::note_first_violation() {
  if (result_.cases_to_first_violation != 0) return;
  result_.seconds_to_first_violation = seconds_since(start_);
  result_.processor_seconds_to_first_violation = processor_seconds() - processor_start_;
  result_.cases_to_first_violation = std::max<std::int64_t>(result_.tally.total().cases, 1);
}

// Where a finding of this cause is there already, counts the violation with it: it has a repro.
bool Verification::counts_as_known(const Cause& cause, const Cause& found, const std::string& found_by) {
  const auto known = std::ranges::find_if(result_.findings, [&](const Finding& finding) {
    return std::ranges::find(finding.causes, cause) != finding.causes.end();
  });
  if (known == result_.findings.end()) return false;
  if (cause != found) known->causes.push_back(found);
  known->also_found_by.push_back(found_by);
  ++result_.violations;
  return true;
}

// Only kernels of others may keep something between calls; and ours are looked at through their class.
std::unique_ptr<Target> Verification::recorded(std::unique_ptr<Target> target) {
  if (!target->is_foreign()) return target;
  auto recorder = std::make_unique<RecordedTarget>(std::move(target));
  recorder_ = recorder.get();
  return recorder;
}

// Shrinks and stores a violating case, judged from what was seen when it was found: the target need not do it
// again. `message` comes before the judge's description where the judge alone does not see the violation (a
// property about two runs, say); then nothing may have been `seen` of the case by itself.
void Verification::record(const Case& failing, std::string found_by, const std::string& message,
                          std::optional<Evaluation> seen) {
  progress_.clear();
  const std::vector<Case> before = recorder_ != nullptr ? recorder_->recent() : std::vector<Case>{};
  Finding finding;
  finding.found_by = std::move(found_by);
  finding.test_case = failing;
  // As few runs as can be: each may take as long as the target's patience.
  Evaluation evaluation = seen ? *std::move(seen) : evaluate(failing, *target_);
  finding.message = message.empty() ? "" : message + "\n";
  if (evaluation.violates()) {
    const Cause found{identity_of(failing, evaluation), failing.operation, failing.dtype};
    if (counts_as_known(found, found, finding.found_by)) return;
    Shrunk shrunk{failing, false};
    if (options_.shrink) {
      shrunk = shrink_violation(failing, found.violation, *target_, evaluation,
                                {.keep_operation = options_.operation.has_value()});
      finding.test_case = shrunk.test_case;
    }
    const Cause smallest{found.violation, finding.test_case.operation, finding.test_case.dtype};
    if (counts_as_known(smallest, found, finding.found_by)) return;
    finding.causes = {found, smallest};
    finding.message += describe(finding.test_case, evaluation);
    if (shrunk.stopped_early) finding.message += "  " + stopped_early_text({});
  }
  try {
    store_finding(finding, options_.findings, *target_, evaluation);
    if (evaluation.violates()) reproduce(finding, before, *target_);
  } catch (const std::exception& error) {
    finding.message += finding.file.empty() ? fmt::format("  the repro could not be written: {}\n{}\n",
                                                          error.what(), case_to_json(finding.test_case))
                                            : fmt::format("  it could not be replayed: {}\n", error.what());
  }
  fmt::print("{}\n", finding_text(finding, *target_));
  std::fflush(stdout);
  result_.findings.push_back(std::move(finding));
  ++result_.violations;
  if (!options_.keep_going) result_.stopped_early = true;
}

void Verification::observe_promises() {
  if (!options_.shard.takes(0)) return;
  progress_.clear();
  PromiseRun run = run_promises(options_, *target_, combinations_, result_.tally);
  if (run.wrong) {
    note_first_violation();
    record(run.wrong->test_case, fmt::format("comparing calls, seed {}", options_.seed), {},
           std::move(run.wrong->evaluation));
  }
  result_.promises = std::move(run.observations);
  for (Finding& finding : broken_demands(options_, result_.promises, *target_)) {
    note_first_violation();
    fmt::print("{}\n", finding_text(finding, *target_));
    result_.findings.push_back(std::move(finding));
    ++result_.violations;
    result_.stopped_early = !options_.keep_going;
  }
}

void Verification::replay_corpus() {
  auto files = find_case_files(options_.corpus);
  // The seeds of real bugs first: they are the smallest.
  std::ranges::sort(files, {}, [](const std::filesystem::path& file) {
    return std::pair(file.parent_path().filename() != "seeds", file);
  });
  if (files.empty())
    result_.unchecked.push_back(fmt::format("{}: there is no case file (*.json)", options_.corpus));
  result_.corpus_files = static_cast<std::int64_t>(files.size());
  std::int64_t done = 0;
  for (const auto& file : files) {
    if (stop()) return;
    if (!options_.shard.takes(done++)) continue;
    const auto begin = Clock::now();
    const std::string name = std::filesystem::relative(file, options_.corpus).string();
    Case test_case;
    try {
      test_case = read_case(file);
    } catch (const std::exception& error) {
      result_.unchecked.emplace_back(error.what());
      continue;
    }
    if (!selected(test_case)) continue;
    const Evaluation evaluation = evaluate(test_case, *target_);
    result_.tally.add(test_case, evaluation);
    if (stop() && evaluation.outcome == Evaluation::Outcome::not_taken) return;  // not waited for
    Check check{"corpus", name, !evaluation.violates(), 1, seconds_since(begin), {}};
    if (evaluation.violates()) {
      check.message = describe(test_case, evaluation);
      note_first_violation();
      record(test_case, "corpus case " + name, {}, evaluation);
    }
    result_.checks.push_back(std::move(check));
    const Counts total = result_.tally.total();
    progress_.show("corpus", total.cases, total.elements,
                   static_cast<double>(done) / static_cast<double>(files.size()));
  }
}

void Verification::check_properties() {
  const auto properties = all_properties();
  const double share = std::max(kLeastPropertySeconds,
                                options_.seconds * kPropertyShare / static_cast<double>(properties.size()));
  std::size_t next = 0;
  for (const Property& property : properties) {
    const std::size_t done = next++;
    if (!options_.shard.takes(static_cast<std::int64_t>(done))) continue;
    if (property.own_interface && target_->is_foreign()) continue;
    const auto begin = Clock::now();
    PropertyContext context{*target_,
                            result_.tally,
                            options_.seed + done,
                            options_.property_cases.value_or(1000),
                            options_.operation,
                            options_.dtype,
                            {}};
    context.shrink = options_.shrink;
    context.out_of_time = [&] {
      const Counts total = result_.tally.total();
      progress_.show("properties", total.cases, total.elements,
                     (static_cast<double>(done) + std::min(1.0, seconds_since(begin) / share)) /
                         static_cast<double>(properties.size()));
      return stop_is_requested() || (!options_.property_cases && seconds_since(begin) > share);
    };
    const PropertyResult outcome = property.check(context);
    if (stop_is_requested() && outcome.cases == 0 && !outcome.counterexample)
      return;  // it was not asked for any
    Check check{"property",    std::string(property.name), outcome.holds,
                outcome.cases, seconds_since(begin),       {}};
    if (!outcome.not_compared.empty()) check.skipped = "not compared: " + outcome.not_compared;
    if (!outcome.holds && outcome.cases == 0 && !outcome.counterexample) {
      // Nothing was found wrong, but nothing was checked either.
      result_.unchecked.push_back(fmt::format("property {}: {}", property.name, outcome.message));
      check.message = outcome.message;
    } else if (!outcome.holds) {
      check.message = outcome.message;
      note_first_violation();
      const std::string found_by = fmt::format("property {}: {}", property.name, property.sentence);
      if (outcome.counterexample) {
        record(*outcome.counterexample, found_by, outcome.message, outcome.seen);
      } else {
        progress_.clear();
        fmt::print("VIOLATION found by {}\n{}\n", found_by, outcome.message);
        result_.findings.push_back({{}, found_by, outcome.message, {}});
        ++result_.violations;
        result_.stopped_early = !options_.keep_going;
      }
    }
    // Of an operation that was not asked for, or nothing that the target takes: not a check.
    if (outcome.cases > 0 || !outcome.holds) result_.checks.push_back(std::move(check));
    if (stop()) return;
  }
}

void Verification::judge_sizes() {
  if (options_.cases) return;  // exactly so many, and no others
  const std::vector<Case> sweep = size_sweep(options_.seed, combinations_);
  CaseStage stage{"sizes", "size case",
                  [&](std::int64_t index) { return sweep[static_cast<std::size_t>(index)]; }};
  stage.most = static_cast<std::int64_t>(sweep.size());
  stage.deadline = options_.seconds * kSizesUntil;
  stage.deadline_of_cases = true;
  judge_cases(stage);
}

void Verification::judge_random_cases() {
  CaseStage stage{"random", "random case", [&](std::int64_t index) {
                    return verification_case(options_.seed, index, combinations_,
                                             target_->prefers_long_cases());
                  }};
  stage.minimum = kRoundsOfCombinations * static_cast<std::int64_t>(combinations_.size());
  stage.count = options_.cases;
  stage.deadline = options_.seconds;
  stage.at_once = target_->requests_at_once();
  judge_cases(stage);
}

void Verification::judge_cases(const CaseStage& stage) {
  const double stage_begin = seconds_since(start_);
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> stop_workers{false};
  std::atomic<std::int64_t> elements{0};
  std::atomic<double> seconds_per_cost{0};   // as seen last
  std::mutex mutex;                          // guards what follows, and printing
  std::map<std::int64_t, Failure> failures;  // by index: the lowest, at most kMostRandomFindings
  std::int64_t failing = 0;                  // all of them
  std::exception_ptr error;
  const Tally before = result_.tally;
  const bool witness =
      target_->judging().canonical && options_.witness.value_or(target_->prefers_long_cases());

  const auto work = [&] {
    Tally tally;
    std::vector<RandomCase> batch;
    std::vector<RunRequest> requests;
    try {
      while (!stop_workers && !stop_is_requested()) {
        const std::int64_t first = next.fetch_add(stage.at_once);
        const std::int64_t index = options_.shard.item(first);
        const double now = seconds_since(start_);
        const auto is_beyond = [&](std::int64_t each) {
          if (stage.count) return each >= *stage.count;
          return each >= stage.most || (each >= stage.minimum && now >= stage.deadline);
        };
        if (is_beyond(index)) break;
        batch.clear();
        for (std::int64_t i = 0; i < stage.at_once; ++i) {
          const std::int64_t each = options_.shard.item(first + i);
          if (is_beyond(each)) break;
          RandomCase& added = batch.emplace_back();
          added.index = each;
          added.test_case = stage.make(each);
          // A case that would last beyond the deadline is not begun; it is among the sizes not reached.
          if (stage.deadline_of_cases && now + seconds_per_cost * cost_of(added.test_case) > stage.deadline) {
            batch.pop_back();
            break;
          }
          added.tensors = materialize(added.test_case);
        }
        if (batch.empty()) break;
        requests.clear();
        for (const RandomCase& each : batch) requests.push_back({&each.test_case, &each.tensors});
        const std::vector<Evaluation> evaluations = evaluate_all(requests, *target_);
        if (stage.deadline_of_cases && cost_of(batch.front().test_case) >= kMeasurableCost)
          seconds_per_cost = (seconds_since(start_) - now) / cost_of(batch.front().test_case);
        for (std::size_t i = 0; i < batch.size(); ++i) {
          const auto& [number, test_case, tensors] = batch[i];
          const Evaluation& evaluation = evaluations[i];
          tally.add(test_case, evaluation);
          elements += evaluation.verdict.elements;
          std::string objection = witness ? witness_objection(test_case, tensors, evaluation) : std::string();
          if (evaluation.violates() || !objection.empty()) {
            const std::lock_guard lock(mutex);
            note_first_violation();
            ++failing;
            if (!options_.keep_going) stop_workers = true;
            if (failures.size() == kMostRandomFindings && number > failures.rbegin()->first) continue;
            failures[number] = {test_case, std::move(objection), evaluation};
            if (failures.size() > kMostRandomFindings) failures.erase(std::prev(failures.end()));
          }
        }
        if (index % 16 == 0 && mutex.try_lock()) {
          const double fraction = stage.count
                                      ? static_cast<double>(index) / static_cast<double>(*stage.count)
                                      : (now - stage_begin) / std::max(stage.deadline - stage_begin, 1e-3);
          progress_.show(stage.name + "s", before.total().cases + index, before.total().elements + elements,
                         fraction);
          mutex.unlock();
        }
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      stop_workers = true;
    }
    const std::lock_guard lock(mutex);
    result_.tally += tally;
  };
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int threads = options_.threads > 0 ? options_.threads : cores * target_->calls_at_once_per_core();
  on_threads(threads, work);
  if (error) std::rethrow_exception(error);

  for (const Operation operation : kOperations) {
    for (const DType dtype : kActivationDTypes) {
      const Counts now = result_.tally.of(operation, dtype), then = before.of(operation, dtype);
      if (now.cases == then.cases) continue;
      Check check{stage.group,
                  fmt::format("{} {}", name_of(operation), name_of(dtype)),
                  now.violations == then.violations,
                  now.cases - then.cases,
                  seconds_since(start_) - stage_begin,
                  {}};
      if (!check.passed) check.message = fmt::format("{} cases violate", now.violations - then.violations);
      result_.checks.push_back(std::move(check));
    }
  }
  // The lowest index first: what is reported does not depend on which worker was faster.
  const auto violations_before = result_.violations;
  for (const auto& [index, failure] : failures) {
    record(failure.test_case, fmt::format("{} {} of seed {}", stage.name, index, options_.seed),
           failure.message, failure.seen);
    if (result_.stopped_early) return;  // who is stopped by a signal records all the same, without shrinking
  }
  result_.violations = violations_before + failing;
}

}  // namespace

VerifyResult verify(const VerifyOptions& options) { return Verification(options).run(); }

}  // namespace normproof
