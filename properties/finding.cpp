#include "properties/finding.h"

#include "properties/derived.h"
#include "properties/judging/evaluate.h"

namespace normproof {

CaseFinding judge_alone(const Case& test_case, PropertyContext& context) {
  Evaluation evaluation = evaluate(test_case, context.target);
  if (evaluation.outcome == Evaluation::Outcome::not_taken) throw NotTaken();
  context.tally.add(test_case, evaluation);
  if (!evaluation.violates()) return CaseFinding::holds();
  CaseFinding finding = CaseFinding::fails(describe(test_case, evaluation));
  finding.seen = evaluation;
  return finding;
}

bool bits_are_determined(const Target& target) {
  const Judging judging = target.judging();
  return judging.canonical && judging.policy == oracle::native();
}

}  // namespace normproof
