// Sums over a row that a cluster of blocks holds, without a barrier of the cluster between them: each block
// waits for what the others send, and for nothing else. Asynchronous stores into another block's shared
// memory report their bytes to a barrier that lies there.
#pragma once

#include <cstdint>

#include "kernels/block_reduction.cuh"

namespace normproof::kernels {

// One for each sum, in shared memory.
using Arrivals = std::uint64_t;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
__device__ inline std::uint32_t shared_address(const void* place) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(place));
}
__device__ inline std::uint32_t address_in_block(std::uint32_t address, int rank) {
  std::uint32_t remote = 0;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
  return remote;
}
#endif

// By one thread, when all numbers of the last time have come: so many will come again.
__device__ inline void expect_more_numbers([[maybe_unused]] Arrivals* arrivals,
                                           [[maybe_unused]] int numbers) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(arrivals)),
               "r"(numbers * static_cast<int>(sizeof(float)))
               : "memory");
#endif
}

// By one thread, before the block arrives at the cluster's barrier for the first time: so many numbers will
// come for each of the sums.
__device__ inline void expect_numbers([[maybe_unused]] Arrivals* arrivals, [[maybe_unused]] int sums,
                                      [[maybe_unused]] int numbers) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  for (int i = 0; i < sums; ++i) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(arrivals + i)) : "memory");
    expect_more_numbers(arrivals + i, numbers);
  }
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

// Puts a number where `place` is in block `block` of the cluster, which has more than one.
__device__ inline void send_number([[maybe_unused]] int block, [[maybe_unused]] float* place,
                                   [[maybe_unused]] float number, [[maybe_unused]] Arrivals* arrivals) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(
                   address_in_block(shared_address(place), block)),
               "r"(bits_of(number)), "r"(address_in_block(shared_address(arrivals), block))
               : "memory");
#endif
}

// Until all numbers have come; `phase` is the last bit of how often they came before.
__device__ inline void await_numbers([[maybe_unused]] Arrivals* arrivals,
                                     [[maybe_unused]] std::uint32_t phase = 0) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(shared_address(arrivals)),
      "r"(phase)
      : "memory");
#endif
}

// Before the block arrives at the cluster's barrier for the first time.
template <class Shape>
__device__ inline void expect_group_sums([[maybe_unused]] const RowBlocks& blocks,
                                         [[maybe_unused]] Arrivals* arrivals, [[maybe_unused]] int sums) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (threadIdx.x != 0) return;
  const int warps = blocks.count * static_cast<int>(blockDim.x / kWarpThreads);
  expect_numbers(arrivals, sums, warps * Shape::kSlots < kGroups ? warps * Shape::kSlots : kGroups);
#endif
}

// As row_sum().
template <class Shape, bool kIsFirst>
__device__ inline float cluster_sum(const RowBlocks& blocks, const float (&lane_sums)[Shape::kSlots],
                                    GroupSums* group_sums, [[maybe_unused]] Arrivals* arrivals) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  const GroupSum own = own_group_sum<Shape>(blocks, lane_sums);
  if constexpr (kIsFirst) wait_at_cluster_barrier<Shape::kTeam>();
  if (own.is_given) send_number(own.block, &sum_of_group(group_sums, own.group), own.sum, arrivals);
  await_numbers(arrivals);
  return sum_of_groups(group_sums);
#else
  return row_sum<Shape, kIsFirst>(blocks, lane_sums, group_sums);
#endif
}

}  // namespace normproof::kernels
