// Stands in for CUB's BlockReduce: WarpReduce in each warp, whose results thread 0 then adds up, first warp
// first. CUB promises no order; the result is valid in thread 0 alone, and here any other thread gets 0xFF
// bytes, a NaN for floats. The temporary storage is really used, so it must not be reused before a barrier.
#pragma once

#include <cub/warp/warp_reduce.cuh>

namespace cub {

enum BlockReduceAlgorithm {
  BLOCK_REDUCE_RAKING_COMMUTATIVE_ONLY,
  BLOCK_REDUCE_RAKING,
  BLOCK_REDUCE_WARP_REDUCTIONS,
};

template <class T, int BLOCK_DIM_X, BlockReduceAlgorithm = BLOCK_REDUCE_WARP_REDUCTIONS, int BLOCK_DIM_Y = 1,
          int BLOCK_DIM_Z = 1>
class BlockReduce {
  static constexpr int kThreads = BLOCK_DIM_X * BLOCK_DIM_Y * BLOCK_DIM_Z;
  static constexpr int kLanes = NORMPROOF_WAVE_LANES;
  static constexpr int kWarps = (kThreads + kLanes - 1) / kLanes;
  using Warp = WarpReduce<T>;

 public:
  struct TempStorage {
    alignas(T) unsigned char of_warp[kWarps][sizeof(T)];
  };

  explicit BlockReduce(TempStorage& storage) : storage_(storage) {}

  T Sum(T input, std::source_location site = std::source_location::current()) {
    return Reduce(input, cub::Sum(), kThreads, site);
  }
  T Sum(T input, int valid_items, std::source_location site = std::source_location::current()) {
    return Reduce(input, cub::Sum(), valid_items, site);
  }
  template <int ITEMS>
  T Sum(T (&inputs)[ITEMS], std::source_location site = std::source_location::current()) {
    return Reduce(inputs, cub::Sum(), site);
  }
  template <class Operation, int ITEMS>
  T Reduce(T (&inputs)[ITEMS], Operation operation,
           std::source_location site = std::source_location::current()) {
    T reduced = inputs[0];
    for (int i = 1; i < ITEMS; ++i) reduced = operation(reduced, inputs[i]);
    return Reduce(reduced, operation, kThreads, site);
  }
  template <class Operation>
  T Reduce(T input, Operation operation, std::source_location site = std::source_location::current()) {
    return Reduce(input, operation, kThreads, site);
  }
  // Every thread of the block takes part; the first `valid_items` have a value.
  template <class Operation>
  T Reduce(T input, Operation operation, int valid_items,
           std::source_location site = std::source_location::current()) {
    const int thread = static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
    const int warp = thread / kLanes;
    const int valid = valid_items < kThreads ? valid_items : kThreads;
    const int warps = (valid + kLanes - 1) / kLanes;
    typename Warp::TempStorage none;
    T reduced = reduce_warp(none, input, operation, valid - warp * kLanes, site);
    if (thread % kLanes == 0 && warp < warps) std::memcpy(storage_.of_warp[warp], &reduced, sizeof(T));
    normproof::host::wait_at_barrier(normproof::host::Collective::kSyncthreads, false, site);
    if (thread == 0) {
      for (int other = 1; other < warps; ++other) {
        T value;
        std::memcpy(&value, storage_.of_warp[other], sizeof(T));
        reduced = operation(reduced, value);
      }
    }
    return reduced;
  }

 private:
  // A last warp that is not full reduces those lanes that it has.
  template <class Operation>
  static T reduce_warp(typename Warp::TempStorage& none, T input, Operation operation, int valid,
                       std::source_location site) {
    return Warp(none).Reduce(input, operation, valid < 0 ? 0 : valid, site);
  }

  TempStorage& storage_;
};

}  // namespace cub
