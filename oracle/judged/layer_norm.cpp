// layer_norm and fused_add_layer_norm: rows of the table. The latter is the former of a sum that is kept.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "oracle/box_search/layer_norm.h"
#include "oracle/judged/layer_norm_call.h"
#include "oracle/judged/quantization_axes.h"
#include "oracle/judged/residual_sum.h"
#include "oracle/judged/rows.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {
namespace {

namespace search = box_search;

constexpr TensorSpec kOut = {
    "out", Direction::out, Extent::elements, DTypeRule::activation, Need::always, "the normalized rows", "x"};
constexpr std::array kTensors = {kXSpec, kAffineWeightSpec, kBiasSpec, kOut, kMeanSpec, kRstdSpec};
constexpr std::array kFusedAddTensors = {kXSpec, kResidualSpec,    kAffineWeightSpec, kBiasSpec,
                                         kOut,   kResidualOutSpec, kMeanSpec,         kRstdSpec};

constexpr std::array kAxes = {kStatisticsAxis, kFormAxis, kNormalizedAxis, kLayerNormWeightAxis, kAffineAxis};
constexpr auto kFusedAddAxes = with_sum(kSumAxis, kAxes);

constexpr std::array<NamedPolicy, 7> kPolicies = {{
    {"pytorch.layer_norm", "statistics=welford", "PyTorch F.layer_norm, CUDA"},
    {"pytorch_cpu.layer_norm", "statistics=welford,form=shifted_fma",
     "PyTorch F.layer_norm, CPU, bf16 and fp16"},
    {"apex.layer_norm", "statistics=welford,normalized=activation,affine=activation",
     "Apex FusedLayerNorm with a weight in T"},
    {"quack.layer_norm", "", "QuACK layernorm"},
    {"flashinfer.layer_norm", "", "FlashInfer layernorm; one_pass with USE_DIFF_OF_SQUARES"},
    {"tensorrt_llm.layer_norm", "statistics=one_pass", "TensorRT-LLM layernorm with USE_DIFF_OF_SQUARES"},
    {"transformer_engine.layer_norm", "statistics=welford", "Transformer Engine LayerNorm"},
}};

class RowJudge : public UnitJudge {
 public:
  RowJudge(const Call& call, const Policy& policy)
      : call_(call),
        rule_(layer_norm_rule(call, policy)),
        judge_(rule_, call.hidden_size(), first_hidden_row(call, "weight"), first_hidden_row(call, "bias")) {}

  bool conforms(std::int64_t row) override {
    const search::RowVerdict verdict = judge_.judge(operand(row), got(row), stored(row), false);
    decided_ = !verdict.undecided;
    return verdict.conforms;
  }
  bool decided() const override { return decided_; }

  Violation violation(std::int64_t row) override {
    const search::StoredStatistics given = stored(row);
    const search::RowVerdict verdict = judge_.judge(operand(row), got(row), given);
    judge_.require_exact(verdict, given);
    Violation violation = violation_of(verdict, kMeanAndRstd);
    violation.tensor = "out";
    violation.place = fmt::format("row {}", row);
    violation.row = row;
    if (verdict.window.empty()) {
      violation.reason = stored_text(rule_, judge_.operands(), given);
    } else {
      tell_beyond(row, violation);
    }
    const Tensor right{call_.dtype(), {call_.hidden_size()}, canonical(row)};
    for (Element& element : violation.elements) {
      const std::int64_t j = element.column, at = row * call_.hidden_size() + j;
      add_operands(call_, row, element);
      element.values.push_back(named("got", call_.at("out"), at));
      element.values.push_back(named("canonical", right, j));
    }
    return violation;
  }

  std::vector<std::byte> canonical(std::int64_t row) override {
    const auto usual = judge_.canonical_statistics(operand(row));
    return judge_.outputs(operand(row), usual.mean, usual.inverse_root);
  }

  std::vector<NamedBits> unknowns(std::int64_t row) override {
    const auto usual = judge_.canonical_statistics(operand(row));
    return {named(kMeanAndRstd[0], usual.mean), named(kMeanAndRstd[1], usual.inverse_root)};
  }

  bool accepts_wrong(std::int64_t row, Random& random) override {
    const auto usual = judge_.canonical_statistics(operand(row));
    const auto root = static_cast<float>(usual.inverse_root * std::exp2(2 * signed_unit(random)));
    const auto mean = static_cast<float>(usual.mean + signed_unit(random) / root);
    const std::vector<std::byte> wrong = judge_.outputs(operand(row), mean, root);
    return judge_.judge(operand(row), wrong, stored(row), false).conforms;
  }

 private:
  // Other statistics, which explain the whole row though no honest evaluation arrives at them.
  void tell_beyond(std::int64_t row, Violation& violation) {
    const auto usual = judge_.canonical_statistics(operand(row));
    if (!(usual.inverse_root > 0) || !std::isfinite(usual.inverse_root) || !std::isfinite(usual.mean)) return;
    const search::Box box{around(usual.mean, 4 / usual.inverse_root), around(usual.inverse_root)};
    tell_witness(search::witness_in(judge_.row(), box),
                 {search::order_of(usual.mean), search::order_of(usual.inverse_root)}, kMeanAndRstd,
                 violation);
  }

  std::span<const std::byte> operand(std::int64_t row) {
    use_affine_of(call_, row, judge_);
    return layer_norm_operand(call_, rule_, row, operand_);
  }
  std::span<const std::byte> got(std::int64_t row) const {
    return call_.at("out").row(row, call_.hidden_size());
  }
  search::StoredStatistics stored(std::int64_t row) const { return stored_statistics(call_, row); }

  const Call& call_;
  search::LayerNormRule rule_;
  search::LayerNormJudge judge_;
  std::vector<std::byte> operand_;
  bool decided_ = true;
};

constexpr JudgedOperation row(std::string_view name, std::string_view sentence,
                              std::span<const TensorSpec> tensors, std::span<const Axis> axes,
                              std::span<const NamedPolicy> policies,
                              const JudgedOperation& (*of_sum)() = nullptr) {
  return layer_norm_row(name, sentence, tensors, axes, policies, parts_of_rows<RowJudge>, of_sum);
}

}  // namespace

const JudgedOperation& layer_norm() {
  static constexpr JudgedOperation kRow =
      row("layer_norm", "normalizes each row by its mean and standard deviation", kTensors, kAxes, kPolicies);
  return kRow;
}

const JudgedOperation& fused_add_layer_norm() {
  static constexpr JudgedOperation kRow =
      row("fused_add_layer_norm", "adds the residual, keeps the sum, normalizes it by mean and deviation",
          kFusedAddTensors, kFusedAddAxes, {}, layer_norm);
  return kRow;
}

}  // namespace normproof::oracle::judged
