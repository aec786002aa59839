// The fast path equals the exact path, bit for bit: all operations, dtypes, policies and classes of values,
// with the loops of every instruction set that this processor has.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>
#include <string>

#include "oracle/canonical.h"
#include "oracle/canonical_judge.h"
#include "oracle/code_factor.h"
#include "oracle/fast_row.h"
#include "oracle/test/case_builder.h"

namespace normproof::oracle {
namespace {

Policy any_policy(test::RandomCases& random) {
  Policy policy;
  for (std::size_t axis = 0; axis < policy_axes().size(); ++axis) {
    const auto values = static_cast<std::uint32_t>(policy_axes()[axis].values.size());
    policy = with_axis_value(policy, axis, random.below(values));
  }
  return policy;
}

std::string describe(const test::Built& built, const Policy& policy, std::int64_t row, std::int64_t column) {
  const Case& c = built.test_case;
  return std::string(name_of(c.operation)) + " " + std::string(name_of(c.dtype)) + " weight " +
         std::string(c.weight_dtype ? name_of(*c.weight_dtype) : "none") + " H " +
         std::to_string(c.hidden_size()) + " policy " + to_string(policy) + " row " + std::to_string(row) +
         " column " + std::to_string(column);
}

void expect_row_equal(const test::Built& built, const Policy& policy, std::int64_t row, FastRow& fast) {
  const Formula formula = formula_of(built.test_case, policy);
  fast.load_row(built.tensors, row);
  const FastRow::Scale fast_scale = fast.canonical_scale();

  Arithmetic arithmetic;
  const ExactRow exact = decode_row(formula, built.tensors, row);
  const RowScale scale = exact_row_scale(arithmetic, formula, exact.variance_operands());
  const auto expect_scalar = [&](const char* what, const Value& exact_value, double fast_value) {
    const std::uint64_t bits = round_bits(kFp64, exact_value);
    ASSERT_TRUE(same(kFp64, bits, std::bit_cast<std::uint64_t>(fast_value)))
        << what << ": exact " << hex_bits(kFp64, bits) << ", fast " << fast_value << "; "
        << describe(built, policy, row, -1);
  };
  expect_scalar("mean", scale.mean, fast_scale.mean);
  expect_scalar("mean plus epsilon", scale.mean_plus_epsilon, fast_scale.mean_plus_epsilon);
  expect_scalar("inverse root", scale.inverse_root, static_cast<double>(fast_scale.inverse_root));

  Formula of_row = formula;
  if (formula.has(NormStep::quantize_by_row)) {
    const float maximum = fast.row_maximum(fast_scale.inverse_root);
    const Value exact_maximum = exact_row_maximum(formula, exact, built.tensors, scale.inverse_root);
    expect_scalar("row maximum", exact_maximum, static_cast<double>(maximum));
    const float row_scale = ScaleRule(formula).of(maximum);
    expect_scalar("row scale", exact_quantization_scale(arithmetic, formula, exact_maximum),
                  static_cast<double>(row_scale));
    EXPECT_EQ(std::bit_cast<std::uint32_t>(fast.set_own_scale(fast_scale.inverse_root)),
              std::bit_cast<std::uint32_t>(row_scale));
    const RowQuantization own =
        exact_row_quantization(arithmetic, formula, exact, built.tensors, scale.inverse_root);
    ASSERT_TRUE(same(DType::fp32, own.scale, std::bit_cast<std::uint32_t>(row_scale)));
    of_row = formula.with_scale(own.scale, own.factor);
  }
  if (leaves_factor_open(formula) && !follows_from_maximum(formula)) {
    // Any of the factors: the last, which is not the nearest inverse as a rule.
    const std::uint32_t factor = exact_code_factors(formula, of_row.bits_of(Parameter::scale)).back();
    of_row = of_row.with_factor(factor);
    fast.set_code_factor(std::bit_cast<float>(factor));
  }
  const auto out = fast.outputs(fast_scale.inverse_root);
  const std::vector<std::byte> out_bytes(out.begin(), out.end());
  const std::vector<std::byte> residual_bytes(fast.residual_out().begin(), fast.residual_out().end());
  for (std::int64_t j = 0; j < formula.hidden_size; ++j) {
    const SumParts& sums = exact.sums[static_cast<std::size_t>(j)];
    const Operands operands = operands_at(formula, built.tensors, exact, j);
    const std::uint64_t wanted = exact_output(arithmetic, of_row, operands, scale.inverse_root);
    const DType dtype = formula.output_dtype();
    const std::uint32_t got = load_bits(out_bytes, dtype, j);
    ASSERT_TRUE(same(dtype, wanted, got))
        << "exact " << hex_bits(format_of(dtype), wanted) << ", fast " << hex_bits(format_of(dtype), got)
        << "; " << describe(built, policy, row, j);
    if (formula.has(NormStep::add_residual)) {
      const DType of_residual = formula.formats.residual();
      const std::uint64_t residual = round_bits(format_of(of_residual), sums.residual_out);
      ASSERT_TRUE(same(of_residual, residual, load_bits(residual_bytes, of_residual, j)))
          << describe(built, policy, row, j);
    }
  }
}

void expect_random_rows_equal(const RowKernels& kernels, int cases, std::uint64_t seed,
                              std::uint32_t longest) {
  test::RandomCases random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < cases * test::scale() && !::testing::Test::HasFailure(); ++i) {
    const std::int64_t hidden_size = 1 + random.below(1 + random.below(longest));
    const test::Built built = random.any_case(2, hidden_size);
    const Policy policy = any_policy(random);
    FastRow fast(formula_of(built.test_case, policy), built.tensors[Role::weight], kernels);
    for (std::int64_t row = 0; row < 2; ++row) expect_row_equal(built, policy, row, fast);
  }
}

TEST(FastPath, EqualsTheExactPathOnTheFastestLoops) { expect_random_rows_equal(row_kernels(), 60000, 1, 40); }

// The same formulas with their steps in another order, for which there are no loops: the order of steps of
// different places (StepPlace) changes nothing.
TEST(FastPath, WithoutLoopsTheExactPathServes) {
  test::RandomCases random(7);
  const StandardFloatEnvironment environment;
  int checked = 0;
  for (int i = 0; i < 600 * test::scale() && !::testing::Test::HasFailure(); ++i) {
    const test::Built built = random.any_case(2, 1 + random.below(12));
    const Policy policy = any_policy(random);
    Formula formula = formula_of(built.test_case, policy);
    std::vector<NormStep> steps(formula.steps.begin(), formula.steps.end());
    std::ranges::reverse(steps);
    formula.steps = NormSteps(steps);
    if (has_loops(formula.steps)) continue;  // of one step
    FastRow fast(formula, built.tensors[Role::weight]);
    for (std::int64_t row = 0; row < 2; ++row) expect_row_equal(built, policy, row, fast);
    ++checked;
  }
  EXPECT_GT(checked, 300);
}

TEST(FastPath, EqualsTheExactPathOnPortableLoops) {
  expect_random_rows_equal(baseline_row_kernels(), 15000, 2, 40);
}

TEST(FastPath, EqualsTheExactPathOnLongRows) { expect_random_rows_equal(row_kernels(), 400, 3, 700); }

// Beyond 1024 lanes the chunks wrap around; lengths that end within a chunk, a group and a lane's second
// turn. Ordinary values only, so that the sum shows its order.
TEST(FastPath, EqualsTheExactPathWhereLanesWrap) {
  test::RandomCases random(4);
  const StandardFloatEnvironment environment;
  for (const DType dtype : kActivationDTypes) {
    for (const std::int64_t hidden_size : {256, 257, 4095, 4097, 8191, 8192, 8193, 9001}) {
      std::vector<std::uint32_t> x;
      for (std::int64_t j = 0; j < hidden_size; ++j) x.push_back(random.ordinary_bits(format_of(dtype), 1));
      const test::Built built = test::build(Operation::rms_norm, dtype, hidden_size, x, {}, {}, {});
      FastRow fast(formula_of(built.test_case, native()), built.tensors[Role::weight]);
      expect_row_equal(built, native(), 0, fast);
    }
  }
}

// One value per row: every 16-bit pattern through every rounding of a one-element row.
TEST(FastPath, EqualsTheExactPathForEverySixteenBitInput) {
  const StandardFloatEnvironment environment;
  for (const DType dtype : {DType::bf16, DType::fp16}) {
    std::vector<std::uint32_t> patterns(1 << 16);
    for (std::uint32_t i = 0; i < patterns.size(); ++i) patterns[i] = i;
    test::Built built = test::build(Operation::rms_norm_static_fp8_quant, dtype, 1, patterns, {}, dtype,
                                    {dtype == DType::bf16 ? 0x3fcdu : 0x3e6bu}, DType::fp8_e5m2);
    built.test_case.bits_of(Parameter::epsilon) = 0x3f800000u;
    FastRow fast(formula_of(built.test_case, native()), built.tensors[Role::weight]);
    for (std::int64_t row = 0; row < 1 << 16; row += 3) expect_row_equal(built, native(), row, fast);
  }
}

// Midpoints of the quantized formats and their neighbours, through the quantizing loop alone.
TEST(FastPath, QuantizesEveryMidpointLikeTheExactPath) {
  const StandardFloatEnvironment environment;
  for (std::size_t q = 0; q < kQuantizedDTypes.size(); ++q) {
    const Format& format = format_of(kQuantizedDTypes[q]);
    const auto maximum = static_cast<float>(to_double(decode(format, format.max_finite_bits())));
    std::vector<float> values;
    for (std::uint64_t bits = 0; bits < format.max_finite_bits(); ++bits) {
      const Value middle = (decode(format, bits) + decode(format, bits + 1)) * Value::finite(false, 1, -1);
      const auto middle_bits = static_cast<std::uint32_t>(round_bits(kFormats[0], middle));
      for (const std::uint32_t offset : {0u, 1u, ~0u}) {
        values.push_back(std::bit_cast<float>(middle_bits + offset));
        values.push_back(-std::bit_cast<float>(middle_bits + offset));
      }
    }
    std::vector<std::byte> packed(values.size());
    row_kernels().quantize[q](values.data(), static_cast<std::int64_t>(values.size()),
                              {1.0f, false, false, maximum}, packed.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Value value = decode(DType::fp32, std::bit_cast<std::uint32_t>(values[i]));
      ASSERT_EQ(std::to_integer<std::uint64_t>(packed[i]), round_bits(format, value))
          << format.name << " " << values[i];
    }
  }
}

// Every number that int8 has, half a step beside it and a trace beside that; far outside; NaN.
TEST(FastPath, QuantizesToInt8LikeTheExactPath) {
  const StandardFloatEnvironment environment;
  std::vector<float> values = {1e30f, -1e30f, std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity(), std::nanf("")};
  for (int twice = -262; twice <= 262; ++twice) {
    const float value = static_cast<float>(twice) / 2;
    for (const float toward : {-1000.0f, 1000.0f, value}) values.push_back(std::nextafter(value, toward));
  }
  for (const Int8Low low : {Int8Low::minus_128, Int8Low::minus_127}) {
    const std::int64_t least = row_of(low).least;
    for (const RowKernels* kernels : {&row_kernels(), &baseline_row_kernels()}) {
      std::vector<std::byte> packed(values.size());
      kernels->quantize[4](values.data(), static_cast<std::int64_t>(values.size()),
                           {1.0f, false, false, 127.0f, static_cast<float>(least)}, packed.data());
      for (std::size_t i = 0; i < values.size(); ++i) {
        // The nearest integer, of two the even one, by the library's own rounding.
        const double nearest = std::nearbyint(static_cast<double>(values[i]));
        const double wanted =
            std::isnan(nearest) ? 0 : std::clamp(nearest, static_cast<double>(least), 127.0);
        ASSERT_EQ(static_cast<double>(static_cast<std::int8_t>(packed[i])), wanted) << values[i];
        if (low != Int8Low::minus_128) continue;
        const Value value = decode(DType::fp32, std::bit_cast<std::uint32_t>(values[i]));
        ASSERT_EQ(std::to_integer<std::uint64_t>(packed[i]), round_bits(kInt8, value)) << values[i];
        ASSERT_LE(round_bits(kInt8, value, Rounding::down) ^ 0x80, round_bits(kInt8, value) ^ 0x80);
        ASSERT_GE(round_bits(kInt8, value, Rounding::up) ^ 0x80, round_bits(kInt8, value) ^ 0x80);
      }
    }
  }
}

TEST(FastPath, Fp64SumStaysWithinItsBound) {
  test::RandomCases random(6);
  for (int i = 0; i < 300; ++i) {
    const std::int64_t count = 1 + random.below(300);
    std::vector<float> values;
    Value exact;
    for (std::int64_t j = 0; j < count; ++j) {
      const std::uint32_t bits = random.ordinary_bits(kFormats[0], static_cast<int>(random.below(60)) - 30);
      values.push_back(std::bit_cast<float>(bits));
      exact = exact + decode(DType::fp32, bits) * decode(DType::fp32, bits);
    }
    for (const RowKernels* kernels : {&row_kernels(), &baseline_row_kernels()}) {
      const double sum = kernels->sum_fp64(values.data(), count);
      EXPECT_NEAR(sum, to_double(exact), to_double(exact) * static_cast<double>(count) * 0x1p-52);
    }
  }
}

// A caller's rounding mode must not reach the verdict, and must be there again afterwards.
TEST(FastPath, IgnoresTheCallersRoundingMode) {
  test::RandomCases random(5);
  for (int i = 0; i < 200; ++i) {
    const test::Built built = random.any_case(1, 33);
    const Outputs outputs = expected_outputs(built.test_case, built.tensors);
    std::fesetround(FE_UPWARD);
    const Outputs again = expected_outputs(built.test_case, built.tensors);
    EXPECT_EQ(std::fegetround(), FE_UPWARD);
    std::fesetround(FE_TONEAREST);
    ASSERT_EQ(outputs, again);
  }
}

}  // namespace
}  // namespace normproof::oracle
