// What codes are made with: y * factor (or y / factor where the policy divides), and where the scale that is
// stored leaves that open. An approximate reciprocal is one of two numbers; max_Q / a takes a few values
// among the maxima a that give one scale. A row then conforms if one of these
// factors, with one r, explains it.
#pragma once

#include <cstdint>
#include <vector>

#include "oracle/quantization_scale.h"

namespace normproof::oracle {

// Whether the factor follows from the row's maximum.
bool follows_from_maximum(const Formula& formula);
// Whether a scale goes with more than one factor.
bool leaves_factor_open(const Formula& formula);

// One factor, and the maxima of rows with which a row has both the scale and this factor.
struct CodeFactor {
  float factor = 1;
  std::vector<MaximumInterval> maxima;  // none where the scale is given
  bool with_nan = false;                // a maximum that is NaN goes with it too
};

// fp32 bits; any NaN stands for any other.
std::uint32_t factor_bits(float factor);

// All of them for a scale, in hardware arithmetic, the likeliest first; `rule` where rows have scales of
// their own, else nullptr. Where no maximum gives the scale the list is empty, or has factors without maxima.
std::vector<CodeFactor> code_factors(const Formula& formula, const ScaleRule* rule, std::uint32_t scale_bits);
// Their bits once more by exact arithmetic, for the checks of certificates.
std::vector<std::uint32_t> exact_code_factors(const Formula& formula, std::uint32_t scale_bits);
std::vector<std::uint32_t> exact_code_factors(const Formula& formula, const ScaleRecipe& recipe,
                                              std::uint32_t scale_bits);

}  // namespace normproof::oracle
