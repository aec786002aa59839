// The factors that a scale leaves: against products in fp64, which are exact here, and against every maximum
// near the scale; and what the judges make of rows that only one of them explains.
#include "oracle/code_factor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "oracle/canonical_judge.h"
#include "oracle/explain.h"
#include "oracle/fast_row.h"
#include "oracle/test/case_builder.h"
#include "oracle/witness_judge.h"

namespace normproof::oracle {
namespace {

using test::build;
using test::Built;
using test::RandomCases;

Formula formula_with(const std::string& policy, DType quantized = DType::fp8_e4m3fn,
                     Operation operation = Operation::rms_norm_dynamic_quant) {
  const Built built = build(operation, DType::bf16, 1, {0x3f80}, {}, {}, {}, quantized);
  return formula_of(built.test_case, parse_policy(policy));
}

std::vector<std::uint32_t> fast_factors(const Formula& formula, std::uint32_t scale) {
  const ScaleRule rule(formula);
  std::vector<std::uint32_t> result;
  for (const CodeFactor& each :
       code_factors(formula, formula.has(NormStep::quantize_by_row) ? &rule : nullptr, scale))
    result.push_back(factor_bits(each.factor));
  return result;
}

std::uint32_t any_scale(RandomCases& random) {
  return random.one_in(2) ? random.any_bits(format_of(DType::fp32)) : 0x20000000u + random.below(0x30000000u);
}

// f * scale has at most 48 bits, so that fp64 says on which side of 1 it lies.
TEST(CodeFactor, AnApproximateReciprocalIsOneOfTwoNeighbours) {
  RandomCases random(1);
  const StandardFloatEnvironment environment;
  const Formula formula = formula_with("scaling=approximate_inverse");
  int pairs = 0;
  for (int i = 0; i < 30000; ++i) {
    const std::uint32_t bits = any_scale(random);
    const std::vector<std::uint32_t> factors = fast_factors(formula, bits);
    ASSERT_TRUE(std::ranges::is_permutation(factors, exact_code_factors(formula, bits))) << bits;
    ASSERT_EQ(factors.front(), factor_bits(1.0f / std::bit_cast<float>(bits)));
    if (factors.size() == 1) {
      // A power of two, or no ordinary number.
      const auto product = static_cast<double>(std::bit_cast<float>(factors[0])) *
                           static_cast<double>(std::bit_cast<float>(bits));
      ASSERT_TRUE(product == 1 || std::isnan(product)) << bits;
      continue;
    }
    ASSERT_EQ(factors.size(), 2u);
    ++pairs;
    const std::uint32_t low = std::min(factors[0], factors[1]), high = std::max(factors[0], factors[1]);
    ASSERT_EQ(low + 1, high) << bits;
    const auto product = [&](std::uint32_t factor) {
      return static_cast<double>(std::bit_cast<float>(factor)) *
             static_cast<double>(std::bit_cast<float>(bits));
    };
    ASSERT_TRUE(product(low) < 1 && product(high) > 1) << bits;
  }
  EXPECT_GT(pairs, 10000);
}

TEST(CodeFactor, ABuildThatFlushesMayLoseTheScaleOrItsInverse) {
  const Formula keeps = formula_with("scaling=approximate_inverse");
  const Formula flushes = formula_with("scaling=approximate_inverse,flush_to_zero=on");
  const auto has = [](const Formula& formula, std::uint32_t scale, std::uint32_t factor) {
    const auto factors = fast_factors(formula, scale), exact = exact_code_factors(formula, scale);
    EXPECT_TRUE(std::ranges::is_permutation(factors, exact));
    return std::ranges::find(factors, factor) != factors.end();
  };
  EXPECT_TRUE(has(flushes, 0x80400001u, 0xff800000u));  // a subnormal scale
  EXPECT_FALSE(has(keeps, 0x80400001u, 0xff800000u));
  EXPECT_TRUE(has(flushes, 0x7f000001u, 0));  // whose inverse is subnormal
  EXPECT_FALSE(has(keeps, 0x7f000001u, 0));
  EXPECT_FALSE(has(flushes, 0x3f800001u, 0));
}

// Every maximum within a few numbers of s * max_Q, and of the floors, by the exact rule.
TEST(CodeFactor, ValuesOfRangeOverMaximumAreAllThereAre) {
  RandomCases random(2);
  const StandardFloatEnvironment environment;
  const auto bits_of = [](const Value& value) {
    return static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), value));
  };
  int several = 0;
  for (int i = 0; i < 400; ++i) {
    Policy policy = parse_policy("scaling=range_over_maximum");
    policy.scale_floor = static_cast<ScaleFloor>(random.below(4));
    policy.row_scale = random.one_in(3) ? RowScalePolicy::product : RowScalePolicy::quotient;
    policy.range = random.one_in(2) ? RangePolicy::fnuz_224 : RangePolicy::largest;
    const Formula formula = formula_with(to_string(policy), kQuantizedDTypes[random.below(4)]);
    const ScaleRule rule(formula);
    // The scale of a maximum that is ordinary, tiny, or one of those around a floor.
    const std::uint32_t near[] = {0x3f800000u + random.below(0x02000000u), random.below(0x04000000u),
                                  0x38d1b717u, 0x2edbe6ffu, 0x37000000u + random.below(0x04000000u)};
    const std::uint32_t center = near[random.below(5)] + random.below(5);
    const std::uint32_t scale = std::bit_cast<std::uint32_t>(rule.of(std::bit_cast<float>(center)));
    const std::vector<std::uint32_t> factors = fast_factors(formula, scale);
    ASSERT_TRUE(std::ranges::is_permutation(factors, exact_code_factors(formula, scale)));
    Arithmetic arithmetic;
    std::set<std::uint32_t> seen;
    for (std::uint32_t a = center < 40 ? 0 : center - 40; a < center + 40; ++a) {
      const Value maximum = decode(DType::fp32, a);
      if (bits_of(exact_quantization_scale(arithmetic, formula, maximum)) != scale) continue;
      const std::uint32_t factor = bits_of(exact_factor_of_maximum(arithmetic, formula, maximum));
      seen.insert(factor);
      ASSERT_NE(std::ranges::find(factors, factor), factors.end()) << to_string(policy) << " " << a;
    }
    ASSERT_FALSE(seen.empty());
    // An ordinary scale belongs to one or two maxima, all of them within the window.
    if (center > 0x3f800000u) {
      ASSERT_EQ(seen.size(), factors.size()) << to_string(policy);
    }
    several += factors.size() > 1 ? 1 : 0;
  }
  EXPECT_GT(several, 20);
}

// A row whose codes tell the two reciprocals apart, made with the one that is not the nearest.
struct ToldApart {
  Built built;
  Outputs nearest, other;
  std::int64_t column = 0;  // that differs
};
ToldApart told_apart(RandomCases& random, Operation operation) {
  for (;;) {
    std::vector<std::uint32_t> x;  // each number twice, so that codes differ in twos
    for (int j = 0; j < 128; ++j) x.insert(x.end(), 2, random.ordinary_bits(format_of(DType::fp32), 1));
    ToldApart result{build(operation, DType::fp32, 256, x, {}, {}, {}, DType::fp8_e4m3fn), {}, {}};
    result.built.test_case.bits_of(Parameter::scale) = 0x3c000000u + random.below(0x00800000u);
    const Policy policy = parse_policy("scaling=approximate_inverse");
    const Formula formula = formula_of(result.built.test_case, policy);
    result.nearest = expected_outputs(result.built.test_case, result.built.tensors, policy);
    result.other = result.nearest;
    FastRow fast(formula, {});
    fast.load_row(result.built.tensors, 0);
    const float root = fast.canonical_scale().inverse_root;
    const std::uint32_t scale = formula.has(NormStep::quantize_by_row)
                                    ? row_scale_bits(formula, result.nearest, 0)
                                    : formula.bits_of(Parameter::scale);
    const auto factors = exact_code_factors(formula, scale);
    fast.set_code_factor(std::bit_cast<float>(factors.back()));
    const auto outputs = fast.outputs(root);
    result.other[Role::out].assign(outputs.begin(), outputs.end());
    for (std::int64_t j = 0; j < 256; ++j) {
      if (result.other[Role::out][static_cast<std::size_t>(j)] !=
          result.nearest[Role::out][static_cast<std::size_t>(j)])
        result.column = j;
    }
    if (result.other != result.nearest) return result;
  }
}

// The canonical judge accepts one factor or the other for a row, not a mixture of both: with the exact r,
// which it demands, there is no freedom but that.
TEST(CodeFactor, TheCanonicalJudgeTakesEitherReciprocalForAWholeRow) {
  RandomCases random(3);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 10; ++i) {
    const Operation operation =
        i % 2 == 0 ? Operation::rms_norm_dynamic_quant : Operation::rms_norm_static_fp8_quant;
    const auto [built, nearest, other, column] = told_apart(random, operation);
    const auto mismatches = [&, &c = built.test_case, &tensors = built.tensors](const Outputs& outputs,
                                                                                const char* policy) {
      return judge_canonical(c, tensors, outputs, parse_policy(policy)).mismatches;
    };
    EXPECT_EQ(mismatches(nearest, "scaling=approximate_inverse"), 0);
    EXPECT_EQ(mismatches(other, "scaling=approximate_inverse"), 0);
    EXPECT_EQ(mismatches(nearest, "scaling=inverse"), 0);
    EXPECT_GT(mismatches(other, "scaling=inverse"), 0);
    Outputs mixture = other;
    mixture[Role::out][static_cast<std::size_t>(column)] =
        nearest[Role::out][static_cast<std::size_t>(column)];
    EXPECT_GT(mismatches(mixture, "scaling=approximate_inverse"), 0);
  }
}

TEST(CodeFactor, ExplainNamesTheOtherReciprocal) {
  RandomCases random(5);
  const StandardFloatEnvironment environment;
  const auto [built, nearest, other, column] = told_apart(random, Operation::rms_norm_dynamic_quant);
  const auto explained =
      explain(built.test_case, built.tensors, other, 0, column, parse_policy("scaling=approximate_inverse"));
  const std::vector<std::string>& causes = explained.outputs.front().reproduced_by;
  EXPECT_NE(std::ranges::find(causes, "the other number next to 1/scale"), causes.end());
  // And the witness judge has both.
  for (const Outputs& outputs : {nearest, other})
    EXPECT_TRUE(
        judge_witness(built.test_case, built.tensors, outputs, parse_policy("scaling=approximate_inverse"))
            .conforms());
}

// Each factor is refuted by elements of its own, and the checker asks for every one of them.
TEST(CodeFactor, CertificatesRefuteEveryFactor) {
  RandomCases random(4);
  int several = 0;
  for (const char* policy : {"scaling=approximate_inverse", "scaling=range_over_maximum",
                             "scaling=range_over_maximum,scale_floor=none,maximum_nan=drop"}) {
    for (int i = 0; i < 60; ++i) {
      std::vector<std::uint32_t> x;
      for (int j = 0; j < 24; ++j) x.push_back(random.ordinary_bits(format_of(DType::fp32), 1));
      const Built built =
          build(Operation::rms_norm_dynamic_quant, DType::fp32, 24, x, {}, {}, {}, DType::fp8_e4m3fn);
      const Formula formula = formula_of(built.test_case, parse_policy(policy));
      Outputs outputs = expected_outputs(built.test_case, built.tensors, formula.policy);
      outputs[Role::out][random.below(24)] ^= std::byte{4};
      const WitnessVerdict verdict = judge_witness(built.test_case, built.tensors, outputs, formula.policy);
      if (verdict.first_violations.empty()) continue;
      const Certificate& good = verdict.first_violations.front();
      EXPECT_NO_THROW(require_valid(good, formula, built.tensors));
      const auto refused = [&](auto tamper) {
        Certificate bad = good;
        tamper(bad);
        EXPECT_THROW(require_valid(bad, formula, built.tensors), std::logic_error) << to_text(good, formula);
      };
      refused([](Certificate& c) { c.factors.pop_back(); });
      refused([](Certificate& c) { ++c.factors.front(); });
      refused([](Certificate& c) { ++c.elements.front().factor; });
      refused([](Certificate& c) { c.factors.push_back(0x3f800000u); });
      refused([](Certificate& c) {
        const std::uint32_t factor = c.factors.back();
        std::erase_if(c.elements,
                      [&](const CertificateElement& element) { return element.factor == factor; });
      });
      if (good.factors.size() < 2) continue;
      ++several;
      const std::string text = to_text(good, formula);
      EXPECT_NE(text.find("whichever factor"), std::string::npos) << text;
      // Elements of the other factor prove nothing of this one.
      refused([](Certificate& c) {
        for (CertificateElement& element : c.elements) element.factor = c.factors.back();
      });
    }
  }
  EXPECT_GT(several, 40);
}

}  // namespace
}  // namespace normproof::oracle
