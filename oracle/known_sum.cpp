#include "oracle/known_sum.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace normproof::oracle {
namespace {

// The order, if it is one of such rows.
const SumTree* order_of(const Formula& formula, std::size_t count) {
  const SumTree* tree = formula.policy.inverse_root.order.get();
  if (tree == nullptr || static_cast<std::size_t>(tree->leaves) != count) return nullptr;
  return objection_to_order(*tree, formula.policy).empty() ? tree : nullptr;
}

// Whether the square is the same fp32 number whether it is rounded or not, and cannot be flushed.
bool is_plain(float operand) {
  const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(operand) & 0x7fffffffu;
  if (magnitude == 0 || magnitude >= 0x7f800000u) return true;
  constexpr std::uint32_t kLowBits = 0xfff;         // 12 bits are left: the square has 24
  constexpr std::uint32_t kSmallest = 0x20000000u;  // 2^-63: the square is at least 2^-126
  return (magnitude & kLowBits) == 0 && magnitude >= kSmallest;
}

bool all_squares_tell(const Formula& formula, std::span<const float> operands) {
  const bool flushes = formula.policy.inverse_root.flush_to_zero;
  if (formula.formats.activation == DType::fp32 && !flushes) return true;
  if (formula.formats.activation == DType::fp32) {
    return std::ranges::all_of(operands, [](float x) { return x == 0 || std::abs(x) >= 0x1p-63f || x != x; });
  }
  return std::ranges::all_of(operands, is_plain);
}

}  // namespace

std::string objection_to_order(const SumTree& tree, const Policy& policy) {
  const bool is_fp64 = tree.precision == SumTree::Precision::fp64;
  if (policy.mean == MeanPolicy::of_terms) return "mean=of_terms adds other terms than squares";
  if (policy.variance == VariancePolicy::fp32 || (policy.variance == VariancePolicy::fp64 && is_fp64) ||
      (policy.variance == VariancePolicy::kahan && tree.is_compensated()))
    return {};
  const std::string_view sums = is_fp64 ? "fp64" : tree.is_compensated() ? "compensated fp32" : "fp32";
  return fmt::format("the order is one of {} sums, variance={} sums otherwise", sums,
                     policy.variance == VariancePolicy::fp64         ? "fp64"
                     : policy.variance == VariancePolicy::activation ? "activation"
                                                                     : "kahan");
}

std::optional<Value> known_sum(const Formula& formula, std::span<const Value> operands) {
  const SumTree* tree = order_of(formula, operands.size());
  if (tree == nullptr) return std::nullopt;
  std::vector<float> floats;
  for (const Value& operand : operands) floats.push_back(to_float(operand));
  if (!all_squares_tell(formula, floats)) return std::nullopt;
  Arithmetic arithmetic;
  const Format& format = row_of(formula.policy.variance).format(formula.formats.activation);
  return round_to(format, sum_of_squares(arithmetic, *tree, operands));
}

std::optional<double> known_sum(const Formula& formula, std::span<const float> operands,
                                std::vector<double>& scratch) {
  const SumTree* tree = order_of(formula, operands.size());
  if (tree == nullptr || !all_squares_tell(formula, operands)) return std::nullopt;
  return sum_of_squares(*tree, operands, scratch);
}

}  // namespace normproof::oracle
