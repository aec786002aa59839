// Which thread of a block runs when several could: the schedule that makes a missing barrier visible.
#ifndef NORMPROOF_KERNELS_HOST_SCHEDULE_H
#define NORMPROOF_KERNELS_HOST_SCHEDULE_H

#include <cstdint>
#include <span>

namespace normproof::host {

// Every thread has a fixed priority within its block, and the executor always resumes the ready thread of
// highest priority, so that thread runs ahead until it must wait. Blocks run one after the other.
enum class ThreadOrder {
  kForward,           // the lowest thread index first, block 0 first
  kReverse,           // the highest thread index first, the last block first
  kRandomPriorities,  // priorities drawn per block from the seed: by warp, by lane or by thread; blocks
                      // shuffled
};

struct Schedule {
  ThreadOrder order = ThreadOrder::kForward;
  std::uint64_t seed =
      0;  // used by kRandomPriorities only; the same seed gives the same interleaving everywhere
};

// The schedule of later launches of the calling OS thread that name none. Forward at first.
void set_thread_schedule(Schedule schedule);
Schedule thread_schedule();

// Sets the calling OS thread's schedule for the lifetime of the object.
class ScopedSchedule {
 public:
  explicit ScopedSchedule(Schedule schedule) : previous_(thread_schedule()) { set_thread_schedule(schedule); }
  ~ScopedSchedule() { set_thread_schedule(previous_); }
  ScopedSchedule(const ScopedSchedule&) = delete;
  ScopedSchedule& operator=(const ScopedSchedule&) = delete;

 private:
  Schedule previous_;
};

// Fills `threads` with the thread indices 0..size-1 of a block, highest priority first. Size 1 to 1024.
void draw_priorities(Schedule schedule, std::uint64_t block, std::span<std::uint16_t> threads,
                     unsigned lanes_per_warp = 32);

// The order of the blocks of a grid, without memory: a bijection of 0..count-1.
class BlockOrder {
 public:
  BlockOrder(Schedule schedule, std::uint64_t count);
  // The linear index of the block that runs at `position`.
  std::uint64_t operator[](std::uint64_t position) const;

 private:
  std::uint64_t count_;
  std::uint64_t multiplier_;  // coprime to count_
  std::uint64_t offset_;
};

}  // namespace normproof::host

#endif
