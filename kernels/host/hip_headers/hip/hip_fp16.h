// Stands in for HIP's hip_fp16.h: the same names as in CUDA.
#pragma once
#include <hip/hip_runtime.h>

#include <cuda_fp16.h>
