// The contract on exact values: one row in the canonical order, every rounding through Arithmetic. This is
// the slow path that decides; fast_row.h is the quick one that must agree with it bit for bit.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "corpus/case.h"
#include "oracle/norm_steps.h"
#include "oracle/policy_rows.h"

namespace normproof::oracle {

// Everything about a case but its data: which formula is computed.
struct Formula {
  Formats formats;
  NormSteps steps = {NormStep::normalize};
  std::int64_t hidden_size = 0;
  ParameterBits parameter_bits = usual_parameters();  // fp32
  std::uint32_t scale_ub_bits = 0x7f800000u;          // upper bound of the rows' maxima; infinity: none
  Policy policy;

  DType output_dtype() const {
    return formats.quantized.value_or(formats.fp32_output ? DType::fp32 : formats.activation);
  }
  bool has(NormStep step) const { return steps.has(step); }
  bool has(StepPlace place) const;
  // Whether a step of this place reads or writes the tensor.
  bool has(StepPlace place, Role role) const;
  bool has(Role role) const;  // whether any step does
  std::uint32_t bits_of(Parameter parameter) const {
    return parameter_bits[static_cast<std::size_t>(parameter)];
  }
  // What the codes are multiplied by (fp32 bits), where the scale alone does not say it (code_factor.h).
  std::optional<std::uint32_t> factor_bits;

  // The formula of y alone.
  Formula without_codes() const;

  // The formula of a row with this scale: what it says of codes is what it says with a scale that is given.
  Formula with_scale(std::uint32_t bits, std::optional<std::uint32_t> factor = {}) const {
    Formula result = *this;
    result.parameter_bits[static_cast<std::size_t>(Parameter::scale)] = bits;
    result.factor_bits = factor;
    return result;
  }
  Formula with_factor(std::uint32_t bits) const { return with_scale(bits_of(Parameter::scale), bits); }
};
// Throws std::invalid_argument where the case's dtypes do not fit its operation.
Formula formula_of(const Case& test_case, const Policy& policy);

// Throws std::invalid_argument, naming tensor and sizes, unless the tensors
// have exactly the bytes of the case.
void require_input_sizes(const Case& test_case, const CaseTensors& tensors);
void require_output_sizes(const Case& test_case, const Outputs& outputs);

// The canonical order of a row's sum of squares: 16-byte chunks of T go to 1024 lanes in turn.
inline constexpr std::int64_t kLanes = 1024;
inline constexpr std::int64_t kGroupLanes = 32;
inline std::int64_t elements_per_chunk(DType activation) { return 16 * 8 / format_of(activation).bits; }

// The terms of one element: x alone, or x and residual joined by the policy's sum.
SumParts exact_sum(Arithmetic& arithmetic, const Formula& formula, const Value& x, const Value& residual);

// The row's mean square v, m = v + eps and the unknown (r, or rms), each rounded, in the canonical order, or
// in the kernel's own where the policy's inverse root model has it.
struct RowScale {
  Value sum;  // canonical, rounded
  Value mean;
  Value mean_plus_epsilon;
  Value inverse_root;  // the unknown: r, or rms where the policy divides
};
RowScale exact_row_scale(Arithmetic& arithmetic, const Formula& formula, std::span<const Value> operands);
// The same from the sum.
RowScale exact_scale_of_sum(Arithmetic& arithmetic, const Formula& formula, const Value& sum);

// The unknown that belongs to m = numerator / denominator, exact up to one rounding: 1 / sqrt(m), or sqrt(m)
// where the policy divides. denominator > 0.
Value exact_unknown(const Formula& formula, const Value& numerator,
                    const Value& denominator = Value::integer(1));

// What y of one element is made of, beside the row's unknown. A weight or residual that there is not is
// ignored.
struct Operands {
  Value s;  // x, or its sum with the residual
  Value weight = Value::integer(1);
  Value residual = {};  // of a step behind the norm
};
// y of one element for a given unknown (r, or rms): rounded to T, or as fl(n * w).
Value exact_normalized(Arithmetic& arithmetic, const Formula& formula, BeforeQuantization rounding,
                       const Operands& operands, const Value& unknown);
// Output bits of one element for a given unknown. Where the row's scale is computed, `formula` must be that
// of the row (Formula::with_scale).
std::uint64_t exact_output(Arithmetic& arithmetic, const Formula& formula, const Operands& operands,
                           const Value& unknown);

// A row's operands decoded from the tensors.
struct ExactRow {
  std::int64_t row = 0;
  std::vector<SumParts> sums;  // one per element
  std::vector<Value> variance_operands() const;
};
// Of one element of whole tensors, and of a row.
SumParts sum_at(Arithmetic& arithmetic, const Formula& formula, const CaseTensors& tensors,
                std::int64_t index);
ExactRow decode_row(const Formula& formula, const CaseTensors& tensors, std::int64_t row);
// Of one element of the row, whose `s` is known, or is taken from the row.
Operands operands_at(const Formula& formula, const CaseTensors& tensors, std::int64_t row,
                     std::int64_t column, const Value& s);
Operands operands_at(const Formula& formula, const CaseTensors& tensors, const ExactRow& row,
                     std::int64_t column);
// The scale that came out with a row; 0 where rows have none of their own.
std::uint32_t row_scale_bits(const Formula& formula, const Outputs& outputs, std::int64_t row);
Value decode_weight(const Formula& formula, const CaseTensors& tensors, std::int64_t column);

}  // namespace normproof::oracle
