// LayerNorm's judge on rows so short that it can be followed by hand. What it says of many rows is studied in
// properties/assess/family/.
#include "oracle/box_search/layer_norm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
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

LayerNormRule shifted_rule(DType activation, NormForm form) {
  LayerNormRule rule;
  rule.activation = activation;
  rule.form = form;
  rule.epsilon = std::bit_cast<std::uint32_t>(1e-5f);
  return rule;
}

// PyTorch's CPU kernel gives 0.0044 here: the rounding of mean * rstd, which an fma does not repeat.
TEST(ShiftedLayerNorm, RowsOfOneColumn) {
  const StandardFloatEnvironment environment;
  const auto x = packed({-598}, DType::fp16);
  for (const NormForm form : {NormForm::centred, NormForm::shifted, NormForm::shifted_fma}) {
    const bool is_fused = form == NormForm::shifted_fma;
    LayerNormJudge judge(shifted_rule(DType::fp16, form), 1, {}, {});
    for (const float y : {0.0f, 0x1.2p-8f}) {
      const RowVerdict verdict = judge.judge(x, packed({y}, DType::fp16));
      EXPECT_EQ(verdict.conforms, (y != 0) == is_fused) << name_of(form) << " " << y;
      EXPECT_FALSE(verdict.undecided);
      judge.require_exact(verdict);
    }
  }
}

// Elements of one x have one n.
TEST(ShiftedLayerNorm, EqualOperandsRefuteEachOther) {
  const StandardFloatEnvironment environment;
  LayerNormRule rule = shifted_rule(DType::fp32, NormForm::shifted_fma);
  rule.statistics = Statistics::welford;
  LayerNormJudge judge(rule, 4, {}, {});
  const auto x = packed({1200, 1000, 1200, 1200}, DType::fp32);
  const auto right = judge.outputs(x, 1150, 0.011547005f);
  const RowVerdict conforming = judge.judge(x, right);
  EXPECT_TRUE(conforming.conforms && !conforming.undecided);
  auto wrong = right;
  wrong[2 * sizeof(float)] ^= std::byte{1};
  const RowVerdict verdict = judge.judge(x, wrong);
  EXPECT_FALSE(verdict.conforms);
  ASSERT_EQ(verdict.refutation.size(), 2u);
  EXPECT_EQ(std::ranges::count(verdict.refutation, 2), 1);
  judge.require_exact(verdict);
  RowVerdict too_little = verdict;
  std::erase(too_little.refutation, 2);
  EXPECT_THROW(judge.require_exact(too_little), std::logic_error);
}

// A variance that cancels admits millions of r, of which each makes another rounding error of n.
TEST(ShiftedLayerNorm, ASearchIsGivenUp) {
  const StandardFloatEnvironment environment;
  LayerNormRule rule = shifted_rule(DType::fp32, NormForm::shifted_fma);
  rule.statistics = Statistics::one_pass_clamped;
  LayerNormJudge judge(rule, 3, {}, {});
  const auto x = packed({1200, 1200.0001f, 1200.0002f}, DType::fp32);
  auto mixed = packed({1.23e-4f, -3.21e-4f, 2.22e-4f}, DType::fp32);
  const RowVerdict verdict = judge.judge(x, mixed);
  EXPECT_TRUE(verdict.undecided);
  EXPECT_TRUE(verdict.conforms);
  judge.require_exact(verdict);
  // Not where an element by itself is none that the window gives.
  const auto far = packed({1e6f}, DType::fp32);
  std::copy(far.begin(), far.end(), mixed.begin() + 8);
  const RowVerdict refuted = judge.judge(x, mixed);
  EXPECT_FALSE(refuted.conforms);
  EXPECT_EQ(refuted.refutation, std::vector<std::int32_t>{2});
  judge.require_exact(refuted);
}

}  // namespace
}  // namespace normproof::oracle::box_search
