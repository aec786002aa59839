// Rounding policies: the choices by which the world's norm kernels differ, one axis at a time. An axis is one
// entry of the table in policy.cpp; what its values do is one row each in policy_rows.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"

namespace normproof::oracle {

enum class WeightPolicy : std::uint8_t {
  native,
  activation,
  fp32,
  fp32_plus_one,
  cast,
  fp32_plus_zero,
  plus_one_activation,
  native_plus_one,
  product_first,
  product_first_activation,
  factor_first
};
enum class VariancePolicy : std::uint8_t { fp32, activation, fp64, kahan };
enum class MeanPolicy : std::uint8_t { of_sum, fma, of_terms };
enum class EpsilonPolicy : std::uint8_t { added, maximum, activation, floored };
enum class RootPolicy : std::uint8_t { multiply, activation, divide };
enum class ActivationRounding : std::uint8_t { nearest_even, truncate, ties_away };
enum class SumPolicy : std::uint8_t { rounded, fp32, mixed };
enum class BeforeQuantization : std::uint8_t { rounded, unrounded };
enum class ScalingPolicy : std::uint8_t { inverse, divide, approximate_inverse, range_over_maximum };
enum class Fp8Rounding : std::uint8_t { once, through_bf16 };
enum class Fp8NanPolicy : std::uint8_t { propagate, saturate };
enum class RangePolicy : std::uint8_t { largest, fnuz_224 };
enum class RowMaximumPolicy : std::uint8_t { of_quantized, of_other };
enum class MaximumNanPolicy : std::uint8_t { propagate, drop };
enum class RowScalePolicy : std::uint8_t { quotient, product };
enum class Int8Low : std::uint8_t { minus_128, minus_127 };
enum class ScaleFloor : std::uint8_t { range_512, none, maximum_1e_4, scale_1e_10 };

struct SumTree;

// What a kernel that is not bound to the canonical order may do before r is known.
// Read by the witness judge alone.
struct InverseRootModel {
  // Representable numbers between r and the correctly rounded 1 / sqrt(m). 0: correctly rounded.
  int ulp_bound = 2;
  // Whether fp32 results below the normal range may become zero on the way to r.
  bool flush_to_zero = false;
  // Longest chain of additions from a term to the sum of squares; nothing: any order of summation.
  std::optional<std::int64_t> sum_depth;
  // The kernel's own order, where it is known (see sum_tree.h): the sum is then one number. It stands for
  // rows of its own length, see known_sum().
  std::shared_ptr<const SumTree> order = {};
  friend bool operator==(const InverseRootModel&, const InverseRootModel&) = default;
};

struct Policy {
  WeightPolicy weight = WeightPolicy::native;
  VariancePolicy variance = VariancePolicy::fp32;
  MeanPolicy mean = MeanPolicy::of_sum;
  EpsilonPolicy epsilon = EpsilonPolicy::added;
  RootPolicy root = RootPolicy::multiply;
  ActivationRounding rounding = ActivationRounding::nearest_even;
  SumPolicy sum = SumPolicy::rounded;
  BeforeQuantization before_quantization = BeforeQuantization::rounded;
  ScalingPolicy scaling = ScalingPolicy::inverse;
  Fp8Rounding fp8_rounding = Fp8Rounding::once;
  Fp8NanPolicy fp8_nan = Fp8NanPolicy::propagate;
  RangePolicy range = RangePolicy::largest;
  RowMaximumPolicy row_maximum = RowMaximumPolicy::of_quantized;
  MaximumNanPolicy maximum_nan = MaximumNanPolicy::propagate;
  RowScalePolicy row_scale = RowScalePolicy::quotient;
  ScaleFloor scale_floor = ScaleFloor::range_512;
  Int8Low int8_low = Int8Low::minus_128;
  InverseRootModel inverse_root;
  friend bool operator==(const Policy&, const Policy&) = default;
};

// The contract's own choice on every axis.
inline Policy native() { return {}; }

// A policy by one of the names of named_policies(), or a list such as "weight=fp32,sum=mixed", or a name
// followed by such a list ("vllm.rms_norm,weight=native"); axes that are not mentioned are native. Besides
// the axes: inverse_root_ulp=K, flush_to_zero=on|off, sum_depth=N. Throws std::invalid_argument naming the
// piece that is wrong and what is possible.
Policy parse_policy(std::string_view text);
// The shortest text that parse_policy reads back as `policy`: "native" or the list of what differs.
std::string to_string(const Policy& policy);

// A policy belongs to one operation of an engine: "vllm.fused_add_rms_norm". The names without a dot are
// older and say nothing about the operation.
struct NamedPolicy {
  std::string_view name;
  std::string_view text;  // for parse_policy
  std::string_view source;
  std::optional<Operation> operation;  // nothing: of any
};
std::span<const NamedPolicy> named_policies();

// The axes as data, for tables, searches over all policies and documentation.
struct PolicyValue {
  std::string_view name;
  std::string_view formula;
  std::string_view source;
};
struct PolicyAxis {
  std::string_view name;
  std::vector<PolicyValue> values;  // the native one first
  // The first so many values are combined with those of all other axes by all_policies().
  std::size_t combined;
  std::size_t (*get)(const Policy&);
  void (*set)(Policy&, std::size_t value);
  // Whether the axis can matter for this case: no weight axis without a weight, no quantization axes without
  // fp8, ...
  bool (*applies)(const Case&);
};
std::span<const PolicyAxis> policy_axes();
// These throw std::invalid_argument where there is no such axis or value.
std::size_t axis_value(const Policy& policy, std::size_t axis);
Policy with_axis_value(Policy policy, std::size_t axis, std::size_t value);
bool axis_applies(std::size_t axis, const Case& test_case);

// The policies that a search begins with, each once, native first: all combinations of the values that are
// widespread (PolicyAxis::combined); every other value alone; the named policies. Not the product of all
// values, which has more than 200,000 members. What lies between is reached by neighbours().
std::vector<Policy> all_policies(const Case& test_case);
// Whether the policy has widespread values alone.
bool is_widespread(const Policy& policy);
// The policies that differ from `policy` in one axis that applies, in the order of the table.
std::vector<Policy> neighbours(const Policy& policy, const Case& test_case);

}  // namespace normproof::oracle
