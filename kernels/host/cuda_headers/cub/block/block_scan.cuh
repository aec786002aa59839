// Stands in for CUB's BlockScan: thread 0 scans what all threads have left in the temporary storage, first
// thread first. CUB promises no order. The storage must not be reused before a barrier.
#pragma once

#include <cuda_runtime.h>
#include <cub/util_operators.cuh>
#include <cub/version.cuh>

#include <cstring>
#include <source_location>
#include <type_traits>

namespace cub {

enum BlockScanAlgorithm { BLOCK_SCAN_RAKING, BLOCK_SCAN_RAKING_MEMOIZE, BLOCK_SCAN_WARP_SCANS };

template <class T, int BLOCK_DIM_X, BlockScanAlgorithm = BLOCK_SCAN_RAKING, int BLOCK_DIM_Y = 1,
          int BLOCK_DIM_Z = 1>
class BlockScan {
  static_assert(std::is_trivially_copyable_v<T>);
  static constexpr int kThreads = BLOCK_DIM_X * BLOCK_DIM_Y * BLOCK_DIM_Z;
  using Site = std::source_location;

 public:
  struct TempStorage {
    alignas(T) unsigned char of_thread[kThreads + 1][sizeof(T)];
  };

  explicit BlockScan(TempStorage& storage) : storage_(storage) {}

  void InclusiveSum(T input, T& output, Site site = Site::current()) {
    InclusiveScan(input, output, cub::Sum(), site);
  }
  void InclusiveSum(T input, T& output, T& aggregate, Site site = Site::current()) {
    InclusiveScan(input, output, cub::Sum(), aggregate, site);
  }
  void ExclusiveSum(T input, T& output, Site site = Site::current()) {
    ExclusiveScan(input, output, T(), cub::Sum(), site);
  }
  void ExclusiveSum(T input, T& output, T& aggregate, Site site = Site::current()) {
    ExclusiveScan(input, output, T(), cub::Sum(), aggregate, site);
  }
  template <int ITEMS>
  void InclusiveSum(T (&input)[ITEMS], T (&output)[ITEMS], Site site = Site::current()) {
    T sum = input[0];
    for (int i = 1; i < ITEMS; ++i) sum = sum + input[i];
    T before, all;
    ExclusiveScan(sum, before, T(), cub::Sum(), all, site);
    for (int i = 0; i < ITEMS; ++i) output[i] = before = before + input[i];
  }
  template <int ITEMS>
  void ExclusiveSum(T (&input)[ITEMS], T (&output)[ITEMS], Site site = Site::current()) {
    T sum = input[0];
    for (int i = 1; i < ITEMS; ++i) sum = sum + input[i];
    T before, all;
    ExclusiveScan(sum, before, T(), cub::Sum(), all, site);
    for (int i = 0; i < ITEMS; ++i) {
      const T next = before + input[i];
      output[i] = before;
      before = next;
    }
  }
  template <class Operation>
  void InclusiveScan(T input, T& output, Operation operation, Site site = Site::current()) {
    T aggregate;
    InclusiveScan(input, output, operation, aggregate, site);
  }
  template <class Operation>
  void InclusiveScan(T input, T& output, Operation operation, T& aggregate, Site site = Site::current()) {
    put(thread(), input);
    meet(site);
    if (thread() == 0) {
      for (int i = 1; i < kThreads; ++i) put(i, operation(get(i - 1), get(i)));
    }
    meet(site);
    output = get(thread());
    aggregate = get(kThreads - 1);
  }
  template <class Operation>
  void ExclusiveScan(T input, T& output, T initial, Operation operation, Site site = Site::current()) {
    T aggregate;
    ExclusiveScan(input, output, initial, operation, aggregate, site);
  }
  // The aggregate is without the initial value.
  template <class Operation>
  void ExclusiveScan(T input, T& output, T initial, Operation operation, T& aggregate,
                     Site site = Site::current()) {
    InclusiveScan(input, output, operation, aggregate, site);
    output = thread() == 0 ? initial : operation(initial, get(thread() - 1));
  }

 private:
  static int thread() {
    return static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  }
  static void meet(Site site) {
    normproof::host::wait_at_barrier(normproof::host::Collective::kSyncthreads, false, site);
  }
  void put(int index, const T& value) { std::memcpy(storage_.of_thread[index], &value, sizeof(T)); }
  T get(int index) const {
    T value;
    std::memcpy(static_cast<void*>(&value), storage_.of_thread[index], sizeof(T));
    return value;
  }

  TempStorage& storage_;
};

}  // namespace cub
