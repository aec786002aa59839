// Rounding policies: the choices by which the world's norm kernels differ, one axis at a time. Each value of
// an axis is one row of a table in policy.cpp: name, formula, source and the function that carries it out on
// exact values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"
#include "oracle/steps.h"

namespace normproof::oracle {

enum class WeightPolicy : std::uint8_t { native, activation, fp32, fp32_plus_one };
enum class VariancePolicy : std::uint8_t { fp32, activation };
enum class SumPolicy : std::uint8_t { rounded, fp32, mixed };
enum class BeforeQuantization : std::uint8_t { rounded, unrounded };
enum class ScalingPolicy : std::uint8_t { inverse, divide };
enum class Fp8NanPolicy : std::uint8_t { propagate, saturate };

// What a kernel that is not bound to the canonical order may do before r is known. Read by the witness judge
// alone.
struct InverseRootModel {
  // Representable numbers between r and the correctly rounded 1 / sqrt(m). 0: correctly rounded.
  int ulp_bound = 2;
  // Whether fp32 results below the normal range may become zero on the way to r.
  bool flush_to_zero = false;
  // Longest chain of additions from a term to the sum of squares; nothing: any order of summation.
  std::optional<std::int64_t> sum_depth;
  friend bool operator==(const InverseRootModel&, const InverseRootModel&) = default;
};

struct Policy {
  WeightPolicy weight = WeightPolicy::native;
  VariancePolicy variance = VariancePolicy::fp32;
  SumPolicy sum = SumPolicy::rounded;
  BeforeQuantization before_quantization = BeforeQuantization::rounded;
  ScalingPolicy scaling = ScalingPolicy::inverse;
  Fp8NanPolicy fp8_nan = Fp8NanPolicy::propagate;
  InverseRootModel inverse_root;
  friend bool operator==(const Policy&, const Policy&) = default;
};

// The contract's own choice on every axis.
inline Policy native() { return {}; }

// A policy by one of the names of named_policies(), or a list such as "weight=fp32,sum=mixed", or a name
// followed by such a list ("flashinfer,weight=native"); axes that are not mentioned are native. Besides the
// axes: inverse_root_ulp=K, flush_to_zero=on|off, sum_depth=N. Throws std::invalid_argument naming the piece
// that is wrong and what is possible.
Policy parse_policy(std::string_view text);
// The shortest text that parse_policy reads back as `policy`: "native" or the list of what differs.
std::string to_string(const Policy& policy);

struct NamedPolicy {
  std::string_view name;
  std::string_view text;  // for parse_policy
  std::string_view source;
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
};
inline constexpr std::size_t kPolicyAxes = 6;
const std::array<PolicyAxis, kPolicyAxes>& policy_axes();
std::size_t axis_value(const Policy& policy, std::size_t axis);
Policy with_axis_value(Policy policy, std::size_t axis, std::size_t value);
// Whether the axis can matter for this case: no weight axis without a weight, no quantization axes without
// fp8, ...
bool axis_applies(std::size_t axis, const Case& test_case);
// All combinations of the values of the axes that apply, native first.
std::vector<Policy> all_policies(const Case& test_case);

// --- What a value of an axis does, on exact values. ---

struct SumParts {
  Value variance_operand;
  Value output_operand;
  Value residual_out;
};
// The exact product of normalized value and weight, and the format in which the policy computes it.
struct Product {
  Value exact;
  DType format = DType::fp32;
};
struct Formats {
  DType activation = DType::bf16;
  std::optional<DType> weight;
  std::optional<DType> quantized;
};

using WeightFunction = Product (*)(Arithmetic&, const Formats&, const Value& x, const Value& r,
                                   const Value& w);
using VarianceFunction = Value (*)(Arithmetic&, DType activation, const Value& accumulator, const Value& x);
using SumFunction = SumParts (*)(Arithmetic&, DType activation, const Value& x, const Value& residual);
using BeforeQuantizationFunction = Value (*)(Arithmetic&, DType activation, const Product&);
using ScalingFunction = Value (*)(Arithmetic&, const Value& y, const Value& scale);
using Fp8NanFunction = Value (*)(const Value& scaled, const Value& maximum);

struct WeightRow {
  PolicyValue text;
  WeightFunction function;
  // The same in the terms of the fast path: y = rnd_T(rnd_P(rnd_N(fl(x * r)) * factor)).
  enum class Normalized : std::uint8_t { weight, activation, fp32 } normalized;  // N
  bool adds_one;                                                                 // factor = fl(1 + w), else w
};
struct VarianceRow {
  PolicyValue text;
  VarianceFunction accumulate;
  bool in_activation_dtype;  // the format of the sum, mean, eps and m
};
struct SumRow {
  PolicyValue text;
  SumFunction function;
  bool variance_reads_rounded;  // variance from rnd_T(x + residual), else from fl(x + residual)
  bool output_reads_rounded;
};
struct BeforeQuantizationRow {
  PolicyValue text;
  BeforeQuantizationFunction function;
};
struct ScalingRow {
  PolicyValue text;
  ScalingFunction function;
};
struct Fp8NanRow {
  PolicyValue text;
  Fp8NanFunction clamp;
};

const WeightRow& row_of(WeightPolicy value);
const VarianceRow& row_of(VariancePolicy value);
const SumRow& row_of(SumPolicy value);
const BeforeQuantizationRow& row_of(BeforeQuantization value);
const ScalingRow& row_of(ScalingPolicy value);
const Fp8NanRow& row_of(Fp8NanPolicy value);

}  // namespace normproof::oracle
