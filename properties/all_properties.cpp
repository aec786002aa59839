// The table of all properties. A new one is a function in its family's file, a
// line in families.h and a row here.
#include <array>

#include "properties/families.h"
#include "properties/property.h"

namespace normproof {
namespace {

constexpr std::array kProperties = {
    // First, because it takes next to no time.
    Property{
        "refused-calls",
        "A call with an invalid argument is refused, names the argument and its value, and writes nothing.",
        &check_refused_calls, true},
    Property{
        "shared-memory",
        "A call whose output shares memory with another argument, or with itself, is refused; no other is.",
        &check_shared_memory, true},
    Property{"bitwise-equality",
             "Every output bit is what the contract says, and nothing else in memory changes.",
             &check_bitwise_equality},
    Property{"fused-add-is-add-then-norm",
             "fused_add_rms_norm stores the rounded sums as residual and gives what rms_norm gives of them.",
             &check_fused_add_is_add_then_norm},
    Property{"fp8-is-quantized-norm",
             "rms_norm_static_fp8_quant gives the exactly rounded quantization of what rms_norm gives.",
             &check_fp8_is_quantized_norm},
    Property{"fused-fp8-is-composition",
             "fused_add_rms_norm_static_fp8_quant is the addition, the norm and the quantization, one after "
             "the other.",
             &check_fused_fp8_is_composition},
    Property{
        "dynamic-quant-is-quantized-norm",
        "rms_norm_dynamic_quant gives the scale of each row and the exactly rounded quantization by it of "
        "what rms_norm gives.",
        &check_dynamic_quant_is_quantized_norm},
    Property{
        "fused-dynamic-quant-is-composition",
        "fused_add_rms_norm_dynamic_quant is the addition, the norm and the quantization of each row, one "
        "after the other.",
        &check_fused_dynamic_quant_is_composition},
    Property{"rows-are-independent",
             "A row's bits do not depend on the other rows, on how many there are, or on their order.",
             &check_rows_are_independent},
    Property{"layout-changes-nothing",
             "A row's bits do not depend on strides, alignment, rank, or being computed in place.",
             &check_layout_changes_nothing},
    Property{"launch-changes-nothing",
             "A row's bits do not depend on the code path, the block size, or the order of the threads.",
             &check_launch_changes_nothing, true},
    Property{"calls-leave-no-trace", "A call's bits do not depend on the calls before it.",
             &check_calls_leave_no_trace},
    Property{
        "power-of-two-scaling",
        "Input times 2^k with epsilon times 4^k leaves the output unchanged, absent overflow and underflow.",
        &check_power_of_two_scaling},
    Property{"negation", "Negated input gives the negated output.", &check_negation},
    Property{"fp8-is-monotone",
             "A larger norm value never quantizes to a smaller number, by a given scale or a row's own.",
             &check_fp8_is_monotone},
    Property{"fp8-is-idempotent",
             "A value that is an fp8 number, or an int8 one in a row with a scale of 1, quantizes to itself.",
             &check_fp8_is_idempotent},
    Property{"fp8-saturates",
             "Values beyond the largest fp8 number become that number, and only NaN becomes NaN.",
             &check_fp8_saturates},
    Property{"row-maximum-gets-the-largest-code",
             "The largest values of a row, and those beyond its upper bound, become the largest numbers.",
             &check_row_maximum_gets_the_largest_code},
    Property{"power-of-two-weights",
             "Weights times 2^k give scales times 2^k and the same numbers, absent overflow and underflow.",
             &check_power_of_two_weights},
    Property{"special-values",
             "NaN, infinities, zeros, subnormals and odd epsilons give what the contract lists.",
             &check_special_values},
    Property{
        "memory-safety",
        "Nothing is written outside the outputs, between strided rows included, and inputs stay untouched.",
        &check_memory_safety},
    Property{"empty-batch", "A call on zero rows is valid and writes nothing.", &check_empty_batch},
};

}  // namespace

std::span<const Property> all_properties() { return kProperties; }

}  // namespace normproof
