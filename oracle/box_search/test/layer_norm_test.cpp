// LayerNorm's judge on rows so short that it can be followed by hand. What it says of many rows is studied in
// properties/assess/family/.
#include "oracle/box_search/layer_norm.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string_view>

#include "oracle/box_search/random_rows.h"

namespace normproof::oracle::box_search {
namespace {

TEST(LayerNormSearch, ExactArithmeticRefusesWrongVerdicts) {
  const StandardFloatEnvironment environment;
  LayerNormRule rule;
  rule.activation = DType::fp32;
  LayerNormJudge judge(rule, 2, {}, {});
  const auto row = [](float a, float b) { return packed({a, b}, DType::fp32); };
  const RowVerdict right = judge.judge(row(1, 3), row(-1, 1));
  judge.require_exact(right);
  RowVerdict refuted = right;
  refuted.conforms = false;
  refuted.refutation = {0, 1};
  EXPECT_THROW(judge.require_exact(refuted), std::logic_error);
  RowVerdict moved = right;
  ++moved.witness.second;
  EXPECT_THROW(judge.require_exact(moved), std::logic_error);
  RowVerdict narrowed = right;
  narrowed.window[0].second.low = narrowed.window[0].second.high;
  EXPECT_THROW(judge.require_exact(narrowed), std::logic_error);
  const RowVerdict wrong = judge.judge(row(1, 3), row(-1, 1.0000001f));
  judge.require_exact(wrong);
  RowVerdict too_little = wrong;
  too_little.refutation.pop_back();
  EXPECT_THROW(judge.require_exact(too_little), std::logic_error);
}

// Rows so short that the verdict can be followed by hand.
TEST(LayerNormSearch, Examples) {
  const StandardFloatEnvironment environment;
  LayerNormRule rule;
  rule.activation = DType::fp32;
  LayerNormJudge judge(rule, 2, {}, {});
  const auto row = [](float a, float b) { return packed({a, b}, DType::fp32); };
  EXPECT_TRUE(judge.judge(row(1, 3), row(-1, 1)).conforms);
  const RowVerdict wrong = judge.judge(row(1, 3), row(-1, 1.0000001f));
  EXPECT_FALSE(wrong.conforms);
  const std::array<std::string_view, 2> unknowns = {"mean", "r"};
  EXPECT_EQ(
      to_text(wrong, unknowns),
      "no mean and r explain columns 0, 1 together; an honest evaluation arrives at mean in [1.9999999, "
      "2.0000002] with r in [0.99999976, 1.0000004]");
  EXPECT_EQ(to_text(judge.judge(row(1, 3), row(-1, 1)), unknowns), "conforms with mean = 2, r = 1");
  EXPECT_EQ(to_text(judge.judge(row(1, 3), row(-1, 1), {5.0f, {}}), unknowns),
            "the stored values are none that an honest evaluation arrives at");
  // mean 0, variance 0, epsilon 0: 0 * infinity.
  EXPECT_TRUE(judge.judge(row(0, 0), row(NAN, NAN)).conforms);
  EXPECT_FALSE(judge.judge(row(0, 0), row(0, NAN)).conforms);
  rule.epsilon = std::bit_cast<std::uint32_t>(1.0f);
  LayerNormJudge with_epsilon(rule, 2, {}, {});
  EXPECT_TRUE(with_epsilon.judge(row(0, 0), row(0, 0)).conforms);
  // x - m of equal zeros is +0; -0 - +0 is -0.
  EXPECT_TRUE(with_epsilon.judge(row(-0.0f, -0.0f), row(-0.0f, -0.0f)).conforms);
  EXPECT_FALSE(with_epsilon.judge(row(-0.0f, -0.0f), row(0.0f, -0.0f)).conforms);
  EXPECT_TRUE(with_epsilon.judge(row(INFINITY, 1), row(NAN, NAN)).conforms);
  EXPECT_FALSE(with_epsilon.judge(row(INFINITY, 1), row(NAN, -INFINITY)).conforms);
  rule.statistics = Statistics::one_pass_clamped;
  LayerNormJudge clamped(rule, 2, {}, {});
  EXPECT_TRUE(clamped.judge(row(INFINITY, 1), row(NAN, -INFINITY)).conforms);
  EXPECT_THROW(judge.judge(row(1, 2), {}), std::invalid_argument);
  EXPECT_THROW(LayerNormJudge({}, 0, {}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace normproof::oracle::box_search
