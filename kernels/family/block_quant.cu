// The kernels of any row, and the launch of all.
#include "kernels/family/block_quant.h"

#include "kernels/configurations.h"
#include "kernels/family/block_quant_kernel.cuh"
#include "kernels/launch_kernel.h"
#include "kernels/quick_operands.h"

namespace normproof::kernels {

BlockQuantKernel general_block_quant_kernel(DType dtype, bool vectorized) {
  switch (dtype) {
    case DType::bf16:
      return vectorized ? &block_quant_kernel<Bf16, true> : &block_quant_kernel<Bf16, false>;
    case DType::fp16:
      return vectorized ? &block_quant_kernel<Fp16, true> : &block_quant_kernel<Fp16, false>;
    default:
      return vectorized ? &block_quant_kernel<float, true> : &block_quant_kernel<float, false>;
  }
}

Status launch_block_quant(BlockQuantKernel kernel, const BlockQuantArguments& arguments, const Grid& grid,
                          Stream stream) {
  BlockQuantArguments given = arguments;
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  if (goes_quick_ways()) given.norm.inverse_hidden = quick_inverse_hidden(given.norm);
#endif
  return launch_kernel(kernel, given, grid, stream);
}

}  // namespace normproof::kernels
