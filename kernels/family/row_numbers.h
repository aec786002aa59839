// Rows of tensors with up to three leading dimensions, as a kernel finds them.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"
#include "kernels/norm_arguments.h"

namespace normproof::kernels {

// The offset in elements of a row.
__device__ inline std::int64_t row_offset(const LeadingDimensions& rows, const RowStrides& strides,
                                          std::int64_t row) {
  if (rows.inner_size == rows.count) return row * strides.inner;
  const std::int64_t inner = row % rows.inner_size;
  const std::int64_t leading = row / rows.inner_size;
  return leading / rows.middle_size * strides.outer + leading % rows.middle_size * strides.middle +
         inner * strides.inner;
}

}  // namespace normproof::kernels
