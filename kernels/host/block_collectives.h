// What a running CUDA thread asks of the executor: barriers, warp operations and shared memory.
// The CUDA names in cuda_on_host.h are thin wrappers over these.
#ifndef NORMPROOF_KERNELS_HOST_BLOCK_OPERATIONS_H
#define NORMPROOF_KERNELS_HOST_BLOCK_OPERATIONS_H

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>

namespace normproof::host {

// What the threads of a block, or the lanes of a warp, do together.
enum class Collective : std::uint8_t {
  kNone,
  kSyncthreads,
  kSyncthreadsOr,
  kSyncthreadsAnd,
  kSyncthreadsCount,
  kNamedBarrier,
  kSyncwarp,
  kBallot,
  kAny,
  kAll,
  kShuffle,
  kShuffleUp,
  kShuffleDown,
  kShuffleXor,
  kReduceAdd,
  kReduceMin,
  kReduceMax,
  kReduceMinSigned,
  kReduceMaxSigned,
  kReduceAnd,
  kReduceOr,
  kReduceXor,
  kMatchAny,
  kMatchAll,
};

// All of these throw std::logic_error outside a launch, and end the launch (by
// unwinding the thread) on misuse.

// Waits until every thread of the block that has not exited has arrived, as CUDA documents it from Volta on.
// Threads that meet at different source lines or operations are an error. Returns the number of arrivals with
// a true predicate, exited threads not counted, and how many arrived.
struct BarrierVote {
  std::uint32_t true_count, arrivals;
};
BarrierVote wait_at_barrier(Collective collective, bool predicate, std::source_location site);

// One bit for each lane of a warp: 32, or 64 where a launch says so.
using LaneBits = std::uint64_t;
// Who takes part in an operation of a warp: the lanes of a mask, or those that run together. These are the
// ones that have arrived at the same place when all that live have, or when nobody in the block can go on:
// then the others are in another branch.
struct Lanes {
  LaneBits mask = 0;
  bool together = false;
  constexpr Lanes(LaneBits lanes) : mask(lanes) {}
  constexpr Lanes(LaneBits lanes, bool run_together) : mask(lanes), together(run_together) {}
};
inline constexpr Lanes kLanesTogether{0, true};

// One of the block's barriers 0 to 15, for some of its threads: `threads` arrive at it, among them the
// calling one, which waits for the others unless it only arrives. So many are a
// multiple of the lanes of a warp.
void wait_at_named_barrier(unsigned barrier, unsigned threads, bool only_arrives, std::source_location site);

// Waits until every lane of them that has not exited has called the same operation with the same mask.
void sync_lanes(Lanes lanes, std::source_location site);
// The lanes that took part, and those among them whose predicate was true.
struct LaneVote {
  LaneBits true_lanes, lanes;
};
LaneVote vote(Collective collective, Lanes lanes, bool predicate, std::source_location site);
// The value that the lane chosen by CUDA's rule for operation, operand (source lane, delta or lane mask) and
// width gave. A read from a lane that does not take part is an error; reading out of the segment yields the
// own value.
std::uint64_t shuffle(Collective collective, Lanes lanes, std::uint64_t value, int operand, int width,
                      std::source_location site);

// What the lanes that take part gave, combined: 32 bits of a sum, minimum, ... . For kMatchAny the
// lanes that gave the same value as the calling one; for kMatchAll those that take part if all gave the same,
// else none.
LaneBits combine(Collective collective, Lanes lanes, std::uint64_t value, std::source_location site);

// The lane of the calling thread within its warp, and how many lanes a warp of this launch has.
unsigned lane_index();
unsigned lanes_per_warp();

// The block's memory for a declaration, identified by the address `declaration`; filled with 0xFF when first
// asked for in a block.
void* shared_memory(const void* declaration, std::size_t bytes, std::size_t alignment);
// The block's dynamic shared memory, LaunchConfig::dynamic_shared_bytes long, aligned to 128 bytes.
void* dynamic_shared_memory();

// Makes the launch fail, as a misaligned address or as any other fault, without unwinding the calling thread,
// which goes on until its next operation: for checks that a compiler has put into code that cannot unwind.
// Outside a launch it prints `what` and aborts.
void note_bad_access(const std::string& what, bool misaligned);

}  // namespace normproof::host

#endif
