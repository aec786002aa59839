// cub_norm.cu as a plug-in.
#include "adapter.h"

static int32_t run_rms_norm_static_fp8_quant(const DLTensor* out, const DLTensor* input, const DLTensor* weight,
                                             const float* scale, float epsilon, const normproof_plugin_call* call) {
  NormCall norm = adapter::norm_call(out, input, nullptr, weight, epsilon, call);
  norm.scale = scale;
  return adapter::status_of(rms_norm_static_fp8_quant(norm), call);
}

const normproof_plugin_info* normproof_plugin(void) {
  static const normproof_plugin_info info = {NORMPROOF_PLUGIN_ABI,
                                             adapter::kTakes | NORMPROOF_TAKES_E4M3FN,
                                             "CUB block reduction",
                                             kDLCPU,
                                             &adapter::run_rms_norm,
                                             &adapter::run_fused_add_rms_norm,
                                             &run_rms_norm_static_fp8_quant,
                                             nullptr};
  return &info;
}
