// The kernel that computes the statistics of rows and nothing else.
#pragma once

#include "kernels/family/layer_norm_arguments.h"
#include "kernels/rms_norm.h"

namespace normproof::kernels {

// Of the arguments rows, shape, epsilon, x and the statistics count; a row without a place for its mean is
// not centred.
using RowStatisticsKernel = void (*)(LayerNormArguments);
RowStatisticsKernel find_row_statistics(DType dtype, bool vectorized, bool block_per_row);

}  // namespace normproof::kernels
