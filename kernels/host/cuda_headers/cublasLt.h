// Stands in for cuBLASLt: declarations, which fail by name when called.
#pragma once

#include <cublas_v2.h>

using cublasLtHandle_t = struct cublasLtContext*;
using cublasLtMatmulDesc_t = struct cublasLtMatmulDescOpaque*;
using cublasLtMatrixLayout_t = struct cublasLtMatrixLayoutOpaque*;
using cublasLtMatmulPreference_t = struct cublasLtMatmulPreferenceOpaque*;

#define NORMPROOF_CUBLAS(name) NORMPROOF_UNAVAILABLE(cublasStatus_t, CUBLAS_STATUS_NOT_SUPPORTED, name)
NORMPROOF_CUBLAS(cublasLtCreate)
NORMPROOF_CUBLAS(cublasLtDestroy)
NORMPROOF_CUBLAS(cublasLtMatmul)
NORMPROOF_CUBLAS(cublasLtMatmulDescCreate)
NORMPROOF_CUBLAS(cublasLtMatmulDescDestroy)
NORMPROOF_CUBLAS(cublasLtMatmulDescSetAttribute)
NORMPROOF_CUBLAS(cublasLtMatrixLayoutCreate)
NORMPROOF_CUBLAS(cublasLtMatrixLayoutDestroy)
NORMPROOF_CUBLAS(cublasLtMatrixLayoutSetAttribute)
NORMPROOF_CUBLAS(cublasLtMatmulPreferenceCreate)
NORMPROOF_CUBLAS(cublasLtMatmulPreferenceDestroy)
NORMPROOF_CUBLAS(cublasLtMatmulPreferenceSetAttribute)
NORMPROOF_CUBLAS(cublasLtMatmulAlgoGetHeuristic)
#undef NORMPROOF_CUBLAS
