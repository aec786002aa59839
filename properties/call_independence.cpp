// A call's bits do not depend on the calls before it: nothing is kept from one to the next.
#include <fmt/format.h>

#include <bit>

#include "properties/check.h"
#include "properties/derived.h"
#include "properties/families.h"
#include "properties/judging/evaluate.h"

namespace normproof {
namespace {

// Another number of everyday size.
std::uint32_t another(std::uint32_t bits) {
  const std::uint32_t first = std::bit_cast<std::uint32_t>(0.5f);
  return bits == first ? std::bit_cast<std::uint32_t>(3.0f) : first;
}

CaseFinding calls_leave_no_trace(const Case& test_case, PropertyContext& context) {
  if (test_case.rows() == 0) return CaseFinding::not_applicable();
  Case other = test_case;
  other.bits_of(Parameter::epsilon) = another(test_case.bits_of(Parameter::epsilon));
  if (has(test_case.operation, Parameter::scale))
    other.bits_of(Parameter::scale) = another(test_case.bits_of(Parameter::scale));
  if (test_case.has_scale_ub())
    other.bits_of(Parameter::scale_ub) = another(test_case.bits_of(Parameter::scale_ub));
  for (const Case* call : {&test_case, static_cast<const Case*>(&other), &test_case}) {
    const Evaluation evaluation = evaluate(*call, context.target);
    if (evaluation.outcome == Evaluation::Outcome::not_taken) throw NotTaken();
    context.tally.add(*call, evaluation);
    if (evaluation.violates()) {
      return CaseFinding::fails(
          fmt::format(
              "the same data with its epsilon, scale and bound, with others, and again: one is wrong\n{}",
              describe(*call, evaluation)),
          *call);
    }
  }
  return CaseFinding::holds();
}

}  // namespace

PropertyResult check_calls_leave_no_trace(PropertyContext& context) {
  PropertyCheck property;
  property.name = "calls-leave-no-trace";
  property.limits.int8 = property.limits.scale_ub = true;
  property.limits.max_rows = 3;
  property.limits.max_elements = 1 << 12;
  property.limits.max_threads_per_block = 256;
  property.any_judge = true;
  property.check = calls_leave_no_trace;
  return check_property(property, context);
}

}  // namespace normproof
