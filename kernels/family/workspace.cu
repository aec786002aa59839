#include "kernels/family/workspace.h"

#include <string>

#include "kernels/cuda.h"
#if defined(__CUDACC__)
#include <map>
#include <mutex>
#else
#include <new>
#endif

namespace normproof::kernels {
namespace {

Status no_memory(std::size_t bytes, const char* reason) {
  return {StatusCode::launch_failed,
          "workspace: " + std::to_string(bytes) + " bytes could not be had: " + reason};
}

}  // namespace

#if defined(__CUDACC__)

namespace {

// The device's own pool for this library, which keeps what is given back: the default pool gives it to the
// system whenever the program waits for the device.
cudaError_t pool_of_device(cudaMemPool_t* pool) {
  static std::mutex mutex;
  static std::map<int, cudaMemPool_t> pools;
  int device = 0;
  if (const cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) return error;
  const std::lock_guard lock(mutex);
  if (const auto known = pools.find(device); known != pools.end()) {
    *pool = known->second;
    return cudaSuccess;
  }
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, device};
  if (const cudaError_t error = cudaMemPoolCreate(pool, &properties); error != cudaSuccess) return error;
  std::uint64_t kept = UINT64_MAX;
  cudaMemPoolSetAttribute(*pool, cudaMemPoolAttrReleaseThreshold, &kept);
  pools[device] = *pool;
  return cudaSuccess;
}

}  // namespace

Status Workspace::allocate(std::size_t bytes) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  cudaError_t error = cudaStreamIsCapturing(stream, &capture);
  if (error == cudaSuccess && capture != cudaStreamCaptureStatusNone) {
    error = cudaMallocAsync(&data_, bytes, stream);  // the memory is the graph's
  } else if (error == cudaSuccess) {
    cudaMemPool_t pool = nullptr;
    error = pool_of_device(&pool);
    if (error == cudaSuccess) error = cudaMallocFromPoolAsync(&data_, bytes, pool, stream);
  }
  if (error == cudaSuccess) return {};
  cudaGetLastError();
  data_ = nullptr;
  return no_memory(bytes, cudaGetErrorName(error));
}

Workspace::~Workspace() {
  if (data_ != nullptr && cudaFreeAsync(data_, static_cast<cudaStream_t>(stream_)) != cudaSuccess)
    cudaGetLastError();
}

#else

Status Workspace::allocate(std::size_t bytes) {
  data_ = ::operator new(bytes, std::align_val_t{128}, std::nothrow);
  return data_ != nullptr ? Status{} : no_memory(bytes, "out of memory");
}

Workspace::~Workspace() { ::operator delete(data_, std::align_val_t{128}); }

#endif

}  // namespace normproof::kernels
