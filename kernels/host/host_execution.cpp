// Compiled into every library of normproof_add_cuda_host_target().
#include "kernels/host/host_execution.h"

#include <cstdio>
#include <string>

#include "kernels/host/approximate_math.h"
#include "kernels/host/runtime_errors.h"
#include "kernels/host/schedule.h"

namespace {

using normproof::host::ThreadOrder;

void begin_call(int32_t order, uint64_t seed) {
  const ThreadOrder thread_order = order == 1   ? ThreadOrder::kReverse
                                   : order == 2 ? ThreadOrder::kRandomPriorities
                                                : ThreadOrder::kForward;
  normproof::host::set_thread_schedule({thread_order, seed});
  // Seed 0 would choose the correctly rounded functions, and so would no other.
  normproof::host::set_approximation_seed(thread_order == ThreadOrder::kRandomPriorities ? seed * 2 + 1 : 0);
  normproof::host::forget_launch_failure();
}

int32_t end_call(char* message, size_t capacity) {
  const std::string& failure = normproof::host::launch_failure();
  if (failure.empty()) return 0;
  std::snprintf(message, capacity, "%s", failure.c_str());
  return 1;
}

}  // namespace

const normproof_host_execution* normproof_host_execution_of_plugin(void) {
  static const normproof_host_execution execution = {NORMPROOF_HOST_EXECUTION_VERSION, &begin_call,
                                                     &end_call};
  return &execution;
}
