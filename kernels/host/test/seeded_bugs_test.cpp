// Missing barriers are found: correct kernels pass under every schedule, and each of their broken copies
// fails under many of the random schedules.
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "kernels/host/launch.h"
#include "kernels/host/test/schedules.h"

#include "kernels/host/cuda_on_host.h"

namespace normproof::host {
namespace {

enum class Code { kCorrect, kBroken };

constexpr unsigned kThreads = 128;
constexpr int kSeeds = 200;
constexpr int kDetectionsDemanded = 95;

__device__ int sum_of_warp(int value) {
  for (int delta = 16; delta > 0; delta /= 2) value += __shfl_xor_sync(0xffffffffu, value, delta);
  return value;
}

// Every thread gets the block's sum of 0, 1, ..., but the broken copy reads the warps' sums before all are
// written.
template <Code code>
__global__ void read_after_write(int* sums) {
  NORMPROOF_SHARED(int, partial, kThreads / 32);
  const int sum = sum_of_warp(static_cast<int>(threadIdx.x));
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  if (code == Code::kCorrect) __syncthreads();
  int total = 0;
  for (int part : partial) total += part;
  sums[threadIdx.x] = total;
}

// Two sums in a row through the same shared memory: the broken copy overwrites it before all have read it.
template <Code code>
__global__ void reuse(int* sums) {
  NORMPROOF_SHARED(int, partial, kThreads / 32);
  for (int row = 0; row < 2; ++row) {
    const int sum = sum_of_warp(static_cast<int>(threadIdx.x) << row);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    int total = 0;
    for (int part : partial) total += part;
    sums[threadIdx.x + row * kThreads] = total;
    if (code == Code::kCorrect) __syncthreads();
  }
}

// Neighbouring lanes exchange through shared memory: the broken copy trusts that lanes run in lockstep.
template <Code code>
__global__ void warp_exchange(int* values) {
  NORMPROOF_SHARED(int, shared, 32);
  shared[threadIdx.x] = values[threadIdx.x];
  if (code == Code::kCorrect) __syncwarp();
  values[threadIdx.x] = shared[31 - threadIdx.x];
}

bool sums_right(void (*kernel)(int*), Schedule schedule) {
  std::vector<int> sums(2 * kThreads, 8128 * 2);
  std::fill_n(sums.begin(), kThreads, 8128);
  const std::vector<int> wanted = sums;
  std::fill(sums.begin(), sums.end(), 0);
  std::copy(wanted.begin() + kThreads, wanted.end(), sums.begin() + kThreads);  // read_after_write leaves it
  const LaunchResult result =
      launch({.grid = 1, .block = kThreads, .schedule = schedule}, kernel, sums.data());
  EXPECT_TRUE(result) << result.message;
  return sums == wanted;
}

bool exchange_right(void (*kernel)(int*), Schedule schedule) {
  std::vector<int> values(32), wanted(32);
  for (int i = 0; i < 32; ++i) values[i] = wanted[31 - i] = i * i;
  const LaunchResult result = launch({.grid = 1, .block = 32, .schedule = schedule}, kernel, values.data());
  EXPECT_TRUE(result) << result.message;
  return values == wanted;
}

struct Bug {
  const char* name;
  std::function<bool(Code, Schedule)> right;
};

void PrintTo(const Bug& bug, std::ostream* stream) { *stream << bug.name; }

class SeededBugs : public testing::TestWithParam<Bug> {};

TEST_P(SeededBugs, CorrectKernelPassesUnderEverySchedule) {
  EXPECT_TRUE(GetParam().right(Code::kCorrect, {ThreadOrder::kForward}));
  EXPECT_TRUE(GetParam().right(Code::kCorrect, {ThreadOrder::kReverse}));
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    EXPECT_TRUE(GetParam().right(Code::kCorrect, {ThreadOrder::kRandomPriorities, seed})) << "seed " << seed;
  }
}

TEST_P(SeededBugs, BrokenKernelFailsUnderManySchedules) {
#ifdef NORMPROOF_UNDER_TSAN
  GTEST_SKIP() << "ThreadSanitizer reports the race itself";
#endif
  int detections = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    detections += !GetParam().right(Code::kBroken, {ThreadOrder::kRandomPriorities, seed});
  }
  RecordProperty("detections", detections);
  std::printf("%d of %d seeds show it\n", detections, kSeeds);
  EXPECT_GE(detections, kDetectionsDemanded);
}

#ifdef NORMPROOF_UNDER_TSAN
TEST_P(SeededBugs, ThreadSanitizerReportsTheRace) {
  EXPECT_EXIT(
      {
        GetParam().right(Code::kBroken, {ThreadOrder::kForward});
        std::exit(0);
      },
      testing::ExitedWithCode(66), "data race");
}
#endif

INSTANTIATE_TEST_SUITE_P(Host, SeededBugs,
                         testing::Values(Bug{"ReadBeforeBarrier",
                                             [](Code code, Schedule schedule) {
                                               return sums_right(code == Code::kCorrect
                                                                     ? read_after_write<Code::kCorrect>
                                                                     : read_after_write<Code::kBroken>,
                                                                 schedule);
                                             }},
                                         Bug{"SharedMemoryReused",
                                             [](Code code, Schedule schedule) {
                                               return sums_right(code == Code::kCorrect
                                                                     ? reuse<Code::kCorrect>
                                                                     : reuse<Code::kBroken>,
                                                                 schedule);
                                             }},
                                         Bug{"WarpNotSynchronized",
                                             [](Code code, Schedule schedule) {
                                               return exchange_right(code == Code::kCorrect
                                                                         ? warp_exchange<Code::kCorrect>
                                                                         : warp_exchange<Code::kBroken>,
                                                                     schedule);
                                             }}),
                         [](const auto& bug) { return std::string(bug.param.name); });

// One thread writes, the others read without a barrier: right if and only if thread 0 happens to run first.
__global__ void unsynchronized_broadcast(int* values) {
  NORMPROOF_SHARED(int, shared, 1);
  if (threadIdx.x == 0) shared[0] = 1;
  values[threadIdx.x] = shared[0];
}

TEST(Schedules, RandomPrioritiesFindWhatForwardOrderMisses) {
#ifdef NORMPROOF_UNDER_TSAN
  GTEST_SKIP() << "ThreadSanitizer reports the race itself";
#endif
  const std::vector<int> wanted(32, 1);
  const auto run = [](Schedule schedule) {
    std::vector<int> values(32);
    EXPECT_TRUE(
        launch({.grid = 1, .block = 32, .schedule = schedule}, unsynchronized_broadcast, values.data()));
    return values;
  };
  EXPECT_EQ(run({ThreadOrder::kForward}), wanted);
  EXPECT_NE(run({ThreadOrder::kReverse}), wanted);
  int detections = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
    detections += run({ThreadOrder::kRandomPriorities, seed}) != wanted;
  EXPECT_GE(detections, kDetectionsDemanded);
}

}  // namespace
}  // namespace normproof::host
