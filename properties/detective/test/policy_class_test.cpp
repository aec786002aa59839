#include "properties/detective/policy_class.h"

#include <gtest/gtest.h>

#include "corpus/generate.h"
#include "oracle/canonical_judge.h"
#include "oracle/witness_judge.h"

namespace normproof {
namespace {

using oracle::Policy;

// What the table of equalities claims, on random cases: outputs of the representative are those of the
// policy. In an fp32 variance `activation` differs from `fp32` in the use of fma, which only the witness
// judge looks past.
TEST(PolicyClass, APolicyAndItsRepresentativeGiveTheSameOutputs) {
  Random random(7);
  std::int64_t pairs = 0;
  for (int round = 0; round < 300; ++round) {
    CaseLimits limits;
    limits.max_elements = 512;
    limits.special_percent = 30;
    const Case test_case = random_case(random, limits);
    const CaseTensors tensors = materialize(test_case);
    std::vector<Policy> policies = oracle::all_policies(test_case);
    const std::vector<Policy> further = oracle::neighbours(random.pick(policies), test_case);
    policies.insert(policies.end(), further.begin(), further.end());
    for (const Policy& policy : policies) {
      const Policy same = representative(policy, test_case);
      EXPECT_EQ(representative(same, test_case), same) << oracle::to_string(policy);
      if (same == policy) continue;
      ++pairs;
      const Outputs outputs = oracle::expected_outputs(test_case, tensors, policy);
      if (test_case.dtype == DType::fp32 && policy.variance != same.variance) {
        EXPECT_TRUE(oracle::judge_witness(test_case, tensors, outputs, same).conforms())
            << oracle::to_string(policy);
      } else {
        EXPECT_TRUE(oracle::judge_canonical(test_case, tensors, outputs, same).conforms())
            << oracle::to_string(policy) << " and " << oracle::to_string(same) << " differ in "
            << name_of(test_case.operation) << " " << name_of(test_case.dtype);
      }
    }
  }
  EXPECT_GT(pairs, 1000);
}

TEST(PolicyClass, NamesTheReason) {
  Case test_case;
  test_case.dtype = DType::bf16;
  test_case.weight_dtype = DType::fp32;
  EXPECT_EQ(why_the_same(0, oracle::parse_policy("weight=fp32"), test_case),
            "the same arithmetic: the weight's dtype is fp32");
  EXPECT_EQ(why_the_same(6, oracle::parse_policy("variance=activation,sum=mixed"), test_case),
            "the same arithmetic: the variance rounds its operands to bf16");
  test_case.dtype = DType::fp32;
  EXPECT_EQ(why_the_same(1, oracle::parse_policy("variance=activation"), test_case),
            "the same arithmetic: the activation dtype is fp32");
}

}  // namespace
}  // namespace normproof
