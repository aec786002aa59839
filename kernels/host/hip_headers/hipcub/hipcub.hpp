// Stands in for hipCUB: CUB's reductions and scans, over waves. The name cub is left to the source, which may make
// it another one for hipcub.
#pragma once
#include <hip/hip_runtime.h>

#define cub hipcub
#include <cub/cub.cuh>
#undef cub
