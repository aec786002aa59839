// Stands in for cooperative groups: the block and tiles of it. Grids and clusters of blocks cannot be had on
// the CPU, where blocks run one after the other.
#pragma once

#include <cuda_runtime.h>

#include <source_location>

namespace cooperative_groups {

class thread_block {
 public:
  void sync(std::source_location site = std::source_location::current()) const { __syncthreads(site); }
  static unsigned thread_rank() {
    return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  }
  static unsigned size() { return blockDim.x * blockDim.y * blockDim.z; }
  static unsigned num_threads() { return size(); }
  static dim3 group_index() { return {blockIdx.x, blockIdx.y, blockIdx.z}; }
  static dim3 thread_index() { return {threadIdx.x, threadIdx.y, threadIdx.z}; }
  static dim3 group_dim() { return blockDim; }
  static dim3 dim_threads() { return blockDim; }
};

inline thread_block this_thread_block() { return {}; }

// `Size` lanes of a warp, a power of two up to 32, that begin at a multiple of it.
template <unsigned Size, class Parent = void>
class thread_block_tile {
  static_assert(Size >= 1 && Size <= 32 && (Size & (Size - 1)) == 0,
                "larger tiles span warps: not on the CPU");
  static constexpr int kWidth = static_cast<int>(Size);
  using Site = std::source_location;

 public:
  void sync(Site site = Site::current()) const { __syncwarp(mask(), site); }
  static constexpr unsigned size() { return Size; }
  static constexpr unsigned num_threads() { return Size; }
  static unsigned thread_rank() { return thread_block::thread_rank() % Size; }
  // The tile's place among those of its parent.
  static unsigned meta_group_rank() { return parent_rank() / Size; }
  static unsigned meta_group_size() { return (parent_size() + Size - 1) / Size; }

  template <class T>
  T shfl(T value, int source, Site site = Site::current()) const {
    return __shfl_sync(mask(), value, source, kWidth, site);
  }
  template <class T>
  T shfl_down(T value, unsigned delta, Site site = Site::current()) const {
    return __shfl_down_sync(mask(), value, delta, kWidth, site);
  }
  template <class T>
  T shfl_up(T value, unsigned delta, Site site = Site::current()) const {
    return __shfl_up_sync(mask(), value, delta, kWidth, site);
  }
  template <class T>
  T shfl_xor(T value, int lanes, Site site = Site::current()) const {
    return __shfl_xor_sync(mask(), value, lanes, kWidth, site);
  }
  int any(int predicate, Site site = Site::current()) const { return __any_sync(mask(), predicate, site); }
  int all(int predicate, Site site = Site::current()) const { return __all_sync(mask(), predicate, site); }
  unsigned ballot(int predicate, Site site = Site::current()) const {
    return __ballot_sync(mask(), predicate, site) >> first_lane();
  }

 private:
  static unsigned first_lane() { return thread_block::thread_rank() % 32 / Size * Size; }
  static unsigned mask() { return (Size == 32 ? 0xffffffffu : (1u << Size % 32) - 1u) << first_lane(); }
  static unsigned parent_rank() {
    if constexpr (requires { Parent::size(); }) return Parent::thread_rank();
    return thread_block::thread_rank();
  }
  static unsigned parent_size() {
    if constexpr (requires { Parent::size(); }) return Parent::size();
    return thread_block::size();
  }
};

template <unsigned Size, class Parent>
thread_block_tile<Size, Parent> tiled_partition(const Parent&) {
  return {};
}

template <class Group>
void sync(const Group& group, std::source_location site = std::source_location::current()) {
  group.sync(site);
}

}  // namespace cooperative_groups
