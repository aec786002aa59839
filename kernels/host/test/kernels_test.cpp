// Classic CUDA kernels, written as for nvcc, give the right results under every schedule.
#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/host/launch.h"
#include "kernels/host/test/schedules.h"

#include "kernels/host/cuda_on_host.h"

namespace normproof::host {
namespace {

__device__ int warp_sum(int value) {
  for (int delta = 16; delta > 0; delta /= 2) value += __shfl_xor_sync(0xffffffffu, value, delta);
  return value;
}

// One sum per block of blockDim.x whole warps.
__global__ void block_sum(const int* input, int* sums) {
  NORMPROOF_SHARED(int, partial, 32);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int sum = warp_sum(input[blockIdx.x * blockDim.x + threadIdx.x]);
  if (lane == 0) partial[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    sum = lane < blockDim.x / 32 ? partial[lane] : 0;
    sum = warp_sum(sum);
    if (lane == 0) sums[blockIdx.x] = sum;
  }
}

// Inclusive prefix sums of segments of `width` lanes.
__global__ void warp_scan(std::int64_t* values, int width) {
  std::int64_t sum = values[threadIdx.x];
  for (int delta = 1; delta < width; delta *= 2) {
    const std::int64_t below = __shfl_up_sync(0xffffffffu, sum, static_cast<unsigned>(delta), width);
    if (static_cast<int>(threadIdx.x) % width >= delta) sum += below;
  }
  values[threadIdx.x] = sum;
}

// output (columns x rows) = transpose of input (rows x columns), both multiples of 8, in tiles through
// shared memory.
__global__ void transpose(const int* input, int* output, unsigned rows, unsigned columns) {
  NORMPROOF_SHARED(int, tile, 8 * 9);
  const unsigned row = blockIdx.y * 8 + threadIdx.y, column = blockIdx.x * 8 + threadIdx.x;
  tile[threadIdx.y * 9 + threadIdx.x] = input[row * columns + column];
  __syncthreads();
  const unsigned out_row = blockIdx.x * 8 + threadIdx.y, out_column = blockIdx.y * 8 + threadIdx.x;
  output[out_row * rows + out_column] = tile[threadIdx.x * 9 + threadIdx.y];
}

class Kernels : public testing::TestWithParam<Schedule> {
 protected:
  ScopedSchedule scoped_{GetParam()};
};

TEST_P(Kernels, BlockSum) {
  for (unsigned threads = 32; threads <= max_test_threads(); threads *= 2) {
    std::vector<int> input(threads * 5);
    std::iota(input.begin(), input.end(), 7);
    std::vector<int> sums(5), wanted(5);
    for (unsigned block = 0; block < 5; ++block) {
      wanted[block] =
          std::accumulate(input.begin() + block * threads, input.begin() + (block + 1) * threads, 0);
    }
    const LaunchResult result = launch({.grid = 5, .block = threads}, block_sum, input.data(), sums.data());
    ASSERT_TRUE(result) << result.message;
    EXPECT_EQ(sums, wanted);
  }
}

TEST_P(Kernels, WarpScan) {
  for (int width : {1, 2, 8, 32}) {
    std::vector<std::int64_t> values(32), wanted(32);
    for (int i = 0; i < 32; ++i) {
      values[i] = (std::int64_t{1} << 40) + i * i;
      wanted[i] = values[i] + (i % width == 0 ? 0 : wanted[i - 1]);
    }
    const LaunchResult result = launch({.grid = 1, .block = 32}, warp_scan, values.data(), width);
    ASSERT_TRUE(result) << result.message;
    EXPECT_EQ(values, wanted);
  }
}

TEST_P(Kernels, Transpose) {
  const unsigned rows = 32, columns = 48;
  std::vector<int> input(rows * columns), output(rows * columns, -1), wanted(rows * columns);
  std::iota(input.begin(), input.end(), 0);
  for (unsigned row = 0; row < rows; ++row) {
    for (unsigned column = 0; column < columns; ++column)
      wanted[column * rows + row] = input[row * columns + column];
  }
  const LaunchResult result = launch({.grid = {columns / 8, rows / 8}, .block = {8, 8}}, transpose,
                                     input.data(), output.data(), rows, columns);
  ASSERT_TRUE(result) << result.message;
  EXPECT_EQ(output, wanted);
}

INSTANTIATE_TEST_SUITE_P(Schedules, Kernels, testing::ValuesIn(all_schedules()), schedule_name);

}  // namespace
}  // namespace normproof::host
