// The canonical judge: silent comparison on the fast path, exact confirmation of what differs.
#include "oracle/canonical_judge.h"

#include <bit>
#include <cmath>
#include <optional>

#include "oracle/canonical.h"
#include "oracle/code_factor.h"
#include "oracle/compare_row.h"
#include "oracle/fast_row.h"

namespace normproof::oracle {
namespace {

class CanonicalRows {
 public:
  CanonicalRows(const Case& test_case, const CaseTensors& tensors, const Policy& policy)
      : formula_(formula_of(test_case, policy)), tensors_(tensors), fast_(formula_, tensors[Role::weight]) {
    rows_ = static_cast<std::int64_t>(tensors[Role::input].size() / row_bytes(formula_.formats.activation));
  }

  Verdict compare(const Outputs& outputs, std::size_t listed) {
    listed_ = listed;
    Verdict verdict;
    verdict.rows = rows_;
    for (std::int64_t row = 0; row < rows_; ++row) {
      load(row);
      exact_row_.reset();
      const FastRow::Scale scale = fast_.canonical_scale();
      const bool special_mean = scale.mean == 0 || !std::isfinite(scale.mean);
      verdict.special_rows += fast_.has_special_operand() || special_mean ? 1 : 0;
      const float row_scale = fast_.set_own_scale(scale.inverse_root);
      choose_factor(row_scale, scale.inverse_root, row, outputs[Role::out]);
      compare_row(Role::out, row, fast_.outputs(scale.inverse_root), outputs[Role::out], verdict);
      if (formula_.has(NormStep::quantize_by_row))
        compare_row(Role::scales, row, std::as_bytes(std::span(&row_scale, 1)), outputs[Role::scales],
                    verdict);
      compare_row(Role::residual_out, row, fast_.packed(Role::residual_out), outputs[Role::residual_out],
                  verdict);
    }
    return verdict;
  }

  Outputs expected() {
    Outputs outputs;
    outputs[Role::out].reserve(static_cast<std::size_t>(rows_) * row_bytes(formula_.output_dtype()));
    for (std::int64_t row = 0; row < rows_; ++row) {
      load(row);
      const float inverse_root = fast_.canonical_scale().inverse_root;
      const float row_scale = fast_.set_own_scale(inverse_root);
      const auto append = [&](Role role, std::span<const std::byte> packed) {
        outputs[role].insert(outputs[role].end(), packed.begin(), packed.end());
      };
      append(Role::out, fast_.outputs(inverse_root));
      append(Role::residual_out, fast_.packed(Role::residual_out));
      if (formula_.has(NormStep::quantize_by_row))
        append(Role::scales, std::as_bytes(std::span(&row_scale, 1)));
    }
    return outputs;
  }

 private:
  std::size_t row_bytes(DType dtype) const {
    return static_cast<std::size_t>(formula_.hidden_size) *
           static_cast<std::size_t>(format_of(dtype).bits / 8);
  }

  void load(std::int64_t row) { fast_.load_row(tensors_, row); }

  DType dtype_of(Role tensor) const {
    if (tensor == Role::scales) return DType::fp32;
    return tensor == Role::out ? formula_.output_dtype() : formula_.formats.residual();
  }

  // Where the scale leaves two factors: the one with which fewer outputs differ.
  void choose_factor(float row_scale, float inverse_root, std::int64_t row,
                     const std::vector<std::byte>& outputs) {
    factor_.reset();
    if (!leaves_factor_open(formula_) || follows_from_maximum(formula_)) return;
    const std::uint32_t scale = formula_.has(NormStep::quantize_by_row)
                                    ? std::bit_cast<std::uint32_t>(row_scale)
                                    : formula_.bits_of(Parameter::scale);
    std::int64_t fewest = formula_.hidden_size + 1;
    for (const CodeFactor& each : code_factors(formula_, nullptr, scale)) {
      fast_.set_code_factor(each.factor);
      std::vector<Mismatch> not_listed;
      const std::int64_t differing = oracle::compare_row(
          compared(Role::out, row, fast_.outputs(inverse_root), outputs), 0, not_listed, {});
      if (differing >= fewest) continue;
      fewest = differing;
      factor_ = factor_bits(each.factor);
    }
    fast_.set_code_factor(std::bit_cast<float>(*factor_));
  }

  ComparedRow compared(Role tensor, std::int64_t row, std::span<const std::byte> wanted,
                       const std::vector<std::byte>& outputs) const {
    const std::span got =
        std::span(outputs).subspan(static_cast<std::size_t>(row) * wanted.size(), wanted.size());
    return {tensor, dtype_of(tensor), row, got, wanted};
  }

  void compare_row(Role tensor, std::int64_t row, std::span<const std::byte> wanted,
                   const std::vector<std::byte>& outputs, Verdict& verdict) {
    if (wanted.empty()) return;
    verdict.elements += static_cast<std::int64_t>(wanted.size() / size_of(dtype_of(tensor)));
    verdict.mismatches +=
        oracle::compare_row(compared(tensor, row, wanted, outputs), listed_, verdict.first_mismatches,
                            [this](const Mismatch& mismatch) { return exact_bits(mismatch); });
  }

  std::uint64_t exact_bits(const Mismatch& mismatch) {
    Arithmetic arithmetic;
    if (!exact_row_) {
      exact_row_ = decode_row(formula_, tensors_, mismatch.row);
      exact_inverse_root_ =
          exact_row_scale(arithmetic, formula_, exact_row_->variance_operands()).inverse_root;
      row_formula_ = formula_;
      if (formula_.has(NormStep::quantize_by_row)) {
        const RowQuantization own =
            exact_row_quantization(arithmetic, formula_, *exact_row_, tensors_, exact_inverse_root_);
        row_formula_ = formula_.with_scale(own.scale, own.factor);
      }
      if (factor_) row_formula_ = row_formula_.with_factor(*factor_);
    }
    if (mismatch.tensor == Role::scales) return row_formula_.bits_of(Parameter::scale);
    const SumParts& sums = exact_row_->sums[static_cast<std::size_t>(mismatch.column)];
    if (mismatch.tensor != Role::out) return round_bits(format_of(mismatch.dtype), sums.residual_out);
    return exact_output(arithmetic, row_formula_,
                        operands_at(formula_, tensors_, *exact_row_, mismatch.column), exact_inverse_root_);
  }

  Formula formula_;
  const CaseTensors& tensors_;
  FastRow fast_;
  std::int64_t rows_ = 0;
  std::size_t listed_ = kMaximumListed;
  std::optional<ExactRow> exact_row_;  // of the row at hand, once it is needed
  Value exact_inverse_root_;
  std::optional<std::uint32_t> factor_;  // of the row at hand, where its scale leaves two
  Formula row_formula_;                  // with the row's exact scale
};

}  // namespace

Outputs expected_outputs(const Case& test_case, const CaseTensors& tensors, const Policy& policy) {
  require_input_sizes(test_case, tensors);
  const StandardFloatEnvironment environment;
  return CanonicalRows(test_case, tensors, policy).expected();
}

Verdict judge_canonical(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                        const Policy& policy, std::size_t listed) {
  require_input_sizes(test_case, tensors);
  require_output_sizes(test_case, outputs);
  const StandardFloatEnvironment environment;
  return CanonicalRows(test_case, tensors, policy).compare(outputs, listed);
}

}  // namespace normproof::oracle
