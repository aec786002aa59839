// Which kernels of LayerNorm there are.
#pragma once

#include "kernels/configurations.h"
#include "kernels/family/layer_norm_arguments.h"

namespace normproof::kernels {

using LayerNormKernel = void (*)(LayerNormArguments);

// Null where the shape is not compiled for the dtype.
struct LayerNormSelection {
  ShapeKind shape = ShapeKind::two_pass;
  bool vectorized = false;
  bool adds_residual = false;
  bool quantizes = false;
  bool like_x = false;  // weight and bias are there, in the dtype of x
  // Where a shape is compiled both ways, see layer_norm_registers.cuh.
  bool folded = true;
};
LayerNormKernel layer_norm_kernel_of_bf16(const LayerNormSelection& selection);
LayerNormKernel layer_norm_kernel_of_fp16(const LayerNormSelection& selection);
LayerNormKernel layer_norm_kernel_of_fp32(const LayerNormSelection& selection);

}  // namespace normproof::kernels
