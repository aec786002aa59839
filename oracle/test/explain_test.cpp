// Explanations: the steps of known elements, and the change that a wrong kernel made.
#include "oracle/explain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "oracle/canonical_judge.h"
#include "oracle/test/case_builder.h"

namespace normproof::oracle {
namespace {

using test::build;
using test::Built;

Built explained_b1() {
  return build(Operation::rms_norm, DType::bf16, 2, {0x3f84, 0x3f80}, {}, DType::bf16, {0x3fa1, 0x3f80});
}

const ExplainedStep& step_of(const Explanation& explanation, Step step) {
  const auto found = std::ranges::find(explanation.steps, step, [](const auto& s) { return s.record.step; });
  EXPECT_NE(found, explanation.steps.end());
  return *found;
}

bool names(const ExplainedOutput& output, std::string_view text) {
  return std::ranges::any_of(output.reproduced_by,
                             [&](const auto& change) { return change.starts_with(text); });
}

TEST(Explain, ShowsEveryStepOfB1) {
  const Explanation explanation = explain(explained_b1().test_case, explained_b1().tensors, {}, 0, 0);
  EXPECT_EQ(to_decimal(explanation.exact_sum_of_squares), "2.0634765625");
  std::vector<Step> steps;
  for (const ExplainedStep& step : explanation.steps) steps.push_back(step.record.step);
  EXPECT_EQ(steps, (std::vector<Step>{Step::mean, Step::mean_plus_epsilon, Step::inverse_root, Step::scaled,
                                      Step::normalized, Step::product, Step::output}));
  const ExplainedStep& product = step_of(explanation, Step::product);
  EXPECT_EQ(to_decimal(product.record.exact), "1.2774658203125");
  EXPECT_EQ(product.rounded_bits, 0x3fa4u);
  EXPECT_EQ(product.below_bits, 0x3fa3u);
  EXPECT_EQ(product.above_bits, 0x3fa4u);
  EXPECT_DOUBLE_EQ(product.fraction, 0.515625);
  EXPECT_FALSE(product.is_tie);
  const ExplainedStep& output = step_of(explanation, Step::output);
  EXPECT_EQ(output.below_bits, output.above_bits);
  EXPECT_EQ(explanation.outputs[0].wanted, 0x3fa4u);
  EXPECT_FALSE(explanation.outputs[0].got);
}

TEST(Explain, SaysWhereATieLies) {
  const Built built =
      build(Operation::rms_norm_static_fp8_quant, DType::bf16, 1, {0x3f80}, {}, DType::bf16, {0x3f88},
            DType::fp8_e4m3fn);  // y = 1.0625
  const Explanation explanation = explain(built.test_case, built.tensors, {}, 0, 0);
  const ExplainedStep& quantized = step_of(explanation, Step::quantized);
  EXPECT_TRUE(quantized.is_tie);
  EXPECT_DOUBLE_EQ(quantized.fraction, 0.5);
  EXPECT_NE(to_text(explanation).find("between 1 (0x38) and 1.125 (0x39), a tie"), std::string::npos);
}

// A wrong kernel is one that follows another policy; its change is named for every axis.
TEST(Explain, NamesThePolicyThatGivesTheBits) {
  const auto expect_named = [](const Built& built, const std::string& policy) {
    const Outputs outputs = expected_outputs(built.test_case, built.tensors, parse_policy(policy));
    const Explanation explanation = explain(built.test_case, built.tensors, outputs, 0, 0);
    EXPECT_NE(explanation.outputs[0].got, explanation.outputs[0].wanted) << policy;
    EXPECT_TRUE(names(explanation.outputs[0], "policy " + policy)) << policy << "\n" << to_text(explanation);
  };
  expect_named(explained_b1(), "weight=fp32");
  expect_named(explained_b1(), "weight=fp32_plus_one");
  const Built sum =
      build(Operation::fused_add_rms_norm, DType::bf16, 2, {0x3f80, 0x4040}, {0x3b30, 0}, {}, {});
  expect_named(sum, "sum=fp32");
  const Built unrounded = build(Operation::rms_norm_static_fp8_quant, DType::bf16, 1, {0x3f80}, {},
                                DType::fp32, {0x3f880081u}, DType::fp8_e4m3fn);
  expect_named(unrounded, "before_quantization=unrounded");
  Built divided = build(Operation::rms_norm_static_fp8_quant, DType::bf16, 1, {0x3f80}, {}, DType::bf16,
                        {0x3e40}, DType::fp8_e4m3fn);
  divided.test_case.bits_of(Parameter::scale) = 0x3cf5c28fu;
  expect_named(divided, "scaling=divide");
  const Built nan =
      build(Operation::rms_norm_static_fp8_quant, DType::bf16, 1, {0x7fc0}, {}, {}, {}, DType::fp8_e4m3fn);
  expect_named(nan, "fp8_nan=saturate");
}

TEST(Explain, NamesTheAlteredStep) {
  Outputs outputs = expected_outputs(explained_b1().test_case, explained_b1().tensors);
  store_bits(outputs[Role::out], DType::bf16, 0, 0x3fa3);  // the product truncated
  const Explanation explanation = explain(explained_b1().test_case, explained_b1().tensors, outputs, 0, 0);
  EXPECT_TRUE(names(explanation.outputs[0], "step \"product\" truncated"));
  EXPECT_FALSE(names(explanation.outputs[0], "step \"normalized\" truncated"));
  EXPECT_NE(to_text(explanation).find("got 1.2734375 (0x3fa3): 1 ulp apart"), std::string::npos);

  store_bits(outputs[Role::out], DType::bf16, 0, 0x4000);
  const Explanation corrupted = explain(explained_b1().test_case, explained_b1().tensors, outputs, 0, 0);
  EXPECT_TRUE(corrupted.outputs[0].reproduced_by.empty());
  EXPECT_NE(to_text(corrupted).find("no single change of policy or rounding"), std::string::npos);
}

TEST(Explain, EqualOutputsNeedNoChange) {
  const Built built = build(Operation::fused_add_rms_norm, DType::fp16, 3, {0x3c00, 0x4200, 0xb800},
                            {0x0001, 0x3c01, 0x3c00}, DType::fp32, {0x3f800000u, 0x40000000u, 0xbf99999au});
  const Outputs outputs = expected_outputs(built.test_case, built.tensors);
  const Explanation explanation = explain(built.test_case, built.tensors, outputs, 0, 2);
  ASSERT_EQ(explanation.outputs.size(), 2u);
  for (const ExplainedOutput& output : explanation.outputs) {
    EXPECT_EQ(output.got, output.wanted);
    EXPECT_TRUE(output.reproduced_by.empty());
  }
  EXPECT_NE(to_text(explanation).find(": equal\n"), std::string::npos);
}

// The steps end in the bits that the judge wants, for any case, policy and element.
TEST(Explain, AgreesWithTheJudge) {
  test::RandomCases random(21);
  for (int i = 0; i < 1500; ++i) {
    const Built built = random.any_case(2, 1 + random.below(20));
    const std::vector<Policy> policies = all_policies(built.test_case);
    const Policy policy = policies[random.below(static_cast<std::uint32_t>(policies.size()))];
    const Outputs outputs = expected_outputs(built.test_case, built.tensors, policy);
    const std::int64_t row = random.below(2);
    const std::int64_t column = random.below(static_cast<std::uint32_t>(built.test_case.hidden_size()));
    const Explanation explanation = explain(built.test_case, built.tensors, outputs, row, column, policy);
    for (const ExplainedOutput& output : explanation.outputs) {
      ASSERT_TRUE(same(output.dtype, *output.got, output.wanted)) << to_text(explanation);
    }
    ASSERT_FALSE(to_text(explanation).empty());
  }
}

TEST(Explain, ElementsThatDoNotExistAreRefused) {
  EXPECT_THROW(explain(explained_b1().test_case, explained_b1().tensors, {}, 1, 0), std::invalid_argument);
  EXPECT_THROW(explain(explained_b1().test_case, explained_b1().tensors, {}, 0, 2), std::invalid_argument);
  EXPECT_THROW(explain(explained_b1().test_case, explained_b1().tensors, {}, -1, 0), std::invalid_argument);
  EXPECT_THROW(explain(explained_b1().test_case, explained_b1().tensors, Outputs{}, 0, 0),
               std::invalid_argument);
}

// One row of 512, whose r was computed with another divisor or without a part of the sum.
TEST(Explain, SaysWhatAnotherRootOfTheRowComesFrom) {
  std::vector<std::uint32_t> x, w;
  for (std::uint32_t j = 0; j < 64; ++j) {
    x.push_back(0x3f000000u + (j * 0x9e3779b1u >> 8) % 0x01000000u);
    w.push_back(0x3f800000u + (j * 0x85ebca6bu >> 9) % 0x00800000u);
  }
  const auto explained = [&](auto root) {
    Built built = build(Operation::rms_norm, DType::fp32, 64, x, {}, DType::fp32, w);
    double sum = 0, first_half = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      const auto value = static_cast<double>(std::bit_cast<float>(x[j]));
      sum += value * value;
      if (j < 32) first_half += value * value;
    }
    const auto epsilon =
        static_cast<double>(std::bit_cast<float>(built.test_case.bits_of(Parameter::epsilon)));
    const auto r = static_cast<float>(root(sum, first_half, epsilon));
    Outputs outputs;
    outputs[Role::out].resize(4 * x.size());
    for (std::size_t j = 0; j < x.size(); ++j) {
      const float out = std::bit_cast<float>(x[j]) * r * std::bit_cast<float>(w[j]);
      std::memcpy(outputs[Role::out].data() + 4 * j, &out, 4);
    }
    return explain(built.test_case, built.tensors, outputs, 0, 5).outputs[0];
  };
  EXPECT_TRUE(names(explained([](double sum, double, double eps) { return 1 / std::sqrt(sum / 65 + eps); }),
                    "another r in the whole row: divided by 65 instead of 64"));
  EXPECT_TRUE(names(explained([](double, double half, double eps) { return 1 / std::sqrt(half / 64 + eps); }),
                    "another r in the whole row: as if columns 32..63 were not summed"));
  EXPECT_TRUE(names(explained([](double sum, double, double) { return 1 / std::sqrt(sum / 64 + 0.25); }),
                    "another r in the whole row: epsilon 0.25 instead of"));
}

TEST(Explain, NamesTiesAwayFromZero) {
  Built built =
      build(Operation::rms_norm_static_fp8_quant, DType::bf16, 1, {0x3f80}, {}, DType::bf16, {0x3f88},
            DType::fp8_e4m3fn);  // y = 1.0625, a tie of e4m3fn
  Outputs outputs;
  outputs[Role::out] = {std::byte{0x39}};
  const Explanation explanation = explain(built.test_case, built.tensors, outputs, 0, 0);
  EXPECT_TRUE(
      names(explanation.outputs[0], "step \"quantized\" rounded to nearest with ties away from zero"));
}

}  // namespace
}  // namespace normproof::oracle
