// Stands in for hipCUB: CUB's reductions and scans, over waves.
#pragma once
#include <hip/hip_runtime.h>

#include <cub/cub.cuh>
namespace hipcub {
using namespace cub;
}
