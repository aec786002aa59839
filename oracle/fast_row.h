// The fast path: one row of the contract in hardware fp32, bit for bit what canonical.h computes exactly.
// Holds the buffers, so that judging a row allocates nothing. Where there are no loops for the steps of the
// formula (has_loops, norm_steps.h), it computes each element as canonical.h does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "oracle/canonical.h"
#include "oracle/quantization_scale.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle {

// Must be used within a StandardFloatEnvironment.
class FastRow {
 public:
  // `weight` holds the case's packed weight, empty without one.
  FastRow(const Formula& formula, std::span<const std::byte> weight,
          const RowKernels& kernels = row_kernels());

  // Reads a row: hidden_size packed elements each; `residual` is nullptr where no step reads one.
  void load(const std::byte* input, const std::byte* residual);
  // Row `row` of whole tensors.
  void load_row(const CaseTensors& tensors, std::int64_t row);

  // The loaded row's canonical mean square, m = v + eps, and r.
  // The first two are fp32 numbers, or fp64 ones where the policy accumulates in fp64. The unknown is r, or
  // rms where the policy divides.
  struct Scale {
    double mean;
    double mean_plus_epsilon;
    float inverse_root;
  };
  Scale canonical_scale() const;

  // Where rows have scales of their own: the row's largest |y| for a given r, and the scale with which
  // outputs are made from then on.
  float row_maximum(float r);
  // |y| as the maximum takes it; NaN counts as -1 where it is dropped, so that it never is the largest.
  float magnitude(float r, std::int64_t column) const {
    float result = 0;
    magnitudes(r, column, 1, &result);
    return result;
  }
  void magnitudes(float r, std::int64_t begin, std::int64_t count, float* result) const;
  // The maximum of the `count` elements from `begin` on, as row_maximum() takes it.
  float maximum_of(float r, std::int64_t begin, std::int64_t count);
  // y of these elements in fp32, rounded to T where said.
  void normalized(float r, std::int64_t begin, std::int64_t count, bool rounded, float* result) const {
    evaluate_wide(begin, count, r, rounded, result);
  }
  // With the factor that the scale itself says, or of two the nearest one.
  void set_quantization_scale(float scale);
  // With one of code_factors(): what codes are multiplied by, or divided by.
  void set_code_factor(float factor);
  // The scale that came out with the row. A factor that follows from the row's maximum is that of the
  // canonical r.
  void set_stored_scale(float scale);
  // Sets the scale that the row itself gets for a given r, and returns it; 1
  // where rows have none of their own.
  float set_own_scale(float r);

  // The row's packed output for a given r.
  std::span<const std::byte> outputs(float r);
  // The `count` elements from `begin` on, packed into `packed`.
  void outputs(float r, std::int64_t begin, std::int64_t count, std::byte* packed);
  std::uint32_t output(float r, std::int64_t column) const;
  // What the row writes of the tensor, packed: of `out` for the last given r. Empty where it has no such
  // output.
  std::span<const std::byte> packed(Role role) const {
    if (role == Role::out) return outputs_;
    if (role == Role::residual_out) return residual_out_;
    return {};
  }
  // rnd_T(x + residual), packed; empty where the operation has no residual.
  std::span<const std::byte> residual_out() const { return residual_out_; }

  // Whether the row has a NaN, infinite, -0 or subnormal operand in input or residual.
  bool has_special_operand() const { return has_special_operand_; }
  std::span<const float> variance_operands() const;
  std::span<const float> output_operands() const;
  // The sum of squares of variance_operands() in fp64 (see RowKernels::sum_fp64).
  double fp64_square_sum() const {
    return kernels_.sum_fp64(variance_operands().data(), formula_.hidden_size);
  }

 private:
  void load_factor(std::span<const std::byte> weight);
  void load_quantization();
  void add_exactly();
  Operands operands_of(std::int64_t column) const;
  std::optional<Value> canonical_sum() const;
  // Of `count` columns from `begin` on.
  void evaluate(std::int64_t begin, std::int64_t count, float r, float* wide, std::byte* packed) const;
  void evaluate_wide(std::int64_t begin, std::int64_t count, float r, bool rounds, float* wide) const;
  void evaluate_exactly(std::int64_t begin, std::int64_t count, float r, std::byte* packed) const;

  Formula formula_;
  const RowKernels& kernels_;
  bool has_loops_;          // for the steps of the formula
  std::size_t activation_;  // index of T in the kernels' tables
  RowKernels::AnyOrder order_{};
  bool in_any_order_ = false;  // or one of the widespread orders, for which there are faster loops
  bool rounds_root_ = false;
  bool through_bf16_ = false;
  bool maximum_of_rounded_ = false;
  bool drops_nan_ = false;
  RowKernels::Quantization quantization_{};
  std::optional<ScaleRule> scale_rule_;  // where rows have scales of their own
  bool factor_follows_ = false;          // from the row's maximum
  RowKernels::Quantize quantize_ = nullptr;
  bool has_special_operand_ = false;
  std::vector<float> factor_;  // empty without a weight
  std::vector<float> weight_;  // as it came, where there are no loops
  std::vector<float> input_;
  std::vector<float> residual_;
  std::vector<float> sum_;
  std::vector<float> rounded_sum_;
  std::vector<float> wide_;
  std::vector<std::byte> residual_out_;
  std::vector<std::byte> outputs_;
};

}  // namespace normproof::oracle
