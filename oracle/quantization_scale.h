// The scale that a row gets from its largest |y|: exactly, in hardware arithmetic, and backwards, from a
// scale to the maxima that give it.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "oracle/canonical.h"
#include "oracle/feasible.h"

namespace normproof::oracle {

// max_Q: the largest number of the quantized dtype that is used. Requires a formula that quantizes.
Value quantized_range(const Formula& formula);

// How a scale is made of a maximum.
struct ScaleRecipe {
  Value range;                         // max_Q
  std::optional<Value> inverse_range;  // rounded to fp32, the factor of the maximum; nothing: it is divided
  const ScaleFloorRow* floor = nullptr;
  std::uint32_t least_scale = 0;      // fp32 bits
  std::uint32_t bound = 0x7f800000u;  // of the maxima, fp32 bits
  bool drops_nan = false;
};
ScaleRecipe scale_recipe(const Formula& formula);

// a, the largest |y| of the row for a given unknown (r, or rms), and the scale that it gives.
Value exact_row_maximum(const Formula& formula, const ExactRow& row, const CaseTensors& tensors,
                        const Value& unknown, std::optional<AlteredStep> altered = {});
Value exact_quantization_scale(Arithmetic& arithmetic, const ScaleRecipe& recipe, const Value& maximum);
Value exact_quantization_scale(Arithmetic& arithmetic, const Formula& formula, const Value& row_maximum);
// The floor of that scale, fp32 bits; 0 where there is none.
std::uint32_t least_scale_bits(const Formula& formula);
// What the codes are multiplied by where it follows from that maximum (follows_from_maximum, code_factor.h).
Value exact_factor_of_maximum(Arithmetic& arithmetic, const ScaleRecipe& recipe, const Value& maximum);
Value exact_factor_of_maximum(Arithmetic& arithmetic, const Formula& formula, const Value& row_maximum);
// All of it: with what a row is quantized for a given unknown, as fp32 bits. The factor stands there only
// where it follows from the maximum.
struct RowQuantization {
  std::uint32_t scale = 0;
  std::optional<std::uint32_t> factor;
};
RowQuantization exact_row_quantization(Arithmetic& arithmetic, const Formula& formula, const ExactRow& row,
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

// All numbers >= 0, infinity among them, that give this scale, where scale_of(bits) is the scale of one: at
// most two intervals, in order. A scale rises with the maximum throughout, or is the least scale up to a
// maximum of that size and rises from there on.
template <typename ScaleOf>
std::vector<MaximumInterval> maxima_where(const ScaleFloorRow& floor, std::uint32_t least_scale,
                                          std::uint32_t scale_bits, ScaleOf scale_of) {
  constexpr std::int64_t kInfinityBits = 0x7f800000;
  if (is_nan(DType::fp32, scale_bits) || (scale_bits >> 31) != 0) return {};
  const std::int64_t first_rising = floor.compares_maximum ? std::int64_t{least_scale} + 1 : 0;
  std::vector<MaximumInterval> intervals;
  if (first_rising > 0 && scale_bits == least_scale)
    intervals.push_back({0, static_cast<std::uint32_t>(first_rising - 1)});
  const std::int64_t low =
      first_where(first_rising, kInfinityBits, [&](std::int64_t a) { return scale_of(a) >= scale_bits; });
  const std::int64_t beyond =
      first_where(low, kInfinityBits, [&](std::int64_t a) { return scale_of(a) > scale_bits; });
  if (low < beyond)
    intervals.push_back({static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(beyond - 1)});
  return intervals;
}

// exact_quantization_scale() in hardware arithmetic, bit for bit.
class ScaleRule {
 public:
  explicit ScaleRule(const ScaleRecipe& recipe);
  explicit ScaleRule(const Formula& formula) : ScaleRule(scale_recipe(formula)) {}

  float of(float row_maximum) const {
    const float maximum = bounded(row_maximum);
    if (floor_.compares_maximum) return maximum > least_scale_ ? divided(maximum) : least_scale_;
    const float scale = divided(maximum < least_maximum_ ? least_maximum_ : maximum);
    return scale < least_scale_ ? least_scale_ : scale;
  }

  // exact_factor_of_maximum().
  float factor_of(float maximum) const;

  // All numbers >= 0, infinity among them, that give this scale; at most two intervals, in order.
  std::vector<MaximumInterval> maxima_of(std::uint32_t scale_bits) const;
  // Whether a row gets this scale where its maximum is NaN.
  bool is_scale_of_nan(std::uint32_t scale_bits) const;

 private:
  float bounded(float maximum) const { return maximum > bound_ ? bound_ : maximum; }
  float divided(float maximum) const { return multiplies_ ? maximum * inverse_range_ : maximum / range_; }

  const ScaleFloorRow& floor_;
  bool multiplies_;
  bool drops_nan_;
  float range_;
  float inverse_range_;
  float least_maximum_;
  float least_scale_;
  float bound_;
};

}  // namespace normproof::oracle
