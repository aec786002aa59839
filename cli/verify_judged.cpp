#include "cli/verify_judged.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "cli/judged_finding.h"
#include "properties/judged/call_evaluation.h"
#include "properties/judged/cases.h"
#include "properties/judged/relations.h"
#include "properties/judging/in_parallel.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

using judging::CallEvaluation;
using oracle::judged::Call;
using oracle::judged::JudgedOperation;
using oracle::judged::Policy;

// So many calls of each combination follow in any case, and of our own kernels', which have many.
constexpr std::int64_t kLeastCalls = 4, kLeastOwnCalls = 1;
// Of calls that conform every so many-th is asked how much that says, or made again; after every so many-th
// calls of the combination are related.
constexpr std::int64_t kDoubtEvery = 16, kCompareEvery = 4, kRelateEvery = 4;
// What the judge of a single call sees is said of it first.
constexpr std::int64_t kFirstRelated = 6;

struct BrokenRelation {
  std::size_t combination = 0;
  std::int64_t index = 0;
  const judging::Relation* relation = nullptr;
  std::string message;
  judging::RelatedCalls calls;
};

struct Failure {
  std::size_t combination = 0;
  std::int64_t index = 0;
  Call call;
  CallEvaluation seen;
  std::int64_t count = 1;  // of calls that fail alike
};

class JudgedStage {
 public:
  explicit JudgedStage(const JudgedContext& context)
      : context_(context), target_(*context.target.judged_target()), begin_(context.clock.seconds()) {
    JudgedResult& judged = context_.result.judged;
    for (const judging::Combination& each : context_.combinations) {
      const bool has_weight = find_tensor(*each.operation, "weight") != nullptr;
      judged.combinations.push_back({std::string(each.operation->name), each.dtype,
                                     !has_weight    ? ""
                                     : !each.weight ? "none"
                                                    : std::string(name_of(*each.weight)),
                                     each.codes ? std::string(name_of(*each.codes)) : ""});
      for (const judging::Relation& relation : judging::relations()) {
        if (relation.applies(*each.operation) &&
            std::ranges::find(judged.relations, relation.name, &JudgedRelation::name) ==
                judged.relations.end())
          judged.relations.push_back({std::string(relation.name)});
      }
      if (judged.operations.empty() || judged.operations.back().operation != each.operation->name) {
        judged.operations.push_back({std::string(each.operation->name),
                                     to_string(context_.policies.at(each.operation)),
                                     target_.is_canonical()});
        operations_.push_back({judged.combinations.size() - 1, 0});
      }
      ++operations_.back().count;
    }
    for (const judging::Declined& each : context_.declined) {
      const auto operation =
          std::ranges::find(judged.operations, each.operation->name, &JudgedOperationResult::operation);
      if (operation != judged.operations.end()) ++operation->not_taken[each.reason];
    }
  }

  void run() {
    const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    const int threads = context_.options.threads > 0 ? context_.options.threads
                                                     : cores * context_.target.calls_at_once_per_core();
    on_threads(threads, [this] { work(); });
    if (error_) std::rethrow_exception(error_);
    context_.progress.clear();
    context_.result.judged.seconds = context_.clock.seconds() - begin_;
    for (JudgedOperationResult& each : context_.result.judged.operations)
      each.seconds /= std::max(threads, 1);  // as if they had gone one after the other
    record_failures();
    if (!context_.result.stopped_early) record_broken_relations();
    add_checks();
    if (!context_.result.stopped_early) record_broken_promises();
    conclude();
  }

 private:
  struct Numbered {
    std::size_t combination;
    std::int64_t index;   // of the combination's calls
    std::int64_t number;  // of all
  };
  std::optional<Numbered> next();
  std::int64_t least_calls() const { return context_.target.is_foreign() ? kLeastCalls : kLeastOwnCalls; }
  Numbered turned(Numbered call) const;
  bool is_left_out(const Numbered& call) const;
  void work();
  void judge_one(const Numbered& numbered);
  void count(const Numbered& numbered, const Call& call, const CallEvaluation& evaluation, double seconds);
  void note_failure(const Numbered& numbered, const Call& call, const CallEvaluation& evaluation);
  void compare(const Numbered& numbered, const Call& call, const CallEvaluation& evaluation);
  void relate(const Numbered& numbered);
  void note_pair(Promise promise, const Call& call, const std::string& difference, std::string_view other);
  JudgedOperationResult& of(const JudgedOperation& operation) {
    return *std::ranges::find(context_.result.judged.operations, operation.name,
                              &JudgedOperationResult::operation);
  }
  void leave_out_what_was_looked_at(JudgedOperationResult& operation,
                                    const std::vector<std::string>& not_looked_at);
  void record_failures();
  void record_broken_promises();
  void record_broken_relations();
  void add_checks();
  void conclude();

  // Combinations of an operation, which lie beside each other.
  struct Range {
    std::size_t first = 0, count = 0;
  };

  const JudgedContext& context_;
  JudgedTarget& target_;
  const double begin_;
  std::vector<Range> operations_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> stop_workers_{false};
  std::mutex mutex_;                                   // guards the result, and what follows
  std::map<std::string, Failure> failures_;            // by operation and identity: the lowest number
  std::map<std::string_view, BrokenRelation> broken_;  // by relation: the lowest number
  std::set<const JudgedOperationResult*> judged_something_;
  std::int64_t failing_ = 0;
  std::exception_ptr error_;
};

// Operations take turns, and in each its combinations: whenever it ends each operation had as many calls.
std::optional<JudgedStage::Numbered> JudgedStage::next() {
  const auto operations = static_cast<std::int64_t>(operations_.size());
  const auto most = static_cast<std::int64_t>(
      std::ranges::max(operations_, {}, [](const Range& each) { return each.count; }).count);
  while (true) {
    const std::int64_t number = context_.options.shard.item(next_.fetch_add(1)), turn = number / operations;
    const Range& range = operations_[static_cast<std::size_t>(number % operations)];
    const auto count = static_cast<std::int64_t>(range.count);
    const Numbered call{range.first + static_cast<std::size_t>(turn % count), turn / count, number};
    const bool is_over = context_.options.cases ? number >= *context_.options.cases
                                                : turn >= least_calls() * most &&
                                                      context_.clock.seconds() >= context_.options.seconds;
    if (is_over) return std::nullopt;
    if (!is_left_out(call)) return turned(call);
  }
}

// Our own kernels get little time, so each of their combinations begins elsewhere among the chosen sizes.
JudgedStage::Numbered JudgedStage::turned(Numbered call) const {
  const std::int64_t sizes = judging::chosen_sizes() - 1;  // all but very many rows
  if (context_.target.is_foreign() || call.index >= sizes) return call;
  constexpr std::int64_t kStep = 7;  // to sizes of another kind
  const auto& all = context_.combinations;
  const auto first =
      std::ranges::find(all, all[call.combination].operation, &judging::Combination::operation) - all.begin();
  call.index = (call.index + kStep * (static_cast<std::int64_t>(call.combination) - first)) % sizes;
  return call;
}

// Very many rows, which take their time, are for the first combination of an operation.
bool JudgedStage::is_left_out(const Numbered& call) const {
  if (call.index != judging::chosen_sizes() - 1 || call.combination == 0) return false;
  const auto& combinations = context_.combinations;
  return combinations[call.combination].operation == combinations[call.combination - 1].operation;
}

void JudgedStage::work() {
  try {
    while (!stop_workers_ && !stop_is_requested()) {
      const std::optional<Numbered> call = next();
      if (!call) return;
      judge_one(*call);
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    stop_workers_ = true;
  }
}

void JudgedStage::judge_one(const Numbered& numbered) {
  const judging::Combination& combination = context_.combinations[numbered.combination];
  const std::optional<Call> call =
      judging::verification_call(combination, context_.options.seed, numbered.index);
  if (!call) return;
  const double before = context_.clock.seconds();
  judging::JudgeOptions options;
  options.doubts = !target_.is_canonical() && numbered.index % kDoubtEvery == 1;
  const Policy& policy = context_.policies.at(combination.operation);
  const CallEvaluation evaluation = judging::evaluate_call(target_, *call, policy, options);
  if (stop_is_requested() && evaluation.outcome == CallEvaluation::Outcome::not_taken) return;
  if (evaluation.outcome == CallEvaluation::Outcome::conforms && numbered.index % kCompareEvery == 1)
    compare(numbered, *call, evaluation);
  if (evaluation.outcome == CallEvaluation::Outcome::conforms && numbered.index >= kFirstRelated &&
      numbered.index % kRelateEvery == 2)
    relate(numbered);
  count(numbered, *call, evaluation, context_.clock.seconds() - before);
  if (evaluation.violates()) note_failure(numbered, *call, evaluation);
}

void JudgedStage::count(const Numbered& numbered, const Call& call, const CallEvaluation& evaluation,
                        double seconds) {
  const std::lock_guard lock(mutex_);
  JudgedResult& judged = context_.result.judged;
  Counts& counts = judged.combinations[numbered.combination].counts;
  JudgedOperationResult& operation = of(*call.operation);
  operation.seconds += seconds;
  if (evaluation.outcome == CallEvaluation::Outcome::not_taken) {
    ++counts.not_taken;
    ++operation.not_taken[evaluation.run.message];
    return;
  }
  ++counts.cases;
  counts.rows += evaluation.judgement.parts.empty() ? 0 : call.rows();
  counts.elements += evaluation.judgement.elements();
  counts.mismatches += evaluation.judgement.units() - evaluation.judgement.conforming();
  counts.violations += evaluation.violates() ? 1 : 0;
  operation.undecided += evaluation.judgement.undecided;
  if (evaluation.outcome == CallEvaluation::Outcome::conforms && !evaluation.judgement.canonical &&
      numbered.index % kDoubtEvery == 1 && evaluation.judgement.units() > 0) {
    ++operation.looked_at;
    operation.saying_little += judging::doubt_of(evaluation.judgement).empty() ? 0 : 1;
  }
  if (evaluation.run.status == RunResult::Status::completed)
    leave_out_what_was_looked_at(operation, evaluation.judgement.not_looked_at);
  if (numbered.number % 16 == 0) {
    const Counts all = judged.total();
    context_.progress.show(
        "judged calls", all.cases, all.elements,
        (context_.clock.seconds() - begin_) / std::max(context_.options.seconds - begin_, 1e-3));
  }
}

// What no call of the operation has looked at.
void JudgedStage::leave_out_what_was_looked_at(JudgedOperationResult& operation,
                                               const std::vector<std::string>& not_looked_at) {
  if (!judged_something_.insert(&operation).second) {
    std::erase_if(operation.not_looked_at,
                  [&](const std::string& blind) { return !std::ranges::count(not_looked_at, blind); });
  } else {
    operation.not_looked_at = not_looked_at;
  }
}

void JudgedStage::note_failure(const Numbered& numbered, const Call& call, const CallEvaluation& evaluation) {
  const std::lock_guard lock(mutex_);
  ++failing_;
  if (context_.result.cases_to_first_violation == 0) {
    context_.violations.note_first();
    context_.result.cases_to_first_violation =
        context_.result.tally.total().cases + context_.result.judged.total().cases;
  }
  if (!context_.options.keep_going && !context_.result.baseline) stop_workers_ = true;
  const std::string key = fmt::format("{} {}", call.operation->name, evaluation.identity());
  const auto known = failures_.find(key);
  if (known == failures_.end()) {
    failures_.emplace(key, Failure{numbered.combination, numbered.index, call, evaluation});
    return;
  }
  Failure& failure = known->second;
  ++failure.count;
  if (std::pair(numbered.index, numbered.combination) >= std::pair(failure.index, failure.combination))
    return;
  failure = {numbered.combination, numbered.index, call, evaluation, failure.count};
}

// The call again, one of its rows alone, and elsewhere in memory.
void JudgedStage::compare(const Numbered& numbered, const Call& call, const CallEvaluation& evaluation) {
  if (call.rows() == 0) return;
  const judging::Combination& combination = context_.combinations[numbered.combination];
  Random random = Random(context_.options.seed).split(static_cast<std::uint64_t>(numbered.index)).split(3);
  const auto pair = [&](Promise promise, const Call& other, const std::optional<std::int64_t>& row,
                        std::string_view what) {
    if (!what_is_outside(combination.limits, other).empty()) return;
    const JudgedRun run = target_.run_judged(other, kCanary);
    if (run.status != RunResult::Status::completed) return;
    note_pair(promise, call, judging::difference_between(evaluation.run, run, combination.policy, row), what);
  };
  pair(Promise::deterministic, call, {}, "the same call again");
  const std::int64_t rows = sliceable_rows(call);
  if (const auto row = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(rows))); rows > 1) {
    if (const auto alone = judging::row_alone(call, row, combination.policy))
      pair(Promise::batch_invariant, *alone, row, "a row of it alone");
  }
  pair(Promise::layout_invariant, judging::lying_elsewhere(combination, call, random), {},
       "it elsewhere in memory");
}

// The relations of the operation take turns.
void JudgedStage::relate(const Numbered& numbered) {
  const judging::Combination& combination = context_.combinations[numbered.combination];
  std::vector<const judging::Relation*> applicable;
  for (const judging::Relation& relation : judging::relations())
    if (relation.applies(*combination.operation)) applicable.push_back(&relation);
  if (applicable.empty()) return;
  // Counted within the operation, so that a run of it alone finds the same.
  const auto& all = context_.combinations;
  const auto first = std::ranges::find(all, combination.operation, &judging::Combination::operation);
  const auto turn = static_cast<std::size_t>(numbered.index / kRelateEvery) + numbered.combination -
                    static_cast<std::size_t>(first - all.begin());
  const judging::Relation& relation = *applicable[turn % applicable.size()];
  const Random random =
      Random(context_.options.seed).split(static_cast<std::uint64_t>(numbered.index)).split(4);
  judging::RelationOutcome outcome = check_relation(target_, relation, combination, random);
  const std::lock_guard lock(mutex_);
  JudgedRelation& seen =
      *std::ranges::find(context_.result.judged.relations, relation.name, &JudgedRelation::name);
  using Kind = judging::RelationOutcome::Kind;
  ++(outcome.kind == Kind::not_compared ? seen.not_compared : seen.checked);
  if (outcome.kind != Kind::broken) return;
  ++seen.broken;
  if (context_.result.cases_to_first_violation == 0) {
    context_.violations.note_first();
    context_.result.cases_to_first_violation =
        context_.result.tally.total().cases + context_.result.judged.total().cases;
  }
  if (!context_.options.keep_going && !context_.result.baseline) stop_workers_ = true;
  const auto known = broken_.find(relation.name);
  if (known != broken_.end() && std::pair(numbered.index, numbered.combination) >=
                                    std::pair(known->second.index, known->second.combination))
    return;
  broken_.insert_or_assign(relation.name, BrokenRelation{numbered.combination, numbered.index, &relation,
                                                         outcome.message, *std::move(outcome.calls)});
}

void JudgedStage::note_pair(Promise promise, const Call& call, const std::string& difference,
                            std::string_view other) {
  const std::lock_guard lock(mutex_);
  const auto place = std::ranges::find(kJudgedPromises, promise) - kJudgedPromises.begin();
  JudgedPromise& seen = context_.result.judged.promises[static_cast<std::size_t>(place)];
  ++seen.comparisons;
  if (difference.empty()) return;
  ++seen.differing;
  if (seen.first.empty())
    seen.first = fmt::format("{} and {}, {}: {}", call.name, other, subject_of(call), difference);
}

void JudgedStage::record_failures() {
  std::vector<const Failure*> failures;
  for (const auto& [key, failure] : failures_) failures.push_back(&failure);
  std::ranges::sort(failures, {},
                    [](const Failure* each) { return std::pair(each->index, each->combination); });
  const std::int64_t before = context_.result.violations, known = context_.result.known_violations;
  std::size_t recorded = 0;
  for (const Failure* failure : failures) {
    if (recorded == kMostRandomFindings) break;
    const judging::Combination& combination = context_.combinations[failure->combination];
    const JudgedViolation violation{combination, failure->index, failure->call, failure->seen,
                                    context_.policies.at(combination.operation)};
    std::vector<Call> calls_before;
    for (std::int64_t i = std::max<std::int64_t>(0, failure->index - kCallsBefore); i < failure->index; ++i)
      if (auto call = judging::verification_call(combination, context_.options.seed, i))
        calls_before.push_back(*std::move(call));
    const JudgedFinding found = judged_finding(violation, calls_before, context_.target, context_.options);
    const bool was_known = context_.violations.record(found.finding, found.text);
    recorded += was_known ? 0 : 1;
    if (context_.result.stopped_early) break;
  }
  // All calls that fail count, not only those that are findings.
  if (context_.result.stopped_early || failing_ == 0) return;
  const std::int64_t known_here = context_.result.known_violations - known;
  context_.result.violations = std::max(context_.result.violations, before + std::max(failing_, known_here));
}

void JudgedStage::record_broken_relations() {
  for (const auto& [name, broken] : broken_) {
    const judging::Combination& combination = context_.combinations[broken.combination];
    const Policy& policy = context_.policies.at(combination.operation);
    JudgedRelation& seen = *std::ranges::find(context_.result.judged.relations, name, &JudgedRelation::name);
    seen.first = fmt::format("{}: {}", to_string(combination), broken.message);
    Finding finding;
    finding.found_by =
        fmt::format("relation {} of {} {}: call {} ({}) of seed {}", name, combination.operation->name,
                    name_of(combination.dtype), broken.index, to_string(combination), context_.options.seed);
    finding.message = fmt::format("{}\n  {}\n  first call: {}\n", broken.relation->sentence, broken.message,
                                  subject_of(broken.calls.first));
    const std::string arguments = judged_target_arguments(context_.target, policy);
    std::string replays;
    const auto store = [&](const Call& call, std::string_view kind) {
      const auto file = store_judged_call(context_.options.findings, call, policy, kind);
      replays += " " + shell_quoted_file(file.string());
      return file;
    };
    try {
      finding.call_file = store(broken.calls.first, "first-call");
      if (broken.calls.second) store(*broken.calls.second, "second-call");
    } catch (const std::exception& error) {
      finding.message += fmt::format("  the calls could not be written: {}\n", error.what());
    }
    const std::string text = fmt::format(
        "VIOLATION found by {}\n{}  each call by itself:  {} replay{}{}\n  repeat:  {} verify{} --op {} "
        "--seed {}\n",
        finding.found_by, finding.message, program_name(), replays, arguments, program_name(), arguments,
        combination.operation->name, context_.options.seed);
    context_.violations.record(std::move(finding), text);
    if (context_.result.stopped_early) return;
  }
}

void JudgedStage::record_broken_promises() {
  const JudgedResult& judged = context_.result.judged;
  for (std::size_t i = 0; i < kJudgedPromises.size(); ++i) {
    const Promise promise = kJudgedPromises[i];
    if (!std::ranges::count(context_.options.demands, promise)) continue;
    const JudgedPromise& seen = judged.promises[i];
    if (seen.comparisons == 0 && context_.options.shard.is_whole()) {
      context_.result.unchecked.push_back(
          fmt::format("--demand {}: no calls of judged operations were compared", name_of(promise)));
    }
    if (seen.differing == 0) continue;
    Finding finding;
    finding.found_by = fmt::format("--demand {} of judged operations: {}, seed {}", name_of(promise),
                                   breach_of(promise), context_.options.seed);
    finding.message =
        fmt::format("{} ({} of {} pairs of calls differ)\n", seen.first, seen.differing, seen.comparisons);
    const std::string text =
        fmt::format("VIOLATION found by {}\n{}  repeat:  {} verify --target {} --demand {} --seed {}\n",
                    finding.found_by, finding.message, program_name(), shell_quoted(context_.target.name()),
                    name_of(promise), context_.options.seed);
    context_.violations.record(std::move(finding), text);
  }
}

// One for each operation and dtype, and for each relation.
void JudgedStage::add_checks() {
  const JudgedResult& judged = context_.result.judged;
  for (const JudgedRelation& each : judged.relations) {
    Check check{"relation", each.name, each.broken == 0, each.checked, 0, each.first};
    if (each.checked == 0) check.skipped = "not compared: no call of it was made, or none could be";
    context_.result.checks.push_back(std::move(check));
  }
  for (std::size_t i = 0; i < judged.combinations.size(); ++i) {
    const JudgedCombination& each = judged.combinations[i];
    const std::string name = fmt::format("{} {}", each.operation, name_of(each.dtype));
    auto same = std::ranges::find_if(context_.result.checks, [&](const Check& check) {
      return check.group == "judged" && check.name == name;
    });
    if (same == context_.result.checks.end()) {
      if (each.counts.cases == 0) continue;
      context_.result.checks.push_back({"judged", name, true, 0, judged.seconds, {}});
      same = std::prev(context_.result.checks.end());
    }
    same->cases += each.counts.cases;
    if (each.counts.violations == 0) continue;
    same->passed = false;
    same->message +=
        fmt::format("{}{} calls violate", same->message.empty() ? "" : "; ", each.counts.violations);
  }
}

void JudgedStage::conclude() {
  if (stop_is_requested() || context_.result.stopped_early || !context_.options.shard.is_whole()) return;
  const Counts total = context_.result.judged.total();
  if (total.cases == 0) {
    context_.result.unchecked.push_back(
        fmt::format("the target took none of {} calls of judged operations", total.not_taken));
    return;
  }
  conclude_judged_coverage(context_.result);
}

}  // namespace

void verify_judged(const JudgedContext& context) { JudgedStage(context).run(); }

}  // namespace normproof
