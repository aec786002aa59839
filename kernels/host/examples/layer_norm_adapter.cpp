// layer_norm.cu as a plug-in: a judged operation, whose tensors are those of oracle/judged/README.md.
#include "adapter.h"
#include "layer_norm.h"

namespace {

// nvcc -DNORM_ON_A_GPU makes a plug-in for a GPU of the same sources.
#ifdef NORM_ON_A_GPU
constexpr DLDeviceType kMemory = kDLCUDA;
#else
constexpr DLDeviceType kMemory = kDLCPU;
#endif

void* data_of(const DLTensor* tensor) { return tensor == nullptr ? nullptr : tensor->data; }

int32_t run_layer_norm(const normproof_plugin_call* call) {
  const auto tensor = [call](const char* role) { return normproof_tensor_of(call, role); };
  const DLTensor *x = tensor("x"), *out = tensor("out");
  LayerNormCall norm;
  norm.type = adapter::scalar_type(x);
  norm.rows = x->shape[0];
  norm.hidden = static_cast<int>(x->shape[1]);
  norm.epsilon = normproof_parameter_of(call, "epsilon");
  norm.x = x->data;
  norm.x_stride = x->strides[0];
  norm.out = out->data;
  norm.out_stride = out->strides[0];
  norm.weight = data_of(tensor("weight"));
  norm.bias = data_of(tensor("bias"));
  norm.mean = static_cast<float*>(data_of(tensor("mean")));
  norm.rstd = static_cast<float*>(data_of(tensor("rstd")));
  norm.stream = static_cast<cudaStream_t>(call->stream);
  return adapter::status_of(layer_norm(norm), call);
}

}  // namespace

const normproof_plugin_info* normproof_plugin(void) {
  static const normproof_plugin_operation layer_norm_entry = adapter::entry("layer_norm", &run_layer_norm);
  static const normproof_plugin_operation* const operations[] = {&layer_norm_entry, nullptr};
  static const normproof_plugin_info info = {NORMPROOF_PLUGIN_ABI, adapter::kTakes, "layer norm", kMemory,
                                             sizeof info,          operations};
  return &info;
}
