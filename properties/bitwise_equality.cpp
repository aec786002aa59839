// The main property: the target computes the numeric contract bit by bit.
#include "properties/check.h"
#include "properties/families.h"

namespace normproof {

PropertyResult check_bitwise_equality(PropertyContext& context) {
  PropertyCheck property;
  property.name = "bitwise-equality";
  property.limits.int8 = property.limits.scale_ub = true;
  property.limits.allow_refused = true;
  property.any_judge = true;
  property.check = judge_alone;
  return check_property(property, context);
}

}  // namespace normproof
