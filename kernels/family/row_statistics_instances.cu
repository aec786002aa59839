// Statistics of rows of any length and alignment. RMSNorm's are LayerNorm's of a mean of 0: fl(x - 0) is x.
#include <cstdint>

#include "kernels/compiled.h"
#include "kernels/family/layer_norm_kernel.cuh"
#include "kernels/family/row_statistics_kernel.h"

namespace normproof::kernels {
namespace {

template <typename T, bool kVectorized, bool kBlockPerRow>
__global__ void __launch_bounds__(1024) row_statistics_kernel(LayerNormArguments arguments) {
  for_each_row<kBlockPerRow, 1>(arguments.shape, arguments.rows.count, [&](auto& team, std::int64_t row) {
    const LayerNormAccess<T, kVectorized> access(arguments, row);
    const float hidden = arguments.shape.hidden_as_float;
    float mean = 0.0f;
    if (arguments.mean.data != nullptr) {
      mean = __fdiv_rn(
          team.sum([&](float lane_sum, std::int64_t chunk) { return access.add(lane_sum, chunk); }), hidden);
    }
    const float squares = team.sum(
        [&](float lane_sum, std::int64_t chunk) { return access.add_squares(lane_sum, chunk, mean); });
    if (!team.is_first()) return;
    store_statistic<T>(arguments.rows, arguments.mean, row, mean);
    store_statistic<T>(arguments.rows, arguments.rstd, row, inverse_rms(squares, hidden, arguments.epsilon));
  });
}

template <typename T, bool kVectorized, bool kBlockPerRow>
RowStatisticsKernel kernel_of() {
  constexpr int kShape = (kVectorized ? 2 : 0) + (kBlockPerRow ? 1 : 0);
  if constexpr (is_compiled<3>(kShape, kCombination<T, T, false>))
    return row_statistics_kernel<T, kVectorized, kBlockPerRow>;
  return nullptr;
}

template <typename T>
RowStatisticsKernel kernel_of(bool vectorized, bool block_per_row) {
  if (vectorized) return block_per_row ? kernel_of<T, true, true>() : kernel_of<T, true, false>();
  return block_per_row ? kernel_of<T, false, true>() : kernel_of<T, false, false>();
}

}  // namespace

RowStatisticsKernel find_row_statistics(DType dtype, bool vectorized, bool block_per_row) {
  switch (dtype) {
    case DType::bf16:
      return kernel_of<Bf16>(vectorized, block_per_row);
    case DType::fp16:
      return kernel_of<Fp16>(vectorized, block_per_row);
    default:
      return kernel_of<float>(vectorized, block_per_row);
  }
}

}  // namespace normproof::kernels
