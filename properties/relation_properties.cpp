// The relations between several runs of a case as properties.
#include <array>

#include "properties/check.h"
#include "properties/families.h"
#include "properties/relations.h"

namespace normproof {
namespace {

PropertyCheck composition_property() {
  PropertyCheck property;
  property.limits.max_hidden = 2048;
  property.limits.max_elements = 1 << 13;
  return property;
}

}  // namespace

PropertyResult check_fused_add_is_add_then_norm(PropertyContext& context) {
  static constexpr std::array kOperation = {Operation::fused_add_rms_norm};
  PropertyCheck property = composition_property();
  property.name = "fused-add-is-add-then-norm";
  property.operations = kOperation;
  property.check = fused_add_is_add_then_norm;
  return check_property(property, context);
}

PropertyResult check_fp8_is_quantized_norm(PropertyContext& context) {
  static constexpr std::array kOperation = {Operation::rms_norm_static_fp8_quant};
  PropertyCheck property = composition_property();
  property.name = "fp8-is-quantized-norm";
  property.operations = kOperation;
  property.check = fp8_is_quantized_norm;
  return check_property(property, context);
}

PropertyResult check_fused_fp8_is_composition(PropertyContext& context) {
  static constexpr std::array kOperation = {Operation::fused_add_rms_norm_static_fp8_quant};
  PropertyCheck property = composition_property();
  property.name = "fused-fp8-is-composition";
  property.operations = kOperation;
  property.check = fused_fp8_is_composition;
  return check_property(property, context);
}

PropertyResult check_rows_are_independent(PropertyContext& context) {
  PropertyCheck property;
  property.name = "rows-are-independent";
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
  property.limits.max_rows = 4;
  property.limits.max_elements = 1 << 14;
  property.check = launch_changes_nothing;
  return check_property(property, context);
}

}  // namespace normproof
