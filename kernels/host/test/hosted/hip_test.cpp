// HIP sources on the CPU, in waves of WAVE lanes.
#include "hip.h"

#include <gtest/gtest.h>

#include <cmath>

namespace {

constexpr int kWave = WAVE;
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Hip, WavesAreSummedByShuffles) {
  const Outcome outcome = wave_sums();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (int lane = 0; lane < 64; ++lane)
    EXPECT_EQ(outcome.values[static_cast<std::size_t>(lane)], kWave == 64 ? 2016 : lane < 32 ? 496 : 1520);
  // What 32 lanes would be summed by leaves the upper half of 64 out.
  EXPECT_EQ(outcome.values[64], 496);
}

TEST(Hip, BallotsHave64Bits) {
  const Outcome outcome = ballots(64);
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, (std::vector<float>{kWave, kWave == 64, 32, 1}));
  EXPECT_EQ(ballots(48).values, (std::vector<float>{kWave == 64 ? 48.f : 32.f, kWave == 64, 32, 1}));
}

TEST(Hip, LanesOfABranchRunTogether) {
  const Outcome outcome = branches();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (int i = 0; i < 64; ++i) {
    const int thread = (i + 1) % 64, lane = thread % kWave, first = thread - lane;
    const float in_branch = lane < 10 ? 3 : 20, eleventh = 20;
    EXPECT_EQ(outcome.values[static_cast<std::size_t>(i)], in_branch + eleventh + float(lane % 3)) << first;
  }
}

TEST(Hip, TheOtherBranchIsNotThere) {
  const Outcome outcome = reads_from_the_other_branch();
  EXPECT_NE(outcome.error, 0);
  EXPECT_TRUE(has(outcome.message, "__shfl at ")) << outcome.message;
  EXPECT_TRUE(has(outcome.message, "reads from lane 12, which does not take part")) << outcome.message;
}

TEST(Hip, SegmentsAndMasks) {
  const Outcome outcome = segments();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values[0], 5);
  EXPECT_EQ(outcome.values[63], 37);
  const Outcome masked = mask_of_32_bits();
  if (kWave == 64) {
    EXPECT_NE(masked.error, 0);
    EXPECT_TRUE(has(masked.message, "mask 0xffffffff) at")) << masked.message;
    EXPECT_TRUE(has(masked.message, "called by lane 32, which is not in the mask")) << masked.message;
  } else {
    EXPECT_EQ(masked.error, 0) << masked.message;
    EXPECT_EQ(masked.values[63], 62);
  }
}

TEST(Hip, BlocksAreSummed) {
  for (const int threads : {64, 256, 1024}) {
    const Outcome outcome = block_sums(threads);
    ASSERT_EQ(outcome.error, 0) << outcome.message;
    const float sum = float(threads) * float(threads - 1) / 2;
    EXPECT_EQ(outcome.values, (std::vector<float>{sum, sum})) << threads;
  }
}

TEST(Hip, TheDeviceSaysItsWaves) {
  EXPECT_EQ(device_properties().values, (std::vector<float>{kWave, kWave, kWave, kWave == 64}));
}

TEST(Hip, SmallNumbers) {
  const Outcome outcome = small_numbers();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values[0], 240) << "saturated";
  EXPECT_EQ(outcome.values[1], 240);
  EXPECT_FALSE(std::signbit(outcome.values[2])) << "one zero";
  EXPECT_TRUE(std::isnan(outcome.values[3])) << "an infinity is NaN";
  EXPECT_EQ(outcome.values[4], 1) << "a tie to even";
  const std::vector<float> bits(outcome.values.begin() + 5, outcome.values.begin() + 10);
  EXPECT_EQ(bits, (std::vector<float>{0x7f, 0x7f, 0, 0x80, 0x40}));
  EXPECT_EQ(outcome.values[10], 1) << "a tie to even";
  EXPECT_EQ(outcome.values[11], 3);
  EXPECT_EQ(outcome.values[12], 448);
  EXPECT_EQ(outcome.values[13], -4);
  EXPECT_EQ(outcome.values[14], 10.5f) << "vectors compute";
  EXPECT_EQ(outcome.values[15], 612);
}

TEST(Hip, FunctionsOfTheCompiler) {
  const Outcome outcome = compiler_functions();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, (std::vector<float>{5, 8, 0.25f}));
}

}  // namespace
