// The properties by family; each is a row of the table in all_properties.cpp.
#pragma once

#include "properties/property.h"

namespace normproof {

// bitwise_equality.cpp
PropertyResult check_bitwise_equality(PropertyContext& context);
// memory_safety.cpp
PropertyResult check_memory_safety(PropertyContext& context);
PropertyResult check_empty_batch(PropertyContext& context);
// refused_calls.cpp
PropertyResult check_refused_calls(PropertyContext& context);
PropertyResult check_shared_memory(PropertyContext& context);
// relation_properties.cpp
PropertyResult check_fused_add_is_add_then_norm(PropertyContext& context);
PropertyResult check_fp8_is_quantized_norm(PropertyContext& context);
PropertyResult check_fused_fp8_is_composition(PropertyContext& context);
PropertyResult check_dynamic_quant_is_quantized_norm(PropertyContext& context);
PropertyResult check_fused_dynamic_quant_is_composition(PropertyContext& context);
PropertyResult check_rows_are_independent(PropertyContext& context);
PropertyResult check_layout_changes_nothing(PropertyContext& context);
PropertyResult check_launch_changes_nothing(PropertyContext& context);
// call_independence.cpp
PropertyResult check_calls_leave_no_trace(PropertyContext& context);
// symmetry.cpp
PropertyResult check_power_of_two_scaling(PropertyContext& context);
PropertyResult check_negation(PropertyContext& context);
// quantization.cpp
PropertyResult check_fp8_is_monotone(PropertyContext& context);
PropertyResult check_fp8_is_idempotent(PropertyContext& context);
PropertyResult check_fp8_saturates(PropertyContext& context);
// row_scaling.cpp
PropertyResult check_row_maximum_gets_the_largest_code(PropertyContext& context);
PropertyResult check_power_of_two_weights(PropertyContext& context);
// special_values.cpp
PropertyResult check_special_values(PropertyContext& context);

}  // namespace normproof
