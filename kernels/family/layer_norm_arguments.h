// What a LayerNorm kernel is told, by value.
#pragma once

#include <cstdint>

#include "kernels/family/affine.cuh"
#include "kernels/family/row_numbers.h"
#include "kernels/family/row_shape.h"
#include "kernels/norm_arguments.h"

namespace normproof::kernels {

// One number for each row, in fp32 or in T; no data where the caller does not ask for it.
struct RowStatistic {
  void* data = nullptr;
  RowStrides strides;
  bool is_fp32 = true;
};

struct LayerNormArguments {
  LeadingDimensions rows;
  RowShape shape;

  const void* x = nullptr;
  const void* residual = nullptr;  // null unless the operation adds; then x + residual is normalized ...
  void* residual_out = nullptr;    // ... and stored here, which may be `residual`
  void* out = nullptr;             // may be `x`
  RowStrides x_strides;
  RowStrides residual_strides;
  RowStrides residual_out_strides;
  RowStrides out_strides;

  Affine weight;
  Affine bias;
  RowStatistic mean;
  RowStatistic rstd;

  float inverse_hidden = 0;  // as in NormArguments
  float epsilon = 0;
};

}  // namespace normproof::kernels
