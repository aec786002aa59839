// AMD's inline assembly and the compiler's functions: what they compute, in waves of WAVE lanes.
#include "assembly.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/host/amd_lanes.h"
#include "kernels/host/amd_program.h"
#include "kernels/host/small_floats.h"

namespace {

using namespace normproof::host;
using Values = std::vector<float>;

constexpr unsigned kWaveLanes = WAVE;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Values every_kind() {
  Values values = {0.0f, -0.0f, kInfinity, -kInfinity, std::nanf(""), 1e-40f, 3.4e38f, -3.4e38f};
  // All signs and exponents, around ties of bf16 and of fp8.
  for (std::uint32_t top = 0; top < 0x200; ++top) {
    for (const std::uint32_t low :
         {0x0u, 0x7fffu, 0x8000u, 0x8001u, 0x18000u, 0x7fffffu, 0x80000u, 0x180000u, 0x180001u})
      values.push_back(std::bit_cast<float>(top << 23 | low));
  }
  return values;
}

TEST(Assembly, RoundsToBf16AsComposableKernelDoes) {
  const Values values = every_kind();
  const Outcome outcome = bf16_by_assembly(values);
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool nan = std::isnan(values[i]);
    const std::uint32_t right = nan ? 0x7fff : round_to_bits(static_cast<double>(values[i]), kBf16, 15);
    ASSERT_EQ(outcome.values[i], static_cast<float>(right)) << values[i];
  }
}

TEST(Assembly, RoundsToFp8) {
  const Values values = every_kind();
  const Outcome outcome = fp8_of(values);
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float* got = outcome.values.data() + 5 * i;
    const std::uint32_t right = round_to_bits(static_cast<double>(values[i]), kE4m3fnuz, 7);
    ASSERT_EQ(got[0], static_cast<float>(right)) << values[i];
    if (!std::isnan(values[i])) {
      const float clamped = std::fmax(-240.0f, std::fmin(values[i], 240.0f));
      ASSERT_EQ(got[1], static_cast<float>(round_to_bits(static_cast<double>(clamped), kE4m3fnuz, 7)));
      ASSERT_EQ(got[4], value_of_bits(static_cast<std::uint32_t>(got[1]), kE4m3fnuz, 7));
    }
    ASSERT_EQ(got[2], 1) << values[i];
    ASSERT_EQ(got[3], 0x0101) << "the other half stays";
  }
  // A median of NaN is the least of the others.
  EXPECT_EQ(fp8_of({std::nanf("")}).values[1], 0xff);
}

TEST(Assembly, ApproximatesWithinOneUnit) {
  const Outcome outcome = approximate_by_assembly(3, false);
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, (Values{1.0f / 3.0f, static_cast<float>(1 / std::sqrt(3.0)), std::sqrt(3.0f),
                                    0.125f, static_cast<float>(std::log2(3.0)), 1, 2.5f, 10, kInfinity, 0}));
  const Values drawn = approximate_by_assembly(3, true).values;
  bool differs = false;
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_LE(std::fabs(drawn[i] - outcome.values[i]), std::fabs(outcome.values[i]) * 0x1p-22f) << i;
    differs = differs || drawn[i] != outcome.values[i];
  }
  EXPECT_TRUE(differs);
  EXPECT_EQ(drawn[9], 0) << "the compiler's function and the instruction are one";
}

TEST(Assembly, WavesAreSummedByMoves) {
  const Outcome outcome = wave_sums_by_moves();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (unsigned thread = 0; thread < 64; ++thread) {
    const unsigned first = thread / kWaveLanes * kWaveLanes, last = first + kWaveLanes - 1;
    const auto sum = static_cast<float>((last + 1) * (last + 2) / 2 - first * (first + 1) / 2);
    if (thread == last) {
      EXPECT_EQ(outcome.values[3 * thread], sum);
    }
    EXPECT_EQ(outcome.values[3 * thread + 1], sum);
    EXPECT_EQ(outcome.values[3 * thread + 2], sum);
  }
}

TEST(Assembly, MovesOfLanes) {
  const Outcome outcome = moves();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  const auto at = [&](unsigned what, unsigned thread) { return outcome.values[64 * what + thread]; };
  for (unsigned thread = 0; thread < 64; ++thread) {
    const unsigned lane = thread % kWaveLanes, in_row = lane % 16;
    const auto value = static_cast<float>(100 + lane);
    EXPECT_EQ(at(0, thread), in_row == 0 ? -1 : value - 1);
    EXPECT_EQ(at(1, thread), in_row == 0 ? 0 : value - 1);
    EXPECT_EQ(at(2, thread), in_row < 8 ? value + 1 : -1) << "banks 0 and 1";
    EXPECT_EQ(at(3, thread), 100 + static_cast<float>(lane ^ 1));
    EXPECT_EQ(at(4, thread), lane < kWaveLanes / 2 ? 101 + 2 * static_cast<float>(lane) : 0)
        << "the last that pushes stays";
    const std::array<unsigned, 4> quad = {3, 3, 0, 1};
    EXPECT_EQ(at(5, thread), lane < 16 ? static_cast<float>(100 + lane / 4 * 4 + quad[lane % 4]) : -1);
    EXPECT_EQ(at(6, thread), static_cast<float>(lane));
    EXPECT_EQ(at(7, thread), 100);
  }
}

TEST(Assembly, LanesThatDoNotRunGiveNothing) {
  const Outcome outcome = moves_in_a_branch();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(Values(outcome.values.begin() + 3, outcome.values.begin() + 8), (Values{-1, 3, 4, 5, 6}));
  EXPECT_EQ(Values(outcome.values.begin() + 11, outcome.values.begin() + 16), (Values{0, 3, 4, 5, 6}));
  EXPECT_EQ(outcome.values[16 + 5], 0);
}

TEST(Assembly, SourcesOfMoves) {
  EXPECT_EQ(dpp_source(0x121, 16, 64), 31u);  // row_ror:1
  EXPECT_EQ(dpp_source(0x12f, 15, 64), 0u);
  EXPECT_EQ(dpp_source(0x130, 15, 64), 16u);  // wave_shl:1
  EXPECT_FALSE(dpp_source(0x130, 63, 64));
  EXPECT_EQ(dpp_source(0x134, 63, 64), 0u);  // wave_rol:1
  EXPECT_FALSE(dpp_source(0x138, 0, 64));
  EXPECT_EQ(dpp_source(0x13c, 0, 64), 63u);
  EXPECT_EQ(dpp_source(0x140, 17, 64), 30u);
  EXPECT_EQ(dpp_source(0x141, 17, 64), 22u);
  EXPECT_FALSE(dpp_source(0x142, 3, 64));
  EXPECT_EQ(dpp_source(0x142, 40, 64), 31u);
  EXPECT_FALSE(dpp_source(0x143, 31, 64));
  EXPECT_EQ(dpp_source(0x143, 50, 64), 31u);
  EXPECT_EQ(dpp_source(0x153, 20, 64), 19u);
  EXPECT_EQ(dpp_source(0x161, 20, 32), 21u);
  EXPECT_THROW(dpp_source(0x142, 20, 32), std::runtime_error);
  EXPECT_THROW(dpp_source(0x111 - 1, 20, 64), std::runtime_error);
}

TEST(Assembly, PackedNumbersAndWords) {
  const Outcome outcome = packed_numbers();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, (Values{4.5f, -10, 3, -12, 1, 6.5f, 2, 4}));
  const Outcome words = words_by_assembly();
  ASSERT_EQ(words.error, 0) << words.message;
  EXPECT_EQ(words.values, (Values{0x1200, 0xdef0, 0x3456, 0x78ff, 0xffff, 0xffff, 0x5678, 0x9abc, 0, 0x178,
                                  0x1234, 0x5677, 0x0b00, 0xea4e, 0, 0}));
}

TEST(Assembly, Memory) {
  const Outcome outcome = memory_by_assembly();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, (Values{4, 5, 6, 7, 2}));
  const Outcome buffered = buffers();
  ASSERT_EQ(buffered.error, 0) << buffered.message;
  EXPECT_EQ(buffered.values, (Values{3, 4, 5, 6, 8, 9, 0, 0, 7, 2, 0, 0xffff, 0}))
      << "beyond its 40 bytes a buffer has zeros";
}

TEST(Assembly, WhatIsNotKnownIsNamedWhenItIsReached) {
  EXPECT_EQ(unknown_assembly(false).error, 0);
  const Outcome outcome = unknown_assembly(true);
  EXPECT_NE(outcome.error, 0);
  EXPECT_TRUE(holds(outcome.message, "assembly.hip:") &&
              holds(outcome.message, "not known: v_mfma_f32_32x32x8_f16"))
      << outcome.message;
  EXPECT_TRUE(
      holds(unwritten_register().message, "register v7 is read, which the statement has not written"));
}

TEST(Assembly, Parses) {
  const auto program = parse_amd(
      "  v_cmp_lt_f32_e64 s[0:1], -|%0|, neg(%[b]) ; why\n\nv_add_f32 v0, 0x10, -1.5 quad_perm:[0,1,2,3] "
      "clamp // so");
  ASSERT_EQ(program.size(), 2u);
  EXPECT_EQ(program[0].name, "v_cmp_lt_f32");
  ASSERT_EQ(program[0].arguments.size(), 3u);
  EXPECT_EQ(program[0].arguments[0].name, "s[0:1]");
  EXPECT_TRUE(program[0].arguments[1].negative && program[0].arguments[1].magnitude);
  EXPECT_TRUE(program[0].arguments[2].negative && program[0].arguments[2].name == "b");
  ASSERT_EQ(program[1].arguments.size(), 3u);
  EXPECT_EQ(program[1].arguments[1].bits, 16u);
  EXPECT_EQ(program[1].arguments[2].number, -1.5);
  EXPECT_TRUE(program[1].has("clamp"));
  EXPECT_EQ(program[1].modifier("quad_perm", 9, 3), 3);
  EXPECT_THROW(parse_amd("v_mov_b32 v0, v1 dst_sel:WORD_1"), std::runtime_error);
}

}  // namespace
