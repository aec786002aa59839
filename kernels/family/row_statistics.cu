// RowStatistics: memory for the statistics, and the launch that fills it.
#include "kernels/family/row_statistics.h"

#include <algorithm>
#include <cstdint>

#include "kernels/family/row_statistics_kernel.h"
#include "kernels/launch_kernel.h"

namespace normproof::kernels {

Tensor RowStatistics::in_rows_of(const Tensor& x, float* data) {
  Tensor result = x;
  result.data = data;
  result.dtype = DType::fp32;
  result.sizes[x.rank - 1] = 1;
  std::int64_t stride = 1;
  for (int d = x.rank; d-- > 0;) {
    result.strides[d] = stride;
    stride *= std::max<std::int64_t>(result.sizes[d], 1);  // there may be no rows
  }
  return result;
}

Status RowStatistics::compute(const CheckedCall& checked, float epsilon, bool with_mean) {
#if defined(__CUDACC__)
  constexpr int kThreads = 256;
#else
  constexpr int kThreads = 32;  // every fiber costs
#endif
  constexpr std::int64_t kMostBlocks = (std::int64_t{1} << 31) - 1;
  const std::int64_t rows = checked.rows.count;
  if (Status status = workspace_.allocate(static_cast<std::size_t>(2 * rows) * sizeof(float)); !status.ok())
    return status;
  rstd_ = static_cast<float*>(workspace_.data());
  if (with_mean) mean_ = rstd_ + rows;
  LayerNormArguments arguments;
  arguments.rows = checked.rows;
  arguments.shape = row_shape(checked.hidden, size_of(checked.dtype));
  arguments.epsilon = epsilon;
  checked.place("x", arguments.x, arguments.x_strides);
  // As they lie without gaps.
  const RowStrides packed{checked.rows.middle_size * checked.rows.inner_size, checked.rows.inner_size, 1};
  arguments.mean = {mean_, packed};
  arguments.rstd = {rstd_, packed};
  const bool block_per_row = arguments.shape.chunks > kWarpThreads;
  const std::int64_t rows_of_block = block_per_row ? 1 : kThreads >> arguments.shape.row_threads_log2;
  return launch_kernel(find_row_statistics(checked.dtype, checked.vectorized, block_per_row), arguments,
                       Grid{std::min((rows - 1) / rows_of_block + 1, kMostBlocks), kThreads}, stream_);
}

}  // namespace normproof::kernels
