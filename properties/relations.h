// What must hold between several runs of one case. Properties ask it of random cases, fuzzers of theirs. Each
// throws what run() in derived.h throws. A run that is related to the case's own stands in the finding.
#pragma once

#include "corpus/case.h"
#include "properties/finding.h"
#include "properties/property.h"

namespace normproof {

// composition.cpp: each of one operation; for targets whose bits are determined by the contract.
CaseFinding fused_add_is_add_then_norm(const Case& test_case, PropertyContext& context);
CaseFinding fp8_is_quantized_norm(const Case& test_case, PropertyContext& context);
CaseFinding fused_fp8_is_composition(const Case& test_case, PropertyContext& context);

// row_independence.cpp: of any operation, for any target.
CaseFinding rows_are_independent(const Case& test_case, PropertyContext& context);
CaseFinding layout_changes_nothing(const Case& test_case, PropertyContext& context);
CaseFinding launch_changes_nothing(const Case& test_case, PropertyContext& context);
// The case as it is, in ten orders of the threads.
CaseFinding thread_order_changes_nothing(const Case& test_case, PropertyContext& context);

}  // namespace normproof
