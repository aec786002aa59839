// Runs the threads of one block as fibers of the calling OS thread: who is ready, who waits for whom, what
// went wrong. Internal to target `host`. Included only by files that are compiled without sanitizers.
#ifndef NORMPROOF_KERNELS_HOST_BLOCK_EXECUTOR_H
#define NORMPROOF_KERNELS_HOST_BLOCK_EXECUTOR_H

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>

#include "kernels/host/block_collectives.h"
#include "kernels/host/fiber.h"
#include "kernels/host/launch.h"
#include "kernels/host/shared_memory_pool.h"

namespace normproof::host::internal {

constexpr unsigned kMaxLanesPerWarp = 64;
constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kMaxThreadsUnderThreadSanitizer = 128;  // its runtime keeps few fibers apart
constexpr unsigned kMaxWarps = kMaxThreads / 32;

// Thrown through a kernel to end its thread after an error. Not a
// std::exception, so that kernels let it pass.
struct BlockAborted {};

// A set of priorities 0 (highest) to 1023 whose highest is found in two instructions.
class PrioritySet {
 public:
  bool empty() const { return occupied_words_ == 0; }
  void insert(unsigned priority) {
    words_[priority / 64] |= std::uint64_t{1} << (priority % 64);
    occupied_words_ |= 1u << (priority / 64);
  }
  void erase(unsigned priority) {
    words_[priority / 64] &= ~(std::uint64_t{1} << (priority % 64));
    if (words_[priority / 64] == 0) occupied_words_ &= ~(1u << (priority / 64));
  }
  // Makes it 0..count-1.
  void fill(unsigned count);
  // Removes and returns the highest priority; the set must not be empty.
  unsigned take_highest() {
    const auto word = static_cast<unsigned>(std::countr_zero(occupied_words_));
    const auto bit = static_cast<unsigned>(std::countr_zero(words_[word]));
    words_[word] &= words_[word] - 1;
    if (words_[word] == 0) occupied_words_ &= ~(1u << word);
    return word * 64 + bit;
  }

 private:
  std::array<std::uint64_t, kMaxThreads / 64> words_{};
  std::uint32_t occupied_words_ = 0;
};

class BlockExecutor {
 public:
  BlockExecutor();
  ~BlockExecutor();
  BlockExecutor(const BlockExecutor&) = delete;
  BlockExecutor& operator=(const BlockExecutor&) = delete;

  LaunchResult run_grid(const LaunchConfig& config, void (*run_thread)(const void*), const void* closure);

  // Called by the running CUDA thread; see block_collectives.h.
  BarrierVote wait_at_barrier(Collective collective, bool predicate, std::source_location site);
  void wait_at_named_barrier(unsigned barrier, unsigned threads, bool only_arrives,
                             std::source_location site);
  // `value` is what the lane gives; for votes, whether its predicate holds. Returns the shuffled value, or
  // the lanes where it does.
  std::uint64_t exchange(Collective collective, Lanes lanes, std::uint64_t value, unsigned source_lane,
                         std::source_location site);
  // The lanes that took part in the last vote of the running thread.
  LaneBits lanes_of_vote() const { return warp_of(*running_).took_part[lane()]; }
  unsigned lane() const { return running_->linear_index & (lanes_per_warp_ - 1); }
  unsigned lanes_per_warp() const { return lanes_per_warp_; }
  void* shared_memory(const void* declaration, std::size_t bytes, std::size_t alignment);
  void* dynamic_shared_memory();
  [[noreturn]] void fail(LaunchError error, const std::string& what);
  // The same, for a thread that cannot unwind: its stack is given up as it is.
  [[noreturn]] void abandon(LaunchError error, const std::string& what);
  // The same, but the running thread goes on until its next operation.
  void note(LaunchError error, const std::string& what) { begin_abort(error, *running_, what); }

 private:
  struct alignas(64) Thread {
    Fiber fiber;
    BlockExecutor* executor = nullptr;
    uint3 index{};
    std::uint32_t linear_index = 0;
    bool abandoned = false;  // its stack holds frames that nobody will return to
    // What it waits at; kNone if it does not.
    Collective collective = Collective::kNone;
    LaneBits mask = 0;
    std::source_location site;
  };

  // Lanes of a warp that have called one operation with one mask and wait for the rest of it.
  struct Rendezvous {
    LaneBits mask = 0;  // 0: those that run together, at one place in the source
    LaneBits arrived = 0;
    Collective collective = Collective::kNone;
    std::uint8_t order_slot = 0;
    std::source_location site;
  };

  struct Warp {
    LaneBits live = 0;  // lanes that exist and have not exited
    std::uint32_t rendezvous_count = 0;
    std::uint32_t rendezvous_started = 0;
    std::array<Rendezvous, kMaxLanesPerWarp> rendezvous{};
    std::array<std::uint64_t, kMaxLanesPerWarp> given{};
    std::array<std::uint64_t, kMaxLanesPerWarp> received{};
    std::array<LaneBits, kMaxLanesPerWarp> took_part{};
    std::array<std::uint8_t, kMaxLanesPerWarp> source{};
    // Addresses for ThreadSanitizer: consecutive rendezvous use different ones, so that a lane that ran ahead
    // to the next does not seem ordered before those which still leave this one.
    std::array<char, 64> order{};
  };

  LaunchResult prepare(const LaunchConfig& config);
  void set_order(Schedule schedule, std::uint64_t block);
  void run_block();
  static void thread_main(Fiber& fiber, void* thread);
  void run_kernel();
  void retire();

  Warp& warp_of(const Thread& thread) const { return warps_[thread.linear_index >> lane_bits_]; }
  void make_ready(unsigned thread) { ready_.insert(priority_of_thread_[thread]); }
  Thread& take_next_ready() { return *thread_at_priority_[ready_.take_highest()]; }
  void resume(Thread& next);
  void wait(Thread& self);
  [[noreturn, gnu::cold]] void fail_at_other_barrier(Collective collective, std::source_location site);
  [[noreturn, gnu::cold]] void fail_outside_mask(Collective collective, LaneBits mask,
                                                 std::source_location site);
  [[gnu::cold]] void abort_inactive_source(const Rendezvous& rendezvous, const Thread& reader,
                                           unsigned source);
  void release_barrier();
  std::uint64_t combined(const Warp& warp, const Rendezvous& rendezvous, unsigned lane) const;
  void complete_if_all_arrived(Warp& warp, unsigned index);
  void complete(Warp& warp, unsigned index);
  [[gnu::cold]] bool complete_one_branch();
  [[gnu::cold]] void begin_abort(LaunchError error, const Thread& thread, const std::string& what);
  [[gnu::cold]] void report_stuck();

  Fiber launcher_;
  std::unique_ptr<Thread[]> threads_;
  std::unique_ptr<Warp[]> warps_;
  unsigned fibers_ = 0;
  bool some_abandoned_ = false;

  // The launch.
  void (*run_thread_)(const void*) = nullptr;
  const void* closure_ = nullptr;
  std::size_t dynamic_shared_bytes_ = 0;
  unsigned block_threads_ = 0;
  unsigned lanes_per_warp_ = 32, lane_bits_ = 5;  // 2^lane_bits_ lanes
  dim3 block_extent_{0, 0, 0};
  // threadIdx of the OS thread that launches: found once, not at every switch.
  uint3* thread_index_ = nullptr;
  SharedMemoryPool shared_memory_;
  LaunchResult result_;

  // The block. Threads are sorted by priority; the sets hold priorities.
  Thread* running_ = nullptr;
  PrioritySet ready_;
  PrioritySet live_set_;
  unsigned live_ = 0;
  bool aborting_ = false;
  bool quitting_ = false;
  std::array<Thread*, kMaxThreads> thread_at_priority_{};
  std::array<std::uint16_t, kMaxThreads> priority_of_thread_{};
  ThreadOrder drawn_order_ = ThreadOrder::kRandomPriorities;
  unsigned drawn_threads_ = 0;
  unsigned drawn_lanes_ = 0;

  // The barrier. Its outcome is read before the next one can be reached by all.
  unsigned arrivals_ = 0;
  unsigned true_predicates_ = 0;
  unsigned barriers_passed_ = 0;
  Collective barrier_collective_ = Collective::kNone;
  std::source_location barrier_site_;
  BarrierVote barrier_vote_{};

  // Barriers of some threads: how many have arrived, of how many.
  struct NamedBarrier {
    unsigned arrived = 0, threads = 0;
    char order[2] = {};  // for ThreadSanitizer, taken in turns
    unsigned passed = 0;
  };
  std::array<NamedBarrier, 16> named_barriers_{};

  // Addresses for ThreadSanitizer.
  char block_start_ = 0;
  char block_end_ = 0;
  char barrier_order_[2] = {};
};

}  // namespace normproof::host::internal

#endif
