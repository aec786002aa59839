// Policies as text and as a product of axes.
#include "oracle/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <stdexcept>

namespace normproof::oracle {
namespace {

TEST(Policy, ReadsAxesAndNames) {
  const Policy policy = parse_policy("weight=fp32,sum=mixed");
  EXPECT_EQ(policy.weight, WeightPolicy::fp32);
  EXPECT_EQ(policy.sum, SumPolicy::mixed);
  EXPECT_EQ(policy.variance, VariancePolicy::fp32);
  EXPECT_EQ(parse_policy("native"), native());
  EXPECT_EQ(parse_policy("gemma").weight, WeightPolicy::fp32_plus_one);
  EXPECT_EQ(parse_policy("flashinfer,weight=native").weight, WeightPolicy::native);
  EXPECT_EQ(parse_policy("flashinfer,weight=native").sum, SumPolicy::fp32);
}

TEST(Policy, ReadsTheModelOfTheInverseRoot) {
  const Policy policy = parse_policy("inverse_root_ulp=0,flush_to_zero=on,sum_depth=26");
  EXPECT_EQ(policy.inverse_root.ulp_bound, 0);
  EXPECT_TRUE(policy.inverse_root.flush_to_zero);
  EXPECT_EQ(policy.inverse_root.sum_depth, 26);
  EXPECT_EQ(native().inverse_root.ulp_bound, 2);
}

TEST(Policy, EveryPolicyReadsBackFromItsText) {
  Case test_case;
  test_case.operation = Operation::fused_add_rms_norm_dynamic_quant;
  test_case.weight_dtype = DType::bf16;
  test_case.quantized_dtype = DType::fp8_e4m3fnuz;
  test_case.shape = {1, 1};
  const std::vector<Policy> policies = all_policies(test_case);
  EXPECT_GE(policies.size(), 4u * 2 * 3 * 2 * 2 * 2);
  EXPECT_LE(policies.size(), 230u);  // a search tries them all
  std::set<std::string> texts;
  for (Policy policy : policies) {
    EXPECT_EQ(parse_policy(to_string(policy)), policy) << to_string(policy);
    texts.insert(to_string(policy));
    policy.inverse_root = {5, true, 12};
    EXPECT_EQ(parse_policy(to_string(policy)), policy) << to_string(policy);
  }
  EXPECT_EQ(texts.size(), policies.size());
  EXPECT_EQ(policies.front(), native());
  for (const NamedPolicy& named : named_policies()) {
    EXPECT_EQ(parse_policy(named.name), parse_policy(named.text)) << named.name;
  }
}

TEST(Policy, EveryValueIsSearchedAlone) {
  Case test_case;
  test_case.operation = Operation::fused_add_rms_norm_dynamic_quant;
  test_case.weight_dtype = DType::bf16;
  test_case.quantized_dtype = DType::fp8_e4m3fnuz;
  test_case.shape = {1, 1};
  Case int8 = test_case;
  int8.quantized_dtype = DType::int8;
  const std::vector<Policy> policies = all_policies(test_case);
  const std::vector<Policy> policies_of_int8 = all_policies(int8);
  std::size_t neighbours_of_native = 0, neighbours_of_int8 = 0;
  for (std::size_t axis = 0; axis < policy_axes().size(); ++axis) {
    for (std::size_t value = 0; value < policy_axes()[axis].values.size(); ++value) {
      const Policy policy = with_axis_value(native(), axis, value);
      EXPECT_EQ(axis_value(policy, axis), value);
      // Some axes are fp8's, one is int8's.
      const bool of_fp8 = axis_applies(axis, test_case), of_int8 = axis_applies(axis, int8);
      EXPECT_TRUE(of_fp8 || of_int8) << to_string(policy);
      EXPECT_EQ(std::ranges::count(policies, policy), of_fp8 || value == 0 ? 1 : 0) << to_string(policy);
      EXPECT_EQ(std::ranges::count(policies_of_int8, policy), of_int8 || value == 0 ? 1 : 0)
          << to_string(policy);
      neighbours_of_native += value != 0 && of_fp8;
      neighbours_of_int8 += value != 0 && of_int8;
    }
  }
  EXPECT_EQ(neighbours(native(), test_case).size(), neighbours_of_native);
  EXPECT_EQ(neighbours(native(), int8).size(), neighbours_of_int8);
  EXPECT_EQ(neighbours_of_native, neighbours_of_int8 + 2);  // fp8_rounding, fp8_nan, range; int8_low
  EXPECT_THROW(axis_value(native(), policy_axes().size()), std::invalid_argument);
}

// Names belong to operations; those of whole engines from before stay, and mean what they meant, but for what
// FlashInfer really does with -0 and NaN.
TEST(Policy, NamesBelongToOperations) {
  std::set<std::string_view> names;
  for (const NamedPolicy& named : named_policies()) {
    EXPECT_TRUE(names.insert(named.name).second) << named.name;
    const bool has_engine = named.name.find('.') != std::string_view::npos;
    EXPECT_EQ(has_engine, named.operation.has_value()) << named.name;
  }
  EXPECT_EQ(to_string(parse_policy("vllm.fused_add_rms_norm")), "weight=fp32");
  EXPECT_EQ(to_string(parse_policy("quack.fused_add_rms_norm")), "weight=fp32,sum=fp32");
  EXPECT_EQ(to_string(parse_policy("mlx_metal.rms_norm")), "weight=fp32");
  EXPECT_EQ(to_string(parse_policy("mlx_cuda.rms_norm")), "native");
  EXPECT_EQ(to_string(parse_policy("mlx_cpu.rms_norm")), "native");
  EXPECT_EQ(to_string(parse_policy("flashinfer")),
            "weight=fp32_plus_zero,sum=fp32,before_quantization=unrounded,fp8_nan=saturate");
  EXPECT_EQ(to_string(parse_policy("vllm_cpu")), "sum=mixed");
}

TEST(Policy, OnlyAxesThatApplyAreVaried) {
  Case test_case;
  test_case.shape = {1, 1};
  const auto weights = [&] {
    std::set<WeightPolicy> found;
    for (const Policy& policy : all_policies(test_case)) {
      found.insert(policy.weight);
      EXPECT_EQ(policy.sum, SumPolicy::rounded);
      EXPECT_EQ(policy.scaling, ScalingPolicy::inverse);
    }
    return found.size();
  };
  EXPECT_EQ(weights(), 1u);
  test_case.weight_dtype = DType::fp32;
  EXPECT_EQ(weights(), policy_axes()[0].values.size());
}

std::string error_of(std::string_view text) {
  try {
    parse_policy(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

TEST(Policy, ErrorsNameWhatIsWrongAndWhatIsPossible) {
  EXPECT_EQ(
      error_of("weight=fp31"),
      "policy: weight is one of native, activation, fp32, fp32_plus_one, cast, fp32_plus_zero, "
      "plus_one_activation, native_plus_one, product_first, product_first_activation, factor_first, not "
      "\"fp31\"");
  EXPECT_EQ(error_of("wait=fp32"),
            "policy: \"wait\" is none of weight, variance, mean, epsilon, root, rounding, sum, "
            "before_quantization, "
            "scaling, fp8_rounding, fp8_nan, range, row_maximum, maximum_nan, row_scale, scale_floor, "
            "int8_low, inverse_root_ulp, flush_to_zero, sum_depth");
  EXPECT_EQ(error_of("inverse_root_ulp=-1"),
            "policy: inverse_root_ulp must be an integer from 0 to 1048576, not \"-1\"");
  EXPECT_EQ(error_of("flush_to_zero=yes"), "policy: flush_to_zero is on or off, not \"yes\"");
  EXPECT_EQ(error_of("weight=fp32,weight=native"),
            "policy: weight is given twice, the second time as \"weight=native\"");
  EXPECT_EQ(error_of("sum_depth=1,flush_to_zero=on,sum_depth=1"),
            "policy: sum_depth is given twice, the second time as \"sum_depth=1\"");
  for (const char* text :
       {"", "nativ", "weight=fp32,", "weight=fp32,gemma", ",", "sum_depth=2x", "=", "weight="}) {
    EXPECT_TRUE(error_of(text).starts_with("policy: ")) << "\"" << text << "\": " << error_of(text);
  }
}

TEST(Policy, ANameIsVariedOnceMore) {
  EXPECT_EQ(parse_policy("flashinfer,weight=native").weight, WeightPolicy::native);
}

}  // namespace
}  // namespace normproof::oracle
