// Invalid calls: each spoils one argument of a valid call of the C interface and must be refused untouched.
#include <fmt/format.h>

#include <string>

#include "properties/check.h"
#include "properties/derived.h"
#include "properties/families.h"
#include "properties/run/invalid_call.h"

namespace normproof {
namespace {

CaseFinding refused_calls(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  auto* target = dynamic_cast<CallableTarget*>(&context.target);
  if (target == nullptr) return CaseFinding::not_applicable();  // no C interface to be called
  const CaseTensors tensors = materialize(test_case);
  GuardedCall::Memory memory;
  for (const InvalidArgument& way : invalid_arguments()) {
    GuardedCall call(test_case, tensors, memory);
    const auto wanted = way.spoil(call, test_case);
    if (!wanted) continue;
    const normproof_status status = target->invoke(call);
    Evaluation evaluation;
    evaluation.outcome = Evaluation::Outcome::refused_as_demanded;
    const std::string problem = problem_of_refusal(*wanted, status, call);
    if (!problem.empty()) {
      evaluation.outcome = Evaluation::Outcome::accepted_invalid;
      context.tally.add(test_case, evaluation);
      return CaseFinding::fails(fmt::format("invalid call ({}) of {}: {}\n  status {}, message \"{}\"\n",
                                            way.name, summary(test_case), problem, static_cast<int>(status),
                                            call.message()));
    }
    context.tally.add(test_case, evaluation);
  }
  return CaseFinding::holds();
}

}  // namespace

PropertyResult check_refused_calls(PropertyContext& context) {
  PropertyCheck property;
  property.name = "refused-calls";
  property.limits.max_rows = 3;
  property.limits.max_hidden = 64;
  property.limits.max_threads_per_block = 32;
  property.any_judge = true;
  property.check = refused_calls;
  return check_property(property, context);
}

}  // namespace normproof
