// Unmodified CUDA, through the source pass and against the stand-in headers: what it computes, and what is
// refused.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "kernels/host/approximate_math.h"
#include "kernels/host/small_floats.h"
#include "kernels/host/test/hosted/vocabulary.h"

namespace {

using namespace normproof::host;

constexpr int kInvalidValue = 1, kInvalidConfiguration = 9, kMisalignedAddress = 716, kLaunchFailure = 719,
              kNotSupported = 801;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(HostedCuda, CubBlockSumOfTheValidThreads) {
  for (const auto& [threads, valid] :
       {std::pair(32, 32), {256, 256}, {256, 100}, {96, 33}, {64, 1}, {40, 40}}) {
    const Outcome outcome = cub_block_sum(threads, valid);
    ASSERT_EQ(outcome.error, 0) << outcome.message;
    const int sum = valid * (valid + 1) / 2;
    EXPECT_EQ(outcome.values[0], static_cast<float>(sum)) << threads << " " << valid;
  }
  EXPECT_TRUE(std::isnan(cub_block_sum(32, 32).values[1])) << "thread 0 alone has the sum";
}

TEST(HostedCuda, CubWarpSumsOfLogicalWarps) {
  EXPECT_EQ(cub_warp_sums().values, (std::vector<float>{120, 376}));
}

TEST(HostedCuda, TilesOfABlock) {
  const Outcome outcome = tile_sums();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (int i = 0; i < 32; ++i) {
    const int first = i / 8 * 8, counted = i / 8 * 100 + i % 8;
    EXPECT_EQ(outcome.values[static_cast<std::size_t>(i)], static_cast<float>(8 * first + 28));
    EXPECT_EQ(outcome.values[static_cast<std::size_t>(32 + i)], static_cast<float>(first + 7));
    EXPECT_EQ(outcome.values[static_cast<std::size_t>(64 + i)], static_cast<float>(counted));
  }
}

TEST(HostedCuda, SharedVariablesOfManyForms) {
  const Outcome outcome = shared_forms();
  ASSERT_EQ(outcome.error, 0) << outcome.message;
  for (int i = 0; i < 16; ++i)
    EXPECT_EQ(outcome.values[static_cast<std::size_t>(i)], static_cast<float>(i + 7 + 3 + i % 4 + 1) + 0.5f);
}

TEST(HostedCuda, DynamicSharedMemory) {
  for (const Way way : {Way::brackets, Way::launch_kernel, Way::launch_kernel_ex}) {
    const Outcome outcome = dynamic_shared(4096, way, false);
    ASSERT_EQ(outcome.error, 0) << outcome.message;
    EXPECT_EQ(outcome.values[0], 1023);
  }
  const Outcome too_much = dynamic_shared(64 << 10, Way::launch_kernel_ex, false);
  EXPECT_EQ(too_much.error, kInvalidValue);
  EXPECT_TRUE(has(too_much.message,
                  "65536 bytes of dynamic shared memory; cudaFuncSetAttribute allowed this kernel 49152"))
      << too_much.message;
  EXPECT_EQ(dynamic_shared(64 << 10, Way::launch_kernel_ex, true).values[0], (64 << 8) - 1);
  EXPECT_EQ(dynamic_shared(300 << 10, Way::launch_kernel, true).error, kInvalidValue);
  EXPECT_EQ(dynamic_shared(300 << 10, Way::brackets, false).error, kInvalidConfiguration);
}

TEST(HostedCuda, WhatTheCpuCannotDoIsRefused) {
  const Outcome outcome = cooperative_launch();
  EXPECT_EQ(outcome.error, kNotSupported);
  EXPECT_TRUE(has(outcome.message, "cooperative")) << outcome.message;
}

TEST(HostedCuda, MisalignedAccessesNameTheirLine) {
  for (const Access access : {Access::member, Access::copy, Access::c_cast})
    EXPECT_EQ(misaligned(4, access).values, (std::vector<float>{5, 1}));
  for (int repetition = 0; repetition < 100; ++repetition) {  // no stack fills up with what was left behind
    for (const Access access : {Access::member, Access::copy, Access::c_cast, Access::word}) {
      const Outcome outcome = misaligned(access == Access::word ? 4 : 1, access);
      ASSERT_EQ(outcome.error, kMisalignedAddress);
      ASSERT_EQ(outcome.values[1], 0) << "a thread went on behind the barrier";
      ASSERT_TRUE(has(outcome.message,
                      access == Access::word ? "1 above a multiple of 2" : "4 above a multiple of 16"))
          << outcome.message;
      ASSERT_TRUE(has(outcome.message, "kernels/host/test/hosted/vocabulary.cu:")) << outcome.message;
    }
  }
  EXPECT_EQ(cub_block_sum(256, 256).error, 0) << "launches go on afterwards";
}

TEST(HostedCuda, DivergentBarriersNameTheirLines) {
  const Outcome outcome = divergent();
  EXPECT_EQ(outcome.error, kLaunchFailure);
  EXPECT_TRUE(has(outcome.message, "divergent barrier")) << outcome.message;
  EXPECT_TRUE(has(outcome.message, "vocabulary.cu:")) << outcome.message;
}

TEST(HostedCuda, ArgumentsAreEvaluatedOnceAndConverted) {
  EXPECT_EQ(converted_arguments().values, (std::vector<float>{2, 2, 2, 2}));
  EXPECT_EQ(null_pointer().values[0], 0);
}

// The number of the format nearest to `value`, by looking at all of them; ties to even bits.
std::uint32_t nearest_bits(double value, const SmallFloat& format, int sign_bit, double overflow) {
  const double magnitude = std::fabs(value);
  const std::uint32_t sign = static_cast<std::uint32_t>(std::signbit(value)) << sign_bit;
  if (magnitude >= overflow) return sign | format.infinity;
  std::uint32_t best = 0;
  double least = magnitude;
  for (std::uint32_t bits = 0; bits < format.infinity; ++bits) {
    const int exponent = static_cast<int>(bits >> format.mantissa_bits);
    const int mantissa = static_cast<int>(bits & ((1u << format.mantissa_bits) - 1)) +
                         (exponent == 0 ? 0 : 1 << format.mantissa_bits);
    const double candidate = std::ldexp(mantissa, std::max(exponent, 1) - format.bias - format.mantissa_bits);
    EXPECT_EQ(value_of_bits(bits, format, sign_bit), candidate);
    const double distance = std::fabs(candidate - magnitude);
    if (distance < least || (distance == least && bits % 2 == 0)) best = bits, least = distance;
  }
  return sign | best;
}

TEST(SmallFloats, RoundToTheNearest) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  const auto check = [&](const SmallFloat& format, int sign_bit, double overflow, int count) {
    for (int i = 0; i < count; ++i) {
      double value = std::ldexp(normal(random), static_cast<int>(random() % 48) - 28);
      if (i % 3 == 0) {  // a tie: half way between two numbers of the format
        const auto bits = static_cast<std::uint32_t>(random() % (format.infinity - 1));
        value = (static_cast<double>(value_of_bits(bits, format, sign_bit)) +
                 static_cast<double>(value_of_bits(bits + 1, format, sign_bit))) /
                2;
      }
      ASSERT_EQ(round_to_bits(value, format, sign_bit), nearest_bits(value, format, sign_bit, overflow))
          << value;
    }
  };
  check(kFp16, 15, 65520, 60);
  check(kE4m3, 7, 464.5, 3000);  // above 464 the next number would be 480, whose bits are NaN's
  check(kE5m2, 7, 61440, 3000);
  EXPECT_EQ(round_to_bits(1 + 0x1p-8, kBf16, 15), 0x3f80u);
  EXPECT_EQ(round_to_bits(1 + 0x1p-8 + 0x1p-40, kBf16, 15), 0x3f81u);
  EXPECT_EQ(round_to_bits(-1e39, kBf16, 15), 0xff80u);
  EXPECT_EQ(round_to_bits(-0x1p-133, kBf16, 15), 0x8001u);
  EXPECT_EQ(round_to_bits(NAN, kFp16, 15), 0x7fffu);
}

TEST(ApproximateMath, IsCorrectlyRoundedUntilASeedChooses) {
  set_approximation_seed(0);
  EXPECT_EQ(rsqrtf(2.0f), __frsqrt_rn(2.0f));
  EXPECT_EQ(__fdividef(1.0f, 3.0f), 1.0f / 3.0f);
}

TEST(ApproximateMath, StaysWithinTwoUnitsAndUsesThem) {
  std::mt19937 random(3);
  bool differs[5] = {};
  for (int i = 0; i < 20000; ++i) {
    set_approximation_seed(static_cast<std::uint64_t>(i % 50) + 1);
    const float a = __uint_as_float(random() % 0x7f000000u + 0x800000u);
    const float r = rsqrtf(a);
    ASSERT_EQ(r, rsqrtf(a)) << "a function of its argument";
    const int steps = __float_as_int(r) - __float_as_int(__frsqrt_rn(a));
    ASSERT_LE(std::abs(steps), 2);
    const double exact = 1 / std::sqrt(static_cast<double>(a));
    ASSERT_LE(std::fabs(r - exact), 2 * static_cast<double>(std::nextafter(r, INFINITY) - r));
    differs[steps + 2] = true;
  }
  for (const bool seen : differs) EXPECT_TRUE(seen);
  EXPECT_EQ(rsqrtf(0.0f), INFINITY);
  EXPECT_EQ(rsqrtf(INFINITY), 0.0f);
  EXPECT_TRUE(std::isnan(rsqrtf(-1.0f)));
  set_approximation_seed(0);
}

}  // namespace
