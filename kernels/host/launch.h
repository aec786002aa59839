// Launching a CUDA kernel on the CPU: every thread of a block is a fiber of the calling OS thread.
#ifndef NORMPROOF_KERNELS_HOST_LAUNCH_H
#define NORMPROOF_KERNELS_HOST_LAUNCH_H

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "kernels/host/schedule.h"
#include "kernels/host/vector_types.h"
#include "kernels/host/wave_lanes.h"

namespace normproof::host {

struct LaunchConfig {
  dim3 grid;   // 1 to 2^31 - 1, 65535, 65535 blocks
  dim3 block;  // 1 to 1024, 1024, 64 threads; at most 1024 in all, 128 under ThreadSanitizer
  std::size_t dynamic_shared_bytes = 0;            // what NORMPROOF_DYNAMIC_SHARED gives each block
  std::optional<Schedule> schedule{};              // absent: the calling thread's, see set_thread_schedule
  unsigned lanes_per_warp = NORMPROOF_WAVE_LANES;  // 32 or 64
};

enum class LaunchError {
  kNone,
  kInvalidConfiguration,  // an extent out of range, or a launch from within a kernel; no thread has run
  kOutOfResources,        // no memory for fiber stacks; no thread has run
  kDivergentBarrier,      // threads wait for each other at different barriers or warp operations
  kInvalidWarpOperation,  // a read from an inactive lane, a mask without the calling lane, a bad width
  kMisalignedAddress,     // load_aligned or store_aligned
  kKernelException,       // the kernel threw
};

// The first error ends the launch: its block is unwound and later blocks do not run.
struct [[nodiscard]] LaunchResult {
  LaunchError error = LaunchError::kNone;
  std::string message;  // says what happened, with block, thread, operation and source line
  uint3 block{};        // where it happened
  uint3 thread{};
  explicit operator bool() const { return error == LaunchError::kNone; }
};

namespace internal {
LaunchResult run_grid(const LaunchConfig& config, void (*run_thread)(const void* closure),
                      const void* closure);
}

// Runs kernel(arguments...) once for every thread of the grid and returns when all have finished. Every
// thread gets its own copy of what the kernel takes by value. Several OS threads may launch at the same time;
// a kernel may not launch. A kernel that spins until another thread acts never ends.
template <class Kernel, class... Arguments>
LaunchResult launch(const LaunchConfig& config, const Kernel& kernel, Arguments... arguments) {
  const auto call = [&] { std::invoke(kernel, std::as_const(arguments)...); };
  return internal::run_grid(
      config, [](const void* closure) { (*static_cast<const decltype(call)*>(closure))(); }, &call);
}

}  // namespace normproof::host

#endif
