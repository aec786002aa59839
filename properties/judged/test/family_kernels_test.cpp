// The production kernels of the norm family, in the host build, against what the oracle says their order of
// summation gives: every output bit of random calls, with rows of all kinds, at all places in memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/normproof_kernels.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/call_evaluation.h"
#include "properties/judged/test/canonical_target.h"
#include "properties/targets/target.h"

namespace normproof::judging {
namespace {

class FamilyKernels : public testing::TestWithParam<const char*> {};

TEST_P(FamilyKernels, GiveTheBitsOfTheCanonicalOrder) {
  CanonicalTarget target;  // takes everything, and so must they
  const auto host = make_target("host");
  const auto* operation = oracle::judged::find_judged_operation(GetParam());
  ASSERT_NE(operation, nullptr) << GetParam();
  // Each dtype of codes multiplies the combinations.
  const bool has_codes = std::ranges::any_of(
      operation->tensors, [](const auto& spec) { return spec.extent == oracle::judged::Extent::codes; });
  const std::int64_t calls_of_each = has_codes ? 20 : 60;
  std::int64_t calls = 0;
  for (const Combination& combination : combinations_of(target, operation)) {
    for (std::int64_t index = 0; index < calls_of_each; ++index) {
      if (index == chosen_sizes() - 1) continue;  // very many rows
      const auto call = verification_call(combination, 27, index);
      if (!call || call->at("x").elements() > 1 << 15) continue;
      const CallEvaluation evaluation =
          evaluate_call(*host->judged_target(), *call, combination.policy, {1, 1, false});
      ASSERT_EQ(evaluation.outcome, CallEvaluation::Outcome::conforms)
          << to_string(combination) << "\n"
          << evaluation.run.message << describe(*call, evaluation)
          << call_to_json(without_contents(*call), {}).substr(0, 3000);
      ASSERT_TRUE(evaluation.judgement.canonical);
      ++calls;
    }
  }
  EXPECT_GT(calls, 100);
}

std::vector<const char*> operations() {
  std::vector<const char*> names;
  for (const char* const* name = normproof_named_operations(); *name != nullptr; ++name)
    names.push_back(*name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(AllOfThem, FamilyKernels, testing::ValuesIn(operations()),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace normproof::judging
