// Inline PTX, as norm kernels have it: what it computes.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "kernels/host/ptx_program.h"
#include "kernels/host/test/hosted/ptx.h"

namespace {

using Values = std::vector<float>;

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(InlinePtx, Arithmetic) {
  const Outcome outcome = ptx_arithmetic(false);
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  const float third = std::nextafter(1.0f / 3.0f, 0.0f);
  EXPECT_EQ(Values(outcome.values.begin(), outcome.values.begin() + 6),
            (Values{0.5f, 0.25f, 8, 3, 10, 1.0f / 3.0f - third}));
  EXPECT_TRUE(std::isnan(outcome.values[6]));
  EXPECT_EQ(outcome.values[7], 0) << "subnormal numbers are flushed";
  EXPECT_NE(ptx_arithmetic(true).values, outcome.values) << "approximate results are drawn within the bound";
}

TEST(InlinePtx, Conversions) {
  const Outcome outcome = ptx_conversions();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, (Values{3, 1, 10, 448, 0.5f, 65504, -128, -7, 6, 1}));
}

TEST(InlinePtx, OfTheWarp) {
  const Outcome outcome = ptx_of_the_warp();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (int i = 0; i < 32; ++i) {
    const auto lane = static_cast<float>(i);
    EXPECT_EQ(Values(outcome.values.begin() + 6 * i, outcome.values.begin() + 6 * i + 6),
              (Values{496, -9, 0xaaaa, lane, i == 0 ? 0.0f : lane - 1, i == 0 ? 0.0f : 1.0f}));
  }
}

TEST(InlinePtx, Memory) {
  const Outcome outcome = ptx_memory(4);
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (int i = 0; i < 32; ++i)
    EXPECT_EQ(outcome.values[static_cast<std::size_t>(i)],
              static_cast<float>(4 + 4 * (31 - i) + 3 + 4 + 4 * i));
  EXPECT_EQ(outcome.values[32], 8);
  const Outcome misaligned = ptx_memory(1);
  EXPECT_NE(misaligned.error, 0);
  EXPECT_TRUE(mentions(misaligned.message, "16 bytes at an address that is 4 above a multiple of 16"))
      << misaligned.message;
}

TEST(InlinePtx, PredicatesNamesAndImmediates) {
  const Outcome outcome = ptx_predicates();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  EXPECT_EQ(outcome.values, (Values{8, 6.5f, 0x71234, 0x712, 79, 14}));
}

TEST(InlinePtx, WhatIsWrongIsNamed) {
  const Outcome outcome = ptx_that_is_wrong();
  EXPECT_NE(outcome.error, 0);
  EXPECT_TRUE(mentions(outcome.message, "there is no operand %2")) << outcome.message;
  EXPECT_TRUE(mentions(outcome.message, "ptx.cu:")) << outcome.message;
}

TEST(InlinePtx, LabelsAndBranches) {
  const Outcome outcome = ptx_branches();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (std::size_t thread = 0; thread < 8; ++thread) {
    EXPECT_EQ(outcome.values[3 * thread], 55);
    EXPECT_EQ(outcome.values[3 * thread + 1], thread > 5 ? 2 : 1) << thread;
    EXPECT_EQ(outcome.values[3 * thread + 2], thread == 0 ? 3 : 4) << thread;
  }
  EXPECT_TRUE(
      mentions(ptx_endless(false).message, "a loop that does not end after 1048576 branches: bra AGAIN"));
  EXPECT_TRUE(mentions(ptx_endless(true).message, "there is no label: bra NOWHERE"));
}

TEST(InlinePtx, BarriersOfSomeThreads) {
  const std::vector<float> right = [] {
    std::vector<float> values(128, 1);
    for (std::size_t i = 64; i < 128; ++i) values[i] = static_cast<float>(127 - i);
    return values;
  }();
  bool seen = false;
  for (unsigned seed = 0; seed < 20; ++seed) {
    const Outcome outcome = ptx_named_barriers(true, 128, seed);
    ASSERT_EQ(outcome.error, 0) << outcome.message;
    EXPECT_EQ(outcome.values, right) << seed;
    seen = seen || ptx_named_barriers(false, 128, seed).values != right;
  }
  EXPECT_TRUE(seen) << "without the barrier some order shows it";
  const Outcome other = ptx_named_barriers(true, 96);
  EXPECT_NE(other.error, 0);
  EXPECT_TRUE(mentions(other.message, " threads, while others wait for ")) << other.message;
  EXPECT_TRUE(mentions(ptx_named_barriers(true, 40).message,
                       "40 threads, of a block of 128, are no multiple of a warp"));
}

TEST(Atomics, Of16Bytes) {
  const Outcome outcome = wide_atomics();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  float sum = 0;
  for (std::size_t i = 0; i < 32; ++i) sum += outcome.values[i];
  EXPECT_EQ(sum, 32) << "each exchange gives what another had put";
  EXPECT_EQ(outcome.values[32], 8) << "the first is a swap, the second is none";
  EXPECT_EQ(outcome.values[33], 7);
}

TEST(PtxProgram, Labels) {
  const auto program =
      normproof::host::parse_ptx("$L_1: add.s32 %0, %0, 1; @p bra $L_1; ld.shared::cta.u32 %0, [%1];");
  ASSERT_EQ(program.size(), 4u);
  EXPECT_TRUE(program[0].is_label);
  EXPECT_EQ(program[0].text, "$L_1");
  EXPECT_EQ(program[2].operands[0].name, "$L_1");
  EXPECT_EQ(program[3].words[1], "shared::cta");
}

TEST(PtxProgram, StatementsAndOperands) {
  const auto program =
      normproof::host::parse_ptx("{ .reg .pred p; @!p st.global.v2.f32 [%0 + 8], {%1, %[b]}; bar.sync 0; }");
  ASSERT_EQ(program.size(), 2u);
  EXPECT_EQ(program[0].words, (std::vector<std::string>{"st", "global", "v2", "f32"}));
  ASSERT_EQ(program[0].operands.size(), 2u);
  EXPECT_TRUE(program[0].guard.at(0).negated);
  EXPECT_EQ(program[0].operands[1].elements.at(1).name, "b");
  for (const char* text :
       {"", ";", "{", "}", "{}}", "@", "ld", "ld.", "mov.b32 {", "mov.b32 %0, [", "%", "/*", "a|b", "x !"}) {
    try {
      normproof::host::parse_ptx(text);
    } catch (const std::runtime_error&) {  // NOLINT(bugprone-empty-catch): an error is an answer
    }
  }
}

}  // namespace
