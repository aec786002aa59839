// Full rows quantized block by block as in block_quant_registers.cuh, by as many blocks of threads as a GPU
// has room for. Each takes one row after the other: while it works on one, the next is on its way to shared
// memory. So it reads its weights once, and needs no new addresses but by steps.
#pragma once

#include <cstdint>

#include "kernels/family/block_quant_registers.cuh"
#include "kernels/family/row_ring.cuh"

namespace normproof::kernels {

template <class V, BlockCodes kCodes>
__global__ void __launch_bounds__(V::Shape::kMaximumThreads, V::Shape::kBlocks)
    ring_block_kernel(BlockQuantArguments arguments) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  using Shape = typename V::Shape;
  static_assert(Shape::kTeam == Team::block && Shape::kFull && !V::kAddsResidual &&
                Shape::kWeights == Weights::early);
  NORMPROOF_DYNAMIC_SHARED(char, memory);
  NORMPROOF_SHARED(ArrivalBarrier, barriers, kRowStages);
  NORMPROOF_SHARED(GroupSums, group_sums, 2 * kSharers);  // rows take turns
  const int index = static_cast<int>(threadIdx.x), thread = index % kWarpThreads;
  if (index < kRowStages) barriers[index].start();
  clear_absent_groups<Shape>(RowBlocks{}, group_sums);
  clear_absent_groups<Shape>(RowBlocks{}, group_sums + kSharers);
  __syncthreads();

  const auto rows = static_cast<std::uint32_t>(arguments.norm.rows);
  const auto row_bytes = static_cast<std::uint32_t>(arguments.norm.chunks) * sizeof(Chunk<typename V::T>);
  const CachePolicy policy = cache_policy(Shape::kEviction == Eviction::last);
  const auto fill = [&](int stage, std::uint32_t row) {
    if (index != 0 || row >= rows) return;
    barriers[stage].expect(row_bytes);
    barriers[stage].copy(
        memory + stage * row_bytes,
        static_cast<const char*>(arguments.norm.input) + std::uint64_t{row} * arguments.even.x, row_bytes,
        policy);
  };
  wait_for_the_kernel_before();
  let_the_next_kernel_start();
  for (int stage = 0; stage < kRowStages; ++stage) fill(stage, blockIdx.x + stage * gridDim.x);
  RegisterBlockRow<V, kCodes> values;
  values.aim_at_blocks(arguments, blockIdx.x, (index - thread) * Shape::kSlots + thread, 0, true);
  values.load_weights();
  const ScaleParameters parameters = parameters_of<kCodes>(arguments);
#if !defined(__CUDACC__)
  __syncthreads();  // until the first rows are there
#endif

  int stage = 0, turn = 0;
  std::uint32_t phase = 0;
  for (std::uint32_t row = blockIdx.x; row < rows; row += gridDim.x) {
    float lane_sums[Shape::kSlots];
    barriers[stage].wait(phase);
    values.take(memory + stage * row_bytes);
    values.sum_squares(lane_sums);
    const float sum = row_sum<Shape>(RowBlocks{}, lane_sums, group_sums + turn);
    fill(stage, row + kRowStages * gridDim.x);  // all have read the row
    values.finish_blocks(parameters, row_numbers<false>(arguments.norm, sum, 1.0f, 1.0f).inverse_rms);
    values.next(row + gridDim.x, gridDim.x);
    turn ^= kSharers;
    const bool wraps = ++stage == kRowStages;
    stage = wraps ? 0 : stage;
    phase ^= wraps ? 1u : 0u;
  }
#endif
}

}  // namespace normproof::kernels
