// warp_norm.cu as a plug-in.
#include "adapter.h"

// The kernel keeps a row in shared memory, of which a block has 227 KiB.
static normproof_plugin_limits short_rows() {
  normproof_plugin_limits limits{};
  limits.struct_size = sizeof limits;
  limits.greatest_hidden = 58000;
  limits.greatest_rank = 2;
  return limits;
}
static const normproof_plugin_limits kShortRows = short_rows();

const normproof_plugin_info* normproof_plugin(void) {
  static const normproof_plugin_operation rms_norm = {sizeof rms_norm, "rms_norm", &adapter::run_rms_norm, nullptr};
  static const normproof_plugin_operation fused_add = {sizeof fused_add, "fused_add_rms_norm",
                                                       &adapter::run_fused_add_rms_norm, &kShortRows};
  static const normproof_plugin_operation* const operations[] = {&rms_norm, &fused_add, nullptr};
  static const normproof_plugin_info info = {NORMPROOF_PLUGIN_ABI, adapter::kTakes, "warp shuffles", kDLCPU,
                                             sizeof info,          operations};
  return &info;
}
