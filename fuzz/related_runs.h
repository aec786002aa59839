// Relations between several runs of a case (properties/relations.h), asked by a fuzzer.
#pragma once

#include "corpus/case.h"
#include "properties/relations.h"

namespace normproof::fuzz {

using Relation = CaseFinding (*)(const Case& test_case, PropertyContext& context);

// Asks the relation of the case on target(); where it fails, the run that violates the contract by itself is
// reported as check_conformance does, or else the relation. Requires a case that the kernels must accept.
void check_relation(const Case& test_case, Relation relation);

}  // namespace normproof::fuzz
