// LayerNorm in fp16 and fp32.
#include "kernels/family/layer_norm_instances.cuh"

namespace normproof::kernels {

LayerNormKernel layer_norm_kernel_of_fp16(const LayerNormSelection& selection) {
  return find_layer_norm<Fp16>(selection);
}
LayerNormKernel layer_norm_kernel_of_fp32(const LayerNormSelection& selection) {
  return find_layer_norm<float>(selection);
}

}  // namespace normproof::kernels
