#include "oracle/judged/block_beside.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "oracle/judged/block_quant.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {
namespace {

// The quantization alone: rows of y with r = 1, neither weight nor residual.
BlockSetup quantization_of(BlockSetup setup) {
  setup.formula.formats.weight.reset();
  setup.formula.steps = setup.formula.steps.without(NormStep::add_residual);
  setup.scale.formula = setup.formula;
  return setup;
}

class Beside {
 public:
  Beside(const Call& fused, const Policy& policy, std::span<const std::byte> normalized,
         const Call* quantized, const Policy& unfused_policy)
      : call_(fused),
        reader_(fused, policy),
        normalized_(normalized),
        row_(block_setup_of(fused, policy), bytes_of(fused.find("weight"))),
        quantization_(quantization_of(row_.setup()), {}) {
    if (quantized != nullptr) unfused_reader_.emplace(*quantized, unfused_policy);
  }

  RowBeside row(std::int64_t index) {
    load(index);
    BlockOutputs fused = reader_.row(index);
    const BlockOutputs unfused = unfused_row(index);
    RowBeside result;
    BlockReach reach = row_.reachable(fused);
    result.reachable = std::move(reach.codes);
    result.fused = compared(fused.codes);
    result.unfused = compared(unfused.codes);
    const std::vector<bool> may_differ = scales_that_may_differ(unfused);
    const std::int64_t block = row_.setup().block, count = call_.hidden_size();
    for (std::size_t i = 0; i < fused.scales.size(); ++i) {
      const auto begin = static_cast<std::int64_t>(i) * block;
      const bool differs = !row_.scale_rule().same_scale(fused.scales[i], unfused.scales[i]);
      result.scales.push_back({begin, std::min(begin + block, count), fused.scales[i], unfused.scales[i],
                               differs, reach.legal[i], may_differ[i] || (reach.legal[i] && differs)});
    }
    return result;
  }

 private:
  void load(std::int64_t row) {
    const std::int64_t count = call_.hidden_size();
    const Tensor* residual = call_.find("residual");
    row_.load(call_.at("x").row(row, count).data(),
              residual == nullptr ? nullptr : residual->row(row, count).data());
  }

  BlockOutputs unfused_row(std::int64_t row) {
    if (unfused_reader_) return unfused_reader_->row(row);
    const std::size_t bytes = static_cast<std::size_t>(call_.hidden_size()) * size_of(call_.dtype());
    quantization_.load(normalized_.subspan(static_cast<std::size_t>(row) * bytes, bytes).data(), nullptr);
    return quantization_.outputs(1);
  }

  std::vector<std::uint8_t> compared(std::vector<std::uint8_t> codes) const {
    for (std::uint8_t& code : codes) code = compared_code(row_.codes().format(), code);
    return codes;
  }

  // A scale rises or falls with r, so one that is another is so at an end.
  std::vector<bool> scales_that_may_differ(const BlockOutputs& unfused) {
    std::vector<bool> result(unfused.scales.size());
    const auto look = [&](float r) {
      const std::vector<std::uint32_t> scales = row_.outputs(r).scales;
      for (std::size_t i = 0; i < result.size(); ++i)
        if (!row_.scale_rule().same_scale(scales[i], unfused.scales[i])) result[i] = true;
    };
    const Admissible window = row_.admissible();
    if (window.nan) look(std::numeric_limits<float>::quiet_NaN());
    if (window.interval.empty()) return result;
    look(root_value(window.interval.low));
    look(root_value(window.interval.high));
    return result;
  }

  const Call& call_;
  BlockReader reader_;
  std::optional<BlockReader> unfused_reader_;
  std::span<const std::byte> normalized_;
  BlockRow row_;
  BlockRow quantization_;
};

}  // namespace

BesideVerdict compare_beside(const Call& fused, const Policy& policy, std::span<const std::byte> normalized,
                             const Call* quantized, const Policy& unfused_policy) {
  const StandardFloatEnvironment environment;
  Beside beside(fused, policy, normalized, quantized, unfused_policy);
  BesideVerdict verdict;
  for (std::int64_t row = 0; row < fused.rows(); ++row) verdict.add(beside.row(row), row);
  return verdict;
}

oracle::Policy policy_of_norm(const Call& fused, const Policy& policy) {
  oracle::Policy result = block_setup_of(fused, policy).formula.policy;
  const oracle::Policy usual;
  result.before_quantization = usual.before_quantization;
  result.row_maximum = usual.row_maximum;
  return result;
}

}  // namespace normproof::oracle::judged
