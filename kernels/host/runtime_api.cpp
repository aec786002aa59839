#include "kernels/host/runtime_api.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "kernels/host/runtime_errors.h"

namespace {

constexpr std::size_t kAlignment = 256;
constexpr int kProcessors = 132;
constexpr int kThreadsPerProcessor = 2048;
constexpr std::size_t kSharedPerProcessor = 228 * 1024;
constexpr int kRegisters = 65536;
constexpr int kL2Bytes = 50 << 20;
constexpr int kPoison = 0xFF;

struct ThreadErrors {
  cudaError_t last = cudaSuccess;       // what cudaGetLastError() gives
  cudaError_t described = cudaSuccess;  // the error that `description` is about
  std::string description;
  std::string launch_failure;
};
thread_local ThreadErrors errors;

std::mutex allowed_mutex;
std::map<const void*, std::size_t>& allowed() {
  static std::map<const void*, std::size_t> bytes;
  return bytes;
}

const char* plain_text(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDeviceFunction:
      return "invalid device function";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorMisalignedAddress:
      return "misaligned address";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorNotSupported:
      return "operation not supported";
    case cudaErrorUnknown:
      break;
  }
  return "unknown error";
}

cudaError_t check_device(int device) {
  return device == 0 ? cudaSuccess
                     : normproof::host::note_error(cudaErrorInvalidDevice, "there is device 0 alone");
}

}  // namespace

namespace normproof::host {

const std::string& launch_failure() { return errors.launch_failure; }

void forget_launch_failure() {
  errors.launch_failure.clear();
  errors.last = cudaSuccess;
}

cudaError_t note_error(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return error;
  errors.last = errors.described = error;
  errors.description = std::string(plain_text(error)) + ": " + what;
  return error;
}

cudaError_t note_launch(const LaunchResult& result) {
  if (result) return cudaSuccess;
  if (errors.launch_failure.empty()) errors.launch_failure = result.message;
  switch (result.error) {
    case LaunchError::kInvalidConfiguration:
      return note_error(cudaErrorInvalidConfiguration, result.message.c_str());
    case LaunchError::kOutOfResources:
      return note_error(cudaErrorMemoryAllocation, result.message.c_str());
    case LaunchError::kMisalignedAddress:
      return note_error(cudaErrorMisalignedAddress, result.message.c_str());
    default:
      return note_error(cudaErrorLaunchFailure, result.message.c_str());
  }
}

cudaError_t note_unavailable(const char* name) {
  const std::string what = std::string(name) + " cannot be had on the CPU";
  if (errors.launch_failure.empty()) errors.launch_failure = what;
  return note_error(cudaErrorNotSupported, what.c_str());
}

cudaError_t set_function_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<std::size_t>(value) > kDynamicSharedAtMost) {
    return note_error(cudaErrorInvalidValue,
                      ("cudaFuncAttributeMaxDynamicSharedMemorySize is " + std::to_string(value) +
                       ", outside 0.." + std::to_string(kDynamicSharedAtMost))
                          .c_str());
  }
  const std::lock_guard lock(allowed_mutex);
  allowed()[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

std::size_t allowed_dynamic_shared(const void* kernel) {
  const std::lock_guard lock(allowed_mutex);
  const auto found = allowed().find(kernel);
  return found == allowed().end() ? kDynamicSharedWithoutAsking
                                  : std::max(found->second, kDynamicSharedWithoutAsking);
}

cudaError_t active_blocks(int* blocks, int threads_per_block, std::size_t dynamic_shared_bytes) {
  if (threads_per_block < 1 || threads_per_block > 1024)
    return note_error(cudaErrorInvalidValue, "threads per block outside 1..1024");
  const std::size_t by_memory =
      dynamic_shared_bytes == 0 ? 32 : kSharedPerProcessor / (dynamic_shared_bytes + 1024);
  *blocks = static_cast<int>(
      std::min<std::size_t>(by_memory, static_cast<std::size_t>(kThreadsPerProcessor / threads_per_block)));
  return cudaSuccess;
}

}  // namespace normproof::host

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDeviceFunction:
      return "cudaErrorInvalidDeviceFunction";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorMisalignedAddress:
      return "cudaErrorMisalignedAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    case cudaErrorUnknown:
      break;
  }
  return "cudaErrorUnknown";
}

const char* cudaGetErrorString(cudaError_t error) {
  return error != cudaSuccess && error == errors.described ? errors.description.c_str() : plain_text(error);
}
cudaError_t cudaGetLastError() {
  const cudaError_t last = errors.last;
  errors.last = cudaSuccess;
  return last;
}
cudaError_t cudaPeekAtLastError() { return errors.last; }

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return errors.last; }
cudaError_t cudaStreamQuery(cudaStream_t) { return errors.last; }
cudaError_t cudaEventQuery(cudaEvent_t) { return errors.last; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  return normproof::host::note_unavailable("cudaStreamBeginCapture");
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  *graph = nullptr;
  return normproof::host::note_unavailable("cudaStreamEndCapture");
}
cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  *graph = nullptr;
  return normproof::host::note_unavailable("cudaGraphCreate");
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t, unsigned long long) {
  *executable = nullptr;
  return normproof::host::note_unavailable("cudaGraphInstantiate");
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) {
  return normproof::host::note_unavailable("cudaGraphLaunch");
}
cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = nullptr;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return errors.last; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 0;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  // Not rounded up, so that AddressSanitizer sees the very end.
  void* memory = nullptr;
  if (bytes != 0 && posix_memalign(&memory, kAlignment, bytes) != 0) {
    *pointer = nullptr;
    return normproof::host::note_error(cudaErrorMemoryAllocation, (std::to_string(bytes) + " bytes").c_str());
  }
  if (memory != nullptr) std::memset(memory, kPoison, bytes);
  *pointer = memory;
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) { return cudaFree(pointer); }
cudaError_t cudaFreeHost(void* pointer) { return cudaFree(pointer); }
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  if (bytes != 0) std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  return cudaMemcpy(to, from, bytes, kind);
}
cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  if (bytes != 0) std::memset(pointer, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t) {
  return cudaMemset(pointer, value, bytes);
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return check_device(device); }
cudaError_t cudaDeviceSynchronize() { return errors.last; }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      *value = 1024;
      break;
    case cudaDevAttrMaxBlockDimZ:
      *value = 64;
      break;
    case cudaDevAttrMaxGridDimX:
      *value = 0x7fffffff;
      break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      *value = 65535;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = kRegisters;
      break;
    case cudaDevAttrL2CacheSize:
      *value = kL2Bytes;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = 0;  // blocks run one after the other
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = 32;
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(normproof::host::kDynamicSharedWithoutAsking);
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = kProcessors;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = kThreadsPerProcessor;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(kSharedPerProcessor);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(normproof::host::kDynamicSharedAtMost);
      break;
    default:
      return normproof::host::note_error(
          cudaErrorInvalidValue,
          ("device attribute " + std::to_string(static_cast<int>(attribute)) + " has no value on the CPU")
              .c_str());
  }
  return check_device(device);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  std::strcpy(properties->name, "normproof host execution");
  properties->totalGlobalMem = std::size_t{80} << 30;
  properties->sharedMemPerBlock = normproof::host::kDynamicSharedWithoutAsking;
  properties->sharedMemPerBlockOptin = normproof::host::kDynamicSharedAtMost;
  properties->sharedMemPerMultiprocessor = kSharedPerProcessor;
  properties->major = 9;
  properties->multiProcessorCount = kProcessors;
  properties->maxThreadsPerMultiProcessor = kThreadsPerProcessor;
  properties->maxThreadsPerBlock = 1024;
  properties->warpSize = 32;
  properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = 1024;
  properties->maxThreadsDim[2] = 64;
  properties->maxGridSize[0] = 0x7fffffff;
  properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
  properties->regsPerBlock = properties->regsPerMultiprocessor = kRegisters;
  properties->maxBlocksPerMultiProcessor = 32;
  properties->l2CacheSize = kL2Bytes;
  properties->memoryBusWidth = 5120;
  properties->totalConstMem = 64 * 1024;
  properties->reservedSharedMemPerBlock = 1024;
  properties->concurrentKernels = 1;
  return check_device(device);
}
