// How threads share the rows that register_kernel.cuh keeps in registers.
#pragma once

#include <algorithm>
#include <cstdint>

namespace normproof::kernels {

// Who works on a row.
enum class Team {
  part_of_warp,  // a few neighbouring threads
  warp,          // one warp, groups 0 .. kSlots - 1
  block,         // all warps of a block; warp w has the groups w, w + warps, ...
  cluster,       // the same with all warps of a cluster of blocks
};

// When a thread loads its weights.
enum class Weights {
  early,   // together with the row: best where few rows leave the GPU idle
  middle,  // when it has added up its squares, into the registers that the residual leaves
  late,    // when it needs them: with many rows bytes in flight are worth more than registers
};

// When the L2 cache evicts the lines of what is read: input and residual.
enum class Eviction {
  normal,
  // When it has nothing else to evict. That leaves less of the cache to what is written, which goes to the
  // memory sooner: reads and writes get less in each other's way. Best where a call reads and writes more
  // than the cache holds, and of no use where it does not.
  last,
};

// Which rows a shape takes.
enum class Rows {
  any,  // of as many chunks as the threads have slots for, or fewer
  // Of exactly as many: no thread asks whether a chunk exists, its chunks are constants apart, and it keeps
  // their elements unpacked from the sum to the output.
  full,
  // The same, but elements stay packed, which leaves room for more threads.
  full_packed,
};

// A shape of kernel. A thread holds chunks of kSlots lanes: neighbouring slots are as many lanes apart as
// threads work on the row, or as a warp has, where a row is full. With several rounds it has of each lane the
// chunks c, c + 1024, ..., in the last round for the first kLastSlots slots only.
//   kMaximumThreads, kBlocks  launch bounds: threads per block, blocks per multiprocessor.
template <Team kTeam_, int kSlots_, int kRounds_, int kLastSlots_, Weights kWeights_, Eviction kEviction_,
          int kMaximumThreads_, int kBlocks_, Rows kRows_ = Rows::any>
struct RegisterShape {
  static_assert(kRows_ == Rows::any ||
                (kSlots_ == kLastSlots_ && (kTeam_ != Team::part_of_warp || kSlots_ == 1)));
  static constexpr Team kTeam = kTeam_;
  static constexpr bool kBlockPerRow = kTeam == Team::block || kTeam == Team::cluster;
  static constexpr int kSlots = kSlots_;
  static constexpr int kRounds = kRounds_;
  static constexpr int kLastSlots = kLastSlots_;
  static constexpr Weights kWeights = kWeights_;
  static constexpr Eviction kEviction = kEviction_;
  static constexpr int kMaximumThreads = kMaximumThreads_;
  static constexpr int kBlocks = kBlocks_;
  static constexpr bool kFull = kRows_ != Rows::any;
  static constexpr bool kUnpacks = kRows_ == Rows::full;
};

// A RegisterShape as a value.
struct ShapeLimits {
  Team team;
  int slots;
  int rounds;
  int last_slots;
  Weights weights;
  Eviction eviction;
  int maximum_threads;
  bool full;

  // As in row_reduction.cuh.
  static constexpr int kWarpLanes = 32, kRowLanes = 1024;

  // The warps that a row of so many groups of lanes needs.
  constexpr int warps_for(int groups) const { return (groups + slots - 1) / slots; }

  // Whether 2^row_threads_log2 lanes of a warp hold a row of so many chunks.
  constexpr bool holds_in_part_of_warp(std::int64_t chunks, int row_threads_log2) const {
    const int lanes = 1 << row_threads_log2;
    return chunks <= kWarpLanes && lanes >= slots && (!full || chunks == lanes);
  }

  // Whether so many warps hold a row of so many chunks.
  constexpr bool holds(std::int64_t chunks, int warps) const {
    const int lanes = warps * kWarpLanes * slots, last_lanes = warps * kWarpLanes * last_slots;
    // With several rounds a slot beyond the last group would meet the next round's chunks.
    if (rounds > 1 && lanes > kRowLanes) return false;
    const std::int64_t rounds_before = std::int64_t{kRowLanes} * (rounds - 1);
    if (full)
      return chunks == rounds_before + lanes && lanes <= kRowLanes && (rounds == 1 || lanes == kRowLanes);
    return chunks <= rounds_before + std::min(kRowLanes, last_lanes) &&
           lanes >= std::min<std::int64_t>(kRowLanes, chunks);
  }
};

template <class Shape>
constexpr ShapeLimits limits_of() {
  return {Shape::kTeam,    Shape::kSlots,    Shape::kRounds,         Shape::kLastSlots,
          Shape::kWeights, Shape::kEviction, Shape::kMaximumThreads, Shape::kFull};
}

}  // namespace normproof::kernels
