// The factors of a scale: the neighbours of its inverse, or the values of max_Q / a.
#include "oracle/code_factor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "oracle/feasible.h"

namespace normproof::oracle {
namespace {

constexpr std::uint32_t kSmallestNormal = 0x00800000u;
constexpr std::uint32_t kSign = 0x80000000u;

bool is_subnormal_fp32(std::uint32_t bits) {
  return (bits & ~kSign) != 0 && (bits & ~kSign) < kSmallestNormal;
}

void add_once(std::vector<std::uint32_t>& factors, std::uint32_t bits) {
  if (std::ranges::find(factors, bits) == factors.end()) factors.push_back(bits);
}

// Of a build that flushes: the inverse of what became zero, and zero in the place of a subnormal inverse.
void add_flushed(std::vector<std::uint32_t>& factors, std::uint32_t scale_bits) {
  const std::uint32_t sign = scale_bits & kSign;
  if (is_subnormal_fp32(scale_bits)) add_once(factors, sign | kFp32Infinity);
  if (std::ranges::any_of(factors, is_subnormal_fp32)) add_once(factors, sign);
}

// The two numbers next to 1 / scale, the nearer one first; or 1 / scale itself.
std::vector<std::uint32_t> neighbours_of_inverse(std::uint32_t scale_bits) {
  const auto scale = std::bit_cast<float>(scale_bits);
  const float nearest = 1.0f / scale;
  std::vector<std::uint32_t> factors = {factor_bits(nearest)};
  // No inverse of an fp32 number is so near to another one that fp64 takes it for it: f * scale has at most
  // 48 bits.
  const double inverse = 1.0 / static_cast<double>(scale);
  const auto rounded = static_cast<double>(nearest);
  if (inverse < rounded || inverse > rounded) {
    const float toward =
        inverse < rounded ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::infinity();
    add_once(factors, factor_bits(std::nextafter(nearest, toward)));
  }
  return factors;
}

std::vector<std::uint32_t> exact_neighbours_of_inverse(std::uint32_t scale_bits) {
  const Value inverse = quotient(Value::integer(1), decode(DType::fp32, scale_bits));
  std::vector<std::uint32_t> factors;
  for (const Rounding rounding : {Rounding::nearest_even, Rounding::down, Rounding::up})
    add_once(factors, static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), inverse, rounding)));
  return factors;
}

std::vector<std::uint32_t> exact_inverse_factors(const Formula& formula, std::uint32_t scale_bits) {
  std::vector<std::uint32_t> factors = exact_neighbours_of_inverse(scale_bits);
  if (formula.policy.inverse_root.flush_to_zero) add_flushed(factors, scale_bits);
  return factors;
}

// Cuts an interval of maxima where the factor changes: as a rises it never does but fall.
template <typename FactorOf>
std::vector<std::pair<std::uint32_t, MaximumInterval>> cut(const MaximumInterval& maxima,
                                                           FactorOf factor_of) {
  std::vector<std::pair<std::uint32_t, MaximumInterval>> pieces;
  for (std::int64_t low = maxima.low; low <= std::int64_t{maxima.high};) {
    const std::uint32_t factor = factor_of(static_cast<std::uint32_t>(low));
    const std::int64_t next = first_where(
        low, maxima.high, [&](std::int64_t a) { return factor_of(static_cast<std::uint32_t>(a)) != factor; });
    pieces.push_back({factor, {static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(next - 1)}});
    low = next;
  }
  return pieces;
}

std::vector<CodeFactor> factors_of_maxima(const ScaleRule& rule, std::uint32_t scale_bits) {
  std::vector<CodeFactor> result;
  const auto entry = [&](std::uint32_t factor) -> CodeFactor& {
    const auto found =
        std::ranges::find(result, factor, [](const CodeFactor& each) { return factor_bits(each.factor); });
    if (found != result.end()) return *found;
    return result.emplace_back(std::bit_cast<float>(factor));
  };
  const auto factor_of = [&](std::uint32_t maximum) {
    return factor_bits(rule.factor_of(std::bit_cast<float>(maximum)));
  };
  for (const MaximumInterval& maxima : rule.maxima_of(scale_bits)) {
    for (const auto& [factor, piece] : cut(maxima, factor_of)) entry(factor).maxima.push_back(piece);
  }
  if (rule.is_scale_of_nan(scale_bits))
    entry(factor_of(static_cast<std::uint32_t>(format_of(DType::fp32).nan_bits()))).with_nan = true;
  return result;
}

}  // namespace

std::uint32_t factor_bits(float factor) {
  return std::isnan(factor) ? static_cast<std::uint32_t>(format_of(DType::fp32).nan_bits())
                            : std::bit_cast<std::uint32_t>(factor);
}

bool follows_from_maximum(const Formula& formula) {
  return formula.has(NormStep::quantize_by_row) && row_of(formula.policy.scaling).from_maximum;
}

bool leaves_factor_open(const Formula& formula) {
  return formula.formats.quantized &&
         (row_of(formula.policy.scaling).approximate || follows_from_maximum(formula));
}

std::vector<CodeFactor> code_factors(const Formula& formula, const ScaleRule* rule,
                                     std::uint32_t scale_bits) {
  const ScalingRow& row = row_of(formula.policy.scaling);
  if (follows_from_maximum(formula)) return factors_of_maxima(*rule, scale_bits);
  const auto scale = std::bit_cast<float>(scale_bits);
  CodeFactor factor{row.divides ? scale : 1.0f / scale, {}, false};
  if (rule != nullptr) {
    factor.maxima = rule->maxima_of(scale_bits);
    factor.with_nan = rule->is_scale_of_nan(scale_bits);
  }
  if (!row.approximate) return {factor};
  std::vector<std::uint32_t> candidates = neighbours_of_inverse(scale_bits);
  if (formula.policy.inverse_root.flush_to_zero) add_flushed(candidates, scale_bits);
  std::vector<CodeFactor> result;
  for (const std::uint32_t bits : candidates) {
    factor.factor = std::bit_cast<float>(bits);
    result.push_back(factor);
  }
  return result;
}

std::vector<std::uint32_t> exact_code_factors(const Formula& formula, std::uint32_t scale_bits) {
  return follows_from_maximum(formula) ? exact_code_factors(formula, scale_recipe(formula), scale_bits)
                                       : exact_inverse_factors(formula, scale_bits);
}

std::vector<std::uint32_t> exact_code_factors(const Formula& formula, const ScaleRecipe& recipe,
                                              std::uint32_t scale_bits) {
  if (!follows_from_maximum(formula)) return exact_inverse_factors(formula, scale_bits);
  const ScaleFloorRow* floor = recipe.floor;
  if (floor == nullptr) throw std::logic_error("oracle: a recipe of scales without a floor");
  Arithmetic arithmetic;
  const auto bits_of = [](const Value& value) {
    return static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), value));
  };
  const auto scale_of = [&](std::int64_t maximum) {
    return bits_of(exact_quantization_scale(arithmetic, recipe,
                                            decode(DType::fp32, static_cast<std::uint32_t>(maximum))));
  };
  const auto factor_of = [&](std::uint32_t maximum) {
    return bits_of(exact_factor_of_maximum(arithmetic, recipe, decode(DType::fp32, maximum)));
  };
  std::vector<std::uint32_t> factors;
  const auto nan = static_cast<std::uint32_t>(format_of(DType::fp32).nan_bits());
  for (const MaximumInterval& maxima : maxima_where(*floor, recipe.least_scale, scale_bits, scale_of)) {
    for (const auto& piece : cut(maxima, factor_of)) add_once(factors, piece.first);
  }
  if (!recipe.drops_nan && same(DType::fp32, scale_of(nan), scale_bits)) add_once(factors, factor_of(nan));
  return factors;
}

}  // namespace normproof::oracle
