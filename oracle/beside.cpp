// Rows of static and dynamic quantization beside unfused ones, and what is counted of rows of any kind.
#include "oracle/beside.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <span>

#include "oracle/fast_row.h"
#include "oracle/witness_row.h"

namespace normproof::oracle {
namespace {

// The quantization alone: rows of y with r = 1, no weight and no other step.
Formula quantization_of(Formula formula) {
  formula.formats.weight.reset();
  for (const NormStep step : NormSteps(formula.steps)) {
    if (step != NormStep::normalize && row_of(step).place != StepPlace::code)
      formula.steps = formula.steps.without(step);
  }
  return formula;
}

std::span<const std::byte> part(const std::vector<std::byte>& packed, std::int64_t row,
                                std::int64_t row_bytes) {
  return std::span(packed).subspan(static_cast<std::size_t>(row * row_bytes),
                                   static_cast<std::size_t>(row_bytes));
}

std::vector<std::uint8_t> codes_of(const Formula& formula, std::span<const std::byte> packed) {
  std::vector<std::uint8_t> codes;
  codes.reserve(packed.size());
  const Format& format = format_of(formula.output_dtype());
  for (const std::byte each : packed)
    codes.push_back(compared_code(format, std::to_integer<std::uint32_t>(each)));
  return codes;
}

class Beside {
 public:
  Beside(const Case& test_case, const CaseTensors& tensors, const Outputs& fused, const Outputs& unfused,
         bool unfused_is_quantized, const Policy& policy)
      : formula_(formula_of(test_case, policy)),
        tensors_(tensors),
        fused_(fused),
        unfused_(unfused),
        unfused_is_quantized_(unfused_is_quantized),
        fast_(formula_, tensors[Role::weight]),
        quantization_(quantization_of(formula_), {}),
        witness_row_(formula_) {}

  RowBeside row(std::int64_t index) {
    fast_.load_row(tensors_, index);
    RowBeside result;
    const std::uint32_t scale = row_scale_bits(formula_, fused_, index);
    result.fused = codes_of(formula_, part(fused_[Role::out], index, formula_.hidden_size));
    std::uint32_t unfused_scale = 0;
    result.unfused = unfused_codes(index, unfused_scale);
    result.reachable = witness_row_.reachable(fast_, scale);
    if (formula_.has(NormStep::quantize_by_row)) {
      const bool legal = !result.reachable.empty();
      const bool differs = !same_scale(scale, unfused_scale);
      result.scales.push_back({0, formula_.hidden_size, scale, unfused_scale, differs, legal,
                               (legal && differs) || scale_may_differ(unfused_scale)});
    }
    return result;
  }

 private:
  static bool same_scale(std::uint32_t a, std::uint32_t b) { return same(DType::fp32, a, b); }

  std::vector<std::uint8_t> unfused_codes(std::int64_t index, std::uint32_t& scale) {
    if (unfused_is_quantized_) {
      scale = row_scale_bits(formula_, unfused_, index);
      return codes_of(formula_, part(unfused_[Role::out], index, formula_.hidden_size));
    }
    const std::int64_t bytes = formula_.hidden_size * format_of(formula_.formats.activation).bits / 8;
    quantization_.load(part(unfused_[Role::out], index, bytes).data(), nullptr);
    if (formula_.has(NormStep::quantize_by_row))
      scale = std::bit_cast<std::uint32_t>(quantization_.set_own_scale(1));
    return codes_of(formula_, quantization_.outputs(1));
  }

  // A scale rises or falls with r, so one that is another is so at an end.
  bool scale_may_differ(std::uint32_t unfused) {
    const Admissible window = witness_row_.admissible(fast_);
    const auto differs = [&](float r) {
      return !same_scale(std::bit_cast<std::uint32_t>(fast_.set_own_scale(r)), unfused);
    };
    if (window.nan && differs(std::numeric_limits<float>::quiet_NaN())) return true;
    if (window.interval.empty()) return false;
    return differs(root_value(window.interval.low)) || differs(root_value(window.interval.high));
  }

  Formula formula_;
  const CaseTensors& tensors_;
  const Outputs& fused_;
  const Outputs& unfused_;
  bool unfused_is_quantized_;
  FastRow fast_;
  FastRow quantization_;
  WitnessRow witness_row_;
};

}  // namespace

void BesideVerdict::add(const RowBeside& row, std::int64_t index) {
  ++rows;
  codes += static_cast<std::int64_t>(row.fused.size());
  std::vector<bool> judged(row.fused.size(), true);
  for (const ScaleBeside& scale : row.scales) {
    ++scales;
    scales_that_may_differ += scale.may_differ;
    scales_that_differ += scale.differs;
    if (scale.legal) continue;
    ++illegal_scales;
    codes_not_judged += scale.end - scale.begin;
    std::fill(judged.begin() + scale.begin, judged.begin() + scale.end, false);
    if (first_illegal_scales.size() < kListed) first_illegal_scales.push_back({index, scale});
  }
  for (std::size_t j = 0; j < row.fused.size(); ++j) {
    if (!judged[j]) continue;
    const CodeSet& reachable = row.reachable[j];
    CodeSet others = reachable;
    others.reset(row.unfused[j]);
    codes_that_may_differ += others.any();
    const bool differs = row.fused[j] != row.unfused[j];
    const bool legal = reachable.test(row.fused[j]);
    codes_that_differ += differs;
    illegal_codes += !legal;
    illegal_codes_equal += !legal && !differs;
    if (legal && !differs) continue;
    std::vector<CodeBeside>& list = legal ? first_legal_codes : first_illegal_codes;
    if (list.size() < kListed)
      list.push_back({index, static_cast<std::int64_t>(j), row.fused[j], row.unfused[j], reachable});
  }
}

BesideVerdict compare_beside(const Case& test_case, const CaseTensors& tensors, const Outputs& fused,
                             const Outputs& unfused, bool unfused_is_quantized, const Policy& policy) {
  const StandardFloatEnvironment environment;
  Beside beside(test_case, tensors, fused, unfused, unfused_is_quantized, policy);
  BesideVerdict verdict;
  for (std::int64_t row = 0; row < test_case.rows(); ++row) verdict.add(beside.row(row), row);
  return verdict;
}

}  // namespace normproof::oracle
