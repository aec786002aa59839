// How a row is cut into chunks of 16 bytes and groups of lanes (row_reduction.cuh), as kernels are told it.
#pragma once

#include <cstdint>

#include "kernels/norm_arguments.h"

namespace normproof::kernels {

struct RowShape {
  std::int64_t hidden = 0;
  std::int64_t chunks = 0;   // the last one perhaps partial
  int groups = 0;            // of 32 lanes that the row reaches
  int group_tree_width = 0;  // `groups` rounded up to a power of two
  int row_threads_log2 = 0;  // 2 to it is the number of lanes of a row within a warp
  float hidden_as_float = 0;
};

RowShape row_shape(std::int64_t hidden, std::int64_t element_bytes);

// Tells it to a kernel, or a choice of configurations, that goes by NormArguments.
void set_row_shape(NormArguments& arguments, const RowShape& shape);

}  // namespace normproof::kernels
