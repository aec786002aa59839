// The relations between several runs of a case as properties.
#include <initializer_list>
#include <span>

#include "properties/check.h"
#include "properties/families.h"
#include "properties/relations.h"

namespace normproof {
namespace {

using enum NormStep;

PropertyResult check_composition(std::string_view name, PropertyContext& context,
                                 std::initializer_list<NormStep> steps) {
  const Operation operation = operation_of(steps);
  PropertyCheck property;
  property.name = name;
  property.operations = std::span(&operation, 1);
  property.limits.int8 = property.limits.scale_ub = true;
  property.limits.max_hidden = 2048;
  property.limits.max_elements = 1 << 13;
  property.check = is_what_its_parts_are;
  return check_property(property, context);
}

}  // namespace

PropertyResult check_fused_add_is_add_then_norm(PropertyContext& context) {
  return check_composition("fused-add-is-add-then-norm", context, {add_residual, normalize});
}

PropertyResult check_fp8_is_quantized_norm(PropertyContext& context) {
  return check_composition("fp8-is-quantized-norm", context, {normalize, quantize});
}

PropertyResult check_fused_fp8_is_composition(PropertyContext& context) {
  return check_composition("fused-fp8-is-composition", context, {add_residual, normalize, quantize});
}

PropertyResult check_dynamic_quant_is_quantized_norm(PropertyContext& context) {
  return check_composition("dynamic-quant-is-quantized-norm", context, {normalize, quantize_by_row});
}

PropertyResult check_fused_dynamic_quant_is_composition(PropertyContext& context) {
  return check_composition("fused-dynamic-quant-is-composition", context,
                           {add_residual, normalize, quantize_by_row});
}

PropertyResult check_rows_are_independent(PropertyContext& context) {
  PropertyCheck property;
  property.name = "rows-are-independent";
  property.limits.int8 = property.limits.scale_ub = true;
  property.limits.max_rows = 5;
  property.limits.max_elements = 1 << 14;
  property.limits.max_threads_per_block = 256;
  property.any_judge = true;
  property.compares_calls = true;
  property.check = rows_are_independent;
  return check_property(property, context);
}

PropertyResult check_layout_changes_nothing(PropertyContext& context) {
  PropertyCheck property;
  property.name = "layout-changes-nothing";
  property.limits.int8 = property.limits.scale_ub = true;
  property.limits.max_elements = 1 << 14;
  property.limits.max_threads_per_block = 256;
  property.any_judge = true;
  property.compares_calls = true;
  property.check = layout_changes_nothing;
  return check_property(property, context);
}

PropertyResult check_launch_changes_nothing(PropertyContext& context) {
  PropertyCheck property;
  property.name = "launch-changes-nothing";
  property.limits.int8 = property.limits.scale_ub = true;
  property.limits.max_rows = 4;
  property.limits.max_elements = 1 << 14;
  property.check = launch_changes_nothing;
  return check_property(property, context);
}

}  // namespace normproof
