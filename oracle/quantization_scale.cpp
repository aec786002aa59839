// The row's scale, forwards and backwards.
#include "oracle/quantization_scale.h"

#include <limits>

#include "oracle/code_factor.h"
#include "oracle/feasible.h"

namespace normproof::oracle {
namespace {

float as_float(std::int64_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits)); }

// Of the y that the maximum is taken of.
BeforeQuantization rounding_of_maximum(const Policy& policy) {
  const bool rounded = policy.before_quantization == BeforeQuantization::rounded;
  return rounded != row_of(policy.row_maximum).of_other ? BeforeQuantization::rounded
                                                        : BeforeQuantization::unrounded;
}

}  // namespace

Value quantized_range(const Formula& formula) {
  const DType quantized = *formula.formats.quantized;
  if (quantized == DType::fp8_e4m3fnuz && row_of(formula.policy.range).fnuz_ends_at_224)
    return Value::integer(224);
  const Format& format = format_of(quantized);
  return decode(format, format.max_finite_bits());
}

Value exact_row_maximum(const Formula& formula, const ExactRow& row, const CaseTensors& tensors,
                        const Value& unknown, std::optional<AlteredStep> altered) {
  const BeforeQuantization rounding = rounding_of_maximum(formula.policy);
  const bool drops_nan = row_of(formula.policy.maximum_nan).drops;
  Arithmetic arithmetic(nullptr, altered);
  Value maximum;
  for (std::size_t column = 0; column < row.sums.size(); ++column) {
    const Value y =
        exact_normalized(arithmetic, formula, rounding,
                         operands_at(formula, tensors, row, static_cast<std::int64_t>(column)), unknown);
    if (y.is_nan()) {
      if (!drops_nan) return y;
      continue;
    }
    const Value magnitude = y.negative() ? -y : y;
    if (magnitude > maximum) maximum = magnitude;
  }
  return maximum;
}

std::uint32_t least_scale_bits(const Formula& formula) {
  return row_of(formula.policy.scale_floor)
      .least_scale(*formula.formats.quantized, fp32_bits(quantized_range(formula)));
}

ScaleRecipe scale_recipe(const Formula& formula) {
  ScaleRecipe recipe;
  recipe.range = quantized_range(formula);
  if (row_of(formula.policy.row_scale).multiplies)
    recipe.inverse_range = quotient(Value::integer(1), recipe.range);
  recipe.floor = &row_of(formula.policy.scale_floor);
  recipe.least_scale = least_scale_bits(formula);
  recipe.bound = formula.scale_ub_bits;
  recipe.drops_nan = row_of(formula.policy.maximum_nan).drops;
  return recipe;
}

namespace {

// The maximum that counts: at most the upper bound. NaN stays.
Value bounded(const ScaleRecipe& recipe, const Value& maximum) {
  const Value bound = decode(DType::fp32, recipe.bound);
  return maximum > bound ? bound : maximum;
}

}  // namespace

Value exact_quantization_scale(Arithmetic& arithmetic, const ScaleRecipe& recipe, const Value& any_maximum) {
  const Value maximum = bounded(recipe, any_maximum);
  const ScaleFloorRow& floor = *recipe.floor;
  Value least_scale = decode(DType::fp32, recipe.least_scale);
  if (floor.compares_maximum && !(maximum > least_scale)) return least_scale;
  const Value least_maximum = decode(DType::fp32, floor.least_maximum);
  const Value& a = maximum < least_maximum ? least_maximum : maximum;
  Value scale;
  if (recipe.inverse_range) {
    const Value inverse =
        arithmetic.round(Step::inverse_range, "fl(1 / max_Q)", DType::fp32, *recipe.inverse_range);
    scale = arithmetic.round(Step::row_scale, "s = fl(a * fl(1 / max_Q))", DType::fp32, a * inverse);
  } else {
    scale = arithmetic.round(Step::row_scale, "s = fl(a / max_Q)", DType::fp32, quotient(a, recipe.range));
  }
  return !floor.compares_maximum && scale < least_scale ? least_scale : scale;
}

Value exact_quantization_scale(Arithmetic& arithmetic, const Formula& formula, const Value& row_maximum) {
  return exact_quantization_scale(arithmetic, scale_recipe(formula), row_maximum);
}

Value exact_factor_of_maximum(Arithmetic& arithmetic, const ScaleRecipe& recipe, const Value& any_maximum) {
  const Value maximum = bounded(recipe, any_maximum);
  const ScaleFloorRow& floor = *recipe.floor;
  const Value least_scale = decode(DType::fp32, recipe.least_scale);
  const Value least_maximum = decode(DType::fp32, floor.least_maximum);
  const auto greatest = [&] {
    return arithmetic.round(Step::inverse_scale, "inv = fl(1 / least s)", DType::fp32,
                            quotient(Value::integer(1), least_scale));
  };
  if (floor.compares_maximum && !(maximum > least_scale)) return greatest();
  const Value& a = maximum < least_maximum ? least_maximum : maximum;
  Value factor =
      arithmetic.round(Step::inverse_scale, "inv = fl(max_Q / a)", DType::fp32, quotient(recipe.range, a));
  const bool is_bounded = !floor.compares_maximum && !least_scale.is_zero();
  if (!is_bounded || !(factor > round_to(DType::fp32, quotient(Value::integer(1), least_scale))))
    return factor;
  return greatest();
}

Value exact_factor_of_maximum(Arithmetic& arithmetic, const Formula& formula, const Value& row_maximum) {
  return exact_factor_of_maximum(arithmetic, scale_recipe(formula), row_maximum);
}

RowQuantization exact_row_quantization(Arithmetic& arithmetic, const Formula& formula, const ExactRow& row,
                                       const CaseTensors& tensors, const Value& unknown,
                                       std::optional<AlteredStep> altered) {
  const Value maximum = exact_row_maximum(formula, row, tensors, unknown, altered);
  RowQuantization result{fp32_bits(exact_quantization_scale(arithmetic, formula, maximum)), {}};
  if (follows_from_maximum(formula))
    result.factor = fp32_bits(exact_factor_of_maximum(arithmetic, formula, maximum));
  return result;
}

ScaleRule::ScaleRule(const ScaleRecipe& recipe)
    : floor_(*recipe.floor),
      multiplies_(recipe.inverse_range.has_value()),
      drops_nan_(recipe.drops_nan),
      range_(as_float(fp32_bits(recipe.range))),
      inverse_range_(as_float(fp32_bits(recipe.inverse_range.value_or(Value::integer(1))))),
      least_maximum_(as_float(floor_.least_maximum)),
      least_scale_(as_float(recipe.least_scale)),
      bound_(as_float(recipe.bound)) {}

float ScaleRule::factor_of(float row_maximum) const {
  const float maximum = bounded(row_maximum);
  if (floor_.compares_maximum) return maximum > least_scale_ ? range_ / maximum : 1.0f / least_scale_;
  const float factor = range_ / (maximum < least_maximum_ ? least_maximum_ : maximum);
  const float greatest = 1.0f / least_scale_;  // infinity where there is no least scale
  return factor > greatest ? greatest : factor;
}

std::vector<MaximumInterval> ScaleRule::maxima_of(std::uint32_t scale_bits) const {
  return maxima_where(floor_, fp32_bits(least_scale_), scale_bits,
                      [&](std::int64_t maximum) { return fp32_bits(of(as_float(maximum))); });
}

bool ScaleRule::is_scale_of_nan(std::uint32_t scale_bits) const {
  return !drops_nan_ && same(DType::fp32, fp32_bits(of(std::numeric_limits<float>::quiet_NaN())), scale_bits);
}

}  // namespace normproof::oracle
