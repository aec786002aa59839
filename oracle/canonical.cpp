// The exact path of the contract.
#include "oracle/canonical.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "oracle/formats.h"
#include "oracle/known_sum.h"
#include "oracle/quantization_scale.h"

namespace normproof::oracle {
namespace {

// Sums lane values in the fixed tree: within each group of 32, then over the
// groups; bit 4 of the index first.
Value tree_sum(Arithmetic& arithmetic, const Format& format, std::span<Value> values) {
  for (std::size_t distance = values.size() / 2; distance > 0; distance /= 2) {
    for (std::size_t i = 0; i < distance; ++i) {
      values[i] = arithmetic.round(Step::accumulate, "a + b", format, values[i] + values[i + distance]);
    }
  }
  return values[0];
}

void require_bytes(std::string_view what, std::size_t got, std::int64_t elements, DType dtype) {
  const auto wanted =
      static_cast<std::size_t>(elements) * static_cast<std::size_t>(format_of(dtype).bits / 8);
  if (got == wanted) return;
  throw std::invalid_argument(fmt::format("{}: {} bytes given, but {} elements of {} take {} bytes", what,
                                          got, elements, format_of(dtype).name, wanted));
}

// A size below 0, or more elements than 63 bits count, would pass for an empty tensor or another size.
void require_shape(const Case& test_case) {
  std::int64_t count = 1;
  for (const std::int64_t size : test_case.shape) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count)) {
      throw std::invalid_argument(
          fmt::format("shape: size {} is negative or the product is too large", size));
    }
  }
}

std::uint32_t upper_bound_of(const Case& test_case) {
  const std::uint32_t bits = test_case.bits_of(Parameter::scale_ub);
  const bool is_none = bits == spec_of(Parameter::scale_ub).usual_bits;
  if (!is_none && (!has(test_case.operation, Parameter::scale_ub) || !is_upper_bound(bits)))
    throw std::invalid_argument(
        fmt::format("scale_ub: {} of {}: a number above 0 or infinity, where rows have scales of their own",
                    hex_bits(DType::fp32, bits), name_of(test_case.operation)));
  return bits;
}

}  // namespace

Formula Formula::without_codes() const {
  Formula result = *this;
  result.formats.quantized.reset();
  for (const NormStep step : steps) {
    if (row_of(step).place == StepPlace::code) result.steps = result.steps.without(step);
  }
  return result;
}

bool Formula::has(StepPlace place) const {
  return std::ranges::any_of(steps, [&](NormStep step) { return row_of(step).place == place; });
}

bool Formula::has(StepPlace place, Role role) const {
  return std::ranges::any_of(
      steps, [&](NormStep step) { return row_of(step).place == place && has_tensor(row_of(step), role); });
}

bool Formula::has(Role role) const {
  return std::ranges::any_of(steps, [&](NormStep step) { return has_tensor(row_of(step), role); });
}

Formula formula_of(const Case& test_case, const Policy& policy) {
  Formula formula;
  const Operation operation = test_case.operation;
  formula.formats = {test_case.dtype, test_case.weight_dtype, test_case.quantized_dtype,
                     policy.rounding, test_case.fp32_output,  test_case.fp32_residual};
  require_formula(spec_of(operation));
  formula.steps = NormSteps(spec_of(operation).steps);
  const bool by_row = formula.has(NormStep::quantize_by_row);
  const bool quantizes = normproof::quantizes(operation);
  const Format& activation = format_of(test_case.dtype);
  if (activation.bits == 8) {
    throw std::invalid_argument(fmt::format("dtype: {} is no activation dtype", activation.name));
  }
  if (test_case.weight_dtype && *test_case.weight_dtype != test_case.dtype &&
      *test_case.weight_dtype != DType::fp32) {
    throw std::invalid_argument(fmt::format("weight_dtype: {} is neither {} nor fp32",
                                            format_of(*test_case.weight_dtype).name, activation.name));
  }
  if (quantizes != test_case.quantized_dtype.has_value()) {
    throw std::invalid_argument("quantized_dtype: must be given exactly where the operation quantizes");
  }
  if (quantizes && !may_quantize_to(operation, *test_case.quantized_dtype)) {
    throw std::invalid_argument(fmt::format("quantized_dtype: {} is no {}",
                                            format_of(*test_case.quantized_dtype).name,
                                            by_row ? "fp8 dtype, nor int8" : "fp8 dtype"));
  }
  formula.scale_ub_bits = upper_bound_of(test_case);
  if (test_case.shape.empty() || test_case.shape.back() < 1) {
    throw std::invalid_argument("shape: the last dimension must be at least 1");
  }
  formula.hidden_size = test_case.shape.back();
  formula.parameter_bits = test_case.parameter_bits;
  formula.policy = policy;
  // Where the scale is given there is no maximum.
  if (!by_row && row_of(policy.scaling).from_maximum) formula.policy.scaling = ScalingPolicy::inverse;
  if (test_case.quantized_dtype == DType::int8) {
    formula.policy.fp8_nan = Fp8NanPolicy::propagate;
    formula.policy.fp8_rounding = Fp8Rounding::once;
  }
  return formula;
}

void require_input_sizes(const Case& test_case, const CaseTensors& tensors) {
  require_shape(test_case);
  static_cast<void>(formula_of(test_case, native()));
  for (const Role role : kRoles)
    require_bytes(name_of(role), tensors[role].size(),
                  test_case.has_data(role) ? test_case.elements_of(role) : 0, test_case.dtype_of(role));
}

void require_output_sizes(const Case& test_case, const Outputs& outputs) {
  require_shape(test_case);
  static_cast<void>(formula_of(test_case, native()));
  for (const Role role : kRoles)
    require_bytes(fmt::format("outputs.{}", name_of(role)), outputs[role].size(),
                  test_case.has_output(role) ? test_case.elements_of(role) : 0, test_case.dtype_of(role));
}

SumParts exact_sum(Arithmetic& arithmetic, const Formula& formula, const Value& x, const Value& residual) {
  ElementState element;
  element.input = x;
  element.residual = residual;
  element.sum = {x, x, x};
  carry_out(arithmetic, formula, StepPlace::sum, element);
  return element.sum;
}

RowScale exact_row_scale(Arithmetic& arithmetic, const Formula& formula, std::span<const Value> operands) {
  if (const auto sum = known_sum(formula, operands)) return exact_scale_of_sum(arithmetic, formula, *sum);
  const DType activation = formula.formats.activation;
  const VarianceRow& variance = row_of(formula.policy.variance);
  const Format& format = variance.format(activation);
  const bool of_terms = row_of(formula.policy.mean).of_terms;

  const std::int64_t per_chunk = elements_per_chunk(activation);
  const auto count = static_cast<std::int64_t>(operands.size());
  const Value terms = round_to(DType::fp32, Value::integer(count));
  const std::int64_t chunks = (count + per_chunk - 1) / per_chunk;
  const std::int64_t groups = (std::min(chunks, kLanes) + kGroupLanes - 1) / kGroupLanes;
  std::vector<Accumulator> accumulators(static_cast<std::size_t>(groups * kGroupLanes));
  for (std::int64_t j = 0; j < count; ++j) {
    Value x = operands[static_cast<std::size_t>(j)];
    if (variance.in_activation_dtype()) x = arithmetic.round(Step::accumulate, "rnd_T(x)", activation, x);
    const Value share =
        of_terms ? arithmetic.round(Step::accumulate, "x / H", format, quotient(x, terms)) : x;
    variance.accumulate(arithmetic, activation,
                        accumulators[static_cast<std::size_t>(j / per_chunk % kLanes)], x, share);
  }
  std::vector<Value> lanes;
  lanes.reserve(accumulators.size());
  for (const Accumulator& accumulator : accumulators) lanes.push_back(accumulator.sum);
  std::array<Value, kLanes / kGroupLanes> group_sums;  // absent groups are +0
  for (std::size_t group = 0; group < static_cast<std::size_t>(groups); ++group) {
    group_sums[group] =
        tree_sum(arithmetic, format, std::span(lanes).subspan(group * kGroupLanes, kGroupLanes));
  }
  return exact_scale_of_sum(arithmetic, formula, tree_sum(arithmetic, format, group_sums));
}

RowScale exact_scale_of_sum(Arithmetic& arithmetic, const Formula& formula, const Value& sum) {
  const Format& format = row_of(formula.policy.variance).format(formula.formats.activation);
  const MeanRow& mean = row_of(formula.policy.mean);
  const EpsilonRow& epsilon_row = row_of(formula.policy.epsilon);
  const Value count = round_to(DType::fp32, Value::integer(formula.hidden_size));
  const auto round = [&](Step step, std::string_view text, const Value& exact) {
    return arithmetic.round(step, text, format, exact);
  };
  RowScale scale;
  scale.sum = sum;
  Value product;  // of the sum and 1 / H, not rounded
  if (mean.fused) {
    product = sum * round(Step::mean, "fl(1 / H)", quotient(Value::integer(1), count));
    scale.mean = round_to(format, product);
  } else {
    scale.mean = mean.of_terms ? sum : round(Step::mean, "v = sum / H", quotient(sum, count));
  }
  Value epsilon = decode(DType::fp32, formula.bits_of(Parameter::epsilon));
  if (row_of(formula.policy.variance).in_activation_dtype())
    epsilon = round(Step::epsilon, "rnd_T(eps)", epsilon);
  epsilon = epsilon_row.operand(arithmetic, formula.formats.activation, epsilon);
  if (epsilon_row.takes_maximum) {
    const Value& larger = scale.mean < epsilon ? epsilon : scale.mean;
    scale.mean_plus_epsilon =
        round(Step::mean_plus_epsilon, "m = max(v, eps)", epsilon.is_nan() ? epsilon : larger);
  } else if (mean.fused) {
    scale.mean_plus_epsilon = round(Step::mean_plus_epsilon, "m = fma(sum, 1 / H, eps)", product + epsilon);
  } else {
    scale.mean_plus_epsilon = round(Step::mean_plus_epsilon, "m = v + eps", scale.mean + epsilon);
  }
  const bool divides = row_of(formula.policy.root).divides;
  scale.inverse_root = arithmetic.round(Step::inverse_root, divides ? "rms = sqrt(m)" : "r = 1 / sqrt(m)",
                                        DType::fp32, exact_unknown(formula, scale.mean_plus_epsilon));
  return scale;
}

Value exact_unknown(const Formula& formula, const Value& numerator, const Value& denominator) {
  return row_of(formula.policy.root).divides ? square_root(numerator, denominator)
                                             : inverse_root(numerator, denominator);
}

Value exact_normalized(Arithmetic& arithmetic, const Formula& formula, BeforeQuantization rounding,
                       const Operands& operands, const Value& unknown) {
  ElementState element;
  element.residual = operands.residual;
  element.weight = operands.weight;
  element.unknown = unknown;
  element.sum.output_operand = operands.s;
  carry_out(arithmetic, formula, StepPlace::product, element);
  return row_of(rounding).function(arithmetic, formula.formats, element.product);
}

// What is not quantized is rounded to T, or left as the fp32 product.
BeforeQuantization rounding_of_output(const Formula& formula) {
  if (formula.formats.quantized) return formula.policy.before_quantization;
  return formula.formats.fp32_output ? BeforeQuantization::unrounded : BeforeQuantization::rounded;
}

std::uint64_t exact_output(Arithmetic& arithmetic, const Formula& formula, const Operands& operands,
                           const Value& unknown) {
  ElementState element;
  element.y = exact_normalized(arithmetic, formula, rounding_of_output(formula), operands, unknown);
  carry_out(arithmetic, formula, StepPlace::code, element);
  // Altered steps may leave y between the numbers of T; its bits are then those of the nearest one.
  return round_bits(format_of(formula.output_dtype()), element.y);
}

std::vector<Value> ExactRow::variance_operands() const {
  std::vector<Value> operands;
  operands.reserve(sums.size());
  for (const SumParts& sum : sums) operands.push_back(sum.variance_operand);
  return operands;
}

SumParts sum_at(Arithmetic& arithmetic, const Formula& formula, const CaseTensors& tensors,
                std::int64_t index) {
  const DType activation = formula.formats.activation, of_residual = formula.formats.residual();
  const Value x = decode(activation, load_bits(tensors[Role::input], activation, index));
  const Value residual = formula.has(Role::residual)
                             ? decode(of_residual, load_bits(tensors[Role::residual], of_residual, index))
                             : Value();
  return exact_sum(arithmetic, formula, x, residual);
}

ExactRow decode_row(const Formula& formula, const CaseTensors& tensors, std::int64_t row) {
  Arithmetic arithmetic;
  ExactRow result;
  result.row = row;
  result.sums.reserve(static_cast<std::size_t>(formula.hidden_size));
  for (std::int64_t j = 0; j < formula.hidden_size; ++j)
    result.sums.push_back(sum_at(arithmetic, formula, tensors, row * formula.hidden_size + j));
  return result;
}

Operands operands_at(const Formula& formula, const CaseTensors& tensors, std::int64_t row,
                     std::int64_t column, const Value& s) {
  Operands operands{s, decode_weight(formula, tensors, column)};
  if (formula.has(StepPlace::product, Role::residual)) {
    const DType dtype = formula.formats.residual();
    operands.residual =
        decode(dtype, load_bits(tensors[Role::residual], dtype, row * formula.hidden_size + column));
  }
  return operands;
}

Operands operands_at(const Formula& formula, const CaseTensors& tensors, const ExactRow& row,
                     std::int64_t column) {
  return operands_at(formula, tensors, row.row, column,
                     row.sums[static_cast<std::size_t>(column)].output_operand);
}

std::uint32_t row_scale_bits(const Formula& formula, const Outputs& outputs, std::int64_t row) {
  return formula.has(NormStep::quantize_by_row) ? load_bits(outputs[Role::scales], DType::fp32, row) : 0;
}

Value decode_weight(const Formula& formula, const CaseTensors& tensors, std::int64_t column) {
  if (!formula.formats.weight) return Value::integer(1);
  return decode(*formula.formats.weight, load_bits(tensors[Role::weight], *formula.formats.weight, column));
}

}  // namespace normproof::oracle
