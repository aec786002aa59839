// What must not be touched: everything outside the outputs, and everything when there is no work.
#include "properties/check.h"
#include "properties/comparison.h"
#include "properties/derived.h"
#include "properties/families.h"

namespace normproof {
namespace {

CaseFinding memory_finding(const Case& test_case, PropertyContext& context) {
  const Call call = call_of(test_case);
  Evaluation evaluation;
  evaluation.run = run(call, context.target);
  evaluation.outcome =
      evaluation.run.memory_violations.empty() ? Evaluation::Outcome::conforms : Evaluation::Outcome::memory;
  context.tally.add(test_case, evaluation);
  return evaluation.violates() ? CaseFinding::fails(describe(test_case, evaluation)) : CaseFinding::holds();
}

}  // namespace

PropertyResult check_memory_safety(PropertyContext& context) {
  PropertyCheck property;
  property.name = "memory-safety";
  property.limits.int8 = property.limits.scale_ub = true;
  property.limits.max_hidden = 1024;
  // Rows apart, and first elements off the vector alignment: gaps and ends are where stray writes go.
  property.adapt = [](Case& test_case, Random& random) {
    for (const Role role : kRoles) {
      if (!test_case.has_layout(role) || !test_case.has_strides(role)) continue;
      TensorLayout& layout = test_case[role].layout;
      if (!layout.strides.empty() || test_case.shape.size() != 2) continue;
      layout.strides = {test_case.hidden_size() + random.between(1, 9)};
    }
    if (must_be_refused(test_case)) test_case.launch.path = KernelPath::automatic;
  };
  property.any_judge = true;
  property.check = memory_finding;
  return check_property(property, context);
}

PropertyResult check_empty_batch(PropertyContext& context) {
  PropertyCheck property;
  property.name = "empty-batch";
  property.limits.max_rows = 0;
  property.limits.max_hidden = 256;
  property.any_judge = true;
  property.check = [](const Case& test_case, PropertyContext& now) {
    return test_case.rows() == 0 ? memory_finding(test_case, now) : CaseFinding::not_applicable();
  };
  return check_property(property, context);
}

}  // namespace normproof
