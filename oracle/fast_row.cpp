// The fast path's row: which loops run for which policy.
#include "oracle/fast_row.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace normproof::oracle {
namespace {

float as_float(const Value& value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), value)));
}
Value exact(float value) { return decode(DType::fp32, std::bit_cast<std::uint32_t>(value)); }

std::size_t index_of_quantized(DType dtype) {
  return static_cast<std::size_t>(dtype) - static_cast<std::size_t>(DType::fp8_e4m3fn);
}

}  // namespace

FastRow::FastRow(const Formula& formula, std::span<const std::byte> weight, const RowKernels& kernels)
    : formula_(formula),
      kernels_(kernels),
      activation_(static_cast<std::size_t>(formula.formats.activation)),
      activation_bytes_(static_cast<std::size_t>(format_of(formula.formats.activation).bits / 8)) {
  const auto count = static_cast<std::size_t>(formula.hidden_size);
  input_.resize(count);
  outputs_.resize(count * static_cast<std::size_t>(format_of(formula.output_dtype()).bits / 8));
  if (formula.adds_residual) {
    residual_.resize(count);
    sum_.resize(count);
    rounded_sum_.resize(count);
    residual_out_.resize(count * activation_bytes_);
  }
  if (formula.formats.weight) {
    const WeightRow& row = row_of(formula.policy.weight);
    factor_.resize(count);
    kernels_.widen[static_cast<std::size_t>(*formula.formats.weight)](weight.data(), formula.hidden_size,
                                                                      factor_.data());
    if (row.adds_one) {
      for (float& factor : factor_) factor = 1.0f + factor;
    }
    const bool weight_is_fp32 = *formula.formats.weight == DType::fp32;
    rounds_normalized_ = row.normalized == WeightRow::Normalized::activation ||
                         (row.normalized == WeightRow::Normalized::weight && !weight_is_fp32);
  }
  if (formula.formats.quantized) {
    const float scale = std::bit_cast<float>(formula.scale_bits);
    const bool divides = formula.policy.scaling == ScalingPolicy::divide;
    wide_.resize(count);
    rounds_output_ = formula.policy.before_quantization == BeforeQuantization::rounded;
    quantization_ = {divides ? scale : 1.0f / scale, divides,
                     formula.policy.fp8_nan == Fp8NanPolicy::saturate};
    quantize_ = kernels_.quantize[index_of_quantized(*formula.formats.quantized)];
  }
}

void FastRow::load(const std::byte* input, const std::byte* residual) {
  const std::int64_t count = formula_.hidden_size;
  kernels_.widen[activation_](input, count, input_.data());
  has_special_operand_ = kernels_.any_special[activation_](input, count);
  if (!formula_.adds_residual) return;
  kernels_.widen[activation_](residual, count, residual_.data());
  has_special_operand_ = has_special_operand_ || kernels_.any_special[activation_](residual, count);
  kernels_.add_residual[activation_](input_.data(), residual_.data(), count, sum_.data(), rounded_sum_.data(),
                                     residual_out_.data());
}

std::span<const float> FastRow::variance_operands() const {
  if (!formula_.adds_residual) return input_;
  return row_of(formula_.policy.sum).variance_reads_rounded ? rounded_sum_ : sum_;
}

std::span<const float> FastRow::output_operands() const {
  if (!formula_.adds_residual) return input_;
  return row_of(formula_.policy.sum).output_reads_rounded ? rounded_sum_ : sum_;
}

FastRow::Scale FastRow::canonical_scale() const {
  const std::int64_t count = formula_.hidden_size;
  const std::int64_t per_chunk = elements_per_chunk(formula_.formats.activation);
  const float* operands = variance_operands().data();
  const float epsilon = std::bit_cast<float>(formula_.epsilon_bits);
  Scale scale{};
  if (row_of(formula_.policy.variance).in_activation_dtype) {
    // Quotients of a T number by H are not safe to round twice: the few scalar steps of this policy are done
    // exactly.
    const DType activation = formula_.formats.activation;
    const Value sum = exact(kernels_.sum_activation[activation_](operands, count, per_chunk));
    const Value mean = round_to(activation, quotient(sum, round_to(DType::fp32, Value::integer(count))));
    const Value m = round_to(activation, mean + round_to(activation, exact(epsilon)));
    scale = {as_float(mean), as_float(m), 0};
  } else {
    scale.mean = kernels_.sum_fp32(operands, count, per_chunk) / static_cast<float>(count);
    scale.mean_plus_epsilon = scale.mean + epsilon;
  }
  // Rounding the fp64 root to fp32 is correct for every fp32 number (oracle/test/inverse_root_test.cpp).
  scale.inverse_root = static_cast<float>(1.0 / std::sqrt(static_cast<double>(scale.mean_plus_epsilon)));
  return scale;
}

void FastRow::evaluate(const float* values, const float* factor, std::int64_t count, float r, float* wide,
                       std::byte* packed) const {
  const RowKernels::Scaling scaling{r, factor, rounds_normalized_};
  if (quantize_ == nullptr) return kernels_.normalize[activation_](values, count, scaling, packed);
  kernels_.normalize_to_fp32[activation_](values, count, scaling, rounds_output_, wide);
  quantize_(wide, count, quantization_, packed);
}

std::span<const std::byte> FastRow::outputs(float r) {
  outputs(r, 0, formula_.hidden_size, outputs_.data());
  return outputs_;
}

void FastRow::outputs(float r, std::int64_t begin, std::int64_t count, std::byte* packed) {
  evaluate(output_operands().data() + begin, factor_.empty() ? nullptr : factor_.data() + begin, count, r,
           wide_.data(), packed);
}

std::uint32_t FastRow::output(float r, std::int64_t column) const {
  std::uint32_t bits = 0;
  float wide = 0;
  evaluate(output_operands().data() + column, factor_.empty() ? nullptr : factor_.data() + column, 1, r,
           &wide, reinterpret_cast<std::byte*>(&bits));
  return bits;
}

}  // namespace normproof::oracle
