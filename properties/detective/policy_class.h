// Policies that are the same arithmetic for given dtypes, so that no output can tell them apart.
#pragma once

#include <optional>
#include <string>

#include "corpus/case.h"
#include "oracle/policy.h"

namespace normproof {

// The simplest policy that gives the same outputs for all values of tensors of the case's dtypes, and admits
// the same inverse roots whatever the order of summation. Two policies are the same arithmetic exactly if
// they have the same representative.
oracle::Policy representative(const oracle::Policy& policy, const Case& test_case);

// Why two policies that differ on `axis` alone have the same representative.
std::string why_the_same(std::size_t axis, const oracle::Policy& policy, const Case& test_case);

}  // namespace normproof
