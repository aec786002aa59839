#include "properties/run/policy_class.h"

#include <fmt/format.h>

namespace normproof {

using oracle::BeforeQuantization;
using oracle::Policy;
using oracle::SumPolicy;
using oracle::VariancePolicy;
using oracle::WeightPolicy;

Policy representative(const Policy& policy, const Case& test_case) {
  Policy result = policy;
  // An axis that the operation does not have is native.
  for (std::size_t axis = 0; axis < oracle::kPolicyAxes; ++axis) {
    if (!oracle::axis_applies(axis, test_case)) result = oracle::with_axis_value(result, axis, 0);
  }
  if (test_case.dtype == DType::fp32) {
    // Rounding to T is what fp32 arithmetic does anyway.
    if (result.weight != WeightPolicy::fp32_plus_one) result.weight = WeightPolicy::native;
    result.variance = VariancePolicy::fp32;
    result.sum = SumPolicy::rounded;
    result.before_quantization = BeforeQuantization::rounded;
    return result;
  }
  // rnd_W is rnd_T, or rnd_W is fl.
  const bool weight_is_activation = test_case.weight_dtype == test_case.dtype;
  if (result.weight == (weight_is_activation ? WeightPolicy::activation : WeightPolicy::fp32)) {
    result.weight = WeightPolicy::native;
  }
  // The variance rounds its operands to T: rnd_T(fl(x + residual)) = rnd_T(x + residual), because fp32 has at
  // least 2p + 2 bits of precision for the p bits of bf16 and fp16 (Figueroa, "When is double rounding
  // innocuous?", 1995).
  if (result.variance == VariancePolicy::activation && result.sum == SumPolicy::mixed) {
    result.sum = SumPolicy::rounded;
  }
  return result;
}

std::string why_the_same(std::size_t axis, const Policy& policy, const Case& test_case) {
  if (test_case.dtype == DType::fp32) return "the same arithmetic: the activation dtype is fp32";
  const std::string_view name = oracle::policy_axes()[axis].name;
  if (name == "weight") {
    return fmt::format("the same arithmetic: the weight's dtype is {}", name_of(*test_case.weight_dtype));
  }
  if (name == "sum" && policy.variance == VariancePolicy::activation) {
    return fmt::format("the same arithmetic: the variance rounds its operands to {}",
                       name_of(test_case.dtype));
  }
  return "the same arithmetic";
}

}  // namespace normproof
