// What must hold between several runs of one case. Properties ask it of random cases, fuzzers of theirs. Each
// throws what run() in derived.h throws. A run that is related to the case's own stands in the finding.
#pragma once

#include "corpus/case.h"
#include "properties/finding.h"
#include "properties/property.h"

namespace normproof {

// composition.cpp: of an operation with parts (OperationSpec::without_last_step, without_first_step); for
// targets whose bits are determined by the contract.
inline bool has_parts(Operation operation) {
  return spec_of(operation).without_last_step || spec_of(operation).without_first_step;
}
CaseFinding is_what_its_parts_are(const Case& test_case, PropertyContext& context);

// row_independence.cpp: of any operation, for any target.
CaseFinding rows_are_independent(const Case& test_case, PropertyContext& context);
CaseFinding layout_changes_nothing(const Case& test_case, PropertyContext& context);
CaseFinding launch_changes_nothing(const Case& test_case, PropertyContext& context);
// The case as it is, in ten orders of the threads.
CaseFinding thread_order_changes_nothing(const Case& test_case, PropertyContext& context);

}  // namespace normproof
