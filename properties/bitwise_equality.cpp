// The main property: the target computes the numeric contract bit by bit.
#include "properties/check.h"
#include "properties/families.h"
#include "properties/run/evaluate.h"

namespace normproof {

PropertyResult check_bitwise_equality(PropertyContext& context) {
  PropertyCheck property;
  property.name = "bitwise-equality";
  property.limits.allow_refused = true;
  property.check = [](const Case& test_case, PropertyContext& now) {
    const Evaluation evaluation = evaluate(test_case, now.target);
    now.tally.add(test_case, evaluation);
    return evaluation.violates() ? CaseFinding::fails(describe(test_case, evaluation)) : CaseFinding::holds();
  };
  return check_property(property, context);
}

}  // namespace normproof
