#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#include "kernels/family/block_quant_instances.cuh"

namespace normproof::kernels {

BlockQuantKernel bf16_block_quant_kernel(const BlockQuantSelection& selection) {
  return find_block_quant<Bf16>(selection);
}

}  // namespace normproof::kernels
#endif
