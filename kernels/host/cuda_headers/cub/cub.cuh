// Stands in for CUB: reductions and scans of warps and blocks, loads and stores of blocks.
#pragma once

#include <cub/block/block_load.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/block/block_store.cuh>
#include <cub/warp/warp_reduce.cuh>
#include <cub/warp/warp_scan.cuh>

#ifndef CUB_PTX_WARP_THREADS
#define CUB_PTX_WARP_THREADS NORMPROOF_WAVE_LANES
#endif
