// The judges of dw and db against the canonical order.
#include "properties/assess/family/weight_gradient.h"

#include <gtest/gtest.h>

namespace normproof::assess::family {
namespace {

using oracle::StandardFloatEnvironment;
using oracle::box_search::canonical_weight_gradient;
using oracle::box_search::canonical_weight_gradient_depth;

TEST(WeightGradient, CanonicalOrderConformsToItsDepth) {
  const std::uint64_t seed = 27;
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 200; ++i) {
    GradientColumns c = random_columns(random, {});
    c.rule.sum_depth = canonical_weight_gradient_depth(c.rows);
    const PackedColumns packed_columns(c);
    const WeightGradientOperands& operands = packed_columns.operands;
    const auto sums = canonical_weight_gradient(c.rule, c.rows, c.columns, operands);
    ASSERT_TRUE(judge_weight_gradient(c.rule, c.rows, c.columns, operands, sums).conforms())
        << "seed " << seed << " trial " << i << " rows " << c.rows;
  }
}

}  // namespace
}  // namespace normproof::assess::family
