#include "properties/finding.h"

#include "properties/derived.h"
#include "properties/run/evaluate.h"

namespace normproof {

CaseFinding judge_alone(const Case& test_case, PropertyContext& context) {
  const Evaluation evaluation = evaluate(test_case, context.target);
  if (evaluation.outcome == Evaluation::Outcome::not_taken) throw NotTaken();
  context.tally.add(test_case, evaluation);
  return evaluation.violates() ? CaseFinding::fails(describe(test_case, evaluation)) : CaseFinding::holds();
}

bool bits_are_determined(const Target& target) {
  const Judging judging = target.judging();
  return judging.canonical && judging.policy == oracle::native();
}

}  // namespace normproof
