// The plain kernel against the oracle's exact path: two statements of the contract that share no code.
#include "properties/assess/plain_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "corpus/generate.h"
#include "oracle/canonical.h"
#include "oracle/code_factor.h"
#include "oracle/witness_judge.h"
#include "properties/bits.h"

namespace normproof::assess {
namespace {

constexpr std::array kAllDTypes = {DType::fp32,        DType::fp16,     DType::bf16,
                                   DType::fp8_e4m3fn,  DType::fp8_e5m2, DType::fp8_e4m3fnuz,
                                   DType::fp8_e5m2fnuz};

// Around every number of a format and every midpoint, and far outside.
TEST(PlainKernel, RoundsLikeTheExactArithmetic) {
  Random random(1);
  for (const DType dtype : kAllDTypes) {
    const oracle::Format& format = oracle::format_of(dtype);
    for (int i = 0; i < 40'000; ++i) {
      auto bits = static_cast<std::uint32_t>(random.below(format.max_finite_bits()));
      if (random.chance(1, 4)) bits = static_cast<std::uint32_t>(random.below(3));
      const double low = bits::value(dtype, bits), high = bits::value(dtype, bits + 1);
      const double middle = low + (high - low) / 2;
      const std::array numbers = {low, middle, std::nextafter(middle, high), std::nextafter(middle, low),
                                  low + (high - low) * 0.25 * static_cast<double>(random.below(5))};
      for (double number : numbers) {
        if (random.chance(1, 2)) number = -number;
        const oracle::Value exact = oracle::from_double(number);
        for (const auto& [rounding, oracles] :
             {std::pair(Rounding::nearest_even, oracle::Rounding::nearest_even),
              std::pair(Rounding::toward_zero, oracle::Rounding::toward_zero)}) {
          const auto wanted =
              bits::value(dtype, static_cast<std::uint32_t>(oracle::round_bits(format, exact, oracles)));
          ASSERT_EQ(round_to(dtype, number, rounding), wanted) << name_of(dtype) << " " << number;
        }
      }
    }
  }
  EXPECT_EQ(round_to(DType::bf16, 3.4e38), HUGE_VAL);
  EXPECT_EQ(round_to(DType::fp16, -65520), -HUGE_VAL);
  EXPECT_TRUE(std::signbit(round_to(DType::fp16, -1e-30)));
}

void expect_same_row(const Case& test_case, const CaseTensors& tensors, const oracle::Policy& policy,
                     std::int64_t row, float r) {
  const oracle::Formula formula = oracle::formula_of(test_case, policy);
  PlainKernel kernel(test_case, tensors, policy);
  kernel.choose(static_cast<Reciprocal>(std::bit_cast<std::uint32_t>(r) % kReciprocals.size()));
  kernel.load(row);
  Outputs outputs;
  kernel.append_outputs(r, outputs);
  const oracle::ExactRow exact = oracle::decode_row(formula, tensors, row);
  oracle::Arithmetic arithmetic;
  const oracle::Value exact_r = oracle::decode(DType::fp32, std::bit_cast<std::uint32_t>(r));
  oracle::Formula of_row = formula;
  if (formula.has(NormStep::quantize_by_row)) {
    const std::uint32_t scale = load_bits(outputs[Role::scales], DType::fp32, 0);
    const oracle::RowQuantization own =
        oracle::exact_row_quantization(arithmetic, formula, exact, tensors, exact_r);
    ASSERT_TRUE(oracle::same(DType::fp32, own.scale, scale))
        << name_of(test_case.operation) << " " << oracle::to_string(policy) << " r " << r;
    of_row = formula.with_scale(own.scale, own.factor);
    kernel.set_scale(std::bit_cast<float>(scale));
  }
  if (test_case.quantized_dtype && oracle::row_of(policy.scaling).approximate) {
    const std::uint32_t factor = oracle::factor_bits(kernel.code_factor(r));
    const auto factors = oracle::exact_code_factors(formula, of_row.bits_of(Parameter::scale));
    ASSERT_NE(std::ranges::find(factors, factor), factors.end())
        << "scale " << of_row.bits_of(Parameter::scale);
    of_row = of_row.with_factor(factor);
  }
  for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
    const oracle::SumParts& sums = exact.sums[static_cast<std::size_t>(column)];
    const DType dtype = test_case.output_dtype();
    const auto wanted = static_cast<std::uint32_t>(oracle::exact_output(
        arithmetic, of_row, oracle::operands_at(formula, tensors, exact, column), exact_r));
    ASSERT_TRUE(bits::equal(dtype, wanted, load_bits(outputs[Role::out], dtype, column)))
        << name_of(test_case.operation) << " " << name_of(test_case.dtype) << " " << oracle::to_string(policy)
        << " r " << r;
    oracle::Value operand = sums.variance_operand;
    if (policy.variance == oracle::VariancePolicy::activation)
      operand = oracle::round_to(test_case.dtype, operand);
    const auto squared =
        std::bit_cast<std::uint32_t>(kernel.variance_operands()[static_cast<std::size_t>(column)]);
    ASSERT_TRUE(oracle::identical(operand, oracle::decode(DType::fp32, squared)));
    if (!adds_residual(test_case.operation)) continue;
    const auto residual =
        static_cast<std::uint32_t>(oracle::round_bits(oracle::format_of(test_case.dtype), sums.residual_out));
    ASSERT_TRUE(bits::equal(test_case.dtype, residual,
                            load_bits(outputs[Role::residual_out], test_case.dtype, column)));
  }
}

// One of the table's, and up to two axes further.
oracle::Policy any_policy(const std::vector<oracle::Policy>& policies, const Case& test_case,
                          Random& random) {
  oracle::Policy policy = random.pick(policies);
  for (auto further = random.below(3); further > 0; --further)
    policy = random.pick(oracle::neighbours(policy, test_case));
  return policy;
}

// Whatever the accumulator, mean, epsilon and root, and the order of summation: no honest row is refused.
TEST(PlainKernel, HonestRowsConformUnderEveryPolicy) {
  Random random(3);
  CaseLimits limits;
  limits.max_rows = 2;
  limits.max_hidden = 600;
  limits.special_percent = 20;
  std::int64_t rows = 0;
  for (int i = 0; i < 2'500; ++i) {
    const Case test_case = random_case(random, limits);
    const CaseTensors tensors = materialize(test_case);
    const std::vector<oracle::Policy> policies = oracle::all_policies(test_case);
    for (int trial = 0; trial < 3; ++trial) {
      const oracle::Policy policy = any_policy(policies, test_case, random);
      PlainKernel kernel(test_case, tensors, policy);
      Outputs outputs;
      for (std::int64_t row = 0; row < test_case.rows(); ++row, ++rows) {
        kernel.load(row);
        kernel.choose(random.pick(kReciprocals));
        kernel.append_outputs(kernel.root(random.pick(oracle::kSummationOrders), random), outputs);
      }
      const auto verdict = oracle::judge_witness(test_case, tensors, outputs, policy);
      ASSERT_TRUE(verdict.conforms())
          << name_of(test_case.operation) << " " << name_of(test_case.dtype) << " "
          << oracle::to_string(policy) << "\n"
          << (verdict.first_violations.empty()
                  ? "residual_out"
                  : oracle::to_text(verdict.first_violations[0], oracle::formula_of(test_case, policy)));
    }
  }
  EXPECT_GT(rows, 5'000);
}

TEST(PlainKernel, GivesTheOutputsOfTheExactPathUnderEveryPolicy) {
  Random random(2);
  CaseLimits limits;
  limits.max_rows = 2;
  limits.max_hidden = 24;
  limits.special_percent = 30;
  for (int i = 0; i < 3'000; ++i) {
    const Case test_case = random_case(random, limits);
    const CaseTensors tensors = materialize(test_case);
    const std::vector<oracle::Policy> policies = oracle::all_policies(test_case);
    for (std::int64_t row = 0; row < test_case.rows(); ++row) {
      const oracle::Policy policy = any_policy(policies, test_case, random);
      PlainKernel kernel(test_case, tensors, policy);
      kernel.load(row);
      float r = kernel.root(random.pick(oracle::kSummationOrders), random);
      if (random.chance(1, 8)) r = std::bit_cast<float>(static_cast<std::uint32_t>(random.below(0x7f800001)));
      expect_same_row(test_case, tensors, policy, row, r);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace normproof::assess
