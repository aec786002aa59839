// Stands in for cuBLAS: declarations, which fail by name when called.
#pragma once

#include <cuda_runtime.h>
#include <library_types.h>

#include "kernels/host/unavailable_library.h"

using cublasHandle_t = struct cublasContext*;
enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_ALLOC_FAILED = 3,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_ARCH_MISMATCH = 8,
  CUBLAS_STATUS_MAPPING_ERROR = 11,
  CUBLAS_STATUS_EXECUTION_FAILED = 13,
  CUBLAS_STATUS_INTERNAL_ERROR = 14,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
  CUBLAS_STATUS_LICENSE_ERROR = 16,
};
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1, CUBLAS_OP_C = 2 };
enum cublasFillMode_t { CUBLAS_FILL_MODE_LOWER = 0, CUBLAS_FILL_MODE_UPPER = 1 };
enum cublasSideMode_t { CUBLAS_SIDE_LEFT = 0, CUBLAS_SIDE_RIGHT = 1 };
enum cublasDiagType_t { CUBLAS_DIAG_NON_UNIT = 0, CUBLAS_DIAG_UNIT = 1 };
enum cublasPointerMode_t { CUBLAS_POINTER_MODE_HOST = 0, CUBLAS_POINTER_MODE_DEVICE = 1 };
enum cublasMath_t {
  CUBLAS_DEFAULT_MATH = 0,
  CUBLAS_TENSOR_OP_MATH = 1,
  CUBLAS_PEDANTIC_MATH = 2,
  CUBLAS_TF32_TENSOR_OP_MATH = 3
};
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1, CUBLAS_GEMM_DEFAULT_TENSOR_OP = 99 };
enum cublasComputeType_t {
  CUBLAS_COMPUTE_16F = 64,
  CUBLAS_COMPUTE_32F = 68,
  CUBLAS_COMPUTE_64F = 70,
  CUBLAS_COMPUTE_32I = 72,
  CUBLAS_COMPUTE_32F_FAST_16F = 74,
  CUBLAS_COMPUTE_32F_FAST_TF32 = 77,
};

#define NORMPROOF_CUBLAS(name) NORMPROOF_UNAVAILABLE(cublasStatus_t, CUBLAS_STATUS_NOT_SUPPORTED, name)
NORMPROOF_CUBLAS(cublasCreate)
NORMPROOF_CUBLAS(cublasDestroy)
NORMPROOF_CUBLAS(cublasSetStream)
NORMPROOF_CUBLAS(cublasGetStream)
NORMPROOF_CUBLAS(cublasSetMathMode)
NORMPROOF_CUBLAS(cublasGetMathMode)
NORMPROOF_CUBLAS(cublasSetWorkspace)
NORMPROOF_CUBLAS(cublasSetPointerMode)
NORMPROOF_CUBLAS(cublasGetPointerMode)
NORMPROOF_CUBLAS(cublasGetVersion)
NORMPROOF_CUBLAS(cublasSnrm2)
NORMPROOF_CUBLAS(cublasDnrm2)
NORMPROOF_CUBLAS(cublasNrm2Ex)
NORMPROOF_CUBLAS(cublasSdot)
NORMPROOF_CUBLAS(cublasDdot)
NORMPROOF_CUBLAS(cublasDotEx)
NORMPROOF_CUBLAS(cublasSasum)
NORMPROOF_CUBLAS(cublasSscal)
NORMPROOF_CUBLAS(cublasScalEx)
NORMPROOF_CUBLAS(cublasSaxpy)
NORMPROOF_CUBLAS(cublasAxpyEx)
NORMPROOF_CUBLAS(cublasScopy)
NORMPROOF_CUBLAS(cublasSgemv)
NORMPROOF_CUBLAS(cublasDgemv)
NORMPROOF_CUBLAS(cublasSger)
NORMPROOF_CUBLAS(cublasSgemm)
NORMPROOF_CUBLAS(cublasDgemm)
NORMPROOF_CUBLAS(cublasHgemm)
NORMPROOF_CUBLAS(cublasSgemmEx)
NORMPROOF_CUBLAS(cublasGemmEx)
NORMPROOF_CUBLAS(cublasSgemmBatched)
NORMPROOF_CUBLAS(cublasGemmBatchedEx)
NORMPROOF_CUBLAS(cublasSgemmStridedBatched)
NORMPROOF_CUBLAS(cublasHgemmStridedBatched)
NORMPROOF_CUBLAS(cublasGemmStridedBatchedEx)
NORMPROOF_CUBLAS(cublasSgeam)
NORMPROOF_CUBLAS(cublasSdgmm)
#undef NORMPROOF_CUBLAS
inline const char* cublasGetStatusString(cublasStatus_t) { return "cuBLAS cannot be had on the CPU"; }
inline const char* cublasGetStatusName(cublasStatus_t) { return "CUBLAS_STATUS_NOT_SUPPORTED"; }
