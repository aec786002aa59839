#include "properties/bound/intervals.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <stdexcept>
#include <vector>

#include "oracle/admissible.h"
#include "oracle/fast_row.h"
#include "oracle/known_sum.h"
#include "oracle/row_kernels.h"

namespace normproof::bound {
namespace {

using oracle::Formula;

// One policy, row after row.
class PolicyRows {
 public:
  PolicyRows(const Case& test_case, const CaseTensors& tensors, const oracle::Policy& policy)
      : formula_(oracle::formula_of(test_case, policy)),
        model_(formula_),
        fast_(formula_, tensors[Role::weight]),
        tensors_(tensors) {}

  // The roots that the row may have; nothing where NaN is among them.
  std::optional<oracle::RootInterval> load(std::int64_t row) {
    fast_.load_row(tensors_, row);
    const std::span<const float> operands = fast_.variance_operands();
    if (row_of(formula_.policy.variance).in_activation_dtype()) return exactly(row);
    const double fp64_sum = fast_.fp64_square_sum();
    const bool any_order = formula_.policy.inverse_root.order == nullptr;
    if (any_order && model_.needs_more_bits(operands, fp64_sum))
      if (const auto interval = model_.admissible_by_fp64(fp64_sum)) return interval;
    std::optional<oracle::Value> sum;
    if (const auto known = known_sum(formula_, operands, scratch_)) sum = oracle::from_double(*known);
    return of(model_.admissible(oracle::exact_square_sum(operands), sum));
  }
  std::span<const std::byte> outputs(std::int64_t root) {
    return fast_.outputs(std::bit_cast<float>(static_cast<std::uint32_t>(root)));
  }

 private:
  static std::optional<oracle::RootInterval> of(const oracle::Admissible& admissible) {
    if (admissible.nan || admissible.interval.empty()) return std::nullopt;
    return admissible.interval;
  }
  // Operands are rounded to T before they are squared.
  std::optional<oracle::RootInterval> exactly(std::int64_t row) const {
    std::vector<oracle::Value> rounded;
    for (const oracle::Value& operand : decode_row(formula_, tensors_, row).variance_operands())
      rounded.push_back(round_to(formula_.formats.activation, operand));
    return of(model_.admissible(oracle::exact_square_sum(rounded)));
  }

  Formula formula_;
  oracle::AdmissibleModel model_;
  oracle::FastRow fast_;
  const CaseTensors& tensors_;
  std::vector<double> scratch_;
};

class Collector {
 public:
  Collector(const Case& test_case, Intervals& result)
      : dtype_(test_case.output_dtype()),
        format_(oracle::format_of(dtype_)),
        hidden_(test_case.hidden_size()),
        is_nan_(static_cast<std::size_t>(hidden_)),
        result_(result) {}

  void take(std::int64_t row, std::span<const std::byte> outputs) {
    for (std::int64_t j = 0; j < hidden_; ++j) {
      const std::uint32_t bits = load_bits(outputs, dtype_, j);
      const std::int64_t index = row * hidden_ + j;
      if (is_nan(format_, bits)) {
        is_nan_[static_cast<std::size_t>(j)] = true;
        continue;
      }
      const std::uint32_t low = load_bits(result_.low[Role::out], dtype_, index),
                          high = load_bits(result_.high[Role::out], dtype_, index);
      const std::int64_t position = line_position(format_, bits);
      if (is_nan(format_, low) || position < line_position(format_, low))
        store_bits(result_.low[Role::out], dtype_, index, bits);
      if (is_nan(format_, high) || position > line_position(format_, high))
        store_bits(result_.high[Role::out], dtype_, index, bits);
    }
  }
  void forget(std::int64_t row) {
    for (std::int64_t j = 0; j < hidden_; ++j) forget(row, j);
    is_nan_.assign(is_nan_.size(), false);
  }
  void count(std::int64_t row) {
    for (std::int64_t j = 0; j < hidden_; ++j) {
      if (is_nan_[static_cast<std::size_t>(j)]) forget(row, j);
      const std::uint32_t low = load_bits(result_.low[Role::out], dtype_, row * hidden_ + j);
      if (is_nan(format_, low)) {
        ++result_.unbounded;
        continue;
      }
      const std::uint32_t high = load_bits(result_.high[Role::out], dtype_, row * hidden_ + j);
      const auto apart = static_cast<std::int64_t>(ulp_distance(format_, low, high));
      result_.single += apart == 0;
      result_.neighbours += apart == 1;
      if (apart <= result_.widest) continue;
      result_.widest = apart;
      result_.widest_row = row;
      result_.widest_column = j;
    }
  }

 private:
  void forget(std::int64_t row, std::int64_t column) {
    for (Outputs* end : {&result_.low, &result_.high})
      store_bits((*end)[Role::out], dtype_, row * hidden_ + column,
                 static_cast<std::uint32_t>(format_.nan_bits()));
  }

  DType dtype_;
  const oracle::Format& format_;
  std::int64_t hidden_;
  std::vector<bool> is_nan_;  // of the row's elements: whether the root of one end gives NaN
  Intervals& result_;
};

}  // namespace

Intervals output_intervals(const Case& test_case, const CaseTensors& tensors,
                           std::span<const oracle::Policy> policies) {
  if (quantizes_by_row(test_case.operation))
    throw std::invalid_argument("operation: a code and the row's scale are no interval");
  oracle::require_input_sizes(test_case, tensors);
  Intervals result;
  result.elements = test_case.elements();
  for (Outputs* end : {&result.low, &result.high}) (*end)[Role::out].resize(test_case.bytes_of(Role::out));
  const oracle::StandardFloatEnvironment environment;
  std::vector<PolicyRows> rows;
  for (const oracle::Policy& policy : policies) rows.emplace_back(test_case, tensors, policy);
  Collector collector(test_case, result);
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    collector.forget(row);
    bool bounded = true;
    for (PolicyRows& one : rows) {
      const auto roots = one.load(row);
      bounded = bounded && roots.has_value();
      if (!roots) continue;
      collector.take(row, one.outputs(roots->low));
      collector.take(row, one.outputs(roots->high));
    }
    if (!bounded) collector.forget(row);
    collector.count(row);
  }
  return result;
}

}  // namespace normproof::bound
