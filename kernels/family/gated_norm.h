// Which kernels of the gated RMSNorm there are.
#pragma once

#include "kernels/configurations.h"
#include "kernels/family/gated_norm_arguments.h"

namespace normproof::kernels {

using GatedNormKernel = void (*)(GatedNormArguments);

struct GatedNormSelection {
  ShapeKind shape = ShapeKind::two_pass;
  bool vectorized = false;
  bool like_x = false;  // the weight is there, in the dtype of x
};
// Null where the shape is not compiled for the dtype.
GatedNormKernel find_gated_norm(DType dtype, const GatedNormSelection& selection);

}  // namespace normproof::kernels
