// How threads share the rows that register_kernel.cuh keeps in registers.
#pragma once

namespace normproof::kernels {

// Who works on a row.
enum class Team {
  part_of_warp,  // a few neighbouring threads
  warp,          // one warp, groups 0 .. kSlots - 1
  block,         // all warps of a block; warp w has the groups w, w + warps, ...
  cluster,       // the same with all warps of a cluster of blocks
};

// A shape of kernel. A thread holds chunks of kSlots lanes: neighbouring slots are as many lanes apart as
// threads work on the row. With several rounds it has of each lane the chunks c, c + 1024, ..., in the last
// round for the first kLastSlots slots only.
//   kEarlyWeights  load the weights together with the row: best where few rows leave the GPU idle; otherwise
//                  bytes in flight are worth more than registers.
//   kMaximumThreads, kBlocks  launch bounds: threads per block, blocks per multiprocessor.
template <Team kTeam_, int kSlots_, int kRounds_, int kLastSlots_, bool kEarlyWeights_, int kMaximumThreads_,
          int kBlocks_>
struct RegisterShape {
  static constexpr bool kBlockPerRow = kTeam_ == Team::block || kTeam_ == Team::cluster;
  static constexpr Team kTeam = kTeam_;
  static constexpr int kSlots = kSlots_;
  static constexpr int kRounds = kRounds_;
  static constexpr int kLastSlots = kLastSlots_;
  static constexpr bool kEarlyWeights = kEarlyWeights_;
  static constexpr int kMaximumThreads = kMaximumThreads_;
  static constexpr int kBlocks = kBlocks_;
};

}  // namespace normproof::kernels
