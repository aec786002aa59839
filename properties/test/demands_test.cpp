// The calls that promises about several calls are told by: which of them have an upper bound of scales.
#include "properties/demands.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "properties/test/wrong_target.h"

namespace normproof {
namespace {

std::vector<Combination> two_of_int8() {
  std::vector<Combination> combinations = all_combinations(Operation::rms_norm_dynamic_quant, DType::bf16);
  std::erase_if(combinations, [](const Combination& each) {
    return each.quantized_dtype != DType::int8 || each.path == KernelPath::scalar;
  });
  combinations.resize(2);
  return combinations;
}

// Whether a call with an upper bound, whose codes are wrong here, is among those compared; each is judged.
bool meets_a_bound(const std::vector<Combination>& combinations) {
  const auto target = spoiled([](const Case& test_case, RunResult& result) {
    if (test_case.has_scale_ub()) result.outputs[Role::out].front() ^= std::byte{1};
  });
  Tally tally;
  PromiseContext context{*target, tally, combinations, 1};
  const PromiseRun seen = compare_calls(context);
  if (!seen.wrong) return false;
  EXPECT_TRUE(seen.wrong->test_case.has_scale_ub());
  return true;
}

TEST(Promises, AreToldByCallsWithUpperBoundsWhereTheyAreTaken) {
  std::vector<Combination> combinations = two_of_int8();
  EXPECT_TRUE(meets_a_bound(combinations));
  for (Combination& each : combinations) each.scale_ub = false;
  EXPECT_FALSE(meets_a_bound(combinations));
}

TEST(Promises, ShowTheRootInCodesBelowABound) {
  // Most codes are neither zero nor the largest, and so r shows in them.
  const std::vector<Combination> combinations = two_of_int8();
  const auto target = spoiled([](const Case& test_case, RunResult& result) {
    if (!test_case.has_scale_ub()) return;
    const auto& codes = result.outputs[Role::out];
    EXPECT_GT(
        std::ranges::count_if(codes, [](std::byte code) { return std::to_integer<int>(code) % 128 > 3; }),
        static_cast<std::ptrdiff_t>(codes.size() / 2));
  });
  Tally tally;
  PromiseContext context{*target, tally, combinations, 1};
  EXPECT_FALSE(compare_calls(context).wrong);
}

}  // namespace
}  // namespace normproof
