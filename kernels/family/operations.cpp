// The table of the norm family's operations, and the run of a call by the row of its name.
#include <algorithm>
#include <array>
#include <string>

#include "kernels/family/named_call.h"
#include "kernels/family/rows.h"

namespace normproof::kernels {

std::span<const FamilyOperation> family_operations() {
  // One row for each operation; the functions are declared in rows.h.
  static constexpr FamilyOperation kOperations[] = {
      {"layer_norm", run_layer_norm},
      {"fused_add_layer_norm", run_layer_norm},
      {"layer_norm_static_fp8_quant", run_layer_norm},
      {"fused_add_layer_norm_static_fp8_quant", run_layer_norm},
      {"layer_norm_dynamic_quant", run_layer_norm},
      {"fused_add_layer_norm_dynamic_quant", run_layer_norm},
      {"rms_norm_block_quant", run_block_quant},
      {"fused_add_rms_norm_block_quant", run_block_quant},
      {"rms_norm_mx_quant", run_mx_quant},
      {"fused_add_rms_norm_mx_quant", run_mx_quant},
      {"rms_norm_nvfp4_quant", run_nvfp4_quant},
      {"fused_add_rms_norm_nvfp4_quant", run_nvfp4_quant},
      {"rms_norm_backward", run_norm_backward},
      {"layer_norm_backward", run_norm_backward},
      {"qk_norm_rope", run_qk_norm_rope},
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
