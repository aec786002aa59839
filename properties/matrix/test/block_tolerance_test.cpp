// The tolerance tests of kernels that quantize block by block pass on the production kernels, and fail on
// what is grossly wrong; what they do not see is what their tolerances say.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "properties/matrix/block_tolerance.h"
#include "properties/targets/target.h"

namespace normproof::matrix {
namespace {

using oracle::judged::Call;

// The same test on few short rows, which an unoptimized build can pay for.
BlockToleranceTest small(BlockToleranceTest test) {
  std::erase_if(test.hidden_sizes, [](std::int64_t hidden) { return hidden > 512; });
  std::erase_if(test.rows, [](std::int64_t rows) { return rows > 8; });
  return test;
}

// Whether the production kernels pass after what came out was changed.
bool passes(const BlockToleranceTest& test, const std::function<void(Call&)>& change = {}) {
  static const std::unique_ptr<Target> host = make_target("host");
  const auto calls = calls_of(small(test));
  EXPECT_FALSE(calls.empty()) << test.name;
  return std::ranges::all_of(calls, [&](const BlockToleranceCall& call) {
    EXPECT_TRUE(takes(*host->judged_target(), call));
    if (!change) return !failure(test, call, *host->judged_target());
    Call changed = call.call;
    change(changed);
    return !test.comparison(changed, call.call, call.policy);
  });
}

const BlockToleranceTest& named(std::string_view name) {
  const auto tests = block_tolerance_tests();
  return *std::ranges::find(tests, name, &BlockToleranceTest::name);
}

void change_codes(Call& call, const std::function<void(std::byte&, std::size_t)>& change) {
  auto& bytes = call.tensors.at("out").bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) change(bytes[i], i);
}

TEST(BlockToleranceTests, PassOnTheProductionKernels) {
  for (const BlockToleranceTest& test : block_tolerance_tests()) EXPECT_TRUE(passes(test)) << test.name;
}

TEST(BlockToleranceTests, FailOnScalesOfZeros) {
  for (const BlockToleranceTest& test : block_tolerance_tests()) {
    EXPECT_FALSE(passes(test, [](Call& call) {
      std::ranges::fill(call.tensors.at("scales").bytes, std::byte{0});
    })) << test.name;
  }
}

TEST(BlockToleranceTests, FailOnCodesOfTheOtherSign) {
  for (const BlockToleranceTest& test : block_tolerance_tests()) {
    EXPECT_FALSE(passes(test, [](Call& call) {
      const bool is_packed = call.at("out").dtype == DType::uint8;
      change_codes(call, [&](std::byte& code, std::size_t) { code ^= std::byte(is_packed ? 0x88 : 0x80); });
    })) << test.name;
  }
}

TEST(BlockToleranceTests, ThoseOfFlashInferDoNotSeeTheSignOfZero) {
  for (const char* name : {"nvfp4 5e-1", "mxfp4 7e-1"}) {
    EXPECT_TRUE(passes(named(name), [](Call& call) {
      change_codes(call, [](std::byte& code, std::size_t) {
        if ((code & std::byte{0x07}) == std::byte{0}) code ^= std::byte{0x08};
        if ((code & std::byte{0x70}) == std::byte{0}) code ^= std::byte{0x80};
      });
    })) << name;
  }
}

// The published function takes the difference of a tensor with itself.
TEST(BlockToleranceTests, ThatOfSglangSeesNoWrongInt8) {
  BlockToleranceTest test = named("sglang blocks");
  test.codes = {DType::int8};
  EXPECT_TRUE(passes(test, [](Call& call) {
    change_codes(call, [](std::byte& code, std::size_t) { code &= std::byte{0x80}; });
  }));
}

}  // namespace
}  // namespace normproof::matrix
