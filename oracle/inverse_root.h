// The inverse root of the contract: fl(1 / sqrt(m)), correctly rounded, and exact
// comparisons against 1 / sqrt(m).
#pragma once

#include <compare>
#include <cstdint>

#include "oracle/exact.h"

namespace normproof::oracle {

// fp32 bits of 1 / sqrt(m), rounded once to nearest even. m = +0 gives +infinity, -0 gives -infinity, m < 0
// and NaN give NaN, +infinity gives +0.
std::uint32_t inverse_root_bits(const Value& m);

// fp32 bits of 1 / sqrt(numerator / denominator), rounded once; denominator > 0.
std::uint32_t inverse_root_bits(const Value& numerator, const Value& denominator);

// Where r lies against 1 / sqrt(numerator / denominator), decided by comparing r^2 * numerator with
// denominator in integers. r >= 0 or +infinity, numerator >= 0 finite, denominator > 0 finite. Unordered
// where r is NaN.
std::partial_ordering compare_with_inverse_root(const Value& r, const Value& numerator,
                                                const Value& denominator);

}  // namespace normproof::oracle
