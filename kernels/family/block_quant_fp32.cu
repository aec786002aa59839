#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#define NORMPROOF_FEW_BLOCK_SHAPES
#include "kernels/family/block_quant_instances.cuh"

namespace normproof::kernels {

BlockQuantKernel fp32_block_quant_kernel(const BlockQuantSelection& selection) {
  return find_block_quant<float>(selection);
}

}  // namespace normproof::kernels
#endif
