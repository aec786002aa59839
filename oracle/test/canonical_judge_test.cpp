// The canonical judge: the catalogue's smallest inputs as literal expectations, and wrong elements found
// where they are.
#include "oracle/canonical_judge.h"

#include <gtest/gtest.h>

#include <limits>

#include "oracle/test/case_builder.h"

namespace normproof::oracle {
namespace {

using test::build;
using test::Built;

constexpr std::uint32_t kOne = 0x3f80;           // bf16
constexpr std::uint32_t kOneFp32 = 0x3f800000u;  // fp32
constexpr std::uint32_t kScale03 = 0x3cf5c28fu;  // fp32 0.03

std::uint32_t out_bits(const Built& built, std::int64_t index, const char* policy = "native") {
  const Outputs outputs = expected_outputs(built.test_case, built.tensors, parse_policy(policy));
  return load_bits(outputs[Role::out], built.test_case.output_dtype(), index);
}

// x = (1.03125, 1), w0 = 1.2578125.
Built b1() {
  return build(Operation::rms_norm, DType::bf16, 2, {0x3f84, kOne}, {}, DType::bf16, {0x3fa1, kOne});
}

TEST(CanonicalJudge, B1WeightMultiply) {
  EXPECT_EQ(value_text(DType::bf16, out_bits(b1(), 0)), "1.28125");
  EXPECT_EQ(value_text(DType::bf16, out_bits(b1(), 0, "weight=fp32")), "1.2734375");
  EXPECT_EQ(out_bits(b1(), 0, "weight=activation"), out_bits(b1(), 0));  // W = T: the same arithmetic
}

TEST(CanonicalJudge, B3UnroundedSum) {
  const Built built =
      build(Operation::fused_add_rms_norm, DType::bf16, 2, {kOne, 0x4040}, {0x3b30, 0x0000}, {}, {});
  EXPECT_EQ(value_text(DType::bf16, load_bits(built.tensors[Role::residual], DType::bf16, 0)),
            "0.0026855469");
  EXPECT_EQ(value_text(DType::bf16, out_bits(built, 0)), "0.44726562");
  EXPECT_EQ(value_text(DType::bf16, out_bits(built, 0, "sum=fp32")), "0.44921875");
}

TEST(CanonicalJudge, B4UnroundedQuantization) {
  // One element, r = 1: the product is the weight 1.0625153, just above the e4m3 tie at 1.0625.
  const Built built = build(Operation::rms_norm_static_fp8_quant, DType::bf16, 1, {kOne}, {}, DType::fp32,
                            {0x3f880081u}, DType::fp8_e4m3fn);
  EXPECT_EQ(value_text(DType::fp8_e4m3fn, out_bits(built, 0)), "1");
  EXPECT_EQ(value_text(DType::fp8_e4m3fn, out_bits(built, 0, "before_quantization=unrounded")), "1.125");
}

Built one_quantized(std::uint32_t weight_bits, std::uint32_t scale_bits, DType quantized) {
  Built built = build(Operation::rms_norm_static_fp8_quant, DType::bf16, 1, {kOne}, {}, DType::bf16,
                      {weight_bits}, quantized);
  built.test_case.bits_of(Parameter::scale) = scale_bits;
  return built;
}

TEST(CanonicalJudge, B19InverseAgainstDivide) {
  const Built built = one_quantized(0x3e40, kScale03, DType::fp8_e4m3fn);  // y = 0.1875
  EXPECT_EQ(value_text(DType::fp8_e4m3fn, out_bits(built, 0)), "6.5");
  EXPECT_EQ(value_text(DType::fp8_e4m3fn, out_bits(built, 0, "scaling=divide")), "6");
}

TEST(CanonicalJudge, B18AndB20ClampToTheFormatsMaximum) {
  for (const std::uint32_t y : {0x43e1u, 0x461cu}) {  // 450, 9984
    EXPECT_EQ(value_text(DType::fp8_e4m3fn, out_bits(one_quantized(y, kOneFp32, DType::fp8_e4m3fn), 0)),
              "448");
    EXPECT_EQ(value_text(DType::fp8_e4m3fnuz, out_bits(one_quantized(y, kOneFp32, DType::fp8_e4m3fnuz), 0)),
              "240");
    EXPECT_EQ(
        value_text(DType::fp8_e4m3fn, out_bits(one_quantized(y | 0x8000, kOneFp32, DType::fp8_e4m3fn), 0)),
        "-448");
  }
  EXPECT_EQ(value_text(DType::fp8_e5m2, out_bits(one_quantized(0x7f7f, kOneFp32, DType::fp8_e5m2), 0)),
            "57344");
}

TEST(CanonicalJudge, B21NanReachesFp8) {
  Built built = build(Operation::rms_norm_static_fp8_quant, DType::bf16, 2, {0x7fc0, kOne}, {}, {}, {},
                      DType::fp8_e4m3fn);
  EXPECT_TRUE(is_nan(DType::fp8_e4m3fn, out_bits(built, 0)));
  EXPECT_TRUE(is_nan(DType::fp8_e4m3fn, out_bits(built, 1)));
  EXPECT_EQ(value_text(DType::fp8_e4m3fn, out_bits(built, 1, "fp8_nan=saturate")), "448");
  // An infinity makes r = 0: its own element is NaN, the others are signed zeros.
  built = build(Operation::rms_norm, DType::bf16, 3, {0xff80, kOne, 0xbf80}, {}, {}, {});
  EXPECT_TRUE(is_nan(DType::bf16, out_bits(built, 0)));
  EXPECT_EQ(out_bits(built, 1), 0x0000u);
  EXPECT_EQ(out_bits(built, 2), 0x8000u);
}

TEST(CanonicalJudge, B22ZeroRow) {
  Built built = build(Operation::rms_norm, DType::bf16, 2, {0x0000, 0x8000}, {}, {}, {});
  EXPECT_TRUE(is_nan(DType::bf16, out_bits(built, 0)));  // 0 * infinity
  built.test_case.bits_of(Parameter::epsilon) = 0x358637bdu;
  EXPECT_EQ(out_bits(built, 0), 0x0000u);
  EXPECT_EQ(out_bits(built, 1), 0x8000u);
  built.test_case.bits_of(Parameter::epsilon) = 0xbf800000u;  // v + eps < 0
  EXPECT_TRUE(is_nan(DType::bf16, out_bits(built, 0)));
}

TEST(CanonicalJudge, B10OnePlusWeight) {
  const Built built = build(Operation::rms_norm, DType::bf16, 1, {kOne}, {}, DType::bf16, {0x0000});
  EXPECT_EQ(out_bits(built, 0, "weight=fp32_plus_one"), kOne);
  EXPECT_EQ(out_bits(built, 0), 0x0000u);
}

TEST(CanonicalJudge, ScalesThatAreNoOrdinaryNumber) {
  const auto quantized = [](std::uint32_t weight, std::uint32_t scale) {
    return value_text(DType::fp8_e4m3fn, out_bits(one_quantized(weight, scale, DType::fp8_e4m3fn), 0));
  };
  EXPECT_EQ(quantized(kOne, 0x00000000u), "448");    // inv = inf
  EXPECT_EQ(quantized(kOne, 0x80000000u), "-448");   // inv = -inf
  EXPECT_EQ(quantized(0x0000, 0x00000000u), "NaN");  // 0 * inf
  EXPECT_EQ(quantized(kOne, 0x7f800000u), "0");      // inv = 0
  EXPECT_EQ(quantized(kOne, 0xff800000u), "-0");
  EXPECT_EQ(quantized(kOne, 0x7fc00000u), "NaN");
  EXPECT_EQ(quantized(kOne, 0xbf800000u), "-1");
}

TEST(CanonicalJudge, AgreesWithItsOwnExpectation) {
  test::RandomCases random(11);
  for (int i = 0; i < 2000; ++i) {
    const Built built = random.any_case(3, 1 + random.below(50));
    const Outputs outputs = expected_outputs(built.test_case, built.tensors);
    const Verdict verdict = judge_canonical(built.test_case, built.tensors, outputs);
    ASSERT_TRUE(verdict.conforms());
    ASSERT_EQ(verdict.rows, 3);
    std::int64_t elements = 0;
    for (const Role role : kRoles)
      if (built.test_case.has_output(role)) elements += built.test_case.elements_of(role);
    ASSERT_EQ(verdict.elements, elements);
  }
}

// One element moved by a few steps is found in its row and column, with its distance.
TEST(CanonicalJudge, FindsOneWrongElement) {
  test::RandomCases random(12);
  int planted = 0;
  for (int i = 0; i < 3000; ++i) {
    const Built built = random.any_case(3, 1 + random.below(70));
    const Case& c = built.test_case;
    Outputs outputs = expected_outputs(c, built.tensors);
    const bool in_residual = has(c.operation, Role::residual_out) && random.one_in(2);
    const DType dtype = c.dtype_of(in_residual ? Role::residual_out : Role::out);
    auto& data = in_residual ? outputs[Role::residual_out] : outputs[Role::out];
    const auto index = static_cast<std::int64_t>(random.below(static_cast<std::uint32_t>(c.elements())));
    const std::uint32_t wanted = load_bits(data, dtype, index);
    const auto got = static_cast<std::uint32_t>(next_up(format_of(dtype), wanted));
    if (same(dtype, got, wanted)) continue;  // NaN, or the largest number
    ++planted;
    store_bits(data, dtype, index, got);
    const Verdict verdict = judge_canonical(c, built.tensors, outputs);
    ASSERT_EQ(verdict.mismatches, 1);
    ASSERT_EQ(verdict.first_mismatches.size(), 1u);
    const Mismatch& mismatch = verdict.first_mismatches[0];
    EXPECT_EQ(mismatch.tensor, in_residual ? Role::residual_out : Role::out);
    EXPECT_EQ(mismatch.row, index / c.hidden_size());
    EXPECT_EQ(mismatch.column, index % c.hidden_size());
    EXPECT_EQ(mismatch.dtype, dtype);
    EXPECT_EQ(mismatch.got, got);
    EXPECT_EQ(mismatch.wanted, wanted);
    const bool was_minus_zero = dtype != DType::int8 && wanted == format_of(dtype).sign_bit();
    EXPECT_EQ(mismatch.ulp_distance, was_minus_zero ? 2u : 1u);
  }
  EXPECT_GT(planted, 1500);
}

TEST(CanonicalJudge, ListsTheFirstMismatchesInOrderAndCountsAll) {
  Built built = build(Operation::rms_norm, DType::bf16, 4, std::vector<std::uint32_t>(20, kOne), {}, {}, {});
  Outputs outputs = expected_outputs(built.test_case, built.tensors);
  for (std::int64_t i = 3; i < 20; ++i) store_bits(outputs[Role::out], DType::bf16, i, 0x4000);
  const Verdict verdict = judge_canonical(built.test_case, built.tensors, outputs);
  EXPECT_EQ(verdict.mismatches, 17);
  ASSERT_EQ(verdict.first_mismatches.size(), kMaximumListed);
  for (std::size_t i = 0; i < kMaximumListed; ++i) {
    EXPECT_EQ(verdict.first_mismatches[i].row * 4 + verdict.first_mismatches[i].column,
              static_cast<std::int64_t>(i) + 3);
  }
}

TEST(CanonicalJudge, AnyNanEqualsAnyNanButZerosKeepTheirSigns) {
  const Built nan = build(Operation::rms_norm, DType::bf16, 2, {0x7fc0, kOne}, {}, {}, {});
  Outputs outputs = expected_outputs(nan.test_case, nan.tensors);
  store_bits(outputs[Role::out], DType::bf16, 0, 0xff81);
  EXPECT_TRUE(judge_canonical(nan.test_case, nan.tensors, outputs).conforms());
  store_bits(outputs[Role::out], DType::bf16, 0, 0x7f80);
  const Verdict verdict = judge_canonical(nan.test_case, nan.tensors, outputs);
  ASSERT_EQ(verdict.mismatches, 1);
  EXPECT_EQ(verdict.first_mismatches[0].ulp_distance, std::numeric_limits<std::uint64_t>::max());

  const Built zero = build(Operation::rms_norm, DType::bf16, 2, {0x8000, kOne}, {}, {}, {});
  outputs = expected_outputs(zero.test_case, zero.tensors);
  EXPECT_EQ(load_bits(outputs[Role::out], DType::bf16, 0), 0x8000u);
  store_bits(outputs[Role::out], DType::bf16, 0, 0x0000);
  EXPECT_EQ(judge_canonical(zero.test_case, zero.tensors, outputs).mismatches, 1);
}

TEST(CanonicalJudge, CountsSpecialRows) {
  // Rows: ordinary, NaN, infinity, -0, subnormal, +0 (not special by itself), all +0 (mean 0), mean overflow.
  const Built built = build(Operation::rms_norm, DType::bf16, 2,
                            {kOne, kOne, 0x7fc0, kOne, 0x7f80, kOne, 0x8000, kOne, 0x0001, kOne, 0x0000, kOne,
                             0x0000, 0x0000, 0x7f7f, kOne},
                            {}, {}, {});
  const Outputs outputs = expected_outputs(built.test_case, built.tensors);
  const Verdict verdict = judge_canonical(built.test_case, built.tensors, outputs);
  EXPECT_EQ(verdict.rows, 8);
  EXPECT_EQ(verdict.special_rows, 6);
}

TEST(CanonicalJudge, WrongSizesAreNamed) {
  Built built = b1();
  const Outputs outputs = expected_outputs(built.test_case, built.tensors);
  Outputs longer = outputs;
  longer[Role::out].push_back(std::byte{0});
  try {
    judge_canonical(built.test_case, built.tensors, longer);
    FAIL() << "not refused";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "outputs.out: 5 bytes given, but 2 elements of bf16 take 4 bytes");
  }
  Outputs residual = outputs;
  residual[Role::residual_out].resize(4);
  EXPECT_THROW(judge_canonical(built.test_case, built.tensors, residual), std::invalid_argument);
  Case negative = built.test_case;
  negative.shape = {-1, 2};
  CaseTensors nothing = built.tensors;
  nothing[Role::input].clear();
  EXPECT_THROW(expected_outputs(negative, nothing), std::invalid_argument);
  built.tensors[Role::weight].resize(2);
  EXPECT_THROW(expected_outputs(built.test_case, built.tensors), std::invalid_argument);
  built = b1();
  built.test_case.weight_dtype = DType::fp16;
  EXPECT_THROW(expected_outputs(built.test_case, built.tensors), std::invalid_argument);
  built = b1();
  built.test_case.quantized_dtype = DType::fp8_e5m2;
  EXPECT_THROW(expected_outputs(built.test_case, built.tensors), std::invalid_argument);
  built = b1();
  built.test_case.shape = {1, 0};
  EXPECT_THROW(expected_outputs(built.test_case, built.tensors), std::invalid_argument);
}

TEST(CanonicalJudge, NoRowsAreNothingToJudge) {
  Built built = b1();
  built.test_case.shape = {0, 2};
  built.tensors[Role::input].clear();
  const Verdict verdict = judge_canonical(built.test_case, built.tensors, {});
  EXPECT_TRUE(verdict.conforms());
  EXPECT_EQ(verdict.rows, 0);
}

}  // namespace
}  // namespace normproof::oracle
