// Stands in for cuDNN: declarations, which fail by name when called.
#pragma once

#include <cuda_runtime.h>

#include "kernels/host/unavailable_library.h"

using cudnnHandle_t = struct cudnnContext*;
using cudnnTensorDescriptor_t = struct cudnnTensorStruct*;
using cudnnActivationDescriptor_t = struct cudnnActivationStruct*;
using cudnnReduceTensorDescriptor_t = struct cudnnReduceTensorStruct*;
using cudnnBackendDescriptor_t = void*;
enum cudnnStatus_t {
  CUDNN_STATUS_SUCCESS = 0,
  CUDNN_STATUS_NOT_INITIALIZED = 1001,
  CUDNN_STATUS_NOT_SUPPORTED = 3000
};
enum cudnnDataType_t {
  CUDNN_DATA_FLOAT = 0,
  CUDNN_DATA_DOUBLE = 1,
  CUDNN_DATA_HALF = 2,
  CUDNN_DATA_BFLOAT16 = 9
};
enum cudnnTensorFormat_t { CUDNN_TENSOR_NCHW = 0, CUDNN_TENSOR_NHWC = 1 };
enum cudnnNormMode_t { CUDNN_NORM_PER_ACTIVATION = 0, CUDNN_NORM_PER_CHANNEL = 1 };
enum cudnnBatchNormMode_t {
  CUDNN_BATCHNORM_PER_ACTIVATION = 0,
  CUDNN_BATCHNORM_SPATIAL = 1,
  CUDNN_BATCHNORM_SPATIAL_PERSISTENT = 2,
};

#define NORMPROOF_CUDNN(name) NORMPROOF_UNAVAILABLE(cudnnStatus_t, CUDNN_STATUS_NOT_SUPPORTED, name)
NORMPROOF_CUDNN(cudnnCreate)
NORMPROOF_CUDNN(cudnnDestroy)
NORMPROOF_CUDNN(cudnnSetStream)
NORMPROOF_CUDNN(cudnnGetStream)
NORMPROOF_CUDNN(cudnnCreateTensorDescriptor)
NORMPROOF_CUDNN(cudnnDestroyTensorDescriptor)
NORMPROOF_CUDNN(cudnnSetTensor4dDescriptor)
NORMPROOF_CUDNN(cudnnSetTensorNdDescriptor)
NORMPROOF_CUDNN(cudnnSoftmaxForward)
NORMPROOF_CUDNN(cudnnBatchNormalizationForwardTraining)
NORMPROOF_CUDNN(cudnnBatchNormalizationForwardInference)
NORMPROOF_CUDNN(cudnnNormalizationForwardTraining)
NORMPROOF_CUDNN(cudnnNormalizationForwardInference)
NORMPROOF_CUDNN(cudnnReduceTensor)
NORMPROOF_CUDNN(cudnnBackendCreateDescriptor)
NORMPROOF_CUDNN(cudnnBackendDestroyDescriptor)
NORMPROOF_CUDNN(cudnnBackendSetAttribute)
NORMPROOF_CUDNN(cudnnBackendFinalize)
NORMPROOF_CUDNN(cudnnBackendExecute)
#undef NORMPROOF_CUDNN
inline const char* cudnnGetErrorString(cudnnStatus_t) { return "cuDNN cannot be had on the CPU"; }
