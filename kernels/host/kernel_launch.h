// Launching kernels the way CUDA sources do: cudaLaunchKernelEx, cudaLaunchKernel, and what the source pass
// makes of kernel<<<grid, block, shared, stream>>>(arguments...).
#ifndef NORMPROOF_KERNELS_HOST_KERNEL_LAUNCH_H
#define NORMPROOF_KERNELS_HOST_KERNEL_LAUNCH_H

#include <array>
#include <string>
#include <type_traits>
#include <utility>

#include "kernels/host/launch.h"
#include "kernels/host/runtime_api.h"

namespace normproof::host {

// `call(arguments...)` is run by each thread, with copies of its own.
template <class Call>
class BracketLaunch {
 public:
  explicit BracketLaunch(Call call) : call_(std::move(call)) {}
  BracketLaunch& configured(dim3 grid, dim3 block, std::size_t dynamic_shared_bytes = 0,
                            cudaStream_t = nullptr) {
    config_.grid = grid;
    config_.block = block;
    config_.dynamic_shared_bytes = dynamic_shared_bytes;
    return *this;
  }
  // void, as the expression is in CUDA. Lets a kernel's parameters convert what is given.
  template <class... Arguments>
  void operator()(Arguments&&... arguments) {
    if (config_.dynamic_shared_bytes > kDynamicSharedAtMost) {
      LaunchResult refused;
      refused.error = LaunchError::kInvalidConfiguration;
      refused.message = std::to_string(config_.dynamic_shared_bytes) +
                        " bytes of dynamic shared memory, at most " + std::to_string(kDynamicSharedAtMost) +
                        " are there";
      note_launch(refused);
      return;
    }
    note_launch(launch(config_, call_, std::decay_t<Arguments>(std::forward<Arguments>(arguments))...));
  }

 private:
  Call call_;
  LaunchConfig config_;
};

template <class Call>
BracketLaunch<Call> bracket_launch(Call call) {
  return BracketLaunch<Call>(std::move(call));
}

namespace internal {
// What of the attributes cannot be had, as a text; null where all can, or change nothing on the CPU.
inline const char* refused_attribute(const cudaLaunchConfig_t& config) {
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative != 0)
      return "cooperative launches: blocks run one after the other on the CPU";
    if (attribute.id == cudaLaunchAttributeClusterDimension &&
        (attribute.val.clusterDim.x > 1 || attribute.val.clusterDim.y > 1 || attribute.val.clusterDim.z > 1))
      return "clusters of more than one block: blocks run one after the other on the CPU";
  }
  return nullptr;
}

template <class... Parameters>
cudaError_t launch_kernel(const cudaLaunchConfig_t& given, void (*kernel)(Parameters...),
                          Parameters... arguments) {
  if (const char* refused = refused_attribute(given)) return note_error(cudaErrorNotSupported, refused);
  LaunchResult result;
  const std::size_t allowed = allowed_dynamic_shared(reinterpret_cast<const void*>(kernel));
  if (given.dynamicSmemBytes > allowed) {
    result.error = LaunchError::kInvalidConfiguration;
    result.message = std::to_string(given.dynamicSmemBytes) +
                     " bytes of dynamic shared memory; cudaFuncSetAttribute allowed this kernel " +
                     std::to_string(allowed);
    note_launch(result);
    return note_error(cudaErrorInvalidValue, result.message.c_str());
  }
  LaunchConfig config;
  config.grid = given.gridDim;
  config.block = given.blockDim;
  config.dynamic_shared_bytes = given.dynamicSmemBytes;
  return note_launch(launch(config, kernel, std::move(arguments)...));
}

template <class... Parameters, std::size_t... Indices>
cudaError_t launch_kernel(const cudaLaunchConfig_t& config, void (*kernel)(Parameters...), void** arguments,
                          std::index_sequence<Indices...>) {
  return launch_kernel<Parameters...>(
      config, kernel, *static_cast<std::remove_reference_t<Parameters>*>(arguments[Indices])...);
}
}  // namespace internal
}  // namespace normproof::host

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments),
                "the kernel takes another number of arguments");
  return normproof::host::internal::launch_kernel<Parameters...>(
      *config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...);
}

template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments,
                             std::size_t dynamic_shared_bytes = 0, cudaStream_t stream = nullptr) {
  cudaLaunchConfig_t config;
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = dynamic_shared_bytes;
  config.stream = stream;
  return normproof::host::internal::launch_kernel(config, kernel, arguments,
                                                  std::index_sequence_for<Parameters...>{});
}
template <class Pointer>
  requires std::is_same_v<std::remove_cv_t<Pointer>, void>
cudaError_t cudaLaunchKernel(Pointer*, dim3, dim3, void**, std::size_t = 0, cudaStream_t = nullptr) {
  static_assert(!std::is_same_v<std::remove_cv_t<Pointer>, void>,
                "cudaLaunchKernel on the CPU needs the kernel itself: leave out the cast to void*");
  return cudaErrorInvalidDeviceFunction;
}

#endif
