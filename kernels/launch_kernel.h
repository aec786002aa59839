// Launching a kernel that takes its arguments as one structure: on the GPU, or on the CPU with a fiber for
// every CUDA thread. The only place that knows which of the two it is.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/configurations.h"
#include "kernels/cuda.h"
#include "kernels/rms_norm.h"
#if !defined(__CUDACC__)
#include "kernels/host/launch.h"
#endif

namespace normproof::kernels {

struct Grid {
  std::int64_t blocks = 0;
  int threads = 0;             // of a block
  int blocks_per_cluster = 1;  // GPU with clusters alone
  bool dependent = false;      // GPU: start while the kernel before still runs; the kernel waits for its end
  std::int64_t shared_bytes = 0;  // dynamic
};

inline Grid grid_of(const Configuration& configuration) {
  return {configuration.blocks, configuration.threads_per_block, configuration.blocks_per_row,
          configuration.dependent};
}

// Enqueues the kernel on `stream`. A refusal by the CUDA runtime or an error of the host execution is
// launch_failed, with the reason.
template <class Arguments>
Status launch_kernel(void (*kernel)(Arguments), const Arguments& arguments, const Grid& grid,
                     [[maybe_unused]] Stream stream) {
#if defined(__CUDACC__)
  if (kernel == nullptr)
    return {StatusCode::launch_failed,
            "launch: this build has only a sample of the kernels, and not the one of this call"};
  // Every kernel may have 48 KiB, of which it uses some statically.
  constexpr std::int64_t kSharedBytesOfEveryKernel = 40 * 1024;
  if (grid.shared_bytes > kSharedBytesOfEveryKernel)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(grid.shared_bytes));
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid.blocks));
  config.blockDim = dim3(static_cast<unsigned>(grid.threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(grid.shared_bytes);
  config.stream = static_cast<cudaStream_t>(stream);
  cudaLaunchAttribute attributes[2] = {};
  config.attrs = attributes;
  if (grid.dependent && supports_clusters()) {
    cudaLaunchAttribute& dependent = attributes[config.numAttrs++];
    dependent.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    dependent.val.programmaticStreamSerializationAllowed = 1;
  }
  if (grid.blocks_per_cluster > 1) {
    cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {static_cast<unsigned>(grid.blocks_per_cluster), 1, 1};
  }
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments);
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // the error is reported here; later calls of the caller must not meet it again
  return {StatusCode::launch_failed, std::string("launch: ") + cudaGetErrorName(error) + ", " +
                                         cudaGetErrorString(error) + ", with " + std::to_string(grid.blocks) +
                                         " blocks of " + std::to_string(grid.threads) + " threads"};
#else
  host::LaunchConfig config;
  config.grid = dim3(static_cast<unsigned>(grid.blocks));
  config.block = dim3(static_cast<unsigned>(grid.threads));
  config.dynamic_shared_bytes = static_cast<std::size_t>(grid.shared_bytes);
  const host::LaunchResult result = host::launch(config, kernel, arguments);
  if (result) return {};
  return {StatusCode::launch_failed, "launch: " + result.message};
#endif
}

}  // namespace normproof::kernels
