// Rows of kernels of the world that only one row of the policy table explains.
#include "oracle/policy_rows.h"

#include <gtest/gtest.h>

#include <string_view>

#include "oracle/canonical_judge.h"
#include "oracle/test/case_builder.h"
#include "oracle/witness_judge.h"

namespace normproof::oracle {
namespace {

using test::build;
using test::Built;

WitnessVerdict judged(const Built& built, const std::vector<std::uint32_t>& out, std::string_view policy) {
  const Outputs outputs = {{Role::out, test::pack(built.test_case.output_dtype(), out)}};
  return judge_witness(built.test_case, built.tensors, outputs, parse_policy(policy), {.keep_rows = true});
}

TEST(PolicyRows, AWeightOfMinusZeroActsAsPlusZeroInFlashInfer) {
  const Built built =
      build(Operation::rms_norm, DType::fp32, 1, {0x3f800000u}, {}, DType::fp32, {0x80000000u});
  for (const char* policy : {"weight=fp32_plus_zero", "flashinfer.rms_norm", "flashinfer"}) {
    EXPECT_TRUE(judged(built, {0u}, policy).conforms()) << policy;
    EXPECT_FALSE(judged(built, {0x80000000u}, policy).conforms()) << policy;
  }
  EXPECT_FALSE(judged(built, {0u}, "native").conforms());
  EXPECT_TRUE(judged(built, {0x80000000u}, "native").conforms());
}

// The r that explains both elements is a single one, and x * r first has none.
TEST(PolicyRows, TheProductWithTheWeightMayComeFirst) {
  Built built =
      build(Operation::rms_norm, DType::bf16, 2, {0xbe95, 0x3e98}, {}, DType::bf16, {0x3f88, 0x3f95});
  built.test_case.bits_of(Parameter::epsilon) = 0x3f333f80u;  // 0.70018768
  const std::vector<std::uint32_t> out = {0xbeb2, 0x3ec8};
  const WitnessVerdict verdict = judged(built, out, "weight=product_first");
  ASSERT_TRUE(verdict.conforms());
  EXPECT_EQ(verdict.row_witnesses.at(0).witness, 0x3f905278u);
  EXPECT_EQ(verdict.row_witnesses.at(0).width, 1u);
  EXPECT_EQ(judged(built, out, "weight=fp32").rounding_violations, 1);
  // With another epsilon it is the scale alone that is wrong.
  built.test_case.bits_of(Parameter::epsilon) = 0x358637bdu;
  EXPECT_EQ(judged(built, out, "weight=product_first").scale_violations, 1);
  EXPECT_EQ(judged(built, out, "weight=fp32").rounding_violations, 1);
}

TEST(PolicyRows, SquaresBeyondFp32FitIntoFp64) {
  const Built built = build(Operation::rms_norm, DType::fp32, 1, {0x5f800000u}, {}, {}, {});  // 2^64
  const std::vector<std::uint32_t> one = {0x3f800000u};
  EXPECT_TRUE(judged(built, one, "variance=fp64").conforms());
  EXPECT_FALSE(judged(built, one, "native").conforms());
  EXPECT_FALSE(judged(built, one, "variance=kahan").conforms());
  EXPECT_TRUE(judged(built, {0x00000000u}, "native").conforms());
  EXPECT_FALSE(judged(built, {0x00000000u}, "variance=fp64").conforms());
  // The correction of an infinite compensated sum is inf - inf.
  EXPECT_TRUE(judged(built, {0x7fc00000u}, "variance=kahan").conforms());
  EXPECT_FALSE(judged(built, {0x7fc00000u}, "native").conforms());
}

// 1 and 4095 times 2^-12: a serial fp32 sum loses every square but the first.
TEST(PolicyRows, BetterAccumulatorsAdmitLess) {
  std::vector<std::uint32_t> x(4096, 0x39800000u);
  x[0] = 0x3f800000u;
  const Built built = build(Operation::rms_norm, DType::fp32, 4096, x, {}, {}, {});
  std::vector<std::uint32_t> serial(4096, 0x3c800000u);  // sum 1, r 64
  serial[0] = 0x42800000u;
  EXPECT_TRUE(judged(built, serial, "native").conforms());
  EXPECT_EQ(judged(built, serial, "variance=fp64").scale_violations, 1);
  EXPECT_EQ(judged(built, serial, "variance=kahan").scale_violations, 1);
  for (const char* policy : {"variance=fp64", "variance=kahan"}) {
    const Outputs outputs = expected_outputs(built.test_case, built.tensors, parse_policy(policy));
    for (const char* by : {policy, "native"})
      EXPECT_TRUE(judge_witness(built.test_case, built.tensors, outputs, parse_policy(by)).conforms()) << by;
  }
}

// 1 / 3 and 3 * fl(1 / 9 ...): a division by the root is no multiplication by its inverse.
TEST(PolicyRows, DivisionByTheRootIsAnUnknownOfItsOwn) {
  test::RandomCases random(3);
  int told_apart = 0;
  for (int i = 0; i < 40; ++i) {
    std::vector<std::uint32_t> x;
    for (int j = 0; j < 64; ++j) x.push_back(random.ordinary_bits(format_of(DType::fp32), 0));
    const Built built = build(Operation::rms_norm, DType::fp32, 64, x, {}, {}, {});
    for (const auto& [is, other] : {std::pair("root=divide", "native"), std::pair("native", "root=divide")}) {
      const Outputs outputs = expected_outputs(built.test_case, built.tensors, parse_policy(is));
      EXPECT_TRUE(judge_witness(built.test_case, built.tensors, outputs, parse_policy(is)).conforms());
      const auto verdict = judge_witness(built.test_case, built.tensors, outputs, parse_policy(other));
      told_apart += verdict.conforms() ? 0 : 1;
      if (!verdict.conforms() && std::string_view(other) == "root=divide") {
        const std::string text =
            to_text(verdict.first_violations.at(0), formula_of(built.test_case, parse_policy(other)));
        EXPECT_NE(text.find("admissible rms"), std::string::npos) << text;
      }
    }
  }
  EXPECT_GE(told_apart, 76);
}

TEST(PolicyRows, EpsilonTakesPartInFourWays) {
  Built built = build(Operation::rms_norm, DType::fp32, 1, {0x3f800000u}, {}, {}, {});
  built.test_case.bits_of(Parameter::epsilon) = 0x3f800000u;
  EXPECT_TRUE(judged(built, {0x3f800000u}, "epsilon=maximum").conforms());
  EXPECT_FALSE(judged(built, {0x3f800000u}, "native").conforms());
  Built half = build(Operation::rms_norm, DType::fp16, 1, {0x0001u}, {}, {}, {});
  half.test_case.bits_of(Parameter::epsilon) = 0x233877aau;  // 1e-17
  EXPECT_TRUE(judged(half, {0x3bfdu}, "native").conforms());
  EXPECT_TRUE(judged(half, {0x3c00u}, "epsilon=activation").conforms());
  EXPECT_FALSE(judged(half, {0x3c00u}, "native").conforms());
  EXPECT_TRUE(judged(half, {0x0080u}, "epsilon=floored").conforms());
}

TEST(PolicyRows, TiesGoAwayFromZeroAndBitsAreCutOff) {
  // 1 + 2^-8 is a tie of bf16; 1.0078 lies above one.
  const Value tie = decode(DType::fp32, 0x3f808000u);
  EXPECT_EQ(round_bits(format_of(DType::bf16), tie, Rounding::nearest_away), 0x3f81u);
  EXPECT_EQ(round_bits(format_of(DType::bf16), -tie, Rounding::nearest_away), 0xbf81u);
  EXPECT_EQ(round_bits(format_of(DType::bf16), decode(DType::fp32, 0x3f807fffu), Rounding::nearest_away),
            0x3f80u);
  EXPECT_EQ(round_bits(format_of(DType::bf16), decode(DType::fp32, 0x7f7fffffu), Rounding::nearest_away),
            0x7f80u);
  EXPECT_EQ(round_bits(format_of(DType::fp16), Value::finite(false, 1, -25), Rounding::nearest_away),
            0x0001u);
}

}  // namespace
}  // namespace normproof::oracle
