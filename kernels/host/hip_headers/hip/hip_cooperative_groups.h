// Stands in for HIP's cooperative groups: blocks, and tiles of up to a wave.
#pragma once
#include <hip/hip_runtime.h>

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
