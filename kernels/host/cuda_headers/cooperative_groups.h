// Stands in for cooperative groups: the block, tiles of it, and groups of lanes with the same label. Grids
// and clusters of blocks cannot be had on the CPU, where blocks run one after the other.
#pragma once

#include <cuda_runtime.h>
#include <bit>

#include <cstring>
#include <source_location>
#include <type_traits>

namespace cooperative_groups {

// Some lanes of a warp: what tiles and labelled groups have in common. A value of any trivially copyable type
// is moved word by word.
namespace details {

using Site = std::source_location;

template <class T, class Shuffle>
T shuffle_words(const T& value, Shuffle shuffle) {
  static_assert(std::is_trivially_copyable_v<T>);
  unsigned words[(sizeof(T) + 3) / 4] = {};
  std::memcpy(words, &value, sizeof(T));
  for (unsigned& word : words) word = shuffle(word);
  T result;
  std::memcpy(static_cast<void*>(&result), words, sizeof(T));
  return result;
}

inline unsigned rank_in_block() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

}  // namespace details

class thread_block {
 public:
  void sync(std::source_location site = std::source_location::current()) const { __syncthreads(site); }
  struct arrival_token {};
  // The barrier waits when it is waited for; what lies between may run before the others have arrived.
  arrival_token barrier_arrive() const { return {}; }
  void barrier_wait(arrival_token&&, std::source_location site = std::source_location::current()) const {
    __syncthreads(site);
  }
  static unsigned thread_rank() { return details::rank_in_block(); }
  static unsigned size() { return blockDim.x * blockDim.y * blockDim.z; }
  static unsigned num_threads() { return size(); }
  static dim3 group_index() { return {blockIdx.x, blockIdx.y, blockIdx.z}; }
  static dim3 thread_index() { return {threadIdx.x, threadIdx.y, threadIdx.z}; }
  static dim3 group_dim() { return blockDim; }
  static dim3 dim_threads() { return blockDim; }
};

inline thread_block this_thread_block() { return {}; }

template <unsigned Size, class Parent>
class thread_block_tile;

namespace details {

using normproof::host::LaneMask;

// `Size` lanes of a warp, a power of two up to all, that begin at a multiple of it.
template <unsigned Size>
class Tile {
  static_assert(Size >= 1 && Size <= NORMPROOF_WAVE_LANES && (Size & (Size - 1)) == 0,
                "larger tiles span warps: not on the CPU");
  static constexpr int kWidth = static_cast<int>(Size);

 public:
  void sync(Site site = Site::current()) const { __syncwarp(mask(), site); }
  static constexpr unsigned size() { return Size; }
  static constexpr unsigned num_threads() { return Size; }
  static unsigned thread_rank() { return rank_in_block() % Size; }

  template <class T>
  T shfl(const T& value, int source, Site site = Site::current()) const {
    return shuffle_words(value,
                         [&](unsigned word) { return __shfl_sync(mask(), word, source, kWidth, site); });
  }
  template <class T>
  T shfl_down(const T& value, unsigned delta, Site site = Site::current()) const {
    return shuffle_words(value,
                         [&](unsigned word) { return __shfl_down_sync(mask(), word, delta, kWidth, site); });
  }
  template <class T>
  T shfl_up(const T& value, unsigned delta, Site site = Site::current()) const {
    return shuffle_words(value,
                         [&](unsigned word) { return __shfl_up_sync(mask(), word, delta, kWidth, site); });
  }
  template <class T>
  T shfl_xor(const T& value, unsigned lanes, Site site = Site::current()) const {
    return shuffle_words(value, [&](unsigned word) {
      return __shfl_xor_sync(mask(), word, static_cast<int>(lanes), kWidth, site);
    });
  }
  int any(int predicate, Site site = Site::current()) const { return __any_sync(mask(), predicate, site); }
  int all(int predicate, Site site = Site::current()) const { return __all_sync(mask(), predicate, site); }
  LaneMask ballot(int predicate, Site site = Site::current()) const {
    return __ballot_sync(mask(), predicate, site) >> first_lane();
  }
  template <class T>
  LaneMask match_any(T value, Site site = Site::current()) const {
    return __match_any_sync(mask(), value, site) >> first_lane();
  }
  template <class T>
  LaneMask match_all(T value, int& all, Site site = Site::current()) const {
    return __match_all_sync(mask(), value, &all, site) >> first_lane();
  }

  static unsigned first_lane() { return rank_in_block() % NORMPROOF_WAVE_LANES / Size * Size; }
  static LaneMask mask() {
    return normproof::host::kEveryLane >> (NORMPROOF_WAVE_LANES - Size) << first_lane();
  }
};

}  // namespace details

template <unsigned Size, class Parent = void>
class thread_block_tile : public details::Tile<Size> {
 public:
  thread_block_tile() = default;
  // A tile whose parent is known is a tile.
  template <class Other>
  thread_block_tile(const thread_block_tile<Size, Other>&) {}

  // The tile's place among those of its parent.
  static unsigned meta_group_rank() {
    if constexpr (std::is_void_v<Parent>) {
      return details::rank_in_block() / Size;
    } else {
      return Parent::thread_rank() / Size;
    }
  }
  static unsigned meta_group_size() {
    unsigned threads = thread_block::size();
    if constexpr (!std::is_void_v<Parent>) threads = Parent::size();
    return (threads + Size - 1) / Size;
  }
};

template <unsigned Size, class Parent>
thread_block_tile<Size, Parent> tiled_partition(const Parent&) {
  return {};
}

// Lanes of a warp that were found equal, ranked by their order.
class coalesced_group {
 public:
  explicit coalesced_group(details::LaneMask lanes, unsigned number = 0, unsigned groups = 1)
      : lanes_(lanes), number_(number), groups_(groups) {}

  void sync(details::Site site = details::Site::current()) const { __syncwarp(lanes_, site); }
  unsigned size() const { return static_cast<unsigned>(std::popcount(lanes_)); }
  unsigned num_threads() const { return size(); }
  unsigned thread_rank() const {
    const details::LaneMask below = (details::LaneMask{1} << normproof::host::lane_index()) - 1;
    return static_cast<unsigned>(std::popcount(lanes_ & below));
  }
  unsigned meta_group_rank() const { return number_; }
  unsigned meta_group_size() const { return groups_; }

  template <class T>
  T shfl(const T& value, unsigned source, details::Site site = details::Site::current()) const {
    const unsigned lane = lane_of(source % size());
    return details::shuffle_words(value, [&](unsigned word) {
      return __shfl_sync(lanes_, word, static_cast<int>(lane), NORMPROOF_WAVE_LANES, site);
    });
  }
  template <class T>
  T shfl_down(const T& value, unsigned delta, details::Site site = details::Site::current()) const {
    const unsigned rank = thread_rank();
    return shfl(value, rank + delta < size() ? rank + delta : rank, site);
  }
  template <class T>
  T shfl_up(const T& value, unsigned delta, details::Site site = details::Site::current()) const {
    const unsigned rank = thread_rank();
    return shfl(value, delta <= rank ? rank - delta : rank, site);
  }
  int any(int predicate, details::Site site = details::Site::current()) const {
    return __any_sync(lanes_, predicate, site);
  }
  int all(int predicate, details::Site site = details::Site::current()) const {
    return __all_sync(lanes_, predicate, site);
  }
  details::LaneMask ballot(int predicate, details::Site site = details::Site::current()) const {
    return packed(__ballot_sync(lanes_, predicate, site));
  }

 private:
  unsigned lane_of(unsigned rank) const {
    details::LaneMask rest = lanes_;
    for (; rank > 0; --rank) rest &= rest - 1;
    return static_cast<unsigned>(std::countr_zero(rest));
  }
  // The bits of the group's lanes side by side.
  details::LaneMask packed(details::LaneMask lanes) const {
    details::LaneMask result = 0;
    for (unsigned rank = 0; rank < size(); ++rank) result |= (lanes >> lane_of(rank) & 1u) << rank;
    return result;
  }

  details::LaneMask lanes_;
  unsigned number_, groups_;
};

// Lanes of the tile with the same label; groups are numbered by their first lanes.
template <unsigned Size, class Parent, class Label>
coalesced_group labeled_partition(const thread_block_tile<Size, Parent>& tile, Label label,
                                  details::Site site = details::Site::current()) {
  using details::LaneMask;
  const LaneMask same = __match_any_sync(tile.mask(), static_cast<int>(label), site);
  const LaneMask first = same & (LaneMask{0} - same);
  const LaneMask own = LaneMask{1} << normproof::host::lane_index();
  const LaneMask firsts = __ballot_sync(tile.mask(), first == own, site);
  return coalesced_group(same, static_cast<unsigned>(std::popcount(firsts & (first - 1))),
                         static_cast<unsigned>(std::popcount(firsts)));
}
template <unsigned Size, class Parent>
coalesced_group binary_partition(const thread_block_tile<Size, Parent>& tile, bool predicate,
                                 details::Site site = details::Site::current()) {
  const details::LaneMask holds = __ballot_sync(tile.mask(), predicate, site);
  const details::LaneMask exists = __ballot_sync(tile.mask(), 1, site);
  return coalesced_group(predicate ? holds : exists & ~holds, predicate ? 1 : 0, 2);
}

template <class Group>
void sync(const Group& group, std::source_location site = std::source_location::current()) {
  group.sync(site);
}

}  // namespace cooperative_groups
