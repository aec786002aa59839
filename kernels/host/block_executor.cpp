// The scheduler. Compiled without sanitizers: it moves between fibers whose accesses nothing orders.
#include "kernels/host/block_executor.h"

#include <algorithm>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

#include "kernels/host/diagnostics.h"

constinit thread_local uint3 threadIdx{};
constinit thread_local uint3 blockIdx{};
constinit thread_local dim3 blockDim{};
constinit thread_local dim3 gridDim{};

namespace normproof::host::internal {

void PrioritySet::fill(unsigned count) {
  occupied_words_ = 0;
  for (unsigned word = 0; word * 64 < count; ++word) {
    const unsigned bits = count - word * 64;
    words_[word] = bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    occupied_words_ |= 1u << word;
  }
}

BlockExecutor::BlockExecutor()
    : threads_(std::make_unique<Thread[]>(kMaxThreads)), warps_(std::make_unique<Warp[]>(kMaxWarps)) {}

BlockExecutor::~BlockExecutor() {
  // Each fiber says goodbye itself: only it can give back what AddressSanitizer keeps for it.
  quitting_ = true;
  launcher_.adopt_current();
  for (unsigned i = 0; i < fibers_; ++i) {
    running_ = &threads_[i];
    launcher_.switch_to(threads_[i].fiber);
  }
}

LaunchResult BlockExecutor::prepare(const LaunchConfig& config) {
  LaunchResult result;
  result.message =
      configuration_fault(config, under_thread_sanitizer() ? kMaxThreadsUnderThreadSanitizer : kMaxThreads);
  if (!result.message.empty()) {
    result.error = LaunchError::kInvalidConfiguration;
    return result;
  }
  lanes_per_warp_ = config.lanes_per_warp;
  lane_bits_ = static_cast<unsigned>(std::countr_zero(lanes_per_warp_));
  const dim3 extent = config.block;
  block_threads_ = extent.x * extent.y * extent.z;
  for (; fibers_ < block_threads_; ++fibers_) {
    Thread& thread = threads_[fibers_];
    thread.executor = this;
    thread.linear_index = fibers_;
    if (!thread.fiber.create(&BlockExecutor::thread_main, &thread, fibers_)) {
      result.error = LaunchError::kOutOfResources;
      result.message = "no memory for the stack of thread " + std::to_string(fibers_) + " of a block of " +
                       std::to_string(block_threads_);
      return result;
    }
  }
  for (unsigned i = 0; i < fibers_ && some_abandoned_; ++i) {
    if (!threads_[i].abandoned) continue;
    threads_[i].fiber.discard();
    threads_[i].abandoned = false;
    if (!threads_[i].fiber.create(&BlockExecutor::thread_main, &threads_[i], i)) std::terminate();
  }
  some_abandoned_ = false;
  if (block_extent_.x != extent.x || block_extent_.y != extent.y || block_extent_.z != extent.z) {
    for (unsigned i = 0; i < block_threads_; ++i) {
      threads_[i].index = {i % extent.x, i / extent.x % extent.y, i / (extent.x * extent.y)};
    }
    block_extent_ = extent;
  }
  return result;
}

LaunchResult BlockExecutor::run_grid(const LaunchConfig& config, void (*run_thread)(const void*),
                                     const void* closure) {
  if (LaunchResult refused = prepare(config); !refused) return refused;
  run_thread_ = run_thread;
  closure_ = closure;
  thread_index_ = &threadIdx;
  dynamic_shared_bytes_ = config.dynamic_shared_bytes;
  launcher_.adopt_current();
  gridDim = config.grid;
  blockDim = config.block;
  aborting_ = false;
  const Schedule schedule = config.schedule.value_or(thread_schedule());
  const std::uint64_t plane = std::uint64_t{config.grid.x} * config.grid.y;
  const std::uint64_t blocks = plane * config.grid.z;
  const BlockOrder order(schedule, blocks);
  for (std::uint64_t position = 0; position < blocks && !aborting_; ++position) {
    const std::uint64_t block = order[position];
    if (plane == config.grid.x && blocks == plane) {
      blockIdx = {static_cast<unsigned>(block), 0, 0};
    } else {
      blockIdx = {static_cast<unsigned>(block % config.grid.x),
                  static_cast<unsigned>(block % plane / config.grid.x), static_cast<unsigned>(block / plane)};
    }
    set_order(schedule, block);
    run_block();
  }
  return std::exchange(result_, {});
}

void BlockExecutor::set_order(Schedule schedule, std::uint64_t block) {
  const bool random = schedule.order == ThreadOrder::kRandomPriorities;
  if (!random && drawn_order_ == schedule.order && drawn_threads_ == block_threads_ &&
      drawn_lanes_ == lanes_per_warp_)
    return;
  drawn_order_ = schedule.order;
  drawn_threads_ = block_threads_;
  drawn_lanes_ = lanes_per_warp_;
  std::array<std::uint16_t, kMaxThreads> by_priority;
  draw_priorities(schedule, block, {by_priority.data(), block_threads_}, lanes_per_warp_);
  for (unsigned i = 0; i < block_threads_; ++i) {
    thread_at_priority_[i] = &threads_[by_priority[i]];
    priority_of_thread_[by_priority[i]] = static_cast<std::uint16_t>(i);
  }
}

void BlockExecutor::run_block() {
  live_ = block_threads_;
  live_set_.fill(block_threads_);
  ready_.fill(block_threads_);
  arrivals_ = true_predicates_ = 0;
  for (NamedBarrier& barrier : named_barriers_) barrier.arrived = 0;
  for (unsigned i = 0; i << lane_bits_ < block_threads_; ++i) {
    const unsigned lanes = std::min(block_threads_ - (i << lane_bits_), lanes_per_warp_);
    warps_[i].live = ~LaneBits{0} >> (kMaxLanesPerWarp - lanes);
    warps_[i].rendezvous_count = 0;
  }
  shared_memory_.begin_block();
  release_order(&block_start_);
  Thread& first = take_next_ready();
  running_ = &first;
  *thread_index_ = first.index;
  launcher_.switch_to(first.fiber);
  acquire_order(&block_end_);
  if (const std::size_t bytes = aborting_ ? 0 : shared_memory_.overrun(); bytes != 0) {
    aborting_ = true;
    result_ = {LaunchError::kKernelException,
               "a write behind the end of a shared array of " + std::to_string(bytes) +
                   " bytes (built with AddressSanitizer it is stopped at its line), in block " +
                   describe(blockIdx),
               blockIdx,
               {}};
  }
}

void BlockExecutor::thread_main(Fiber& fiber, void* argument) {
  Thread& thread = *static_cast<Thread*>(argument);
  BlockExecutor& executor = *thread.executor;
  while (!executor.quitting_) {  // one turn per block
    acquire_order(&executor.block_start_);
    if (!executor.aborting_) executor.run_kernel();
    executor.retire();
  }
  fiber.switch_to(executor.launcher_, true);
}

void BlockExecutor::run_kernel() {
  try {
    run_thread_(closure_);
  } catch (const BlockAborted&) {  // NOLINT(bugprone-empty-catch): unwinds the thread, no more
  } catch (const std::exception& exception) {
    begin_abort(LaunchError::kKernelException, *running_,
                std::string("the kernel threw: ") + exception.what());
  } catch (...) {
    begin_abort(LaunchError::kKernelException, *running_, "the kernel threw something not a std::exception");
  }
}

// The running thread has finished its block. Returns when it is to run another, or to quit.
void BlockExecutor::retire() {
  Thread& self = *running_;
  Warp& warp = warp_of(self);
  warp.live &= ~(LaneBits{1} << lane());
  live_set_.erase(priority_of_thread_[self.linear_index]);
  --live_;
  if (live_ != 0) {
    // Those who waited for this thread no longer do.
    if (arrivals_ == live_) release_barrier();
    for (unsigned i = warp.rendezvous_count; i-- > 0;) complete_if_all_arrived(warp, i);
    if (ready_.empty() && !complete_one_branch()) [[unlikely]]
      report_stuck();
  }
  release_order(&block_end_);
  if (live_ == 0) return self.fiber.switch_to(launcher_);
  resume(take_next_ready());
}

inline void BlockExecutor::resume(Thread& next) {
  Thread& self = *running_;
  if (&next == &self) return;
  running_ = &next;
  *thread_index_ = next.index;
  self.fiber.switch_to(next.fiber);
}

// Suspends the running thread, which may have been made ready meanwhile, until its turn comes.
inline void BlockExecutor::wait(Thread& self) {
  if (ready_.empty() && !complete_one_branch()) [[unlikely]]
    report_stuck();
  if (!aborting_) [[likely]]
    resume(take_next_ready());
  self.collective = Collective::kNone;
  if (aborting_) [[unlikely]]
    throw BlockAborted{};
}

BarrierVote BlockExecutor::wait_at_barrier(Collective collective, bool predicate, std::source_location site) {
  if (aborting_) [[unlikely]]
    throw BlockAborted{};
  if (arrivals_ == 0) {
    barrier_collective_ = collective;
    barrier_site_ = site;
  } else if (collective != barrier_collective_ || !same_site(site, barrier_site_)) [[unlikely]] {
    fail_at_other_barrier(collective, site);
  }
  ++arrivals_;
  true_predicates_ += predicate;
  char* const order = &barrier_order_[barriers_passed_ % 2];
  release_order(order);
  Thread& self = *running_;
  self.collective = collective;
  self.mask = 0;
  self.site = site;
  if (arrivals_ == live_) release_barrier();
  wait(self);
  acquire_order(order);
  return barrier_vote_;
}

void BlockExecutor::wait_at_named_barrier(unsigned barrier, unsigned threads, bool only_arrives,
                                          std::source_location site) {
  if (aborting_) [[unlikely]]
    throw BlockAborted{};
  const auto refuse = [&](const std::string& why) {
    fail(LaunchError::kDivergentBarrier, describe(Collective::kNamedBarrier, 0, site) + ": " + why);
  };
  if (barrier >= named_barriers_.size()) refuse("barrier " + std::to_string(barrier) + ", there are 0 to 15");
  if (threads == 0 || threads % lanes_per_warp_ != 0 || threads > block_threads_)
    refuse(std::to_string(threads) + " threads, of a block of " + std::to_string(block_threads_) +
           ", are no multiple of a warp");
  NamedBarrier& named = named_barriers_[barrier];
  if (named.arrived != 0 && named.threads != threads)
    refuse(std::to_string(threads) + " threads, while others wait for " + std::to_string(named.threads));
  named.threads = threads;
  ++named.arrived;
  char* const order = &named.order[named.passed % 2];
  release_order(order);
  Thread& self = *running_;
  if (!only_arrives) {
    self.collective = Collective::kNamedBarrier;
    self.mask = barrier;
    self.site = site;
  }
  if (named.arrived == threads) {
    named.arrived = 0;
    ++named.passed;
    for (unsigned i = 0; i < block_threads_; ++i) {
      if (threads_[i].collective == Collective::kNamedBarrier && threads_[i].mask == barrier) {
        threads_[i].collective = Collective::kNone;
        make_ready(i);
      }
    }
  }
  if (only_arrives) return;
  wait(self);
  acquire_order(order);
}

void BlockExecutor::fail_at_other_barrier(Collective collective, std::source_location site) {
  fail(LaunchError::kDivergentBarrier,
       "divergent barrier: this thread arrived at " + describe(collective, 0, site) + " while " +
           std::to_string(arrivals_) + " wait at " + describe(barrier_collective_, 0, barrier_site_));
}

void BlockExecutor::release_barrier() {
  if (arrivals_ == 0) return;
  barrier_vote_ = {true_predicates_, arrivals_};
  arrivals_ = true_predicates_ = 0;
  ++barriers_passed_;
  ready_ = live_set_;  // all that live were waiting here
}

std::uint64_t BlockExecutor::exchange(Collective collective, Lanes lanes, std::uint64_t value,
                                      unsigned source_lane, std::source_location site) {
  if (aborting_) [[unlikely]]
    throw BlockAborted{};
  Thread& self = *running_;
  const unsigned own_lane = lane();
  Warp& warp = warp_of(self);
  const LaneBits mask = lanes.mask;
  if ((mask >> own_lane & 1) == 0 && !lanes.together) [[unlikely]]
    fail_outside_mask(collective, mask, site);
  warp.given[own_lane] = value;
  warp.source[own_lane] = static_cast<std::uint8_t>(source_lane);
  unsigned index = 0;
  while (index < warp.rendezvous_count &&
         (warp.rendezvous[index].mask != mask || warp.rendezvous[index].collective != collective ||
          (mask == 0 && !same_site(warp.rendezvous[index].site, site)))) {
    ++index;
  }
  Rendezvous& rendezvous = warp.rendezvous[index];
  if (index == warp.rendezvous_count) {
    ++warp.rendezvous_count;
    rendezvous = {mask, 0, collective,
                  static_cast<std::uint8_t>(warp.rendezvous_started++ % warp.order.size()), site};
  }
  rendezvous.arrived |= LaneBits{1} << own_lane;
  char* const order = &warp.order[rendezvous.order_slot];
  release_order(order);
  self.collective = collective;
  self.mask = mask;
  self.site = site;
  complete_if_all_arrived(warp, index);
  wait(self);
  acquire_order(order);
  return warp.received[own_lane];
}

void BlockExecutor::fail_outside_mask(Collective collective, LaneBits mask, std::source_location site) {
  fail(LaunchError::kInvalidWarpOperation, describe(collective, mask, site) + " called by lane " +
                                               std::to_string(lane()) + ", which is not in the mask");
}

void BlockExecutor::abort_inactive_source(const Rendezvous& rendezvous, const Thread& reader,
                                          unsigned source) {
  begin_abort(LaunchError::kInvalidWarpOperation, reader,
              describe(rendezvous.collective, rendezvous.mask, reader.site) + " reads from lane " +
                  std::to_string(source) + ", which does not take part");
}

// What `lane` gets of what the lanes that arrived gave; see combine().
std::uint64_t BlockExecutor::combined(const Warp& warp, const Rendezvous& rendezvous, unsigned lane) const {
  if (rendezvous.collective == Collective::kMatchAny || rendezvous.collective == Collective::kMatchAll) {
    LaneBits same = 0;
    for (LaneBits rest = rendezvous.arrived; rest != 0; rest &= rest - 1) {
      const auto other = static_cast<unsigned>(std::countr_zero(rest));
      same |= LaneBits{warp.given[other] == warp.given[lane]} << other;
    }
    return rendezvous.collective == Collective::kMatchAny || same == rendezvous.arrived ? same : 0;
  }
  auto result =
      static_cast<std::uint32_t>(warp.given[static_cast<unsigned>(std::countr_zero(rendezvous.arrived))]);
  for (LaneBits rest = rendezvous.arrived & (rendezvous.arrived - 1); rest != 0; rest &= rest - 1) {
    const auto value = static_cast<std::uint32_t>(warp.given[static_cast<unsigned>(std::countr_zero(rest))]);
    const bool below = static_cast<std::int32_t>(value) < static_cast<std::int32_t>(result);
    switch (rendezvous.collective) {
      case Collective::kReduceAdd:
        result += value;
        break;
      case Collective::kReduceMin:
        result = std::min(result, value);
        break;
      case Collective::kReduceMax:
        result = std::max(result, value);
        break;
      case Collective::kReduceMinSigned:
        result = below ? value : result;
        break;
      case Collective::kReduceMaxSigned:
        result = below ? result : value;
        break;
      case Collective::kReduceAnd:
        result &= value;
        break;
      case Collective::kReduceOr:
        result |= value;
        break;
      default:
        result ^= value;
    }
  }
  return result;
}

// Hands every lane what it gets and makes it ready. Lanes get it now, since one that runs ahead overwrites
// what it gave. A lane that reads from one which takes no part ends the launch.
void BlockExecutor::complete_if_all_arrived(Warp& warp, unsigned index) {
  const Rendezvous& rendezvous = warp.rendezvous[index];
  const LaneBits awaited = rendezvous.mask == 0 ? warp.live : rendezvous.mask & warp.live;
  if (awaited == rendezvous.arrived) complete(warp, index);
}

void BlockExecutor::complete(Warp& warp, unsigned index) {
  const Rendezvous rendezvous = warp.rendezvous[index];
  warp.rendezvous[index] = warp.rendezvous[--warp.rendezvous_count];
  const auto first_thread = static_cast<unsigned>(&warp - warps_.get()) << lane_bits_;
  LaneBits true_lanes = 0;
  if (is_vote(rendezvous.collective)) {
    for (LaneBits rest = rendezvous.arrived; rest != 0; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      true_lanes |= (warp.given[static_cast<unsigned>(lane)] & 1) << lane;
    }
  }
  for (LaneBits rest = rendezvous.arrived; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(rest));
    if (is_vote(rendezvous.collective)) {
      warp.received[lane] = true_lanes;
      warp.took_part[lane] = rendezvous.arrived;
    } else if (is_combination(rendezvous.collective)) {
      warp.received[lane] = combined(warp, rendezvous, lane);
    } else if ((rendezvous.arrived >> warp.source[lane] & 1) != 0) {
      warp.received[lane] = warp.given[warp.source[lane]];
    } else {
      return abort_inactive_source(rendezvous, threads_[first_thread + lane], warp.source[lane]);
    }
    make_ready(first_thread + lane);
  }
}

// Nobody can go on: the lanes that run together at one place do, those furthest behind in the source first,
// as the hardware takes the branches of a warp one after the other.
bool BlockExecutor::complete_one_branch() {
  if (aborting_) return true;
  Warp* chosen = nullptr;
  unsigned chosen_index = 0;
  for (unsigned i = 0; i << lane_bits_ < block_threads_; ++i) {
    for (unsigned k = 0; k < warps_[i].rendezvous_count; ++k) {
      const Rendezvous& rendezvous = warps_[i].rendezvous[k];
      if (rendezvous.mask != 0) continue;
      if (chosen != nullptr && chosen->rendezvous[chosen_index].site.line() <= rendezvous.site.line())
        continue;
      chosen = &warps_[i];
      chosen_index = k;
    }
    if (chosen != nullptr) break;
  }
  if (chosen == nullptr) return false;
  complete(*chosen, chosen_index);
  return true;
}

void* BlockExecutor::shared_memory(const void* declaration, std::size_t bytes, std::size_t alignment) {
  return shared_memory_.get(declaration, bytes, alignment);
}

void* BlockExecutor::dynamic_shared_memory() {
  static const char declaration = 0;
  return shared_memory_.get(&declaration, dynamic_shared_bytes_, 128);
}

void BlockExecutor::fail(LaunchError error, const std::string& what) {
  begin_abort(error, *running_, what);
  throw BlockAborted{};
}

void BlockExecutor::abandon(LaunchError error, const std::string& what) {
  Thread& self = *running_;
  begin_abort(error, self, what);
  self.abandoned = some_abandoned_ = true;
  retire();
  // A later block of this launch, or the end of the executor: on top of the frames that were left behind.
  thread_main(self.fiber, &self);
  std::terminate();
}

// Records the first error and makes all others that live ready, so that each unwinds its own stack.
void BlockExecutor::begin_abort(LaunchError error, const Thread& thread, const std::string& what) {
  if (!aborting_) {
    result_ = {error, what + ", in block " + describe(blockIdx) + ", thread " + describe(thread.index),
               blockIdx, thread.index};
  }
  aborting_ = true;
  arrivals_ = 0;
  for (unsigned i = 0; i << lane_bits_ < block_threads_; ++i) warps_[i].rendezvous_count = 0;
  ready_ = live_set_;
  ready_.erase(priority_of_thread_[running_->linear_index]);
}

// Nobody can run though some live: they wait for each other at different places.
void BlockExecutor::report_stuck() {
  WaitSummary summary(block_threads_ - live_);
  const Thread* first = nullptr;
  for (unsigned i = 0; i < block_threads_; ++i) {
    const Thread& thread = threads_[i];
    const bool live = (warps_[i >> lane_bits_].live >> (i & (lanes_per_warp_ - 1)) & 1) != 0;
    if (!live || thread.collective == Collective::kNone) continue;
    if (first == nullptr) first = &thread;
    summary.add(thread.collective, thread.mask, thread.site, thread.index);
  }
  // Some live.
  begin_abort(LaunchError::kDivergentBarrier, *first,  // NOLINT(clang-analyzer-core.NonNullParamChecker)
              summary.text());
}

}  // namespace normproof::host::internal
