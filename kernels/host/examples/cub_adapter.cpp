// cub_norm.cu as a plug-in.
#include "adapter.h"

static int32_t run_rms_norm_static_fp8_quant(const normproof_plugin_call* call) {
  return adapter::status_of(rms_norm_static_fp8_quant(adapter::norm_call(call)), call);
}

const normproof_plugin_info* normproof_plugin(void) {
  static const normproof_plugin_operation entries[] = {
      adapter::entry("rms_norm", &adapter::run_rms_norm),
      adapter::entry("fused_add_rms_norm", &adapter::run_fused_add_rms_norm),
      adapter::entry("rms_norm_static_fp8_quant", &run_rms_norm_static_fp8_quant)};
  static const normproof_plugin_operation* const operations[] = {&entries[0], &entries[1], &entries[2], nullptr};
  static const normproof_plugin_info info = {NORMPROOF_PLUGIN_ABI, adapter::kTakes | NORMPROOF_TAKES_E4M3FN,
                                             "CUB block reduction", kDLCPU, sizeof info, operations};
  return &info;
}
