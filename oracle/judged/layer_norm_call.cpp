#include "oracle/judged/layer_norm_call.h"

#include <fmt/format.h>

#include <bit>

#include "oracle/box_search/layer_norm_window.h"
#include "oracle/formats.h"
#include "oracle/judged/residual_sum.h"

namespace normproof::oracle::judged {

namespace search = box_search;

search::Statistics statistics_of(const Policy& policy) {
  const auto is = [&](std::string_view name) { return policy.is("statistics", name); };
  return is("welford")            ? search::Statistics::welford
         : is("one_pass")         ? search::Statistics::one_pass
         : is("one_pass_clamped") ? search::Statistics::one_pass_clamped
                                  : search::Statistics::two_pass;
}

search::LayerNormRule layer_norm_rule(const Call& call, const Policy& policy) {
  search::LayerNormRule rule;
  rule.activation = call.dtype();
  if (call.has("residual") && policy.is("sum", "fp32")) rule.operand = DType::fp32;
  rule.weight = dtype_of(call.find("weight"));
  rule.bias = dtype_of(call.find("bias"));
  rule.statistics = statistics_of(policy);
  rule.form = policy.is("form", "shifted")       ? search::NormForm::shifted
              : policy.is("form", "shifted_fma") ? search::NormForm::shifted_fma
                                                 : search::NormForm::centred;
  rule.fused = policy.is("affine", "fma");
  rule.rounds_product = policy.is("affine", "activation");
  rule.rounds_normalized = policy.is("normalized", "activation");
  rule.weight_plus_one = policy.is("weight", "fp32_plus_one");
  rule.epsilon = call.epsilon;
  rule.inverse_root_ulp = static_cast<int>(policy.bound("inverse_root_ulp").value_or(2));
  rule.sum_depth = policy.bound("sum_depth");
  rule.merge_ratio = static_cast<int>(policy.bound("merge_ratio").value_or(4));
  return rule;
}

std::span<const std::byte> layer_norm_operand(const Call& call, const search::LayerNormRule& rule,
                                              std::int64_t row, std::vector<std::byte>& place) {
  if (!call.has("residual")) return call.at("x").row(row, call.hidden_size());
  const RowSum sum = sum_of_row(call, row);
  place = sum.rounded;
  if (rule.operand) {
    const auto bytes =
        std::as_bytes(std::span(sum.unrounded).first(static_cast<std::size_t>(call.hidden_size())));
    place.assign(bytes.begin(), bytes.end());
  }
  return place;
}

search::StoredStatistics stored_statistics(const Call& call, std::int64_t row) {
  search::StoredStatistics result;
  if (const Tensor* mean = call.find("mean")) {
    result.mean = number_at(*mean, row);
    result.mean_dtype = mean->dtype;
  }
  if (const Tensor* rstd = call.find("rstd")) {
    result.inverse_root = number_at(*rstd, row);
    result.inverse_root_dtype = rstd->dtype;
  }
  return result;
}

std::string stored_text(const search::LayerNormRule& rule, std::span<const float> x,
                        const search::StoredStatistics& stored) {
  std::string text;
  const auto add = [&](std::string_view name, const std::optional<float>& value) {
    if (!value) return;
    const auto bits = std::bit_cast<std::uint32_t>(*value);
    text += fmt::format("{}{} = {} ({})", text.empty() ? "" : ", ", name, value_text(DType::fp32, bits),
                        hex_bits(DType::fp32, bits));
  };
  add("mean", stored.mean);
  add("rstd", stored.inverse_root);
  return fmt::format("the kernel stored {}; an honest evaluation arrives at {}", text,
                     search::window_text(search::layer_norm_window(rule, x).boxes, kMeanAndRstd));
}

void add_operands(const Call& call, std::int64_t row, Element& element) {
  const std::int64_t at = row * call.hidden_size() + element.column;
  for (const std::string_view name : {"x", "residual"})
    if (const Tensor* tensor = call.find(name)) element.values.push_back(named(name, *tensor, at));
  for (const std::string_view name : {"weight", "bias"})
    if (const Tensor* tensor = call.find(name))
      element.values.push_back(named_hidden(call, name, *tensor, row, element.column));
}

std::vector<std::string> layer_norm_not_looked_at(const Call& call) {
  std::vector<std::string> result = {"the order of summation (any that the policy's statistics admit)"};
  if (!call.has("mean") || !call.has("rstd"))
    result.push_back(fmt::format("{}, which {} not given: the outputs alone bound them",
                                 !call.has("mean") && !call.has("rstd") ? "mean and rstd"
                                 : call.has("mean")                     ? "rstd"
                                                                        : "mean",
                                 !call.has("mean") && !call.has("rstd") ? "were" : "was"));
  result.emplace_back("subnormal results that are flushed to zero (they are refused)");
  return result;
}

}  // namespace normproof::oracle::judged
