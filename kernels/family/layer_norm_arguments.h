// What a LayerNorm kernel is told, by value.
#pragma once

#include <cstdint>

#include "kernels/family/affine.cuh"
#include "kernels/family/block_quant_arguments.h"
#include "kernels/family/row_numbers.h"
#include "kernels/norm_arguments.h"
#include "kernels/row_shape.h"

namespace normproof::kernels {

// One number for each row, in fp32 or in T; no data where the caller does not ask for it.
struct RowStatistic {
  void* data = nullptr;
  RowStrides strides;
  bool is_fp32 = true;
};

// What every row needs comes first and together: where few rows leave the time to latencies, each further
// line of the constant cache costs a part of it.
struct LayerNormArguments {
  LeadingDimensions rows;
  RowShape shape;
  float inverse_hidden = 0;  // as in NormArguments
  float epsilon = 0;
  const void* x = nullptr;
  void* out = nullptr;  // may be `x`
  Affine weight;
  Affine bias;
  const void* residual = nullptr;  // null unless the operation adds; then x + residual is normalized ...
  void* residual_out = nullptr;    // ... and stored here, which may be `residual`
  bool has_statistics = false;     // mean, rstd or both
  RowStrides x_strides;
  RowStrides out_strides;
  RowStrides residual_strides;
  RowStrides residual_out_strides;
  RowStatistic mean;
  RowStatistic rstd;

  // Where out is quantized. Each row gets a scale of its own unless one is given.
  CodeFormat codes = CodeFormat::e4m3fn;
  const float* scale = nullptr;     // given
  const float* scale_ub = nullptr;  // the upper bound of a row's largest |y|; null: none
  float range = 0;                  // the largest number of the codes
  float inverse_range = 0;          // fl(1 / range), or 0 where there is no short way
  float least_scale = 0;
  RowStatistic scales;  // written, in fp32
};

}  // namespace normproof::kernels
