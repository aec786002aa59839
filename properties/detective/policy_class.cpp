#include "properties/detective/policy_class.h"

#include <fmt/format.h>

#include "oracle/policy_rows.h"

namespace normproof {

using oracle::ActivationRounding;
using oracle::BeforeQuantization;
using oracle::EpsilonPolicy;
using oracle::Policy;
using oracle::RootPolicy;
using oracle::SumPolicy;
using oracle::VariancePolicy;
using oracle::WeightPolicy;

namespace {

// Rounding to T is what fp32 arithmetic does anyway.
void simplify_fp32(Policy& policy) {
  switch (policy.weight) {
    case WeightPolicy::activation:
    case WeightPolicy::fp32:
    case WeightPolicy::cast:
      policy.weight = WeightPolicy::native;
      break;
    case WeightPolicy::plus_one_activation:
    case WeightPolicy::native_plus_one:
      policy.weight = WeightPolicy::fp32_plus_one;
      break;
    case WeightPolicy::product_first_activation:
      policy.weight = WeightPolicy::product_first;
      break;
    default:
      break;
  }
  if (policy.variance == VariancePolicy::activation) policy.variance = VariancePolicy::fp32;
  if (policy.epsilon == EpsilonPolicy::activation) policy.epsilon = EpsilonPolicy::added;
  if (policy.root == RootPolicy::activation) policy.root = RootPolicy::multiply;
  policy.rounding = ActivationRounding::nearest_even;
  policy.sum = SumPolicy::rounded;
  policy.before_quantization = BeforeQuantization::rounded;
}

// rnd_W is rnd_T, or rnd_W is fl.
void simplify_weight(bool weight_is_activation, Policy& policy) {
  const WeightPolicy weight = policy.weight;
  if (weight == (weight_is_activation ? WeightPolicy::activation : WeightPolicy::fp32) ||
      (weight_is_activation && weight == WeightPolicy::cast)) {
    policy.weight = WeightPolicy::native;
  }
  if (!weight_is_activation && weight == WeightPolicy::native_plus_one) {
    policy.weight = WeightPolicy::plus_one_activation;
  }
}

}  // namespace

Policy representative(const Policy& policy, const Case& test_case) {
  Policy result = policy;
  // An axis that the operation does not have is native.
  for (std::size_t axis = 0; axis < oracle::policy_axes().size(); ++axis) {
    if (!oracle::axis_applies(axis, test_case)) result = oracle::with_axis_value(result, axis, 0);
  }
  // There is no maximum where the scale is given.
  if (!quantizes_by_row(test_case.operation) && oracle::row_of(result.scaling).from_maximum)
    result.scaling = oracle::ScalingPolicy::inverse;
  if (test_case.dtype == DType::fp32) {
    simplify_fp32(result);
    return result;
  }
  simplify_weight(test_case.weight_dtype == test_case.dtype, result);
  if (result.variance != VariancePolicy::activation) return result;
  // eps is rounded to T as it is.
  if (result.epsilon == EpsilonPolicy::activation) result.epsilon = EpsilonPolicy::added;
  // The variance rounds its operands to T: rnd_T(fl(x + residual)) = rnd_T(x + residual), because fp32 has at
  // least 2p + 2 bits of precision for the p bits of bf16 and fp16 (Figueroa, "When is double rounding
  // innocuous?", 1995).
  if (result.sum == SumPolicy::mixed && result.rounding == ActivationRounding::nearest_even) {
    result.sum = SumPolicy::rounded;
  }
  return result;
}

std::string why_the_same(std::size_t axis, const Policy& policy, const Case& test_case) {
  const std::string_view name = oracle::policy_axes()[axis].name;
  if (name == "scaling") return "the same arithmetic: the scale is given, there is no maximum";
  if (test_case.dtype == DType::fp32) return "the same arithmetic: the activation dtype is fp32";
  if (name == "weight") {
    return fmt::format("the same arithmetic: the weight's dtype is {}", name_of(*test_case.weight_dtype));
  }
  if (name == "epsilon") return "the same arithmetic: the variance is in T, and so is its epsilon";
  if (name == "sum" && policy.variance == VariancePolicy::activation) {
    return fmt::format("the same arithmetic: the variance rounds its operands to {}",
                       name_of(test_case.dtype));
  }
  return "the same arithmetic";
}

}  // namespace normproof
