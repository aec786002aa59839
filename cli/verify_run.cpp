#include "cli/verify_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "cli/crash_report.h"
#include "cli/progress.h"
#include "cli/stop_signals.h"
#include "cli/verify_demands.h"
#include "cli/verify_judged.h"
#include "cli/verify_orders.h"
#include "cli/verify_stage.h"
#include "cli/verify_violations.h"
#include "corpus/case_json.h"
#include "corpus/generate.h"
#include "properties/judging/evaluate.h"
#include "properties/judging/size_sweep.h"
#include "properties/judging/verification_case.h"
#include "properties/property.h"
#include "properties/targets/recorded_target.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

// Share of the time that the properties may take; the random cases get what is left.
constexpr double kPropertyShare = 0.3;
// Enough for each property to check something.
constexpr double kLeastPropertySeconds = 0.1;
// So many random cases follow in any case, so that every combination is reached on a slow machine too.
constexpr std::int64_t kRoundsOfCombinations = 4;
// What a foreign kernel does not take is tried for so long, for each operation.
constexpr double kLearningSeconds = 2;
// What our own kernels of judged operations get of the run, after everything else: they take turns call by
// call, and pass through the chosen sizes in that.
constexpr double kOwnJudgedShare = 1.0 / 3;
// The cases that reach every size may run until this share of the time is over.
constexpr double kSizesUntil = 0.85;

class Verification {
 public:
  explicit Verification(const VerifyOptions& options)
      : options_(options), target_(judged(recorded(make_target(options.target)), options.judge)) {
    if (options.judged_operation.empty())
      combinations_ = combinations_of(*target_, options.operation, options.dtype);
    if (JudgedTarget* of_judged = target_->judged_target(); of_judged != nullptr && !options.operation) {
      policies_ = policies_from(options.judge.policy, *target_).judged;
      const auto* only = oracle::judged::find_judged_operation(options.judged_operation);
      judged_combinations_ = judging::combinations_of(*of_judged, only, options.dtype, &declined_);
      for (judging::Combination& each : judged_combinations_) each.policy = policies_.at(each.operation);
      name_what_is_not_reached(*of_judged, only);
    }
    if (!options.baseline.empty()) {
      const Judging judging = target_->judging();
      result_.baseline =
          read_baseline(options.baseline, {judging.canonical, oracle::to_string(judging.policy)});
    }
    share_time();
    if (combinations_.empty() && judged_combinations_.empty()) {
      throw TargetError(fmt::format("target {} takes {}", options.target,
                                    options.operation || options.dtype || !options.judged_operation.empty()
                                        ? "none of the calls selected by --op and --dtype"
                                        : "no operation with any dtype"));
    }
  }

  VerifyResult run();

 private:
  void name_what_is_not_reached(const JudgedTarget& target, const oracle::judged::JudgedOperation* only);
  void share_time();
  void verify_cases();
  void verify_judged_calls();
  void replay_corpus();
  void check_properties();
  void judge_known_orders();
  void judge_sizes();
  void judge_random_cases();
  void observe_promises();
  void try_unseen_entries();
  void learn();
  std::unique_ptr<Target> recorded(std::unique_ptr<Target> target);
  void note_stop();
  bool stop() const { return result_.stopped_early || stop_is_requested(); }
  bool selected(const Case& test_case) const {
    return (!options_.operation || test_case.operation == *options_.operation) &&
           (!options_.dtype || test_case.dtype == *options_.dtype);
  }

  VerifyOptions options_;  // `seconds`: until when the stage that runs may go on
  double seconds_of_all_ = 0;
  const RecordedTarget* recorder_ = nullptr;  // of a foreign target
  std::unique_ptr<Target> target_;
  std::vector<Combination> combinations_;
  JudgedPolicies policies_;
  std::vector<judging::Combination> judged_combinations_;
  std::vector<judging::Declined> declined_;
  RunClock clock_;
  Progress progress_;
  VerifyResult result_;
  Violations violations_{options_, *target_, recorder_, clock_, progress_, result_};
  const StageContext stage_context_{options_, *target_, clock_, progress_, violations_, result_};
};

// Judged operations that the target lists without a dtype of theirs.
void Verification::name_what_is_not_reached(const JudgedTarget& target,
                                            const oracle::judged::JudgedOperation* only) {
  for (const auto* operation : target.judged_operations()) {
    const bool is_reached = std::ranges::any_of(
        judged_combinations_, [&](const judging::Combination& each) { return each.operation == operation; });
    if (is_reached || (only != nullptr && only != operation) || options_.dtype) continue;
    result_.unchecked.push_back(fmt::format(
        "{}: {}", operation->name,
        target.says_what_it_takes() ? "`takes` names no dtype, weight or codes that it can be called with"
                                    : "the target took none of its calls"));
  }
}

// Each operation of a foreign target gets the same.
void Verification::share_time() {
  seconds_of_all_ = options_.seconds;
  if (!target_->is_foreign()) {
    if (!combinations_.empty() && !judged_combinations_.empty())
      options_.seconds -= kOwnJudgedShare * seconds_of_all_;
    return;
  }
  std::vector<std::string_view> operations;
  std::int64_t of_cases = 0;
  const auto add = [&](std::string_view name) {
    const bool is_new = std::ranges::find(operations, name) == operations.end();
    if (is_new) operations.push_back(name);
    return is_new;
  };
  for (const Combination& each : combinations_) of_cases += add(name_of(each.operation)) ? 1 : 0;
  for (const judging::Combination& each : judged_combinations_) add(each.operation->name);
  if (operations.empty()) return;
  options_.seconds *= static_cast<double>(of_cases) / static_cast<double>(operations.size());
}

void Verification::verify_cases() {
  if (combinations_.empty()) return;
  replay_corpus();
  if (!stop()) observe_promises();
  if (!stop()) check_properties();
  if (!stop()) judge_known_orders();
  if (!stop()) judge_sizes();
  if (!stop()) judge_random_cases();
  if (!stop() && result_.baseline) try_unseen_entries();
}

void Verification::verify_judged_calls() {
  if (judged_combinations_.empty()) return;
  if (stop()) {
    if (!stop_is_requested())
      result_.unchecked.emplace_back("judged operations: the run stopped at a violation before them");
    return;
  }
  options_.seconds = seconds_of_all_;
  verify_judged({options_, *target_, policies_, judged_combinations_, declined_, clock_, progress_,
                 violations_, result_});
}

VerifyResult Verification::run() {
  report_crashes(options_.findings, options_.target);
  verify_cases();
  verify_judged_calls();
  progress_.clear();
  result_.combinations = combinations_;
  // What one shard does not reach, or the target does not take of it, another may.
  if (options_.shard.is_whole()) {
    conclude_coverage(result_);
    const Counts total = result_.tally.total();
    if (!stop() && total.rows == 0 && total.not_taken > 0)
      result_.unchecked.push_back(fmt::format("the target took none of {} cases", total.not_taken));
  }
  result_.judging = target_->judging();
  if (!target_->replays_graphs() || combinations_.empty())
    result_.promises[static_cast<std::size_t>(Promise::graph_replay)].message = kNoGraphs;
  if (!combinations_.empty()) conclude_promises(options_, result_);
  result_.seconds = clock_.seconds();
  if (stop_is_requested()) note_stop();
  result_.closing_words = target_->closing_words();
  if (result_.judging.orders) {
    result_.closing_words += orders_text(*result_.judging.orders);
    result_.orders = digest_of(*result_.judging.orders);
  }
  if (target_->is_foreign() && options_.shard.is_whole()) learn();
  return std::move(result_);
}

// Of an operation that a violation was found in, or that the target takes but not each call of: what the
// calls have in common that it does not take. They are not judged and not counted.
void Verification::learn() {
  std::vector<CallKind> asked;
  const auto ask = [&](const CallKind& kind) {
    if (std::ranges::find(asked, kind.operation, &CallKind::operation) == asked.end()) asked.push_back(kind);
  };
  for (const Finding& finding : result_.findings) {
    if (!finding.known && !finding.causes.empty()) ask(finding.test_case);
  }
  if (!found_new(result_) && result_.tally.total().not_taken > 0) {
    for (const Combination& each : combinations_) ask(each);
  }
  for (const CallKind& kind : asked) {
    if (stop_is_requested()) return;
    Learnt learnt{kind, learn_limits(*target_, kind, kLearningSeconds)};
    const bool slow = learnt.found.stopped_early;
    if (!learnt.found.lines.empty()) result_.learnt.push_back(std::move(learnt));
    if (slow) return;
  }
}

// What was not done is said as a whole, not combination by combination.
void Verification::note_stop() {
  result_.stopped_by = stop_signal;
  result_.stopped_early = true;
  result_.uncovered.clear();
  result_.unchecked.push_back(
      fmt::format("{} after {:.1f} s, the rest of the run", stop_text(result_.stopped_by), result_.seconds));
}

// Only kernels of others may keep something between calls; and ours are looked at through their class.
std::unique_ptr<Target> Verification::recorded(std::unique_ptr<Target> target) {
  if (!target->is_foreign()) return target;
  auto recorder = std::make_unique<RecordedTarget>(std::move(target));
  recorder_ = recorder.get();
  return recorder;
}

void Verification::observe_promises() {
  if (!options_.shard.takes(0)) return;
  progress_.clear();
  PromiseRun run = run_promises(options_, *target_, combinations_, result_.tally);
  if (run.wrong) {
    violations_.note_first();
    violations_.record(run.wrong->test_case, fmt::format("comparing calls, seed {}", options_.seed), {},
                       std::move(run.wrong->evaluation));
  }
  result_.promises = std::move(run.observations);
  for (Finding& finding : broken_demands(options_, result_.promises, *target_)) {
    violations_.note_first();
    const std::string text = finding_text(finding, *target_);
    violations_.record(std::move(finding), text);
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
    const double begin = clock_.seconds();
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
    Check check{"corpus", name, !evaluation.violates(), 1, clock_.seconds() - begin, {}};
    if (evaluation.violates()) {
      check.message = describe(test_case, evaluation);
      violations_.note_first();
      check.known = violations_.record(test_case, "corpus case " + name, {}, evaluation);
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
    const double begin = clock_.seconds();
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
                     (static_cast<double>(done) + std::min(1.0, (clock_.seconds() - begin) / share)) /
                         static_cast<double>(properties.size()));
      return stop_is_requested() || (!options_.property_cases && clock_.seconds() - begin > share);
    };
    const PropertyResult outcome = property.check(context);
    if (stop_is_requested() && outcome.cases == 0 && !outcome.counterexample)
      return;  // it was not asked for any
    Check check{"property",    std::string(property.name), outcome.holds,
                outcome.cases, clock_.seconds() - begin,   {}};
    if (!outcome.not_compared.empty()) check.skipped = "not compared: " + outcome.not_compared;
    if (!outcome.holds && outcome.cases == 0 && !outcome.counterexample) {
      // Nothing was found wrong, but nothing was checked either.
      result_.unchecked.push_back(fmt::format("property {}: {}", property.name, outcome.message));
      check.message = outcome.message;
    } else if (!outcome.holds) {
      check.message = outcome.message;
      violations_.note_first();
      const std::string found_by = fmt::format("property {}: {}", property.name, property.sentence);
      if (outcome.counterexample) {
        check.known = violations_.record(*outcome.counterexample, found_by, outcome.message, outcome.seen);
      } else {
        check.known = violations_.record({{}, found_by, outcome.message, {}},
                                         fmt::format("VIOLATION found by {}\n{}", found_by, outcome.message));
      }
    }
    // Of an operation that was not asked for, or nothing that the target takes: not a check.
    if (outcome.cases > 0 || !outcome.holds) result_.checks.push_back(std::move(check));
    if (stop()) return;
  }
}

// A known violation that did not show up: its own repro shows whether it is there.
void Verification::try_unseen_entries() {
  std::vector<BaselineEntry>& entries = result_.baseline->entries;
  for (std::size_t i = 0; i < entries.size() && !stop(); ++i) {
    BaselineEntry& entry = entries[i];
    const std::optional<Case> repro = entry.repro;
    if (entry.state == BaselineEntry::State::seen || !options_.shard.takes(static_cast<std::int64_t>(i)))
      continue;
    if (!repro) {
      const Cause& cause = entry.causes.front();
      if ((!options_.operation || cause.operation == *options_.operation) &&
          (!options_.dtype || cause.dtype == *options_.dtype))
        entry.state = BaselineEntry::State::not_seen;
      continue;
    }
    if (!selected(*repro)) continue;
    const Evaluation evaluation = evaluate(*repro, *target_);
    result_.tally.add(*repro, evaluation);
    if (evaluation.outcome == Evaluation::Outcome::not_taken) continue;
    if (evaluation.violates()) {
      violations_.note_first();
      violations_.record(*repro, "its repro in " + options_.baseline, {}, evaluation);
    }
    if (entry.state != BaselineEntry::State::seen) entry.state = BaselineEntry::State::not_seen;
  }
}

void Verification::judge_known_orders() {
  const Judging judging = target_->judging();
  if (!judging.orders) return;
  const std::vector<Case> cases = cases_of_orders(*judging.orders, *target_, options_);
  if (cases.empty()) return;
  CaseStage stage{"order", "case of a known order",
                  [&](std::int64_t index) { return cases[static_cast<std::size_t>(index)]; }};
  stage.count = static_cast<std::int64_t>(cases.size());
  judge_cases(stage, stage_context_);
}

void Verification::judge_sizes() {
  if (options_.cases) return;  // exactly so many, and no others
  const std::vector<Case> sweep = size_sweep(options_.seed, combinations_);
  CaseStage stage{"sizes", "size case",
                  [&](std::int64_t index) { return sweep[static_cast<std::size_t>(index)]; }};
  stage.most = static_cast<std::int64_t>(sweep.size());
  stage.deadline = options_.seconds * kSizesUntil;
  stage.deadline_of_cases = true;
  judge_cases(stage, stage_context_);
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
  judge_cases(stage, stage_context_);
}

}  // namespace

VerifyResult verify(const VerifyOptions& options) { return Verification(options).run(); }

}  // namespace normproof
