// What the operations that end in a LayerNorm have in common: their tensors and axes, and a call as its judge
// reads it.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "oracle/box_search/layer_norm.h"
#include "oracle/judged/operation.h"
#include "oracle/judged/rows.h"
#include "oracle/judged/search_violation.h"

namespace normproof::oracle::judged {

inline constexpr TensorSpec kXSpec = {
    "x", Direction::in, Extent::elements, DTypeRule::activation, Need::always, "the input before the call"};
inline constexpr TensorSpec kResidualSpec = {"residual",       Direction::in,
                                             Extent::elements, DTypeRule::activation,
                                             Need::always,     "what is added to x, before the call"};
inline constexpr TensorSpec kResidualOutSpec = {
    "residual_out", Direction::out,          Extent::elements, DTypeRule::activation,
    Need::always,   "the sum, rounded to T", "residual"};
inline constexpr TensorSpec kAffineWeightSpec = with_rows(kWeightSpec);
inline constexpr TensorSpec kBiasSpec =
    with_rows({"bias", Direction::in, Extent::hidden, DTypeRule::activation_or_fp32, Need::optional,
               "the bias; without one nothing is added"});
inline constexpr TensorSpec kMeanSpec = {"mean",         Direction::out,
                                         Extent::row,    DTypeRule::activation_or_fp32,
                                         Need::optional, "the mean of each row, where the kernel stores it"};
inline constexpr TensorSpec kRstdSpec = {
    "rstd",         Direction::out,
    Extent::row,    DTypeRule::activation_or_fp32,
    Need::optional, "the inverse deviation of each row, where the kernel stores it"};

inline constexpr std::array<AxisValue, 4> kStatistics = {{
    {"two_pass", "mean of (x - mean)^2"},
    {"one_pass", "mean of x^2, less mean^2; NaN below -eps"},
    {"one_pass_clamped", "max(mean of x^2 less mean^2, 0)"},
    {"welford", "running mean and squared deviations, joined in any tree"},
}};
inline constexpr std::array<AxisValue, 3> kForm = {{
    {"centred", "n = fl(fl(x - mean) * rstd)"},
    {"shifted", "n = fl(fl(x * rstd) + fl(-mean * rstd))"},
    {"shifted_fma", "n = fma(x, rstd, fl(-mean * rstd))"},
}};
inline constexpr std::array<AxisValue, 2> kNormalized = {
    {{"fp32", "n stays in fp32"}, {"activation", "rnd_T(n) in the place of n"}}};
inline constexpr std::array<AxisValue, 2> kLayerNormWeight = {
    {{"fp32", "w"}, {"fp32_plus_one", "fl(1 + w)"}}};
inline constexpr std::array<AxisValue, 3> kAffine = {{
    {"fma", "rnd_T(fma(n, w, b))"},
    {"fp32", "rnd_T(fl(fl(n * w) + b))"},
    {"activation", "rnd_T(rnd_T(n * w) + b)"},
}};
inline constexpr std::array<AxisValue, 2> kLayerNormSum = {{
    {"rounded", "rnd_T(x + residual) is normalized"},
    {"fp32", "fl(x + residual) is normalized; residual_out is rounded from it"},
}};
inline constexpr Axis kSumAxis = {"sum", kLayerNormSum};
inline constexpr Axis kStatisticsAxis = {"statistics", kStatistics, {}, true};
inline constexpr Axis kFormAxis = {"form", kForm};
inline constexpr Axis kNormalizedAxis = {"normalized", kNormalized};
inline constexpr Axis kLayerNormWeightAxis = {"weight", kLayerNormWeight, "weight"};
inline constexpr Axis kAffineAxis = {"affine", kAffine, "bias"};
inline constexpr Bound kMergeRatio = {"merge_ratio", 1, 1 << 20, 4};
inline constexpr std::array kLayerNormBounds = {kInverseRootUlp, kSumDepth, kMergeRatio};
inline constexpr std::array<std::string_view, 2> kMeanAndRstd = {"mean", "rstd"};

// What the axis of that name says.
box_search::Statistics statistics_of(const Policy& policy);
box_search::LayerNormRule layer_norm_rule(const Call& call, const Policy& policy);
// A row of x, or of its sum with the residual, packed; `place` keeps the sum.
std::span<const std::byte> layer_norm_operand(const Call& call, const box_search::LayerNormRule& rule,
                                              std::int64_t row, std::vector<std::byte>& place);
box_search::StoredStatistics stored_statistics(const Call& call, std::int64_t row);
// Weight and bias of a row, where they differ from row to row.
template <typename Judge>
void use_affine_of(const Call& call, std::int64_t row, Judge& judge) {
  if (call.has_several_rows("weight") || call.has_several_rows("bias"))
    judge.set_affine(call.hidden_row("weight", row), call.hidden_row("bias", row));
}
// "the kernel stored mean = ...; an honest evaluation arrives at ...".
std::string stored_text(const box_search::LayerNormRule& rule, std::span<const float> x,
                        const box_search::StoredStatistics& stored);
// The operands of an element, as a certificate shows them.
void add_operands(const Call& call, std::int64_t row, Element& element);
std::vector<std::string> layer_norm_not_looked_at(const Call& call);

// A row of the table: what LayerNorm and LayerNorm to codes have in common.
constexpr JudgedOperation layer_norm_row(std::string_view name, std::string_view sentence,
                                         std::span<const TensorSpec> tensors, std::span<const Axis> axes,
                                         std::span<const NamedPolicy> policies,
                                         std::vector<Part> (*parts)(const Call&, const Policy&),
                                         const JudgedOperation& (*of_sum)()) {
  return {name,
          sentence,
          tensors,
          true,
          axes,
          kLayerNormBounds,
          policies,
          no_objection,
          no_policy_objection,
          parts,
          layer_norm_not_looked_at,
          single_columns,
          nothing_to_complete,
          no_misfit,
          nullptr,
          nullptr,
          of_sum};
}

}  // namespace normproof::oracle::judged
