// The table of the norm family's operations, and the run of a call by the row of its name.
#include <algorithm>
#include <string>

#include "kernels/family/named_call.h"
#include "kernels/family/rows.h"

namespace normproof::kernels {
namespace {

template <class Operation>
using Run = Status (*)(const NamedCall& call, Operation operation, Stream stream, LaunchReport* report);

// What runs calls of one operation, of the several that kRun knows.
template <auto kOperation, Run<decltype(kOperation)> kRun>
Status run_as(const NamedCall& call, Stream stream, LaunchReport* report) {
  return kRun(call, kOperation, stream, report);
}

template <bool kAdds, LayerNormOperation::Output kOutput = LayerNormOperation::Output::values>
constexpr auto kLayerNorm = run_as<LayerNormOperation{kAdds, kOutput}, run_layer_norm>;
template <BlockQuantOperation::Family kFamily, bool kAdds>
constexpr auto kBlockQuant = run_as<BlockQuantOperation{kFamily, kAdds}, run_block_quant>;
template <bool kCentred>
constexpr auto kBackward = run_as<NormBackwardOperation{kCentred}, run_norm_backward>;

}  // namespace

std::span<const FamilyOperation> family_operations() {
  using enum LayerNormOperation::Output;
  using enum BlockQuantOperation::Family;
  constexpr bool kAdds = true;
  // One row for each operation; the functions are declared in rows.h.
  static constexpr FamilyOperation kOperations[] = {
      {"layer_norm", kLayerNorm<!kAdds>},
      {"fused_add_layer_norm", kLayerNorm<kAdds>},
      {"layer_norm_static_fp8_quant", kLayerNorm<!kAdds, codes_by_given_scale>},
      {"fused_add_layer_norm_static_fp8_quant", kLayerNorm<kAdds, codes_by_given_scale>},
      {"layer_norm_dynamic_quant", kLayerNorm<!kAdds, codes_by_own_scales>},
      {"fused_add_layer_norm_dynamic_quant", kLayerNorm<kAdds, codes_by_own_scales>},
      {"rms_norm_block_quant", kBlockQuant<block, !kAdds>},
      {"fused_add_rms_norm_block_quant", kBlockQuant<block, kAdds>},
      {"rms_norm_mx_quant", kBlockQuant<mx, !kAdds>},
      {"fused_add_rms_norm_mx_quant", kBlockQuant<mx, kAdds>},
      {"rms_norm_nvfp4_quant", kBlockQuant<nvfp4, !kAdds>},
      {"fused_add_rms_norm_nvfp4_quant", kBlockQuant<nvfp4, kAdds>},
      {"rms_norm_backward", kBackward<false>},
      {"layer_norm_backward", kBackward<true>},
      {"qk_norm_rope", run_qk_norm_rope},
      {"gated_rms_norm", run_gated_norm},
      {"grouped_rms_norm", run_grouped_norm},
  };
  return kOperations;
}

Status run(const NamedCall& call, Stream stream, LaunchReport* report) {
  if (report != nullptr) *report = {};
  const auto rows = family_operations();
  const auto row = std::ranges::find(rows, call.operation, &FamilyOperation::name);
  if (row != rows.end()) return row->run(call, stream, report);
  return {StatusCode::unknown_name,
          "operation: there is no kernel for '" + std::string(call.operation) + "'"};
}

}  // namespace normproof::kernels
