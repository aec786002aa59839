// Stands in for the CUDA driver's interface: its types, versions and errors; what a source calls of it fails
// by name. The runtime's interface, which most sources use, is in cuda_runtime.h.
#ifndef NORMPROOF_CUDA_HEADERS_CUDA_H
#define NORMPROOF_CUDA_HEADERS_CUDA_H

#include <cuda_runtime.h>

#include "kernels/host/unavailable_library.h"

enum cudaError_enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_DEINITIALIZED = 4,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_NOT_SUPPORTED = 801,
  CUDA_ERROR_UNKNOWN = 999,
};
using CUresult = cudaError_enum;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUstream = cudaStream_t;
using CUevent = cudaEvent_t;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUkernel = struct CUkern_st*;
using CUlibrary = struct CUlib_st*;
using CUmemoryPool = struct CUmemPoolHandle_st*;
using CUmemGenericAllocationHandle = unsigned long long;
enum CUdevice_attribute {
  CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 1,
  CU_DEVICE_ATTRIBUTE_WARP_SIZE = 10,
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED = 102,
};
struct alignas(64) CUtensorMap {
  unsigned long long opaque[16];
};
enum CUtensorMapDataType {
  CU_TENSOR_MAP_DATA_TYPE_UINT8 = 0,
  CU_TENSOR_MAP_DATA_TYPE_UINT16 = 1,
  CU_TENSOR_MAP_DATA_TYPE_UINT32 = 2,
  CU_TENSOR_MAP_DATA_TYPE_INT32 = 3,
  CU_TENSOR_MAP_DATA_TYPE_FLOAT16 = 6,
  CU_TENSOR_MAP_DATA_TYPE_FLOAT32 = 7,
  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9,
};
enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE = 0 };
enum CUtensorMapSwizzle {
  CU_TENSOR_MAP_SWIZZLE_NONE = 0,
  CU_TENSOR_MAP_SWIZZLE_32B = 1,
  CU_TENSOR_MAP_SWIZZLE_64B = 2,
  CU_TENSOR_MAP_SWIZZLE_128B = 3,
};
enum CUtensorMapL2promotion {
  CU_TENSOR_MAP_L2_PROMOTION_NONE = 0,
  CU_TENSOR_MAP_L2_PROMOTION_L2_128B = 2,
  CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3,
};
enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0 };
using cuuint32_t = unsigned int;
using cuuint64_t = unsigned long;

inline CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == CUDA_SUCCESS ? "no error" : "an error of the CUDA driver, which cannot be had on the CPU";
  return CUDA_SUCCESS;
}
inline CUresult cuGetErrorName(CUresult error, const char** text) {
  *text = error == CUDA_SUCCESS ? "CUDA_SUCCESS" : "CUDA_ERROR_NOT_SUPPORTED";
  return CUDA_SUCCESS;
}
inline CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
inline CUresult cuDriverGetVersion(int* version) {
  *version = CUDA_VERSION;
  return CUDA_SUCCESS;
}
inline CUresult cuDeviceGet(CUdevice* device, int index) {
  *device = index;
  return index == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
inline CUresult cuDeviceGetCount(int* count) {
  *count = 1;
  return CUDA_SUCCESS;
}
inline CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  if (attribute == CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) {
    *value = 0;
    return CUDA_SUCCESS;
  }
  return cudaDeviceGetAttribute(value, static_cast<cudaDeviceAttr>(attribute), device) == cudaSuccess
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_VALUE;
}

#define NORMPROOF_DRIVER(name) NORMPROOF_UNAVAILABLE(CUresult, CUDA_ERROR_NOT_SUPPORTED, name)
NORMPROOF_DRIVER(cuCtxCreate)
NORMPROOF_DRIVER(cuCtxDestroy)
NORMPROOF_DRIVER(cuCtxGetCurrent)
NORMPROOF_DRIVER(cuCtxSetCurrent)
NORMPROOF_DRIVER(cuDevicePrimaryCtxRetain)
NORMPROOF_DRIVER(cuDevicePrimaryCtxRelease)
NORMPROOF_DRIVER(cuModuleLoad)
NORMPROOF_DRIVER(cuModuleLoadData)
NORMPROOF_DRIVER(cuModuleUnload)
NORMPROOF_DRIVER(cuModuleGetFunction)
NORMPROOF_DRIVER(cuLaunchKernel)
NORMPROOF_DRIVER(cuLaunchKernelEx)
NORMPROOF_DRIVER(cuMemAlloc)
NORMPROOF_DRIVER(cuMemFree)
NORMPROOF_DRIVER(cuMemcpyHtoD)
NORMPROOF_DRIVER(cuMemcpyDtoH)
NORMPROOF_DRIVER(cuMemCreate)
NORMPROOF_DRIVER(cuMemMap)
NORMPROOF_DRIVER(cuMemUnmap)
NORMPROOF_DRIVER(cuMemRelease)
NORMPROOF_DRIVER(cuMemSetAccess)
NORMPROOF_DRIVER(cuMemAddressReserve)
NORMPROOF_DRIVER(cuMemAddressFree)
NORMPROOF_DRIVER(cuMemGetAllocationGranularity)
NORMPROOF_DRIVER(cuPointerGetAttribute)
NORMPROOF_DRIVER(cuTensorMapEncodeTiled)
NORMPROOF_DRIVER(cuTensorMapReplaceAddress)
NORMPROOF_DRIVER(cuStreamSynchronize)
NORMPROOF_DRIVER(cuStreamWriteValue32)
NORMPROOF_DRIVER(cuStreamWaitValue32)
NORMPROOF_DRIVER(cuGetProcAddress)
#undef NORMPROOF_DRIVER

#endif
