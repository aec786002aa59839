#include "properties/check.h"

#include <fmt/format.h>
#include <rapidcheck/Check.h>
#include <rapidcheck/detail/TestListenerAdapter.h>

#include <algorithm>
#include <exception>
#include <unordered_map>
#include <utility>
#include <vector>

#include "corpus/hash.h"
#include "corpus/shrink.h"
#include "properties/case_generator.h"
#include "properties/derived.h"
#include "properties/judging/evaluate.h"
#include "properties/known_steps.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

// Discarded cases that RapidCheck accepts per checked one before it gives up.
constexpr int kDiscardRatio = 50;

// Candidates that RapidCheck may try. Its walk begins anew after every step, which long rows make too slow to
// finish; `minimize` then goes on from where it came to.
constexpr int kShrinkTries = 300;
constexpr std::int64_t kMinimizeTries = 3000;

// Draws until a case is one of those that a foreign target takes.
constexpr int kDraws = 200;

// One check of a property: what RapidCheck calls case by case, and what it has seen.
class Checker {
 public:
  Checker(const PropertyCheck& property, PropertyContext& context)
      : property_(property),
        context_(context),
        // Runs of the search for a smaller counterexample are not part of the tally.
        shrinking_context_{context.target,    shrinking_tally_, context.seed,       context.cases,
                           context.operation, context.dtype,    context.out_of_time} {
    std::ranges::copy_if(property.operations, std::back_inserter(operations_), [&](Operation operation) {
      return (!context.operation || *context.operation == operation) &&
             !combinations_of(context.target, operation, context.dtype).empty();
    });
  }

  PropertyResult run();

 private:
  Case draw(Random& random) const;
  // Whether some case lies within the target's limits, where it has any.
  bool has_cases() const;
  CaseFinding check(const Case& test_case, PropertyContext& context) const;
  void check_next(const rc::Gen<Case>& generator);
  PropertyResult failure();

  const PropertyCheck& property_;
  PropertyContext& context_;
  Tally shrinking_tally_;
  PropertyContext shrinking_context_;
  std::vector<Operation> operations_;  // that the cases are drawn from
  int cases_ = 0;
  std::int64_t not_taken_before_ = 0;
  int shrink_tries_ = 0;
  bool out_of_time_ = false;
  std::optional<Case> counterexample_;
  CaseFinding finding_;  // what was seen of it
};

Case Checker::draw(Random& random) const {
  CaseLimits limits = property_.limits;
  limits.operation = random.pick(operations_);
  limits.dtype = context_.dtype;
  limits.calls = context_.target.limits_of(*limits.operation);
  Case test_case = random_case(random, limits);
  for (int draw = 1; draw < kDraws && !context_.target.takes(test_case); ++draw)
    test_case = random_case(random, limits);
  if (property_.adapt) property_.adapt(test_case, random);
  if (what_is_outside(limits.calls, test_case).empty()) return test_case;
  // Back inside, unless that takes another shape, for which there would be no data.
  Case inside = test_case;
  fit_to(limits.calls, inside);
  if (inside.shape == test_case.shape) return inside;
  return test_case;
}

bool Checker::has_cases() const {
  const auto limits = [&](Operation operation) { return context_.target.limits_of(operation); };
  if (std::ranges::any_of(operations_, [&](Operation each) { return limits(each) == CallLimits{}; }))
    return true;
  Random random(context_.seed);
  for (int i = 0; i < kDraws; ++i) {
    const Case test_case = draw(random);
    // To get inside the target's limits it may have left the property's.
    if (test_case.rows() <= property_.limits.max_rows &&
        what_is_outside(limits(test_case.operation), test_case).empty())
      return true;
  }
  return false;
}

CaseFinding Checker::check(const Case& test_case, PropertyContext& context) const {
  if (must_be_refused(test_case) && !property_.limits.allow_refused) return CaseFinding::not_applicable();
  try {
    if (!property_.any_judge && !bits_are_determined(context.target)) return judge_alone(test_case, context);
    return property_.check(test_case, context);
  } catch (const NotTaken&) {
    Evaluation evaluation;
    evaluation.outcome = Evaluation::Outcome::not_taken;
    context.tally.add(test_case, evaluation);
    return CaseFinding::not_applicable();
  } catch (const std::exception& error) {
    if (stop_is_requested()) return CaseFinding::not_applicable();  // it may be due to that
    return CaseFinding::fails(fmt::format("the check could not be carried out: {}\n", error.what()));
  }
}

// A normal return is a success for RapidCheck; it learns of the rest by exceptions.
void Checker::check_next(const rc::Gen<Case>& generator) {
  if (context_.out_of_time()) {
    out_of_time_ = true;
    return;
  }
  if (shrink_tries_ >= kShrinkTries) return;
  if (counterexample_) ++shrink_tries_;
  const Case test_case = *generator;
  const CaseFinding finding = check(test_case, counterexample_ ? shrinking_context_ : context_);
  switch (finding.kind) {
    case CaseFinding::Kind::holds:
      if (!counterexample_) ++cases_;
      return;
    case CaseFinding::Kind::not_applicable:
      throw rc::detail::CaseResult(rc::detail::CaseResult::Type::Discard);
    case CaseFinding::Kind::fails:
      if (!context_.shrink) shrink_tries_ = kShrinkTries;
      finding_ = finding;
      counterexample_ = test_case;  // while RapidCheck shrinks, the last failing case is the smallest one
      throw rc::detail::CaseResult(rc::detail::CaseResult::Type::Failure, finding.message);
  }
}

PropertyResult Checker::run() {
  PropertyResult result;
  if (operations_.empty()) {
    result.holds = true;
    result.message = context_.target.is_foreign() ? "not about what the target takes"
                                                  : fmt::format("not about {}", name_of(*context_.operation));
    return result;
  }
  if (!has_cases()) {
    result.holds = true;
    result.message = "not about what the target takes: no case lies within its limits";
    return result;
  }
  const auto generator = case_generator([this](Random& random) { return draw(random); });
  not_taken_before_ = context_.tally.total().not_taken;
  rc::detail::TestParams parameters;
  // Every property sees its own cases under one seed.
  parameters.seed = context_.seed ^ fnv1a(property_.name);
  parameters.maxSuccess = context_.cases;
  parameters.maxDiscardRatio = kDiscardRatio;
  rc::detail::TestListenerAdapter silent;
  const std::unordered_map<std::string, rc::detail::Reproduce>
      no_reproduction;  // else it asks the environment
  const auto outcome = rc::detail::checkTestable([&] { check_next(generator); }, rc::detail::TestMetadata{},
                                                 parameters, silent, no_reproduction);

  if (counterexample_) return failure();
  if ((!property_.any_judge || property_.compares_calls) && !bits_are_determined(context_.target)) {
    result.not_compared = fmt::format(
        "each call was judged by itself: the judge of target {} leaves bits open in which two calls may "
        "differ",
        context_.target.name());
  }
  result.cases = cases_;
  result.not_taken = static_cast<int>(context_.tally.total().not_taken - not_taken_before_);
  if (cases_ == 0 && result.not_taken > 0) {
    result.holds = true;
    result.message = fmt::format("the target took none of {} cases", result.not_taken);
    return result;
  }
  rc::detail::GaveUpResult gave_up;
  rc::detail::FailureResult failed;
  rc::detail::Error error;
  if (outcome.match(gave_up)) {
    result.message =
        fmt::format("gave up after {} cases: too many cases that the property says nothing about", cases_);
  } else if (outcome.match(failed)) {
    result.message = fmt::format("no case could be drawn: {}", failed.description);
  } else if (outcome.match(error)) {
    result.message = error.description;
  } else if (cases_ == 0) {
    result.message = out_of_time_ ? "out of time before the first case" : "no case was asked for";
  } else {
    result.holds = true;
  }
  return result;
}

// What is reported is what was seen: a target that depends on chance, or on the
// calls before, need not do it again.
PropertyResult Checker::failure() {
  Case smallest = *counterexample_;
  const auto fails = [&](const Case& candidate) {
    if (candidate == smallest) return true;
    if (stop_is_requested()) return false;
    CaseFinding finding = check(candidate, shrinking_context_);
    if (finding.kind != CaseFinding::Kind::fails) return false;
    smallest = candidate;
    finding_ = std::move(finding);
    return true;
  };
  if (context_.shrink) minimize(*counterexample_, fails, kMinimizeTries);
  const auto violates = [&](const Case& candidate) {
    if (!validate(candidate).empty()) return false;
    Evaluation evaluation = evaluate(candidate, context_.target);
    if (!evaluation.violates()) return false;
    smallest = candidate;
    finding_.seen = std::move(evaluation);
    return true;
  };
  if (context_.shrink && finding_.related && !finding_.seen && !violates(smallest) &&
      violates(*finding_.related))
    minimize(*std::exchange(finding_.related, {}), violates, kMinimizeTries);
  PropertyResult result;
  result.cases = cases_;
  result.message = finding_.message;
  result.counterexample = std::move(smallest);
  result.seen = std::move(finding_.seen);
  return result;
}

}  // namespace

std::span<const Operation> operations_of_known_steps() {
  static const std::vector<Operation> operations = [] {
    std::vector<Operation> found;
    std::ranges::copy_if(all_operations(), std::back_inserter(found), has_known_steps);
    return found;
  }();
  return operations;
}

PropertyResult check_property(const PropertyCheck& property, PropertyContext& context) {
  return Checker(property, context).run();
}

}  // namespace normproof
