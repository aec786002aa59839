// The tolerance tests pass on the production kernels, and fail on what is grossly wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "properties/bits.h"
#include "properties/matrix/tolerance.h"

namespace normproof::matrix {
namespace {

// The production kernels, with every output changed.
class Changed final : public Target {
 public:
  explicit Changed(std::uint32_t (*change)(DType, std::uint32_t)) : change_(change) {}
  const std::string& name() const override { return name_; }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    RunResult result = host_->run(test_case, tensors);
    const DType dtype = test_case.output_dtype();
    for (std::int64_t index = 0; index < test_case.elements(); ++index)
      store_bits(result.outputs[Role::out], dtype, index,
                 change_(dtype, load_bits(result.outputs[Role::out], dtype, index)));
    return result;
  }

 private:
  std::string name_ = "changed";
  std::unique_ptr<Target> host_ = make_target("host");
  std::uint32_t (*change_)(DType, std::uint32_t);
};

// The same test on short rows, which an unoptimized build can pay for.
ToleranceTest small(ToleranceTest test) {
  std::erase_if(test.hidden_sizes, [](std::int64_t hidden) { return hidden > 600; });
  std::erase_if(test.rows, [](std::int64_t rows) { return rows > 20; });
  if (test.rows.empty()) test.rows = {4};
  return test;
}

bool passes(const ToleranceTest& test, Target& target) {
  const auto calls = calls_of(test);
  EXPECT_FALSE(calls.empty()) << test.name;
  return std::ranges::all_of(calls, [&](const ToleranceCall& call) { return !failure(test, call, target); });
}

TEST(ToleranceTests, PassOnTheProductionKernels) {
  const auto host = make_target("host");
  for (const ToleranceTest& test : tolerance_tests()) EXPECT_TRUE(passes(small(test), *host)) << test.name;
}

TEST(ToleranceTests, FailWhereNumbersAreDoubled) {
  Changed doubled([](DType dtype, std::uint32_t bits) {
    return size_of(dtype) == 1 ? bits ^ 0x7u : bits::times_power_of_two(dtype, bits, 1).value_or(bits);
  });
  for (const ToleranceTest& test : tolerance_tests()) {
    if (test.relative < 1) {
      EXPECT_FALSE(passes(small(test), doubled)) << test.name;
    }
  }
}

TEST(ToleranceTests, FailOnNan) {
  Changed poisoned([](DType dtype, std::uint32_t) { return bits::nan(dtype); });
  for (const ToleranceTest& test : tolerance_tests())
    EXPECT_FALSE(passes(small(test), poisoned)) << test.name;
}

TEST(ToleranceTests, DoNotSeeOneUlp) {
  Changed shifted([](DType dtype, std::uint32_t bits) {
    return size_of(dtype) != 2 || bits::is_zero(dtype, bits) ? bits : bits ^ 1u;
  });
  for (const ToleranceTest& test : tolerance_tests()) {
    if (!test.own_reference && test.absolute >= 1e-2) {
      EXPECT_TRUE(passes(small(test), shifted)) << test.name;
    }
  }
}

TEST(ToleranceTests, AnAllZeroOutputPassesTheLoosestOne) {
  Changed zeros([](DType dtype, std::uint32_t) { return bits::zero(dtype, false); });
  const auto tests = tolerance_tests();
  const auto loosest = std::ranges::find(tests, "fp8 1", &ToleranceTest::name);
  ASSERT_NE(loosest, tests.end());
  EXPECT_TRUE(passes(small(*loosest), zeros));
}

TEST(ToleranceTests, TheFusedTestSeesThatFusedAndUnfusedDiffer) {
  // Only the fused outputs are changed, by one code.
  Changed apart([](DType dtype, std::uint32_t bits) { return size_of(dtype) == 1 ? bits ^ 1u : bits; });
  const auto tests = tolerance_tests();
  const auto fused = std::ranges::find(tests, "vllm fp8 1e-3", &ToleranceTest::name);
  ASSERT_NE(fused, tests.end());
  EXPECT_FALSE(passes(small(*fused), apart));
}

TEST(ToleranceTests, KeepInputsAndNamesApart) {
  const auto tests = tolerance_tests();
  EXPECT_GE(tests.size(), 6u);
  const auto calls = calls_of(small(tests.front()));
  const ToleranceCall& call = calls.front();  // N(0, 1) / (2 H)
  double largest = 0;
  for (std::int64_t index = 0; index < call.test_case.elements(); ++index)
    largest = std::max(largest, bits::value(call.test_case.dtype, load_bits(call.tensors[Role::input],
                                                                            call.test_case.dtype, index)));
  const double bound = 3.5 / (2.0 * static_cast<double>(call.test_case.hidden_size()));
  EXPECT_GT(largest, bound / 10);
  EXPECT_LT(largest, bound);
}

}  // namespace
}  // namespace normproof::matrix
