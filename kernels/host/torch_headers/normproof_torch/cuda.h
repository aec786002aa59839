// torch's streams, guards and checks of CUDA: there is one device and one stream.
#pragma once

#include <cublas_v2.h>
#include <normproof_torch/tensor.h>
#ifdef NORMPROOF_HIP
#include <hip/hip_runtime.h>
#endif

namespace c10::cuda {

class CUDAStream {
 public:
  CUDAStream() = default;
  operator cudaStream_t() const { return nullptr; }
  cudaStream_t stream() const { return nullptr; }
  Device device() const { return {}; }
  DeviceIndex device_index() const { return 0; }
  void synchronize() const {}
};
inline CUDAStream getCurrentCUDAStream(DeviceIndex = -1) { return {}; }
inline CUDAStream getDefaultCUDAStream(DeviceIndex = -1) { return {}; }
inline CUDAStream getStreamFromPool(bool = false, DeviceIndex = -1) { return {}; }
inline DeviceIndex current_device() { return 0; }
inline DeviceIndex device_count() { return 1; }
inline void device_synchronize() {}

class CUDAGuard {
 public:
  explicit CUDAGuard(DeviceIndex) {}
  explicit CUDAGuard(Device) {}
};
class OptionalCUDAGuard {
 public:
  OptionalCUDAGuard() = default;
  explicit OptionalCUDAGuard(const std::optional<Device>&) {}
  explicit OptionalCUDAGuard(DeviceIndex) {}
};
class CUDAStreamGuard {
 public:
  explicit CUDAStreamGuard(CUDAStream) {}
};

inline void check(cudaError_t error, const char* file, int line) {
  if (error != cudaSuccess) ::c10::detail::fail(file, line, "", "CUDA error: ", cudaGetErrorString(error));
}

}  // namespace c10::cuda

namespace at::cuda {
using namespace c10::cuda;
inline const cudaDeviceProp* getDeviceProperties(std::int64_t) {
  static const cudaDeviceProp properties = [] {
    cudaDeviceProp found;
#ifdef NORMPROOF_HIP
    hipGetDeviceProperties(&found, 0);
#else
    cudaGetDeviceProperties(&found, 0);
#endif
    return found;
  }();
  return &properties;
}
inline const cudaDeviceProp* getCurrentDeviceProperties() { return getDeviceProperties(0); }
inline cublasHandle_t getCurrentCUDABlasHandle() {
  normproof::host::note_unavailable("at::cuda::getCurrentCUDABlasHandle");
  return nullptr;
}
inline int warp_size() { return NORMPROOF_WAVE_LANES; }
inline bool is_available() { return true; }
}  // namespace at::cuda
namespace torch::cuda {
using namespace at::cuda;
}

#define C10_CUDA_CHECK(call) ::c10::cuda::check((call), __FILE__, __LINE__)
#define AT_CUDA_CHECK(call) C10_CUDA_CHECK(call)
#define CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
#define C10_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
#define STD_CUDA_CHECK(call) C10_CUDA_CHECK(call)
#define STD_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())

#define C10_HOST_DEVICE __host__ __device__
#define C10_DEVICE __device__
#define C10_HOST __host__
#define C10_LAUNCH_BOUNDS_0
#define C10_LAUNCH_BOUNDS_1(...)
#define C10_LAUNCH_BOUNDS_2(...)
#define C10_LAUNCH_BOUNDS(...)
#define C10_WARP_SIZE NORMPROOF_WAVE_LANES
#define C10_RESTRICT __restrict__
#define C10_ALWAYS_INLINE inline __attribute__((always_inline))
#define C10_LIKELY(condition) (condition)
#define C10_UNLIKELY(condition) (condition)
#define C10_UNUSED [[maybe_unused]]
#define C10_EXPORT
#define C10_API
#define TORCH_API
#define CUDA_KERNEL_ASSERT(condition) assert(condition)

// Shuffles under torch's names.
template <class T>
T WARP_SHFL_XOR(T value, int lanes, int width = NORMPROOF_WAVE_LANES,
                normproof::host::LaneMask mask = normproof::host::kEveryLane,
                std::source_location site = std::source_location::current()) {
  return __shfl_xor_sync(mask, value, lanes, width, site);
}
template <class T>
T WARP_SHFL(T value, int lane, int width = NORMPROOF_WAVE_LANES,
            normproof::host::LaneMask mask = normproof::host::kEveryLane,
            std::source_location site = std::source_location::current()) {
  return __shfl_sync(mask, value, lane, width, site);
}
template <class T>
T WARP_SHFL_DOWN(T value, unsigned delta, int width = NORMPROOF_WAVE_LANES,
                 normproof::host::LaneMask mask = normproof::host::kEveryLane,
                 std::source_location site = std::source_location::current()) {
  return __shfl_down_sync(mask, value, delta, width, site);
}
template <class T>
T WARP_SHFL_UP(T value, unsigned delta, int width = NORMPROOF_WAVE_LANES,
               normproof::host::LaneMask mask = normproof::host::kEveryLane,
               std::source_location site = std::source_location::current()) {
  return __shfl_up_sync(mask, value, delta, width, site);
}
