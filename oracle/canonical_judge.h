// The canonical judge: outputs must equal the contract in the canonical order, bit for bit.
#pragma once

#include "corpus/case.h"
#include "oracle/formats.h"
#include "oracle/policy.h"
#include "oracle/verdict.h"

namespace normproof::oracle {

// What the contract demands of a case; of an approximate reciprocal that it is the nearest one. Throws
// std::invalid_argument where the tensors do not have the case's sizes.
Outputs expected_outputs(const Case& test_case, const CaseTensors& tensors, const Policy& policy = native());

// Compares outputs with the contract; any NaN equals any NaN, signed zeros differ. Where a scale leaves two
// factors for a row's codes, the row is compared with the one that fits better. Agreement is found on the
// fast path; each listed mismatch is confirmed by exact arithmetic first. Throws std::invalid_argument where
// tensors or outputs do not have the case's sizes, and std::logic_error, with both values, should the two
// paths ever disagree. The first `listed` mismatches are listed, the others counted.
Verdict judge_canonical(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                        const Policy& policy = native(), std::size_t listed = kMaximumListed);

}  // namespace normproof::oracle
