// Constructs that published kernels have: they compile as they are, and compute what CUDA computes.
#include <gtest/gtest.h>

#include "kernels/host/test/hosted/constructs.h"

namespace {

using Values = std::vector<float>;

void expect_values(const Outcome& outcome, const Values& wanted) {
  EXPECT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, wanted);
}

TEST(HostedConstructs, RawPairsOfHalves) { expect_values(raw_pair(), {0, 1}); }
TEST(HostedConstructs, PragmasInMacros) { expect_values(pragma_in_a_macro(), {0, 1, 2, 3}); }
TEST(HostedConstructs, StructsWithUnderscores) { expect_values(underscored_struct(), {1.5f}); }
TEST(HostedConstructs, TilesOfANamedBlock) { expect_values(tile_of_a_named_block(), {32}); }
TEST(HostedConstructs, FunctionObjects) { expect_values(function_objects(), {7, 6, 3}); }

TEST(HostedConstructs, PtxTrapsByNameWhereItIsReached) {
  expect_values(ptx_that_nobody_calls(), {1});
  const Outcome reached = ptx_that_nobody_knows();
  EXPECT_NE(reached.error, 0);
  EXPECT_NE(reached.message.find("wmma.load.a.sync"), std::string::npos) << reached.message;
  EXPECT_NE(reached.message.find("constructs.cu:"), std::string::npos) << reached.message;
}

TEST(HostedConstructs, ShufflesOfSmallTypes) {
  Values wanted(96);
  for (int i = 0; i < 32; ++i) {
    const auto at = [&](int index) -> float& { return wanted[static_cast<std::size_t>(index)]; };
    at(i) = static_cast<float>(i + (i ^ 1));
    at(32 + i) = static_cast<float>(i % 2 == 0 ? -i - (i + 1) : -2 * i);
    at(64 + i) = 8 * 200 + 28 + 203;
  }
  expect_values(shuffles_of_small_types(), wanted);
}

TEST(HostedConstructs, ReductionsOfAWarp) {
  const Outcome outcome = reductions_of_a_warp();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (std::size_t lane = 0; lane < 32; ++lane) {
    if (lane % 2 == 0) {
      EXPECT_EQ(outcome.values[lane * 4], -16) << "16 lanes from -16 to 14";
      EXPECT_EQ(outcome.values[lane * 4 + 1], -16);
      EXPECT_EQ(outcome.values[lane * 4 + 2], static_cast<float>(-2 + 4294967296.0)) << "unsigned";
      EXPECT_EQ(outcome.values[lane * 4 + 3], 15 * 100 + 1 * 10 + 0);
    }
    EXPECT_EQ(outcome.values[128 + lane],
              static_cast<float>((0xffffffffu << (lane / 8 * 8) >> (lane / 8 * 8) & 0xff) + 7000));
  }
}

}  // namespace
