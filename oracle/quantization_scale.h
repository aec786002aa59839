// The scale that a row gets from its largest |y|: exactly, in hardware arithmetic, and backwards, from a
// scale to the maxima that give it.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "oracle/canonical.h"

namespace normproof::oracle {

// max_Q: the largest number of the quantized dtype that is used. Requires a formula that quantizes.
Value quantized_range(const Formula& formula);

// a, the largest |y| of the row for a given unknown (r, or rms), and the scale that it gives.
Value exact_row_maximum(const Formula& formula, const ExactRow& row, const CaseTensors& tensors,
                        const Value& unknown, std::optional<AlteredStep> altered = {});
Value exact_quantization_scale(Arithmetic& arithmetic, const Formula& formula, const Value& maximum);
// Both: the row's scale for a given unknown, as fp32 bits.
std::uint32_t exact_scale_bits(Arithmetic& arithmetic, const Formula& formula, const ExactRow& row,
                               const CaseTensors& tensors, const Value& unknown,
                               std::optional<AlteredStep> altered = {});

// Numbers from `low` to `high`, both included, as bits of fp32 numbers >= 0.
struct MaximumInterval {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  bool contains(float maximum) const {
    const auto bits = std::bit_cast<std::uint32_t>(maximum);
    return low <= bits && bits <= high;
  }
};

// exact_quantization_scale() in hardware arithmetic, bit for bit.
class ScaleRule {
 public:
  explicit ScaleRule(const Formula& formula);

  float of(float maximum) const {
    if (floor_.compares_maximum) return maximum > least_scale_ ? divided(maximum) : least_scale_;
    const float scale = divided(maximum < least_maximum_ ? least_maximum_ : maximum);
    return scale < least_scale_ ? least_scale_ : scale;
  }

  // All numbers >= 0, infinity among them, that give this scale; at most two intervals, in order.
  std::vector<MaximumInterval> maxima_of(std::uint32_t scale_bits) const;
  // Whether a row gets this scale where its maximum is NaN.
  bool is_scale_of_nan(std::uint32_t scale_bits) const;

 private:
  float divided(float maximum) const { return multiplies_ ? maximum * inverse_range_ : maximum / range_; }

  const ScaleFloorRow& floor_;
  bool multiplies_;
  bool drops_nan_;
  float range_;
  float inverse_range_;
  float least_maximum_;
  float least_scale_;
};

}  // namespace normproof::oracle
