// The judges of dw and db: honest sums of all kinds conform; the ends of their intervals are exact; which
// faults they see is measured. NORMPROOF_TEST_SCALE=N makes N times as many
// columns, NORMPROOF_TEST_SEED=N others.
#include "oracle/box_search/weight_gradient.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "oracle/box_search/canonical_order.h"
#include "oracle/box_search/test/honest_sums.h"
#include "oracle/box_search/test/random_rows.h"

namespace normproof::oracle::box_search {
namespace {

using test::random_row;
using test::RowClass;

// Columns of one sum each.
struct Columns {
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
  float honest(std::int64_t column, std::int64_t used, SummationOrder order, Random& random) const {
    std::vector<float> a, b;
    const auto association = random.below(2);
    for (std::int64_t row = 0; row < used; ++row) {
      const float gradient = dy[at(row, column)];
      if (rule.of_bias) {
        a.push_back(gradient);
        b.push_back(1);
      } else if (association == 0) {
        a.push_back(gradient);
        b.push_back(normalized(row, column));
      } else {
        const auto r = static_cast<std::size_t>(row);
        a.push_back(gradient * (rule.centred ? x[at(row, column)] - mean[r] : x[at(row, column)]));
        b.push_back(root[r]);
      }
    }
    return test::sum_of_products(a, b, order, random);
  }
};

Columns random_columns(Random& random) {
  Columns result;
  WeightGradientRule& rule = result.rule;
  rule.activation = random.pick(std::array{DType::bf16, DType::fp16, DType::fp32});
  rule.weight = random.chance(1, 2) ? rule.activation : DType::fp32;
  rule.centred = random.chance(1, 2);
  rule.of_bias = random.chance(1, 3);
  result.rows = random.log_between(1, 300);
  result.columns = random.log_between(1, 16);
  const auto dy_class =
      random.chance(1, 4) ? static_cast<RowClass>(random.below(test::kRowClasses)) : RowClass::centred;
  result.dy = random_row(random, rule.activation, result.rows * result.columns, dy_class);
  result.x = random_row(random, rule.activation, result.rows * result.columns, RowClass::offset_5);
  for (std::int64_t row = 0; row < result.rows; ++row) {
    result.mean.push_back(test::bell(random));
    result.root.push_back(1 + 0.1f * test::bell(random));
  }
  return result;
}

WeightGradientVerdict judged(const Columns& c, std::vector<float> sums, bool exactly = false) {
  const auto dy = test::packed(c.dy, c.rule.activation);
  const auto x = c.rule.of_bias ? std::vector<std::byte>() : test::packed(c.x, c.rule.activation);
  WeightGradientOperands operands{dy, x, {}, {}};
  if (!c.rule.of_bias) {
    operands.inverse_root = c.root;
    if (c.rule.centred) operands.mean = c.mean;
  }
  return judge_weight_gradient(c.rule, c.rows, c.columns, operands,
                               test::packed(std::move(sums), c.rule.weight), exactly);
}

TEST(WeightGradient, HonestSumsConform) {
  const std::uint64_t seed = test::seed(24);
  Random random(seed);
  const StandardFloatEnvironment environment;
  std::int64_t columns = 0, exactly = 0;
  for (std::int64_t i = 0; i < 1500 * test::scale(); ++i) {
    const Columns c = random_columns(random);
    std::vector<float> sums;
    for (std::int64_t column = 0; column < c.columns; ++column) {
      sums.push_back(c.honest(column, c.rows, random.pick(kSummationOrders), random));
    }
    const WeightGradientVerdict verdict = judged(c, sums);
    ASSERT_TRUE(verdict.conforms()) << "seed " << seed << " trial " << i << " column "
                                    << verdict.violations[0].column << " got " << verdict.violations[0].got
                                    << " wants [" << verdict.violations[0].low << ", "
                                    << verdict.violations[0].high << "]";
    if (i % 10 == 0) {
      ASSERT_TRUE(judged(c, sums, true).conforms()) << "seed " << seed << " trial " << i;
    }
    columns += verdict.columns;
    exactly += verdict.decided_exactly;
  }
  fmt::print("dw and db, honest: {} columns, 0 refused, {} decided exactly (seed {})\n", columns, exactly,
             seed);
}

// The verdict is that of the interval in exact arithmetic, at its ends too.
TEST(WeightGradient, EndsOfTheIntervalAreExact) {
  const std::uint64_t seed = test::seed(25);
  Random random(seed);
  const StandardFloatEnvironment environment;
  std::int64_t outside = 0;
  for (std::int64_t i = 0; i < 400 * test::scale(); ++i) {
    Columns c = random_columns(random);
    c.rule.sum_depth = random.between(1, 20);
    c.columns = 1;
    c.rows = std::min<std::int64_t>(c.rows, 40);
    const auto used = static_cast<std::size_t>(c.rows);
    c.dy.resize(used);
    c.x.resize(used);
    c.mean.resize(used);
    c.root.resize(used);
    for (float& value : c.dy) value = std::fabs(value) < 1e30f ? value : 1.0f;
    // (1 + u)^k - 1 by hand, and the terms as exact values.
    Value sum, absolute, growth = Value::integer(1);
    const Value step = Value::integer(1) + Value::finite(false, 1, -24);
    const std::int64_t factors = std::min(c.rows - 1, *c.rule.sum_depth) + (c.rule.of_bias ? 0 : 3);
    for (std::int64_t k = 0; k < factors; ++k) growth = growth * step;
    growth = growth + Value::integer(-1);
    for (std::size_t row = 0; row < used; ++row) {
      const auto value = [](float v) { return decode(DType::fp32, std::bit_cast<std::uint32_t>(v)); };
      Value term = value(c.dy[row]);
      if (!c.rule.of_bias) {
        term = term * (c.rule.centred ? value(c.x[row]) + -value(c.mean[row]) : value(c.x[row])) *
               value(c.root[row]);
      }
      sum = sum + term;
      absolute = absolute + (term.negative() ? -term : term);
    }
    const auto rounded = [&](const Value& end) {
      return position_of(round_to(c.rule.weight, round_to(DType::fp32, end)));
    };
    const Position low = rounded(sum + -(absolute * growth)), high = rounded(sum + absolute * growth);
    for (const Position tried : {low, high}) {
      const float end = number_at(tried);
      if (!std::isfinite(end) || std::fabs(end) < 1e-3f || c.rule.weight != DType::fp32) continue;
      // An exact sum has a shorter interval, of one number.
      for (const bool exactly : {false, true}) {
        EXPECT_TRUE(judged(c, {end}, exactly).conforms() || c.rule.of_bias)
            << "seed " << seed << " trial " << i;
      }
      const float beyond = number_at(tried == low ? low - 1 : high + 1);
      EXPECT_FALSE(judged(c, {beyond}).conforms()) << "seed " << seed << " trial " << i;
      ++outside;
    }
  }
  EXPECT_GT(outside, 100);
}

TEST(WeightGradient, DetectionTable) {
  const std::uint64_t seed = test::seed(26);
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (const bool with_depth : {false, true}) {
    std::int64_t dropped = 0, in_bf16 = 0, changed_by_dropping = 0, changed_by_bf16 = 0;
    for (std::int64_t i = 0; i < 40 * test::scale(); ++i) {
      Columns c = random_columns(random);
      c.rule.activation = c.rule.weight = DType::bf16;
      c.rule.of_bias = false;
      c.rows = 1024;
      c.columns = 1;
      c.dy = random_row(random, DType::bf16, c.rows, RowClass::centred);
      c.x = random_row(random, DType::bf16, c.rows, RowClass::centred);
      c.mean.assign(static_cast<std::size_t>(c.rows), 0.0f);
      c.root.assign(static_cast<std::size_t>(c.rows), 1.0f);
      if (with_depth) c.rule.sum_depth = canonical_weight_gradient_depth(c.rows);
      const float right = c.honest(0, c.rows, SummationOrder::pairwise, random);
      const float short_sum = c.honest(0, c.rows - 1, SummationOrder::pairwise, random);
      std::vector<float> total(1, 0.0f);
      for (std::int64_t row = 0; row < c.rows; ++row) {
        total[0] += c.dy[c.at(row, 0)] * c.normalized(row, 0);
        test::round_to_format(total, DType::bf16);
      }
      ASSERT_TRUE(judged(c, {right}).conforms());
      const auto bits = test::packed({right}, DType::bf16);
      const auto count = [&](float wrong, std::int64_t& seen, std::int64_t& changed) {
        if (test::packed({wrong}, DType::bf16) == bits) return;
        ++changed;
        seen += judged(c, {wrong}).conforms() ? 0 : 1;
      };
      count(short_sum, dropped, changed_by_dropping);
      count(total[0], in_bf16, changed_by_bf16);
    }
    fmt::print("| dw of 1024 rows, {} | bf16 | a row left out | {} / {} |\n",
               with_depth ? "depth stated" : "any order", dropped, changed_by_dropping);
    fmt::print("| dw of 1024 rows, {} | bf16 | accumulated in bf16 | {} / {} |\n",
               with_depth ? "depth stated" : "any order", in_bf16, changed_by_bf16);
    EXPECT_GT(2 * in_bf16, changed_by_bf16);
  }
}

TEST(WeightGradient, CanonicalOrderConformsToItsDepth) {
  const std::uint64_t seed = test::seed(27);
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 200; ++i) {
    Columns c = random_columns(random);
    c.rule.sum_depth = canonical_weight_gradient_depth(c.rows);
    const auto dy = test::packed(c.dy, c.rule.activation);
    const auto x = c.rule.of_bias ? std::vector<std::byte>() : test::packed(c.x, c.rule.activation);
    WeightGradientOperands operands{dy, x, {}, {}};
    if (!c.rule.of_bias) operands.inverse_root = c.root;
    if (!c.rule.of_bias && c.rule.centred) operands.mean = c.mean;
    const auto sums = canonical_weight_gradient(c.rule, c.rows, c.columns, operands);
    ASSERT_TRUE(judge_weight_gradient(c.rule, c.rows, c.columns, operands, sums).conforms())
        << "seed " << seed << " trial " << i << " rows " << c.rows;
  }
}

}  // namespace
}  // namespace normproof::oracle::box_search
