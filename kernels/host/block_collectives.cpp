// From the running thread to its executor. Compiled without sanitizers, as part of the executor.
#include "kernels/host/block_collectives.h"

#include <signal.h>
#include <ucontext.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "kernels/host/aligned_access.h"
#include "kernels/host/block_executor.h"
#include "kernels/host/diagnostics.h"
#include "kernels/host/launch.h"
#include "kernels/host/pointer_cast.h"

namespace normproof::host {
namespace {

// The executor of the launch that the calling OS thread is in.
constinit thread_local internal::BlockExecutor* active_executor = nullptr;

// The last misaligned pointer that the calling OS thread made.
struct MisalignedPointer {
  std::uintptr_t beyond = 0;  // how far above a multiple of the alignment
  std::size_t alignment = 0, bytes = 0;
  std::source_location site;
};
thread_local MisalignedPointer misaligned_pointer;

internal::BlockExecutor& executor() {
  if (active_executor == nullptr) [[unlikely]] {
    throw std::logic_error("a CUDA thread operation was called outside a launch");
  }
  return *active_executor;
}

}  // namespace

BarrierVote wait_at_barrier(Collective collective, bool predicate, std::source_location site) {
  return executor().wait_at_barrier(collective, predicate, site);
}

void wait_at_named_barrier(unsigned barrier, unsigned threads, bool only_arrives, std::source_location site) {
  executor().wait_at_named_barrier(barrier, threads, only_arrives, site);
}

void sync_lanes(Lanes lanes, std::source_location site) {
  internal::BlockExecutor& block = executor();
  block.exchange(Collective::kSyncwarp, lanes, 0, block.lane(), site);
}

LaneVote vote(Collective collective, Lanes lanes, bool predicate, std::source_location site) {
  internal::BlockExecutor& block = executor();
  const LaneBits true_lanes = block.exchange(collective, lanes, predicate, 0, site);
  return {true_lanes, block.lanes_of_vote()};
}

// The segment of a lane is the aligned run of `width` lanes around it (CUDA C++ Programming Guide, "Warp
// Shuffle Functions"): an index is taken within the segment; up, down and xor yield the own value where they
// leave it.
std::uint64_t shuffle(Collective collective, Lanes lanes, std::uint64_t value, int operand, int width,
                      std::source_location site) {
  internal::BlockExecutor& block = executor();
  if (width < 1 || width > static_cast<int>(block.lanes_per_warp()) || (width & (width - 1)) != 0)
      [[unlikely]] {
    block.fail(LaunchError::kInvalidWarpOperation,
               internal::describe(collective, lanes.mask, site) + " with width " + std::to_string(width) +
                   ", not a power of two up to " + std::to_string(block.lanes_per_warp()));
  }
  const unsigned lane = block.lane();
  const auto amount = static_cast<unsigned>(operand);
  const unsigned within = static_cast<unsigned>(width) - 1;
  const unsigned first = lane & ~within;
  const unsigned last = lane | within;
  unsigned source = lane;
  switch (collective) {
    case Collective::kShuffleUp:
      if (amount <= lane - first) source = lane - amount;
      break;
    case Collective::kShuffleDown:
      if (amount <= last - lane) source = lane + amount;
      break;
    case Collective::kShuffleXor:  // an earlier segment may be read, a later one not
      if ((lane ^ amount) <= last) source = lane ^ amount;
      break;
    default:
      source = first | (amount & within);
  }
  return block.exchange(collective, lanes, value, source, site);
}

LaneBits combine(Collective collective, Lanes lanes, std::uint64_t value, std::source_location site) {
  return executor().exchange(collective, lanes, value, 0, site);
}

unsigned lane_index() { return executor().lane(); }
unsigned lanes_per_warp() { return executor().lanes_per_warp(); }

void* shared_memory(const void* declaration, std::size_t bytes, std::size_t alignment) {
  return executor().shared_memory(declaration, bytes, alignment);
}

void* dynamic_shared_memory() { return executor().dynamic_shared_memory(); }

void report_misaligned_access(const void* address, std::size_t alignment, std::size_t bytes) {
  const std::string what = "misaligned access: " + std::to_string(bytes) + " bytes at an address that is " +
                           std::to_string(reinterpret_cast<std::uintptr_t>(address) % alignment) +
                           " above a multiple of " + std::to_string(alignment);
  if (active_executor == nullptr) throw std::runtime_error(what);
  active_executor->fail(LaunchError::kMisalignedAddress, what);
}

#if defined(__x86_64__)
namespace {

struct sigaction segmentation_fault_before, bus_error_before;

// Where the thread goes on that has used a misaligned pointer. What it leaves behind is never destroyed.
[[noreturn]] void abandon_thread() {
  thread_local std::string what;
  const MisalignedPointer& pointer = misaligned_pointer;
  what = "misaligned access: " + std::to_string(pointer.bytes) + " bytes at an address that is " +
         std::to_string(pointer.beyond) + " above a multiple of " + std::to_string(pointer.alignment) +
         ", by a pointer that was cast at " + pointer.site.file_name() + ":" +
         std::to_string(pointer.site.line());
  active_executor->abandon(LaunchError::kMisalignedAddress, what);
}

void on_fault(int signal, siginfo_t* info, void* context) {
  // What is no address at all is reported without one, unlike an address where nothing is.
  const bool by_mark =
      active_executor != nullptr && info->si_code == SI_KERNEL && misaligned_pointer.alignment != 0;
  if (!by_mark) {
    // Which meets the fault again.
    sigaction(signal, signal == SIGBUS ? &bus_error_before : &segmentation_fault_before, nullptr);
    return;
  }
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  constexpr greg_t kRedZone = 128, kAlignment = 16, kReturnAddress = 8;
  registers[REG_RSP] = ((registers[REG_RSP] - kRedZone) & -kAlignment) - kReturnAddress;
  registers[REG_RIP] = reinterpret_cast<greg_t>(&abandon_thread);
}

}  // namespace
#endif

std::uintptr_t mark_misaligned(std::uintptr_t address, std::size_t alignment, std::size_t bytes,
                               std::source_location site) {
#if defined(__x86_64__)
  static const bool installed = [] {
    struct sigaction action{};
    action.sa_sigaction = &on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    // Through a register that the processor takes for one of the stack's it is a bus error.
    return sigaction(SIGSEGV, &action, &segmentation_fault_before) == 0 &&
           sigaction(SIGBUS, &action, &bus_error_before) == 0;
  }();
  if (!installed) return address;
#endif
  misaligned_pointer = {address % alignment, alignment, bytes, site};
  return address | kMisalignedMark;
}

void note_bad_access(const std::string& what, bool misaligned) {
  if (active_executor == nullptr) {
    std::fprintf(stderr, "normproof: %s, outside a kernel\n", what.c_str());
    std::abort();
  }
  active_executor->note(misaligned ? LaunchError::kMisalignedAddress : LaunchError::kKernelException, what);
}

namespace internal {

LaunchResult run_grid(const LaunchConfig& config, void (*run_thread)(const void* closure),
                      const void* closure) {
  if (active_executor != nullptr) {
    LaunchResult refused;
    refused.error = LaunchError::kInvalidConfiguration;
    refused.message = "a kernel cannot launch another";
    return refused;
  }
  thread_local BlockExecutor executor;
  active_executor = &executor;
  LaunchResult result = executor.run_grid(config, run_thread, closure);
  active_executor = nullptr;
  return result;
}

}  // namespace internal
}  // namespace normproof::host
