// The policy tables. A new value of an axis is one enumerator, one row and one function.
#include "oracle/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace normproof::oracle {
namespace {

Value scaled(Arithmetic& a, const Value& x, const Value& r) {
  return a.round(Step::scaled, "fl(x * r)", DType::fp32, x * r);
}

Product native_weight(Arithmetic& a, const Formats& formats, const Value& x, const Value& r, const Value& w) {
  const Value n = a.round(Step::normalized, "n = rnd_W(fl(x * r))", *formats.weight, scaled(a, x, r));
  return {n * w, *formats.weight};
}
Product activation_weight(Arithmetic& a, const Formats& formats, const Value& x, const Value& r,
                          const Value& w) {
  const Value n = a.round(Step::normalized, "n = rnd_T(fl(x * r))", formats.activation, scaled(a, x, r));
  const bool fp32 = formats.activation == DType::fp32 || *formats.weight == DType::fp32;
  return {n * w, fp32 ? DType::fp32 : formats.activation};
}
Product fp32_weight(Arithmetic& a, const Formats&, const Value& x, const Value& r, const Value& w) {
  return {scaled(a, x, r) * w, DType::fp32};
}
Product fp32_plus_one_weight(Arithmetic& a, const Formats&, const Value& x, const Value& r, const Value& w) {
  const Value factor = a.round(Step::one_plus_weight, "fl(1 + w)", DType::fp32, Value::integer(1) + w);
  return {scaled(a, x, r) * factor, DType::fp32};
}

Value fp32_variance(Arithmetic& a, DType, const Value& accumulator, const Value& x) {
  return a.round(Step::accumulate, "fma(x, x, acc)", DType::fp32, x * x + accumulator);
}
Value activation_variance(Arithmetic& a, DType activation, const Value& accumulator, const Value& x) {
  const Value operand = a.round(Step::accumulate, "rnd_T(x)", activation, x);
  const Value square = a.round(Step::accumulate, "rnd_T(x * x)", activation, operand * operand);
  return a.round(Step::accumulate, "rnd_T(acc + square)", activation, accumulator + square);
}

SumParts rounded_sum(Arithmetic& a, DType activation, const Value& x, const Value& residual) {
  const Value s = a.round(Step::residual_out, "s = rnd_T(x + residual)", activation, x + residual);
  return {s, s, s};
}
SumParts fp32_sum(Arithmetic& a, DType activation, const Value& x, const Value& residual) {
  const Value s = a.round(Step::residual_sum, "s = fl(x + residual)", DType::fp32, x + residual);
  return {s, s, a.round(Step::residual_out, "rnd_T(s)", activation, s)};
}
SumParts mixed_sum(Arithmetic& a, DType activation, const Value& x, const Value& residual) {
  const Value unrounded = a.round(Step::residual_sum, "fl(x + residual)", DType::fp32, x + residual);
  const Value s = a.round(Step::residual_out, "s = rnd_T(x + residual)", activation, x + residual);
  return {unrounded, s, s};
}

Value rounded_before_quantization(Arithmetic& a, DType activation, const Product& product) {
  const Value p = a.round(Step::product, "p = n * w", product.format, product.exact);
  return a.round(Step::output, "y = rnd_T(p)", activation, p);
}
Value unrounded_before_quantization(Arithmetic& a, DType, const Product& product) {
  return a.round(Step::product, "fl(n * w)", DType::fp32, product.exact);
}

Value inverse_scaling(Arithmetic& a, const Value& y, const Value& scale) {
  const Value inverse =
      a.round(Step::inverse_scale, "inv = fl(1 / scale)", DType::fp32, quotient(Value::integer(1), scale));
  return a.round(Step::scaled_output, "fl(y * inv)", DType::fp32, y * inverse);
}
Value divide_scaling(Arithmetic& a, const Value& y, const Value& scale) {
  return a.round(Step::scaled_output, "fl(y / scale)", DType::fp32, quotient(y, scale));
}

Value clamp(const Value& scaled_output, const Value& maximum) {
  if (scaled_output > maximum) return maximum;
  if (scaled_output < -maximum) return -maximum;
  return scaled_output;
}
Value propagating_clamp(const Value& scaled_output, const Value& maximum) {
  return clamp(scaled_output, maximum);
}
Value saturating_clamp(const Value& scaled_output, const Value& maximum) {
  return scaled_output.is_nan() ? maximum : clamp(scaled_output, maximum);
}

using Normalized = WeightRow::Normalized;

constexpr std::array<WeightRow, 4> kWeight = {{
    {{"native", "rnd_T(rnd_W(rnd_W(fl(x*r)) * w))",
      "vLLM IR spec, vLLM CUDA <= 0.19.1, Apex, Liger \"llama\""},
     native_weight,
     Normalized::weight,
     false},
    {{"activation", "rnd_T(w * rnd_T(fl(x*r))), the product in the wider of T and W", "Hugging Face Llama"},
     activation_weight,
     Normalized::activation,
     false},
    {{"fp32", "rnd_T(fl(fl(x*r) * w))",
      "vLLM CUDA (mid 2026), FlashInfer, TensorRT-LLM, PyTorch F.rms_norm, QuACK, MLX, torch.compile"},
     fp32_weight,
     Normalized::fp32,
     false},
    {{"fp32_plus_one", "rnd_T(fl(fl(x*r) * fl(1 + w)))", "Gemma"},
     fp32_plus_one_weight,
     Normalized::fp32,
     true},
}};
constexpr std::array<VarianceRow, 2> kVariance = {{
    {{"fp32", "squares, sum, mean and eps in fp32", "all but Liger \"none\""}, fp32_variance, false},
    {{"activation", "operands, squares, sum, mean and eps in T, each step rounded to T", "Liger \"none\""},
     activation_variance,
     true},
}};
constexpr std::array<SumRow, 3> kSum = {{
    {{"rounded", "s = rnd_T(x+res) feeds variance and output", "vLLM CUDA, Liger"}, rounded_sum, true, true},
    {{"fp32", "s = fl(x+res) feeds both, residual out = rnd_T(s)", "vLLM IR, FlashInfer, QuACK"},
     fp32_sum,
     false,
     false},
    {{"mixed", "variance from fl(x+res), output from rnd_T(x+res)", "vLLM CPU"}, mixed_sum, false, true},
}};
constexpr std::array<BeforeQuantizationRow, 2> kBeforeQuantization = {{
    {{"rounded", "y is rounded to T, then quantized", "vLLM"}, rounded_before_quantization},
    {{"unrounded", "fl(n*w) is quantized, the roundings to W and T after the product are skipped",
      "FlashInfer, torch.compile; with native weight bug B4"},
     unrounded_before_quantization},
}};
constexpr std::array<ScalingRow, 2> kScaling = {{
    {{"inverse", "fl(y * fl(1/scale))", "vLLM static FP8"}, inverse_scaling},
    {{"divide", "fl(y / scale)", "vLLM dynamic FP8"}, divide_scaling},
}};
constexpr std::array<Fp8NanRow, 2> kFp8Nan = {{
    {{"propagate", "NaN stays NaN", "this contract"}, propagating_clamp},
    {{"saturate", "the clamp turns NaN into +max", "vLLM"}, saturating_clamp},
}};

constexpr std::array<NamedPolicy, 6> kNamed = {{
    {"native", "weight=native", "this contract"},
    {"hugging_face_llama", "weight=activation", "Hugging Face LlamaRMSNorm"},
    {"gemma", "weight=fp32_plus_one", "Gemma"},
    {"vllm_ir", "sum=fp32", "vLLM IR spec"},
    {"vllm_cpu", "sum=mixed", "vLLM CPU kernels"},
    {"flashinfer", "weight=fp32,sum=fp32,before_quantization=unrounded", "FlashInfer CUDA kernels"},
}};

template <typename Table>
PolicyAxis axis_from(std::string_view name, const Table& table) {
  PolicyAxis axis{name, {}};
  for (const auto& row : table) axis.values.push_back(row.text);
  return axis;
}

template <typename Table, typename Enum>
const auto& at(const Table& table, Enum value) {
  const auto index = static_cast<std::size_t>(value);
  if (index >= table.size())
    throw std::invalid_argument(fmt::format("policy: {} is no value of its axis", index));
  return table[index];
}

std::string known_values(const PolicyAxis& axis) {
  std::string names;
  for (const PolicyValue& value : axis.values)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", value.name);
  return names;
}

std::int64_t parse_count(std::string_view key, std::string_view text, std::int64_t least, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    throw std::invalid_argument(
        fmt::format("policy: {} must be an integer from {} to {}, not \"{}\"", key, least, most, text));
  }
  return value;
}

Policy with_assignment(Policy policy, std::string_view key, std::string_view value) {
  const auto& axes = policy_axes();
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    if (axes[axis].name != key) continue;
    for (std::size_t i = 0; i < axes[axis].values.size(); ++i) {
      if (axes[axis].values[i].name == value) return with_axis_value(policy, axis, i);
    }
    throw std::invalid_argument(
        fmt::format("policy: {} is one of {}, not \"{}\"", key, known_values(axes[axis]), value));
  }
  if (key == "inverse_root_ulp") {
    policy.inverse_root.ulp_bound = static_cast<int>(parse_count(key, value, 0, 1 << 20));
  } else if (key == "sum_depth") {
    policy.inverse_root.sum_depth = parse_count(key, value, 0, std::int64_t{1} << 40);
  } else if (key == "flush_to_zero" && (value == "on" || value == "off")) {
    policy.inverse_root.flush_to_zero = value == "on";
  } else if (key == "flush_to_zero") {
    throw std::invalid_argument(fmt::format("policy: flush_to_zero is on or off, not \"{}\"", value));
  } else {
    std::string names;
    for (const PolicyAxis& axis : axes) names += fmt::format("{}, ", axis.name);
    throw std::invalid_argument(
        fmt::format("policy: \"{}\" is none of {}inverse_root_ulp, flush_to_zero, sum_depth", key, names));
  }
  return policy;
}

Policy with_assignments(Policy policy, std::string_view text, bool names_allowed) {
  std::vector<std::string_view> assigned;
  for (bool first = true; first || !text.empty(); first = false) {
    const std::size_t comma = text.find(',');
    const std::string_view piece = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    if (comma != std::string_view::npos && text.empty()) {
      throw std::invalid_argument("policy: nothing follows the last comma");
    }
    const std::size_t equals = piece.find('=');
    if (equals != std::string_view::npos) {
      if (std::ranges::find(assigned, piece.substr(0, equals)) != assigned.end()) {
        throw std::invalid_argument(fmt::format("policy: {} is given twice, the second time as \"{}\"",
                                                piece.substr(0, equals), piece));
      }
      assigned.push_back(piece.substr(0, equals));
      policy = with_assignment(policy, piece.substr(0, equals), piece.substr(equals + 1));
      continue;
    }
    const NamedPolicy* named = nullptr;
    std::string names;
    for (const NamedPolicy& candidate : kNamed) {
      if (candidate.name == piece) named = &candidate;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", candidate.name);
    }
    if (named == nullptr || !first || !names_allowed) {
      throw std::invalid_argument(
          fmt::format("policy: \"{}\" is neither axis=value nor, at the start, one of {}", piece, names));
    }
    policy = with_assignments(policy, named->text, false);
  }
  return policy;
}

}  // namespace

const WeightRow& row_of(WeightPolicy value) { return at(kWeight, value); }
const VarianceRow& row_of(VariancePolicy value) { return at(kVariance, value); }
const SumRow& row_of(SumPolicy value) { return at(kSum, value); }
const BeforeQuantizationRow& row_of(BeforeQuantization value) { return at(kBeforeQuantization, value); }
const ScalingRow& row_of(ScalingPolicy value) { return at(kScaling, value); }
const Fp8NanRow& row_of(Fp8NanPolicy value) { return at(kFp8Nan, value); }

std::span<const NamedPolicy> named_policies() { return kNamed; }

const std::array<PolicyAxis, kPolicyAxes>& policy_axes() {
  static const std::array<PolicyAxis, kPolicyAxes> axes = {
      axis_from("weight", kWeight),   axis_from("variance", kVariance),
      axis_from("sum", kSum),         axis_from("before_quantization", kBeforeQuantization),
      axis_from("scaling", kScaling), axis_from("fp8_nan", kFp8Nan),
  };
  return axes;
}

std::size_t axis_value(const Policy& policy, std::size_t axis) {
  switch (axis) {
    case 0:
      return static_cast<std::size_t>(policy.weight);
    case 1:
      return static_cast<std::size_t>(policy.variance);
    case 2:
      return static_cast<std::size_t>(policy.sum);
    case 3:
      return static_cast<std::size_t>(policy.before_quantization);
    case 4:
      return static_cast<std::size_t>(policy.scaling);
    case 5:
      return static_cast<std::size_t>(policy.fp8_nan);
    default:
      throw std::invalid_argument(fmt::format("policy: there is no axis {}", axis));
  }
}

Policy with_axis_value(Policy policy, std::size_t axis, std::size_t value) {
  if (axis >= kPolicyAxes || value >= policy_axes()[axis].values.size()) {
    throw std::invalid_argument(fmt::format("policy: there is no value {} on axis {}", value, axis));
  }
  switch (axis) {
    case 0:
      policy.weight = static_cast<WeightPolicy>(value);
      break;
    case 1:
      policy.variance = static_cast<VariancePolicy>(value);
      break;
    case 2:
      policy.sum = static_cast<SumPolicy>(value);
      break;
    case 3:
      policy.before_quantization = static_cast<BeforeQuantization>(value);
      break;
    case 4:
      policy.scaling = static_cast<ScalingPolicy>(value);
      break;
    default:
      policy.fp8_nan = static_cast<Fp8NanPolicy>(value);
      break;
  }
  return policy;
}

bool axis_applies(std::size_t axis, const Case& test_case) {
  const bool adds_residual = test_case.operation == Operation::fused_add_rms_norm ||
                             test_case.operation == Operation::fused_add_rms_norm_static_fp8_quant;
  switch (axis) {
    case 0:
      return test_case.weight_dtype.has_value();
    case 1:
      return true;
    case 2:
      return adds_residual;
    default:
      return test_case.quantized_dtype.has_value();
  }
}

std::vector<Policy> all_policies(const Case& test_case) {
  std::vector<Policy> policies = {native()};
  for (std::size_t axis = 0; axis < kPolicyAxes; ++axis) {
    if (!axis_applies(axis, test_case)) continue;
    const std::size_t known = policies.size();
    for (std::size_t value = 1; value < policy_axes()[axis].values.size(); ++value) {
      for (std::size_t i = 0; i < known; ++i) policies.push_back(with_axis_value(policies[i], axis, value));
    }
  }
  return policies;
}

Policy parse_policy(std::string_view text) { return with_assignments(native(), text, true); }

std::string to_string(const Policy& policy) {
  std::string text;
  const auto append = [&](std::string_view key, std::string_view value) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", key, value);
  };
  for (std::size_t axis = 0; axis < kPolicyAxes; ++axis) {
    const std::size_t value = axis_value(policy, axis);
    if (value != 0) append(policy_axes()[axis].name, policy_axes()[axis].values[value].name);
  }
  const InverseRootModel standard;
  if (policy.inverse_root.ulp_bound != standard.ulp_bound) {
    append("inverse_root_ulp", std::to_string(policy.inverse_root.ulp_bound));
  }
  if (policy.inverse_root.flush_to_zero) append("flush_to_zero", "on");
  if (policy.inverse_root.sum_depth) append("sum_depth", std::to_string(*policy.inverse_root.sum_depth));
  return text.empty() ? "native" : text;
}

}  // namespace normproof::oracle
