// The exact path of the contract.
#include "oracle/canonical.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "oracle/formats.h"

namespace normproof::oracle {
namespace {

// Sums lane values in the fixed tree: within each group of 32, then over the groups; bit 4 of the index
// first.
Value tree_sum(Arithmetic& arithmetic, DType format, std::span<Value> values) {
  for (std::size_t distance = values.size() / 2; distance > 0; distance /= 2) {
    for (std::size_t i = 0; i < distance; ++i) {
      values[i] = arithmetic.round(Step::accumulate, "a + b", format, values[i] + values[i + distance]);
    }
  }
  return values[0];
}

void require_bytes(const char* what, std::size_t got, std::int64_t elements, DType dtype) {
  const auto wanted =
      static_cast<std::size_t>(elements) * static_cast<std::size_t>(format_of(dtype).bits / 8);
  if (got == wanted) return;
  throw std::invalid_argument(fmt::format("{}: {} bytes given, but {} elements of {} take {} bytes", what,
                                          got, elements, format_of(dtype).name, wanted));
}

std::int64_t element_count(const Case& test_case) {
  std::int64_t count = 1;
  for (const std::int64_t size : test_case.shape) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count)) {
      throw std::invalid_argument(
          fmt::format("shape: size {} is negative or the product is too large", size));
    }
  }
  return count;
}

}  // namespace

Formula formula_of(const Case& test_case, const Policy& policy) {
  Formula formula;
  const Operation operation = test_case.operation;
  formula.formats = {test_case.dtype, test_case.weight_dtype, test_case.quantized_dtype};
  formula.adds_residual = operation == Operation::fused_add_rms_norm ||
                          operation == Operation::fused_add_rms_norm_static_fp8_quant;
  const bool quantizes = operation == Operation::rms_norm_static_fp8_quant ||
                         operation == Operation::fused_add_rms_norm_static_fp8_quant;
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
  if (quantizes && format_of(*test_case.quantized_dtype).bits != 8) {
    throw std::invalid_argument(
        fmt::format("quantized_dtype: {} is no fp8 dtype", format_of(*test_case.quantized_dtype).name));
  }
  if (test_case.shape.empty() || test_case.shape.back() < 1) {
    throw std::invalid_argument("shape: the last dimension must be at least 1");
  }
  formula.hidden_size = test_case.shape.back();
  formula.epsilon_bits = test_case.epsilon_bits;
  formula.scale_bits = test_case.scale_bits;
  formula.policy = policy;
  return formula;
}

void require_sizes(const Case& test_case, const CaseTensors& tensors) {
  const std::int64_t count = element_count(test_case);
  const Formula formula = formula_of(test_case, native());
  require_bytes("input", tensors.input.size(), count, test_case.dtype);
  require_bytes("residual", tensors.residual.size(), formula.adds_residual ? count : 0, test_case.dtype);
  require_bytes("weight", tensors.weight.size(), test_case.weight_dtype ? formula.hidden_size : 0,
                test_case.weight_dtype.value_or(test_case.dtype));
}

void require_sizes(const Case& test_case, const Outputs& outputs) {
  const std::int64_t count = element_count(test_case);
  const Formula formula = formula_of(test_case, native());
  require_bytes("outputs.out", outputs.out.size(), count, formula.output_dtype());
  require_bytes("outputs.residual_out", outputs.residual_out.size(), formula.adds_residual ? count : 0,
                test_case.dtype);
}

SumParts exact_sum(Arithmetic& arithmetic, const Formula& formula, const Value& x, const Value& residual) {
  if (!formula.adds_residual) return {x, x, x};
  return row_of(formula.policy.sum).function(arithmetic, formula.formats.activation, x, residual);
}

RowScale exact_row_scale(Arithmetic& arithmetic, const Formula& formula, std::span<const Value> operands) {
  const DType activation = formula.formats.activation;
  const VarianceRow& variance = row_of(formula.policy.variance);
  const DType format = variance.in_activation_dtype ? activation : DType::fp32;

  const std::int64_t per_chunk = elements_per_chunk(activation);
  const auto count = static_cast<std::int64_t>(operands.size());
  const std::int64_t chunks = (count + per_chunk - 1) / per_chunk;
  const std::int64_t groups = (std::min(chunks, kLanes) + kGroupLanes - 1) / kGroupLanes;
  std::vector<Value> lanes(static_cast<std::size_t>(groups * kGroupLanes));
  for (std::int64_t j = 0; j < count; ++j) {
    Value& lane = lanes[static_cast<std::size_t>(j / per_chunk % kLanes)];
    lane = variance.accumulate(arithmetic, activation, lane, operands[static_cast<std::size_t>(j)]);
  }
  std::array<Value, kLanes / kGroupLanes> group_sums;  // absent groups are +0
  for (std::size_t group = 0; group < static_cast<std::size_t>(groups); ++group) {
    group_sums[group] =
        tree_sum(arithmetic, format, std::span(lanes).subspan(group * kGroupLanes, kGroupLanes));
  }

  RowScale scale;
  scale.sum = tree_sum(arithmetic, format, group_sums);
  scale.mean = arithmetic.round(Step::mean, "v = sum / H", format,
                                quotient(scale.sum, round_to(DType::fp32, Value::integer(count))));
  Value epsilon = decode(DType::fp32, formula.epsilon_bits);
  if (variance.in_activation_dtype) {
    epsilon = arithmetic.round(Step::epsilon, "rnd_T(eps)", format, epsilon);
  }
  scale.mean_plus_epsilon =
      arithmetic.round(Step::mean_plus_epsilon, "m = v + eps", format, scale.mean + epsilon);
  scale.inverse_root = arithmetic.round(Step::inverse_root, "r = 1 / sqrt(m)", DType::fp32,
                                        inverse_root(scale.mean_plus_epsilon));
  return scale;
}

std::uint64_t exact_output(Arithmetic& arithmetic, const Formula& formula, const Value& s, const Value& w,
                           const Value& r) {
  const Formats& formats = formula.formats;
  Product product;
  if (formats.weight) {
    product = row_of(formula.policy.weight).function(arithmetic, formats, s, r, w);
  } else {
    product = {arithmetic.round(Step::scaled, "fl(x * r)", DType::fp32, s * r), DType::fp32};
  }
  const bool quantizes = formats.quantized.has_value();
  const BeforeQuantization before =
      quantizes ? formula.policy.before_quantization : BeforeQuantization::rounded;
  const Value y = row_of(before).function(arithmetic, formats.activation, product);
  // Altered steps may leave y between the numbers of T; its bits are then those of the nearest one.
  if (!quantizes) return round_bits(format_of(formats.activation), y);

  const Format& target = format_of(*formats.quantized);
  const Value scaled =
      row_of(formula.policy.scaling).function(arithmetic, y, decode(DType::fp32, formula.scale_bits));
  const Value clamped =
      row_of(formula.policy.fp8_nan).clamp(scaled, decode(target, target.max_finite_bits()));
  const Value q = arithmetic.round(Step::quantized, "q = rnd_Q(clamp(...))", *formats.quantized, clamped);
  return round_bits(target, q);
}

std::vector<Value> ExactRow::variance_operands() const {
  std::vector<Value> operands;
  operands.reserve(sums.size());
  for (const SumParts& sum : sums) operands.push_back(sum.variance_operand);
  return operands;
}

std::uint32_t bits_at(const std::vector<std::byte>& data, DType dtype, std::int64_t index) {
  const auto size = static_cast<std::size_t>(format_of(dtype).bits / 8);
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < size; ++i) {
    bits |= std::to_integer<std::uint32_t>(data[static_cast<std::size_t>(index) * size + i]) << (8 * i);
  }
  return bits;
}

ExactRow decode_row(const Formula& formula, const CaseTensors& tensors, std::int64_t row) {
  const DType activation = formula.formats.activation;
  Arithmetic arithmetic;
  ExactRow result;
  result.sums.reserve(static_cast<std::size_t>(formula.hidden_size));
  for (std::int64_t j = 0; j < formula.hidden_size; ++j) {
    const std::int64_t index = row * formula.hidden_size + j;
    const Value x = decode(activation, bits_at(tensors.input, activation, index));
    const Value residual =
        formula.adds_residual ? decode(activation, bits_at(tensors.residual, activation, index)) : Value();
    result.sums.push_back(exact_sum(arithmetic, formula, x, residual));
  }
  return result;
}

Value decode_weight(const Formula& formula, const CaseTensors& tensors, std::int64_t column) {
  if (!formula.formats.weight) return Value::integer(1);
  return decode(*formula.formats.weight, bits_at(tensors.weight, *formula.formats.weight, column));
}

}  // namespace normproof::oracle
