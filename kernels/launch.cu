#include "kernels/launch.h"

#include <string>

#include "kernels/cuda.h"
#if defined(__CUDACC__)
#include "kernels/quick_operands.h"
#else
#include "kernels/host/launch.h"
#endif

namespace normproof::kernels {

#if defined(__CUDACC__)
namespace {

struct DeviceTraits {
  int device = -1;
  int major = 0;  // of the compute capability
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
  known = {device, ask(cudaDevAttrComputeCapabilityMajor),
           transfers_per_second * ask(cudaDevAttrGlobalMemoryBusWidth) / 8};
  return known;
}

}  // namespace

// Compute capability 9.0 brought programmatic dependent launch as well.
bool supports_clusters() { return device_traits().major >= 9; }

double memory_speed() { return device_traits().memory_speed; }

Status launch(KernelFunction kernel, const NormArguments& arguments, const Configuration& configuration,
              Stream stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(configuration.blocks));
  config.blockDim = dim3(static_cast<unsigned>(configuration.threads_per_block));
  config.stream = static_cast<cudaStream_t>(stream);
  cudaLaunchAttribute attributes[2] = {};
  config.attrs = attributes;
  if (configuration.dependent && supports_clusters()) {
    cudaLaunchAttribute& dependent = attributes[config.numAttrs++];
    dependent.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    dependent.val.programmaticStreamSerializationAllowed = 1;
  }
  if (configuration.blocks_per_row > 1) {
    cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {static_cast<unsigned>(configuration.blocks_per_row), 1, 1};
  }
  NormArguments given = arguments;
  if (has_quick_ways(device_traits().major)) given.inverse_hidden = quick_inverse_hidden(given);
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, given);
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // the error is reported here; later calls of the caller must not meet it again
  return {StatusCode::launch_failed, std::string("launch: ") + cudaGetErrorName(error) + ", " +
                                         cudaGetErrorString(error) + ", with " +
                                         std::to_string(configuration.blocks) + " blocks of " +
                                         std::to_string(configuration.threads_per_block) + " threads"};
}

const char* backend() { return "cuda"; }

void set_thread_order(std::int32_t, std::uint64_t) {}

#else

Status launch(KernelFunction kernel, const NormArguments& arguments, const Configuration& configuration,
              Stream) {
  host::LaunchConfig config;
  config.grid = dim3(static_cast<unsigned>(configuration.blocks));
  config.block = dim3(static_cast<unsigned>(configuration.threads_per_block));
  const host::LaunchResult result = host::launch(config, kernel, arguments);
  if (result) return {};
  return {StatusCode::launch_failed, "launch: " + result.message};
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
