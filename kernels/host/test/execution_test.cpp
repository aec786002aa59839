// Coordinates, warp operations, memory, schedules and OS threads: what a kernel may rely on.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kernels/host/launch.h"
#include "kernels/host/test/schedules.h"

#include "kernels/host/cuda_on_host.h"

namespace normproof::host {
namespace {

constexpr unsigned kAllLanes = 0xffffffffu;

class Execution : public testing::TestWithParam<Schedule> {
 protected:
  ScopedSchedule scoped_{GetParam()};
};

TEST_P(Execution, EveryThreadOfTheGridRunsOnce) {
  const dim3 grid{3, 4, 2}, block{5, 3, 2};
  std::vector<int> visits(3 * 4 * 2 * 5 * 3 * 2);
  const LaunchResult result = launch({.grid = grid, .block = block}, [&] {
    const unsigned in_block = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const unsigned block_index = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    ++visits[block_index * (blockDim.x * blockDim.y * blockDim.z) + in_block];
  });
  ASSERT_TRUE(result) << result.message;
  EXPECT_EQ(visits, std::vector<int>(visits.size(), 1));
}

// Source lanes by the letter of the PTX manual's shfl pseudocode, all widths and amounts.
int manual_source(int lane, int amount, int width, const char* mode) {
  const int segment = lane / width * width;
  if (std::strcmp(mode, "idx") == 0) return segment + amount % width;
  if (std::strcmp(mode, "up") == 0) return lane - amount >= segment ? lane - amount : lane;
  if (std::strcmp(mode, "down") == 0) return lane + amount < segment + width ? lane + amount : lane;
  return (lane ^ amount) < segment + width ? lane ^ amount : lane;
}

template <class T>
void check_shuffles(T scale) {
  for (int width = 1; width <= 32; width *= 2) {
    for (int amount = 0; amount < 32; ++amount) {
      std::array<std::array<T, 4>, 32> got{};
      const LaunchResult result = launch({.grid = 1, .block = 32}, [&] {
        const T value = static_cast<T>(threadIdx.x) * scale;
        got[threadIdx.x] = {__shfl_sync(kAllLanes, value, amount, width),
                            __shfl_up_sync(kAllLanes, value, static_cast<unsigned>(amount), width),
                            __shfl_down_sync(kAllLanes, value, static_cast<unsigned>(amount), width),
                            __shfl_xor_sync(kAllLanes, value, amount, width)};
      });
      ASSERT_TRUE(result) << result.message;
      for (int lane = 0; lane < 32; ++lane) {
        const auto wanted = [&](const char* mode) {
          return static_cast<T>(manual_source(lane, amount, width, mode)) * scale;
        };
        ASSERT_EQ(got[lane], (std::array<T, 4>{wanted("idx"), wanted("up"), wanted("down"), wanted("xor")}))
            << "lane " << lane << " amount " << amount << " width " << width;
      }
    }
  }
}

TEST_P(Execution, Shuffles32Bit) { check_shuffles<float>(0.75f); }
TEST_P(Execution, Shuffles64Bit) { check_shuffles<std::int64_t>(0x123456789a); }

TEST_P(Execution, Votes) {
  for (const unsigned predicates : {0u, kAllLanes, 0x80000001u}) {
    std::vector<unsigned> ballots(40);
    std::vector<int> any(40), all(40), block_or(40), block_and(40), count(40);
    const LaunchResult result = launch({.grid = 1, .block = 40}, [&] {
      const int predicate = predicates >> threadIdx.x % 32 & 1;
      ballots[threadIdx.x] = __ballot_sync(kAllLanes, predicate);
      any[threadIdx.x] = __any_sync(kAllLanes, predicate);
      all[threadIdx.x] = __all_sync(kAllLanes, predicate);
      block_or[threadIdx.x] = __syncthreads_or(predicate);
      block_and[threadIdx.x] = __syncthreads_and(predicate);
      count[threadIdx.x] = __syncthreads_count(predicate);
    });
    ASSERT_TRUE(result) << result.message;
    const int total = __popc(predicates) + __popc(predicates & 0xff);
    for (unsigned i = 0; i < 40; ++i) {
      const unsigned lanes = i < 32 ? kAllLanes : 0xffu;
      EXPECT_EQ(ballots[i], predicates & lanes);
      EXPECT_EQ(any[i] != 0, (predicates & lanes) != 0);
      EXPECT_EQ(all[i] != 0, (predicates & lanes) == lanes);
      EXPECT_EQ(block_or[i] != 0, total != 0);
      EXPECT_EQ(block_and[i] != 0, total == 40);
      EXPECT_EQ(count[i], total);
    }
  }
}

TEST_P(Execution, SharedMemoryIsPoisonedInEveryBlock) {
  std::vector<unsigned> first_seen(64);
  const LaunchResult result =
      launch({.grid = 2, .block = 32, .dynamic_shared_bytes = 32 * sizeof(unsigned)}, [&] {
        NORMPROOF_SHARED(unsigned, fixed, 32);
        NORMPROOF_DYNAMIC_SHARED(unsigned, dynamic);
        static_assert(sizeof(fixed) == 32 * sizeof(unsigned));
        first_seen[blockIdx.x * 32 + threadIdx.x] = fixed[threadIdx.x] & dynamic[threadIdx.x];
        __syncthreads();
        fixed[31 - threadIdx.x] = dynamic[31 - threadIdx.x] = 0;
      });
  ASSERT_TRUE(result) << result.message;
  EXPECT_EQ(first_seen, std::vector<unsigned>(64, 0xffffffffu));
}

TEST_P(Execution, SharedDeclarationsDoNotOverlap) {
  bool apart = true;
  const LaunchResult result = launch({.grid = 2, .block = 64}, [&] {
    NORMPROOF_SHARED(float4, vectors, 64);
    NORMPROOF_SHARED(char, bytes, 64);
    vectors[threadIdx.x] = {1, 2, 3, static_cast<float>(threadIdx.x)};
    bytes[threadIdx.x] = static_cast<char>(threadIdx.x);
    __syncthreads();
    const unsigned other = 63 - threadIdx.x;
    if (vectors[other].w != static_cast<float>(other) || bytes[other] != static_cast<char>(other))
      apart = false;
  });
  ASSERT_TRUE(result) << result.message;
  EXPECT_TRUE(apart);
}

TEST_P(Execution, Atomics) {
  unsigned count = 0;
  float sum = 0;
  int smallest = 100, largest = -100;
  const LaunchResult result = launch({.grid = 4, .block = 32}, [&] {
    atomicAdd(&count, 1);
    atomicAdd(&sum, 0.5f);
    atomicMin(&smallest, static_cast<int>(threadIdx.x) - 7);
    atomicMax(&largest, static_cast<int>(threadIdx.x));
  });
  ASSERT_TRUE(result) << result.message;
  EXPECT_EQ(count, 128u);
  EXPECT_EQ(sum, 64.0f);
  EXPECT_EQ(smallest, -7);
  EXPECT_EQ(largest, 31);
}

TEST_P(Execution, OsThreadsLaunchAtTheSameTime) {
  std::array<int, 2> wrong{};
  const auto work = [&](int id) {
    const ScopedSchedule scoped(GetParam());
    for (int round = 0; round < 200; ++round) {
      std::vector<int> values(64);
      const LaunchResult result = launch({.grid = 1, .block = 64}, [&] {
        NORMPROOF_SHARED(int, shared, 64);
        shared[threadIdx.x] = id * 1000 + static_cast<int>(threadIdx.x);
        __syncthreads();
        values[threadIdx.x] = shared[63 - threadIdx.x];
      });
      for (int i = 0; i < 64; ++i) wrong[id] += !result || values[i] != id * 1000 + 63 - i;
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  EXPECT_EQ(wrong, (std::array<int, 2>{}));
}

INSTANTIATE_TEST_SUITE_P(Schedules, Execution, testing::ValuesIn(all_schedules()), schedule_name);

// The order in which threads reach their first statement.
std::vector<unsigned> order_of_threads(Schedule schedule, unsigned threads) {
  std::vector<unsigned> order;
  EXPECT_TRUE(
      launch({.grid = 1, .block = threads, .schedule = schedule}, [&] { order.push_back(threadIdx.x); }));
  return order;
}

TEST(ThreadSchedule, OrdersAreWhatTheySay) {
#ifdef NORMPROOF_UNDER_TSAN
  GTEST_SKIP() << "the kernel races on purpose";
#endif
  std::vector<unsigned> forward(96);
  for (unsigned i = 0; i < 96; ++i) forward[i] = i;
  EXPECT_EQ(order_of_threads({ThreadOrder::kForward}, 96), forward);
  std::set<std::vector<unsigned>> orders;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Schedule schedule{ThreadOrder::kRandomPriorities, seed};
    std::vector<unsigned> order = order_of_threads(schedule, 96);
    EXPECT_EQ(order, order_of_threads(schedule, 96)) << "not repeatable";
    orders.insert(order);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, forward) << "not a permutation";
  }
  EXPECT_GE(orders.size(), 35u);  // a quarter of the seeds order whole warps forward: six orders
  std::reverse(forward.begin(), forward.end());
  EXPECT_EQ(order_of_threads({ThreadOrder::kReverse}, 96), forward);
}

TEST(ThreadSchedule, IsScopedAndPerOsThread) {
  set_thread_schedule({ThreadOrder::kForward});
  {
    const ScopedSchedule scoped({ThreadOrder::kRandomPriorities, 5});
    EXPECT_EQ(static_cast<int>(thread_schedule().order), static_cast<int>(ThreadOrder::kRandomPriorities));
    EXPECT_EQ(thread_schedule().seed, 5u);
    std::thread([] {
      EXPECT_EQ(static_cast<int>(thread_schedule().order), static_cast<int>(ThreadOrder::kForward));
    }).join();
  }
  EXPECT_EQ(static_cast<int>(thread_schedule().order), static_cast<int>(ThreadOrder::kForward));
}

TEST(ThreadSchedule, BlockOrderIsAPermutation) {
  for (const std::uint64_t count : {1ull, 2ull, 7ull, 64ull, 1000ull}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      for (const ThreadOrder order :
           {ThreadOrder::kForward, ThreadOrder::kReverse, ThreadOrder::kRandomPriorities}) {
        const BlockOrder blocks({order, seed}, count);
        std::set<std::uint64_t> seen;
        for (std::uint64_t i = 0; i < count; ++i) seen.insert(blocks[i]);
        EXPECT_EQ(seen.size(), count);
        EXPECT_EQ(*seen.rbegin(), count - 1);
        if (order == ThreadOrder::kForward) {
          EXPECT_EQ(blocks[0], 0u);
        }
        if (order == ThreadOrder::kReverse) {
          EXPECT_EQ(blocks[0], count - 1);
        }
      }
    }
  }
  // Past 2^32 blocks the arithmetic must not wrap.
  const std::uint64_t huge = 0x7fffffffull * 65535 * 65535;
  EXPECT_LT(BlockOrder({ThreadOrder::kRandomPriorities, 1}, huge)[huge - 1], huge);
  EXPECT_EQ(BlockOrder({ThreadOrder::kReverse}, huge)[huge - 1], 0u);
}

[[maybe_unused]] void write_beyond_shared_memory(unsigned index) {
  (void)launch({.grid = 1, .block = 32}, [&] {
    NORMPROOF_DYNAMIC_SHARED(int, unused);
    NORMPROOF_SHARED(int, shared, 32);
    int* const pointer = shared;
    (void)unused;
    pointer[threadIdx.x + index] = 1;
  });
}

TEST(MemoryDeathTest, SharedMemoryHasRedzones) {
#if defined(NORMPROOF_UNDER_ASAN)
  write_beyond_shared_memory(0);
  EXPECT_DEATH(write_beyond_shared_memory(1), "heap-buffer-overflow");
#else
  GTEST_SKIP() << "only AddressSanitizer sees it";
#endif
}

// Grows the stack in steps of less than a page until it is `bytes` below `top`.
__noinline__ int descend(const char* top, std::ptrdiff_t bytes) {
  volatile char frame[512];
  frame[0] = 1;
  const char* const here = static_cast<const char*>(__builtin_frame_address(0));
  return top - here > bytes ? 0 : descend(top, bytes) + frame[0];  // not a tail call, so the frames stay
}

// Below the stack of thread 0 lie its guard page and then the stack of thread 1, where an overflow would do
// harm.
TEST(MemoryDeathTest, StackOverflowHitsTheGuardPage) {
#if defined(NORMPROOF_UNDER_ASAN) || defined(NORMPROOF_UNDER_TSAN)
  const std::ptrdiff_t stack_bytes = 256 * 1024;
#else
  const std::ptrdiff_t stack_bytes = 64 * 1024;
#endif
  int frames = 0;
  const auto use = [&](std::ptrdiff_t bytes) {
    return launch({.grid = 1, .block = 32}, [&] {
      if (threadIdx.x == 0) frames = descend(static_cast<const char*>(__builtin_frame_address(0)), bytes);
    });
  };
  EXPECT_TRUE(use(stack_bytes * 3 / 4));
  EXPECT_GT(frames, 10);
  EXPECT_DEATH((void)use(stack_bytes + 1024), "");
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The program that the README shows is built and run as a test of its own.
TEST(Readme, ShowsTheProgramThatIsTested) {
  const std::string folder = NORMPROOF_SOURCE_DIR "/kernels/host/";
  const std::string program = text_of(folder + "test/readme_example.cpp");
  ASSERT_FALSE(program.empty());
  EXPECT_NE(text_of(folder + "README.md").find("```cpp\n" + program + "```"), std::string::npos);
}

}  // namespace
}  // namespace normproof::host
