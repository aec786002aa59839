// The witness judge over all rows of a case.
#include "oracle/witness_judge.h"

#include "oracle/compare_row.h"
#include "oracle/fast_row.h"
#include "oracle/witness_row.h"

namespace normproof::oracle {
namespace {

std::size_t row_bytes(const Formula& formula, DType dtype) {
  return static_cast<std::size_t>(formula.hidden_size) * static_cast<std::size_t>(format_of(dtype).bits / 8);
}

class WitnessRows {
 public:
  WitnessRows(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs, const Policy& policy)
      : formula_(formula_of(test_case, policy)),
        tensors_(tensors),
        outputs_(outputs),
        fast_(formula_, tensors[Role::weight]),
        witness_row_(formula_) {}

  WitnessVerdict judge(const WitnessOptions& options) {
    const std::size_t input_bytes = row_bytes(formula_, formula_.formats.activation);
    const std::size_t output_bytes = row_bytes(formula_, formula_.output_dtype());
    const auto rows = static_cast<std::int64_t>(tensors_[Role::input].size() / input_bytes);
    for (std::int64_t row = 0; row < rows; ++row) {
      if (options.stop_after >= 0 && violations() >= std::max<std::int64_t>(options.stop_after, 1)) break;
      fast_.load_row(tensors_, row);
      if (!fast_.residual_out().empty()) judge_sum(row, options.listed);
      const RowFinding finding = witness_row_.judge(
          fast_,
          std::span(outputs_[Role::out]).subspan(static_cast<std::size_t>(row) * output_bytes, output_bytes),
          row_scale_bits(formula_, outputs_, row), verdict_.first_violations.size() < options.listed);
      ++verdict_.rows;
      verdict_.elements += formula_.hidden_size * (fast_.residual_out().empty() ? 1 : 2) +
                           (formula_.has(NormStep::quantize_by_row) ? 1 : 0);
      verdict_.special_rows += fast_.has_special_operand() || finding.zero_or_special_mean ? 1 : 0;
      const RowWitness witness = summarize(row, finding);
      if (options.keep_rows) verdict_.row_witnesses.push_back(witness);
      if (finding.violation) {
        ++(*finding.violation == ViolationKind::rounding ? verdict_.rounding_violations
                                                         : verdict_.scale_violations);
      }
      if (finding.certificate) list(row, *finding.certificate, options.confirm);
    }
    return std::move(verdict_);
  }

 private:
  std::int64_t violations() const { return verdict_.rounding_violations + verdict_.scale_violations; }

  RowWitness summarize(std::int64_t row, const RowFinding& finding) {
    RowWitness witness;
    witness.row = row;
    witness.violation = finding.violation;
    if (finding.violation) return witness;
    if (finding.nan_explains) {
      witness.witness = static_cast<std::uint32_t>(format_of(DType::fp32).nan_bits());
      witness.width = 1;
      return witness;
    }
    // A NaN here means that the exact m is negative, though a rounded one need
    // not be: the distance says nothing.
    const std::int64_t center = finding.correctly_rounded_root;
    const bool known = !is_nan(DType::fp32, finding.correctly_rounded_root);
    const std::int64_t nearest = std::clamp(center, finding.feasible.low, finding.feasible.high);
    witness.witness = static_cast<std::uint32_t>(nearest);
    witness.ulp_distance =
        known ? ulp_distance(DType::fp32, witness.witness, finding.correctly_rounded_root) : 0;
    witness.width = static_cast<std::uint64_t>(finding.feasible.high - finding.feasible.low + 1);
    verdict_.worst_ulp_distance = std::max(verdict_.worst_ulp_distance, witness.ulp_distance);
    return witness;
  }

  void list(std::int64_t row, Certificate certificate, bool confirm) {
    certificate.row = row;
    for (CertificateElement& element : certificate.elements) {
      if (formula_.formats.weight)
        element.weight = load_bits(tensors_[Role::weight], *formula_.formats.weight, element.column);
      if (formula_.has(StepPlace::product, Role::residual))
        element.residual = load_bits(tensors_[Role::residual], formula_.formats.residual(),
                                     row * formula_.hidden_size + element.column);
    }
    certificate.row_scale = row_scale_bits(formula_, outputs_, row);
    if (confirm) require_valid(certificate, formula_, tensors_);
    verdict_.first_violations.push_back(std::move(certificate));
  }

  // Of the sum with the residual as it is stored.
  void judge_sum(std::int64_t row, std::size_t listed) {
    const DType dtype = formula_.formats.residual();
    const std::span<const std::byte> wanted = fast_.packed(Role::residual_out);
    const std::span got = std::span(outputs_[Role::residual_out])
                              .subspan(static_cast<std::size_t>(row) * wanted.size(), wanted.size());
    const auto exact = [&](const Mismatch& mismatch) {
      Arithmetic arithmetic;
      const std::int64_t index = mismatch.row * formula_.hidden_size + mismatch.column;
      return round_bits(format_of(dtype), sum_at(arithmetic, formula_, tensors_, index).residual_out);
    };
    verdict_.residual_mismatches += compare_row({Role::residual_out, dtype, row, got, wanted}, listed,
                                                verdict_.first_residual_mismatches, exact);
  }

  Formula formula_;
  const CaseTensors& tensors_;
  const Outputs& outputs_;
  FastRow fast_;
  WitnessRow witness_row_;
  WitnessVerdict verdict_;
};

}  // namespace

WitnessVerdict judge_witness(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                             const Policy& policy, const WitnessOptions& options) {
  require_input_sizes(test_case, tensors);
  require_output_sizes(test_case, outputs);
  const StandardFloatEnvironment environment;
  return WitnessRows(test_case, tensors, outputs, policy).judge(options);
}

}  // namespace normproof::oracle
