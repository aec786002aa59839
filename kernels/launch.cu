#include "kernels/launch.h"

#include <algorithm>

#include "kernels/launch_kernel.h"
#if defined(__CUDACC__)
#include "kernels/quick_operands.h"
#endif

namespace normproof::kernels {

#if defined(__CUDACC__)
namespace {

struct DeviceTraits {
  int device = -1;
  int major = 0;  // of the compute capability
  int multiprocessors = 0, cache_bytes = 0;
  double memory_speed = 0;
};

// Of the calling thread's device, asked once; what it does not tell stays 0.
const DeviceTraits& device_traits() {
  thread_local DeviceTraits known;
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device == known.device) return known;
  const auto ask = [device](cudaDeviceAttr attribute) {
    int value = 0;
    if (cudaDeviceGetAttribute(&value, attribute, device) == cudaSuccess) return value;
    cudaGetLastError();  // no business of the caller's
    return 0;
  };
  // Two transfers per clock.
  const double transfers_per_second = 2e3 * ask(cudaDevAttrMemoryClockRate);
  known = {device, ask(cudaDevAttrComputeCapabilityMajor), ask(cudaDevAttrMultiProcessorCount),
           ask(cudaDevAttrL2CacheSize), transfers_per_second * ask(cudaDevAttrGlobalMemoryBusWidth) / 8};
  return known;
}

}  // namespace

// Compute capability 9.0 brought programmatic dependent launch as well.
bool supports_clusters() { return device_traits().major >= 9; }

bool goes_quick_ways() { return has_quick_ways(device_traits().major); }

int multiprocessors() { return std::max(1, device_traits().multiprocessors); }

std::int64_t cache_bytes() { return device_traits().cache_bytes; }

double memory_speed() { return device_traits().memory_speed; }

Status launch(KernelFunction kernel, const NormArguments& arguments, const Configuration& configuration,
              Stream stream) {
  NormArguments given = arguments;
  if (goes_quick_ways()) given.inverse_hidden = quick_inverse_hidden(given);
  return launch_kernel(kernel, given, grid_of(configuration), stream);
}

const char* backend() { return "cuda"; }

void set_thread_order(std::int32_t, std::uint64_t) {}

#else

Status launch(KernelFunction kernel, const NormArguments& arguments, const Configuration& configuration,
              Stream stream) {
  return launch_kernel(kernel, arguments, grid_of(configuration), stream);
}

const char* backend() { return "host"; }

void set_thread_order(std::int32_t order, std::uint64_t seed) {
  host::set_thread_schedule({order == 1   ? host::ThreadOrder::kReverse
                             : order == 2 ? host::ThreadOrder::kRandomPriorities
                                          : host::ThreadOrder::kForward,
                             seed});
}

#endif

}  // namespace normproof::kernels
