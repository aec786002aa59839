// What a kernel of the gated RMSNorm is told, by value.
#pragma once

#include "kernels/family/affine.cuh"
#include "kernels/family/row_numbers.h"
#include "kernels/norm_arguments.h"
#include "kernels/row_shape.h"

namespace normproof::kernels {

struct GatedNormArguments {
  LeadingDimensions rows;
  RowShape shape;
  float inverse_hidden = 0;  // as in NormArguments
  float epsilon = 0;
  const void* x = nullptr;
  const void* gate = nullptr;  // z
  void* out = nullptr;         // may be `x`
  Affine weight;
  RowStrides x_strides;
  RowStrides gate_strides;
  RowStrides out_strides;
};

}  // namespace normproof::kernels
