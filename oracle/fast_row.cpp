// The fast path's row: which loops run for which policy.
#include "oracle/fast_row.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "oracle/code_factor.h"
#include "oracle/known_sum.h"

namespace normproof::oracle {
namespace {

Value exact(float value) { return decode(DType::fp32, std::bit_cast<std::uint32_t>(value)); }

std::size_t index_of_quantized(DType dtype) {
  return static_cast<std::size_t>(dtype) - static_cast<std::size_t>(DType::fp8_e4m3fn);
}

void store(std::byte* packed, DType dtype, std::uint64_t bits) { std::memcpy(packed, &bits, size_of(dtype)); }

}  // namespace

FastRow::FastRow(const Formula& formula, std::span<const std::byte> weight, const RowKernels& kernels)
    : formula_(formula),
      kernels_(kernels),
      has_loops_(oracle::has_loops(formula.steps)),
      activation_(static_cast<std::size_t>(formula.formats.activation)) {
  const auto count = static_cast<std::size_t>(formula.hidden_size);
  input_.resize(count);
  outputs_.resize(count * static_cast<std::size_t>(format_of(formula.output_dtype()).bits / 8));
  if (formula.has(Role::residual)) residual_.resize(count);
  if (formula.has(StepPlace::sum)) {
    sum_.resize(count);
    rounded_sum_.resize(count);
  }
  if (formula.has(Role::residual_out)) residual_out_.resize(count * size_of(formula.formats.residual()));
  const RootRow& root = row_of(formula.policy.root);
  order_ = {0,
            nullptr,
            RowKernels::AnyOrder::First::x_and_unknown,
            root.divides,
            false,
            true,
            formula.policy.rounding};
  rounds_root_ = root.rounds_to_activation;
  if (formula.formats.weight) load_factor(weight);
  if (formula.formats.quantized) load_quantization();
  in_any_order_ = order_.first != RowKernels::AnyOrder::First::x_and_unknown || root.divides ||
                  formula.policy.rounding != ActivationRounding::nearest_even;
  if (formula.formats.quantized || formula.formats.fp32_output || in_any_order_) wide_.resize(count);
  if (formula.formats.fp32_output) order_.rounds_output = false;
}

void FastRow::load_quantization() {
  static_assert(static_cast<std::size_t>(DType::int8) == static_cast<std::size_t>(DType::fp8_e4m3fn) + 4);
  const Policy& policy = formula_.policy;
  order_.rounds_output = policy.before_quantization == BeforeQuantization::rounded;
  maximum_of_rounded_ = order_.rounds_output != row_of(policy.row_maximum).of_other;
  drops_nan_ = row_of(policy.maximum_nan).drops;
  quantization_ = {1.0f, row_of(policy.scaling).divides, policy.fp8_nan == Fp8NanPolicy::saturate,
                   to_float(quantized_range(formula_)), static_cast<float>(row_of(policy.int8_low).least)};
  set_quantization_scale(std::bit_cast<float>(formula_.bits_of(Parameter::scale)));
  quantize_ = kernels_.quantize[index_of_quantized(*formula_.formats.quantized)];
  through_bf16_ = row_of(policy.fp8_rounding).through_bf16;
  if (formula_.has(NormStep::quantize_by_row)) scale_rule_.emplace(formula_);
  factor_follows_ = follows_from_maximum(formula_);
}

float FastRow::set_own_scale(float r) {
  if (!scale_rule_) return 1;
  const float maximum = row_maximum(r);
  const float scale = scale_rule_->of(maximum);
  if (factor_follows_) {
    set_code_factor(scale_rule_->factor_of(maximum));
  } else {
    set_quantization_scale(scale);
  }
  return scale;
}

void FastRow::set_stored_scale(float scale) {
  if (!factor_follows_) return set_quantization_scale(scale);
  set_code_factor(scale_rule_->factor_of(row_maximum(canonical_scale().inverse_root)));
}

void FastRow::set_quantization_scale(float scale) {
  quantization_.scale = quantization_.divides ? scale : 1.0f / scale;
  if (!has_loops_) formula_ = formula_.with_scale(std::bit_cast<std::uint32_t>(scale));
}

void FastRow::set_code_factor(float factor) {
  quantization_.scale = factor;
  if (has_loops_) return;
  const auto bits = std::bit_cast<std::uint32_t>(factor);
  formula_ = quantization_.divides ? formula_.with_scale(bits) : formula_.with_factor(bits);
}

// What takes the place of w, and which product comes first.
void FastRow::load_factor(std::span<const std::byte> weight) {
  using Factor = WeightRow::Factor;
  const WeightRow& row = row_of(formula_.policy.weight);
  const DType dtype = *formula_.formats.weight;
  factor_.resize(static_cast<std::size_t>(formula_.hidden_size));
  kernels_.widen[static_cast<std::size_t>(dtype)](weight.data(), formula_.hidden_size, factor_.data());
  if (!has_loops_) weight_ = factor_;
  if (row.factor == Factor::zero_plus) {
    for (float& factor : factor_) factor = 0.0f + factor;
  }
  if (row.adds_one()) {
    for (float& factor : factor_) factor = 1.0f + factor;
  }
  if (row.rounds_to_activation())
    kernels_.round_values[activation_](factor_.data(), formula_.hidden_size, formula_.policy.rounding);
  order_.first = static_cast<RowKernels::AnyOrder::First>(row.first);
  order_.rounds_first = row.intermediate == WeightRow::Intermediate::activation ||
                        (row.intermediate == WeightRow::Intermediate::weight && dtype != DType::fp32);
}

void FastRow::load_row(const CaseTensors& tensors, std::int64_t row) {
  const auto offset = [&](DType dtype) { return row * formula_.hidden_size * format_of(dtype).bits / 8; };
  load(tensors[Role::input].data() + offset(formula_.formats.activation),
       !residual_.empty() ? tensors[Role::residual].data() + offset(formula_.formats.residual()) : nullptr);
}

void FastRow::load(const std::byte* input, const std::byte* residual) {
  const std::int64_t count = formula_.hidden_size;
  kernels_.widen[activation_](input, count, input_.data());
  has_special_operand_ = kernels_.any_special[activation_](input, count);
  const auto format = static_cast<std::size_t>(formula_.formats.residual());
  if (!residual_.empty()) {
    kernels_.widen[format](residual, count, residual_.data());
    has_special_operand_ = has_special_operand_ || kernels_.any_special[format](residual, count);
  }
  if (sum_.empty()) return;
  if (!has_loops_) return add_exactly();
  kernels_.add_residual[format](input_.data(), residual_.data(), count, sum_.data(), rounded_sum_.data(),
                                residual_out_.data());
  if (formula_.formats.fp32_residual || formula_.policy.rounding == ActivationRounding::nearest_even) return;
  rounded_sum_ = sum_;
  kernels_.round_values[activation_](rounded_sum_.data(), count, formula_.policy.rounding);
  kernels_.pack[activation_](rounded_sum_.data(), count, residual_out_.data());
}

// What the steps before the norm make of x and residual.
void FastRow::add_exactly() {
  const DType of_residual = formula_.formats.residual();
  Arithmetic arithmetic;
  for (std::size_t column = 0; column < input_.size(); ++column) {
    const Value residual = residual_.empty() ? Value() : exact(residual_[column]);
    const SumParts sum = exact_sum(arithmetic, formula_, exact(input_[column]), residual);
    sum_[column] = to_float(sum.variance_operand);
    rounded_sum_[column] = to_float(sum.output_operand);
    if (residual_out_.empty()) continue;
    store(residual_out_.data() + column * size_of(of_residual), of_residual,
          round_bits(format_of(of_residual), sum.residual_out));
  }
}

std::span<const float> FastRow::variance_operands() const {
  if (sum_.empty()) return input_;
  if (!has_loops_) return sum_;
  return row_of(formula_.policy.sum).variance_reads_rounded ? rounded_sum_ : sum_;
}

std::span<const float> FastRow::output_operands() const {
  if (sum_.empty()) return input_;
  if (!has_loops_) return rounded_sum_;
  return row_of(formula_.policy.sum).output_reads_rounded ? rounded_sum_ : sum_;
}

// The canonical sum in hardware arithmetic, where there are loops for it.
std::optional<Value> FastRow::canonical_sum() const {
  thread_local std::vector<double> scratch;
  if (const auto known = known_sum(formula_, variance_operands(), scratch)) {
    const Format& format = row_of(formula_.policy.variance).format(formula_.formats.activation);
    return round_to(format, from_double(*known));
  }
  const VarianceRow& variance = row_of(formula_.policy.variance);
  if (variance.compensated || row_of(formula_.policy.mean).of_terms) return std::nullopt;
  const std::int64_t count = formula_.hidden_size;
  const std::int64_t per_chunk = elements_per_chunk(formula_.formats.activation);
  const float* operands = variance_operands().data();
  switch (variance.precision) {
    case VarianceRow::Precision::fp64: {
      const double sum = kernels_.canonical_sum_fp64(operands, count, per_chunk);
      return from_double(sum);
    }
    case VarianceRow::Precision::activation:
      return exact(kernels_.sum_activation[activation_](operands, count, per_chunk));
    case VarianceRow::Precision::fp32:
      break;
  }
  return exact(kernels_.sum_fp32(operands, count, per_chunk));
}

FastRow::Scale FastRow::canonical_scale() const {
  const Policy& policy = formula_.policy;
  Scale scale{};
  if (policy.variance == VariancePolicy::fp32 && policy.mean == MeanPolicy::of_sum &&
      policy.epsilon == EpsilonPolicy::added && !policy.inverse_root.order) {
    const std::int64_t count = formula_.hidden_size;
    const std::int64_t per_chunk = elements_per_chunk(formula_.formats.activation);
    const float mean =
        kernels_.sum_fp32(variance_operands().data(), count, per_chunk) / static_cast<float>(count);
    const float m = mean + std::bit_cast<float>(formula_.bits_of(Parameter::epsilon));
    scale.mean = static_cast<double>(mean);
    scale.mean_plus_epsilon = static_cast<double>(m);
    // Rounding the fp64 root to fp32 is correct for every fp32 number (oracle/test/inverse_root_test.cpp).
    scale.inverse_root =
        order_.divides ? std::sqrt(m) : static_cast<float>(1.0 / std::sqrt(static_cast<double>(m)));
    return scale;
  }
  // The others' few scalar steps are done exactly (a quotient of a T number by H, for instance, is not safe
  // to round twice), and so is the sum that has no loop of its own.
  Arithmetic arithmetic;
  RowScale steps;
  if (const std::optional<Value> sum = canonical_sum()) {
    steps = exact_scale_of_sum(arithmetic, formula_, *sum);
  } else {
    std::vector<Value> operands;
    for (const float operand : variance_operands()) operands.push_back(exact(operand));
    steps = exact_row_scale(arithmetic, formula_, operands);
  }
  const auto as_double = [](const Value& value) { return std::bit_cast<double>(round_bits(kFp64, value)); };
  return {as_double(steps.mean), as_double(steps.mean_plus_epsilon), to_float(steps.inverse_root)};
}

// What y of an element is made of, for the exact path.
Operands FastRow::operands_of(std::int64_t column) const {
  const auto index = static_cast<std::size_t>(column);
  Operands operands{exact(output_operands()[index])};
  if (!weight_.empty()) operands.weight = exact(weight_[index]);
  if (!residual_.empty()) operands.residual = exact(residual_[index]);
  return operands;
}

// y as an fp32 number, rounded to T where `rounds`.
void FastRow::evaluate_wide(std::int64_t begin, std::int64_t count, float r, bool rounds, float* wide) const {
  if (!has_loops_) {
    Arithmetic arithmetic;
    const auto rounding = rounds ? BeforeQuantization::rounded : BeforeQuantization::unrounded;
    for (std::int64_t i = 0; i < count; ++i)
      wide[i] = to_float(exact_normalized(arithmetic, formula_, rounding, operands_of(begin + i), exact(r)));
    return;
  }
  const float* values = output_operands().data() + begin;
  const float* factor = factor_.empty() ? nullptr : factor_.data() + begin;
  if (rounds_root_) kernels_.round_values[activation_](&r, 1, order_.rounding);
  if (in_any_order_) {
    RowKernels::AnyOrder order = order_;
    order.unknown = r;
    order.factor = factor;
    order.rounds_output = rounds;
    return kernels_.in_any_order[activation_](values, count, order, wide);
  }
  kernels_.normalize_to_fp32[activation_](values, count, {r, factor, order_.rounds_first}, rounds, wide);
}

void FastRow::evaluate_exactly(std::int64_t begin, std::int64_t count, float r, std::byte* packed) const {
  Arithmetic arithmetic;
  const DType dtype = formula_.output_dtype();
  for (std::int64_t i = 0; i < count; ++i)
    store(packed + i * static_cast<std::int64_t>(size_of(dtype)), dtype,
          exact_output(arithmetic, formula_, operands_of(begin + i), exact(r)));
}

void FastRow::evaluate(std::int64_t begin, std::int64_t count, float r, float* wide,
                       std::byte* packed) const {
  if (!has_loops_) return evaluate_exactly(begin, count, r, packed);
  if (quantize_ == nullptr && !in_any_order_ && !formula_.formats.fp32_output) {
    if (rounds_root_) kernels_.round_values[activation_](&r, 1, order_.rounding);
    const float* factor = factor_.empty() ? nullptr : factor_.data() + begin;
    return kernels_.normalize[activation_](output_operands().data() + begin, count,
                                           {r, factor, order_.rounds_first}, packed);
  }
  evaluate_wide(begin, count, r, order_.rounds_output, wide);
  if (quantize_ == nullptr)
    return kernels_.pack[static_cast<std::size_t>(formula_.output_dtype())](wide, count, packed);
  RowKernels::Quantization quantization = quantization_;
  if (through_bf16_) {
    kernels_.scale_to_bf16(wide, count, quantization);
    quantization.scale = 1.0f;
    quantization.divides = false;
  }
  quantize_(wide, count, quantization, packed);
}

std::span<const std::byte> FastRow::outputs(float r) {
  outputs(r, 0, formula_.hidden_size, outputs_.data());
  return outputs_;
}

void FastRow::outputs(float r, std::int64_t begin, std::int64_t count, std::byte* packed) {
  evaluate(begin, count, r, wide_.data(), packed);
}

std::uint32_t FastRow::output(float r, std::int64_t column) const {
  std::uint32_t bits = 0;
  float wide = 0;
  evaluate(column, 1, r, &wide, reinterpret_cast<std::byte*>(&bits));
  return bits;
}

float FastRow::row_maximum(float r) { return maximum_of(r, 0, formula_.hidden_size); }

float FastRow::maximum_of(float r, std::int64_t first, std::int64_t columns) {
  // In pieces that stay in the first cache.
  constexpr std::int64_t kPiece = 512;
  std::uint32_t maximum = 0;
  for (std::int64_t begin = first; begin < first + columns; begin += kPiece) {
    const std::int64_t count = std::min(kPiece, first + columns - begin);
    normalized(r, begin, count, maximum_of_rounded_, wide_.data());
    maximum = std::max(maximum, kernels_.largest_magnitude(wide_.data(), count, drops_nan_));
  }
  return std::bit_cast<float>(maximum);
}

void FastRow::magnitudes(float r, std::int64_t begin, std::int64_t count, float* result) const {
  evaluate_wide(begin, count, r, maximum_of_rounded_, result);
  for (std::int64_t i = 0; i < count; ++i)
    result[i] = drops_nan_ && std::isnan(result[i]) ? -1.0f : std::fabs(result[i]);
}

}  // namespace normproof::oracle
