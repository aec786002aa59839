// torch on HIP: the same streams, guards and checks under other names.
#pragma once

#include <normproof_torch/all.h>

namespace c10::hip {
using namespace c10::cuda;
using HIPStream = CUDAStream;
using HIPGuard = CUDAGuard;
using OptionalHIPGuard = OptionalCUDAGuard;
using HIPStreamGuard = CUDAStreamGuard;
using HIPGuardMasqueradingAsCUDA = CUDAGuard;
using OptionalHIPGuardMasqueradingAsCUDA = OptionalCUDAGuard;
using HIPStreamMasqueradingAsCUDA = CUDAStream;
inline CUDAStream getCurrentHIPStream(DeviceIndex = -1) { return {}; }
inline CUDAStream getCurrentHIPStreamMasqueradingAsCUDA(DeviceIndex = -1) { return {}; }
inline CUDAStream getDefaultHIPStream(DeviceIndex = -1) { return {}; }
}  // namespace c10::hip
namespace at::hip {
using namespace c10::hip;
using at::cuda::getCurrentDeviceProperties;
using at::cuda::getDeviceProperties;
using at::cuda::warp_size;
}  // namespace at::hip
#define C10_HIP_CHECK(call) C10_CUDA_CHECK(call)
#define AT_HIP_CHECK(call) C10_CUDA_CHECK(call)
#define C10_HIP_KERNEL_LAUNCH_CHECK() C10_CUDA_KERNEL_LAUNCH_CHECK()
