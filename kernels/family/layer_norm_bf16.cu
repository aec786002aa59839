#include "kernels/family/layer_norm_instances.cuh"

namespace normproof::kernels {

LayerNormKernel layer_norm_kernel_of_bf16(const LayerNormSelection& selection) {
  return find_layer_norm<Bf16>(selection);
}

}  // namespace normproof::kernels
