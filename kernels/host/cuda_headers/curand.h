// Stands in for cuRAND: declarations, which fail by name when called.
#pragma once

#include <cuda_runtime.h>

#include "kernels/host/unavailable_library.h"

using curandGenerator_t = struct curandGenerator_st*;
enum curandStatus_t {
  CURAND_STATUS_SUCCESS = 0,
  CURAND_STATUS_NOT_INITIALIZED = 101,
  CURAND_STATUS_INTERNAL_ERROR = 999
};
using curandStatus = curandStatus_t;
enum curandRngType_t {
  CURAND_RNG_PSEUDO_DEFAULT = 100,
  CURAND_RNG_PSEUDO_XORWOW = 101,
  CURAND_RNG_PSEUDO_PHILOX4_32_10 = 161
};

#define NORMPROOF_CURAND(name) NORMPROOF_UNAVAILABLE(curandStatus_t, CURAND_STATUS_INTERNAL_ERROR, name)
NORMPROOF_CURAND(curandCreateGenerator)
NORMPROOF_CURAND(curandDestroyGenerator)
NORMPROOF_CURAND(curandSetStream)
NORMPROOF_CURAND(curandSetPseudoRandomGeneratorSeed)
NORMPROOF_CURAND(curandSetGeneratorOffset)
NORMPROOF_CURAND(curandGenerate)
NORMPROOF_CURAND(curandGenerateUniform)
NORMPROOF_CURAND(curandGenerateNormal)
#undef NORMPROOF_CURAND
