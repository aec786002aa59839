// Columns of dw and db in plain floats.
#pragma once

#include <vector>

#include "oracle/box_search/weight_gradient.h"
#include "properties/assess/family/honest_sums.h"
#include "properties/assess/family/rows.h"
#include "properties/assess/study.h"

namespace normproof::assess::family {

using oracle::box_search::WeightGradientOperands;
using oracle::box_search::WeightGradientRule;
using oracle::box_search::WeightGradientVerdict;

// One sum each.
struct GradientColumns {
  WeightGradientRule rule;
  std::int64_t rows = 0, columns = 0;
  std::vector<float> dy, x, mean, root;

  std::size_t at(std::int64_t row, std::int64_t column) const {
    return static_cast<std::size_t>(row * columns + column);
  }
  float normalized(std::int64_t row, std::int64_t column) const {
    const auto r = static_cast<std::size_t>(row);
    return (rule.centred ? x[at(row, column)] - mean[r] : x[at(row, column)]) * root[r];
  }
  // The sum of the first `used` rows.
  float honest(std::int64_t column, std::int64_t used, SummationOrder order, Random& random) const;
};

GradientColumns random_columns(Random& random, const StudyOptions& options);

// The packed operands of columns.
struct PackedColumns {
  explicit PackedColumns(const GradientColumns& c)
      : dy(packed(c.dy, c.rule.activation)),
        x(c.rule.of_bias ? std::vector<std::byte>() : packed(c.x, c.rule.activation)),
        operands{dy, x, {}, {}} {
    if (c.rule.of_bias) return;
    operands.inverse_root = c.root;
    if (c.rule.centred) operands.mean = c.mean;
  }
  std::vector<std::byte> dy, x;
  WeightGradientOperands operands;
};

}  // namespace normproof::assess::family
