// What a GPU would hang on, leave undefined or trap is reported with block, thread and place; what CUDA
// allows passes.
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <vector>

#include "kernels/host/launch.h"
#include "kernels/host/test/schedules.h"

#include "kernels/host/cuda_on_host.h"

namespace normproof::host {
namespace {

constexpr unsigned kWholeWarp = 0xffffffffu;

// The message must contain all of `parts`.
void expect_error(const LaunchResult& result, LaunchError error, std::initializer_list<const char*> parts) {
  EXPECT_EQ(static_cast<int>(result.error), static_cast<int>(error)) << result.message;
  for (const char* part : parts) {
    EXPECT_NE(result.message.find(part), std::string::npos) << "no \"" << part << "\" in: " << result.message;
  }
}

class Misuse : public testing::TestWithParam<Schedule> {
 protected:
  ScopedSchedule scoped_{GetParam()};

  // After an error the same OS thread launches as if nothing had happened.
  void TearDown() override {
    int sum = 0;
    const LaunchResult result = launch({.grid = 1, .block = 64}, [&] {
      const int count = __syncthreads_count(1);
      if (threadIdx.x == 0) sum = count;
    });
    EXPECT_TRUE(result) << result.message;
    EXPECT_EQ(sum, 64);
  }
};

TEST_P(Misuse, BarrierInOneBranchOnly) {
  const LaunchResult result = launch({.grid = 3, .block = 64}, [] {
    if (blockIdx.x != 1) return;
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __shfl_xor_sync(kWholeWarp, 1, 1);
      __syncthreads();
    }
  });
  expect_error(result, LaunchError::kDivergentBarrier,
               {"__syncthreads at", "misuse_test.cpp", "block (1,0,0)"});
  EXPECT_EQ(result.block.x, 1u);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NORMPROOF_TEST_HAS_ASAN
#endif
#endif
#if !defined(NORMPROOF_TEST_HAS_ASAN) && !defined(__SANITIZE_ADDRESS__)
// AddressSanitizer stops it at the write.
TEST_P(Misuse, WritesBehindSharedArrays) {
  for (const unsigned written : {32u, 33u, 64u}) {
    const LaunchResult result = launch({.grid = 4, .block = 64}, [&] {
      NORMPROOF_SHARED(float, sums, 32);
      if (blockIdx.x == 2 && threadIdx.x < written) *(volatile float*)&sums[threadIdx.x] = 1;
    });
    if (written == 32) {
      EXPECT_TRUE(result) << result.message;
    } else {
      expect_error(result, LaunchError::kKernelException,
                   {"a write behind the end of a shared array of 128 bytes", "block (2,0,0)"});
    }
  }
  const LaunchResult dynamic = launch({.grid = 1, .block = 4, .dynamic_shared_bytes = 12}, [] {
    NORMPROOF_DYNAMIC_SHARED(float, sums);
    *(volatile float*)&sums[threadIdx.x] = 1;
  });
  expect_error(dynamic, LaunchError::kKernelException, {"of 12 bytes"});
}
#endif

TEST_P(Misuse, DifferentKindsOfBarrier) {
  const LaunchResult result = launch({.grid = 1, .block = 32}, [] {
    if (threadIdx.x % 2 == 0) {
      __syncthreads();
    } else {
      __syncthreads_or(1);
    }
  });
  expect_error(result, LaunchError::kDivergentBarrier, {"__syncthreads at", "__syncthreads_or at"});
}

TEST_P(Misuse, BarrierAgainstWarpOperation) {
  const LaunchResult result = launch({.grid = 1, .block = 40}, [] {
    if (threadIdx.x == 39) return;
    if (threadIdx.x == 5) {
      __syncthreads();
    } else {
      __syncwarp();
    }
  });
  expect_error(result, LaunchError::kDivergentBarrier,
               {"1 threads, first (5,0,0), wait at __syncthreads",
                "31 threads, first (0,0,0), wait at __syncwarp(mask 0xffffffff)"});
}

TEST_P(Misuse, MasksThatDoNotAgree) {
  const LaunchResult result =
      launch({.grid = 1, .block = 32}, [] { __syncwarp(threadIdx.x == 3 ? 0x0000000fu : kWholeWarp); });
  expect_error(result, LaunchError::kDivergentBarrier, {"mask 0x0000000f", "mask 0xffffffff"});
}

TEST_P(Misuse, DifferentWarpOperations) {
  const LaunchResult result = launch({.grid = 1, .block = 32}, [] {
    if (threadIdx.x < 16) {
      __ballot_sync(kWholeWarp, 1);
    } else {
      __shfl_sync(kWholeWarp, 1, 0);
    }
  });
  expect_error(result, LaunchError::kDivergentBarrier, {"__ballot_sync", "__shfl_sync"});
}

TEST_P(Misuse, MaskWithoutTheCaller) {
  const LaunchResult result = launch({.grid = 1, .block = 32}, [] { __syncwarp(0x7fffffffu); });
  expect_error(result, LaunchError::kInvalidWarpOperation, {"lane 31", "not in the mask", "thread (31,0,0)"});
}

TEST_P(Misuse, ShuffleFromExitedLane) {
  const LaunchResult result = launch({.grid = 1, .block = 32}, [] {
    if (threadIdx.x == 7) return;
    __shfl_sync(kWholeWarp, 1, threadIdx.x == 9 ? 7 : 0);
  });
  expect_error(result, LaunchError::kInvalidWarpOperation,
               {"__shfl_sync", "reads from lane 7", "thread (9,0,0)"});
}

TEST_P(Misuse, ShuffleFromLaneThatNeverWas) {
  const LaunchResult result =
      launch({.grid = 1, .block = 8}, [] { __shfl_down_sync(kWholeWarp, static_cast<int>(threadIdx.x), 4); });
  expect_error(result, LaunchError::kInvalidWarpOperation, {"__shfl_down_sync", "does not take part"});
}

TEST_P(Misuse, ShuffleFromLaneOutsideTheMask) {
  const LaunchResult result = launch({.grid = 1, .block = 32}, [] {
    if (threadIdx.x < 16) __shfl_xor_sync(0xffffu, 1, 16);
  });
  expect_error(result, LaunchError::kInvalidWarpOperation,
               {"__shfl_xor_sync(mask 0x0000ffff)", "does not take part"});
}

TEST_P(Misuse, WidthThatIsNoPowerOfTwo) {
  const LaunchResult result = launch({.grid = 1, .block = 32}, [] { __shfl_sync(kWholeWarp, 1, 0, 12); });
  expect_error(result, LaunchError::kInvalidWarpOperation, {"width 12"});
}

TEST_P(Misuse, MisalignedVector) {
  alignas(16) char bytes[32] = {};
  const LaunchResult load = launch({.grid = 1, .block = 1}, [&] { (void)load_aligned<uint4>(bytes + 2); });
  expect_error(load, LaunchError::kMisalignedAddress, {"16 bytes", "2 above a multiple of 16"});
  const LaunchResult store = launch({.grid = 1, .block = 1}, [&] { store_aligned(bytes + 8, uint4{}); });
  expect_error(store, LaunchError::kMisalignedAddress, {"8 above a multiple of 16"});
  EXPECT_TRUE(
      launch({.grid = 1, .block = 1}, [&] { store_aligned(bytes + 16, load_aligned<uint4>(bytes)); }));
}

TEST_P(Misuse, KernelThrows) {
  const auto alive = std::make_shared<int>(0);
  int went_on = 0;
  const LaunchResult result = launch({.grid = 2, .block = 64}, [&] {
    const std::shared_ptr<int> held = alive;  // NOLINT(performance-unnecessary-copy-initialization)
    if (blockIdx.x == 1 && threadIdx.x == 33) throw std::runtime_error("out of cheese");
    __syncthreads();
    if (blockIdx.x == 1) atomicAdd(&went_on, 1);
  });
  if (result.block.x != 1) ADD_FAILURE() << result.message;
  expect_error(result, LaunchError::kKernelException, {"out of cheese", "thread (33,0,0)", "block (1,0,0)"});
  EXPECT_EQ(went_on, 0) << "a thread passed a barrier that could not be completed";
  EXPECT_EQ(alive.use_count(), 1) << "a suspended thread was not unwound";
}

TEST_P(Misuse, NoBlockRunsAfterAnError) {
  int blocks = 0;
  const LaunchResult result = launch({.grid = 100, .block = 1}, [&] {
    if (++blocks == 3) throw 1;
  });
  expect_error(result, LaunchError::kKernelException, {"not a std::exception"});
  EXPECT_EQ(blocks, 3);
}

TEST_P(Misuse, KernelLaunches) {
  LaunchResult inner;
  EXPECT_TRUE(launch({.grid = 1, .block = 1}, [&] { inner = launch({.grid = 1, .block = 1}, [] {}); }));
  expect_error(inner, LaunchError::kInvalidConfiguration, {"launch"});
}

TEST_P(Misuse, BadConfigurations) {
  const auto attempt = [](dim3 grid, dim3 block) {
    return launch({.grid = grid, .block = block}, [] { FAIL(); });
  };
  expect_error(attempt(0, 32), LaunchError::kInvalidConfiguration, {"grid.x is 0"});
  expect_error(attempt({1, 65536}, 32), LaunchError::kInvalidConfiguration, {"grid.y is 65536"});
  expect_error(attempt(1, 1025), LaunchError::kInvalidConfiguration, {"block.x is 1025"});
  expect_error(attempt(1, {1, 1, 65}), LaunchError::kInvalidConfiguration, {"block.z is 65"});
  expect_error(attempt(1, {1024, 1024, 64}), LaunchError::kInvalidConfiguration,
               {"threads in a block is 67108864"});
  expect_error(attempt(1, {max_test_threads() / 2, 3}), LaunchError::kInvalidConfiguration,
               {"threads in a block is"});
}

// From Volta on a barrier waits for the threads that have not exited.
TEST_P(Misuse, ExitedThreadsDoNotHoldABarrier) {
  int passed = 0;
  const LaunchResult result = launch({.grid = 1, .block = 64}, [&] {
    if (threadIdx.x % 3 == 0) return;
    const int count = __syncthreads_count(threadIdx.x % 2 == 0);
    if (threadIdx.x == 1) passed = count;
  });
  EXPECT_TRUE(result) << result.message;
  EXPECT_EQ(passed, 21);  // 64 - 22 multiples of three remain, and half of them are even
}

TEST_P(Misuse, DisjointMasksInDifferentBranches) {
  unsigned low = 0, high = 0;
  const LaunchResult result = launch({.grid = 1, .block = 32}, [&] {
    if (threadIdx.x < 8) {
      const unsigned lanes = __ballot_sync(0x000000ffu, threadIdx.x % 2 == 0);
      if (threadIdx.x == 0) low = lanes;
    } else {
      const unsigned lanes = __ballot_sync(0xffffff00u, threadIdx.x % 2 == 1);
      if (threadIdx.x == 8) high = lanes;
    }
  });
  EXPECT_TRUE(result) << result.message;
  EXPECT_EQ(low, 0x55u);
  EXPECT_EQ(high, 0xaaaaaa00u);
}

INSTANTIATE_TEST_SUITE_P(Schedules, Misuse, testing::ValuesIn(all_schedules()), schedule_name);

TEST(OutsideALaunch, ThreadOperationsThrow) {
  EXPECT_THROW(__syncthreads(), std::logic_error);
  EXPECT_THROW(__ballot_sync(1, 1), std::logic_error);
  alignas(16) const char bytes[32] = {};
  EXPECT_THROW((void)load_aligned<uint4>(bytes + 1), std::runtime_error);
}

}  // namespace
}  // namespace normproof::host
