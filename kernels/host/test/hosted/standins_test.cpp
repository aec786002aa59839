// CUB, cooperative groups, libcu++, asynchronous copies and the libraries that do not exist on the CPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/host/test/hosted/standins.h"

namespace {

using Values = std::vector<float>;

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(StandIns, BlockScans) {
  const Outcome outcome = block_scans();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (int i = 0; i < 96; ++i) {
    const auto at = [&](int part) { return outcome.values[static_cast<std::size_t>(96 * part + i)]; };
    EXPECT_EQ(at(0), static_cast<float>((i + 1) * (i + 2) / 2));
    EXPECT_EQ(at(1), static_cast<float>(std::max(i, 5)));
    EXPECT_EQ(at(2), 96 * 97 / 2);
    EXPECT_EQ(at(3), static_cast<float>(i + i * (i - 1) / 2 + 1));
  }
}

TEST(StandIns, WarpScans) {
  const Outcome outcome = warp_scans();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  int sum = 0;
  for (int i = 0; i < 32; ++i) {
    if (i == 16) sum = 0;
    EXPECT_EQ(outcome.values[static_cast<std::size_t>(i)], static_cast<float>((sum + i) * 1000 + sum));
    sum += i;
  }
}

TEST(StandIns, BlockLoadsAndStores) {
  const Outcome outcome = block_load_and_store(false, 1);
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (int thread = 0; thread < 32; ++thread) {
    for (int item = 0; item < 4; ++item) {
      const int loaded = thread * 4 + item, stored = thread + 32 * item;
      const float wanted = stored >= 120 ? 0.0f : loaded < 100 ? static_cast<float>(-(loaded + 1)) : 1.0f;
      EXPECT_EQ(outcome.values[static_cast<std::size_t>(stored)], wanted) << stored;
    }
  }
  EXPECT_EQ(block_load_and_store(true, 4).error, 0);
  const Outcome misaligned = block_load_and_store(true, 1);
  EXPECT_NE(misaligned.error, 0);
  EXPECT_TRUE(holds(misaligned.message, "4 above a multiple of 16")) << misaligned.message;
}

TEST(StandIns, LabeledGroups) {
  const Outcome outcome = labeled_groups();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (int i = 0; i < 32; ++i) {
    const int lane = i % 16, label = lane % 3, size = label == 0 ? 6 : 5;
    int sum = 0;
    for (int other = label; other < 16; other += 3) sum += i / 16 * 16 + other;
    const Values wanted = {static_cast<float>(lane / 3), static_cast<float>(size),
                           static_cast<float>(label * 10 + 3), static_cast<float>(sum),
                           static_cast<float>(i)};
    EXPECT_EQ(Values(outcome.values.begin() + 5 * i, outcome.values.begin() + 5 * i + 5), wanted) << i;
  }
}

TEST(StandIns, LimitsOfSmallTypes) {
  EXPECT_EQ(limits_of_small_types().values,
            (Values{65504, 0x1p-14f, 0x1p-7f, 448, -448, 0x1p-16f, -INFINITY}));
}

TEST(StandIns, AsynchronousCopiesHappenWhenTheyAreWaitedFor) {
  EXPECT_EQ(copied_asynchronously(Wait::pipeline).values[0], 28 + 127);
  EXPECT_EQ(copied_asynchronously(Wait::primitives).values[0], 28) << "the last four bytes become zero";
  const Outcome stages = copied_asynchronously(Wait::libcu);
  EXPECT_EQ(stages.values[0], 28 + 127);
  EXPECT_TRUE(std::isnan(stages.values[1])) << "the second stage has not been waited for";
  EXPECT_TRUE(std::isnan(copied_asynchronously(Wait::never).values[0])) << "a missing wait shows";
}

TEST(StandIns, LibrariesFailByName) {
  for (const auto& [library, name] : {std::pair("cublas", "cublasCreate"),
                                      {"cudnn", "cudnnCreate"},
                                      {"graphs", "cudaGraphCreate"},
                                      {"driver", "cuCtxGetCurrent"}}) {
    const Outcome outcome = library_call(library);
    EXPECT_NE(outcome.error, 0);
    EXPECT_TRUE(holds(outcome.message, std::string(name) + " cannot be had on the CPU")) << outcome.message;
  }
  const Outcome random = random_numbers();
  EXPECT_NE(random.error, 0);
  EXPECT_TRUE(holds(random.message, "curand_init cannot be had on the CPU")) << random.message;
}

TEST(StandIns, MatrixOperationsFailByName) {
  const Outcome outcome = matrix_operation();
  EXPECT_NE(outcome.error, 0);
  EXPECT_TRUE(holds(outcome.message, "fill_fragment cannot be had on the CPU")) << outcome.message;
}

TEST(StandIns, LaunchAttributesAndOccupancy) {
  const Outcome launched = launch_attributes();
  EXPECT_EQ(launched.error, 0) << launched.message;
  EXPECT_EQ(launched.values, (Values{1}));
  EXPECT_EQ(occupancy().values, (Values{8, 512, 4 * 132, 113 * 1024, 1024, 1}));
}

TEST(StandIns, SymbolsAndRectangles) {
  const Outcome outcome = symbols_and_rectangles();
  EXPECT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, (Values{15, 6, 1, 2, 3, 4, 5, 6}));
  EXPECT_TRUE(holds(too_much_for_a_symbol().message, "more bytes than the symbol has"));
}

TEST(StandIns, HelpersOfLibcuAndThrust) {
  const Outcome outcome = small_helpers();
  EXPECT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, (Values{3, 12, 8, 9.5f, 4.5f}));
  EXPECT_TRUE(holds(barrier_of_libcu().message, "cuda::barrier::arrive_and_wait cannot be had on the CPU"));
}

}  // namespace
