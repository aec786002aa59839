// The bound against its table, the inputs that attain it, and those for which there is none.
#include "properties/bound/bound.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "corpus/random.h"
#include "oracle/canonical_judge.h"
#include "properties/bound/attain.h"
#include "properties/bound/boundless.h"
#include "properties/bound/intervals.h"
#include "properties/order/families.h"

namespace normproof::bound {
namespace {

using oracle::parse_policy;
using Policies = std::vector<std::string>;

constexpr auto bf16 = DType::bf16, fp16 = DType::fp16, fp32 = DType::fp32;

Question question(DType dtype, std::int64_t hidden, const Policies& policies, std::optional<DType> weight) {
  Question asked;
  asked.dtype = dtype;
  asked.weight_dtype = weight;
  asked.hidden_size = hidden;
  asked.policies.clear();
  for (const std::string& policy : policies) asked.policies.push_back(parse_policy(policy));
  return asked;
}

Question fused_add(DType dtype, std::int64_t hidden, const Policies& policies) {
  Question asked = question(dtype, hidden, policies, dtype);
  asked.operation = Operation::fused_add_rms_norm;
  return asked;
}

Question to_fp8(DType dtype, DType quantized, std::int64_t hidden, const Policies& policies) {
  Question asked = question(dtype, hidden, policies, dtype);
  asked.operation = Operation::rms_norm_static_fp8_quant;
  asked.quantized_dtype = quantized;
  return asked;
}

// Of the first policy against the last one.
const PairBound& between(const Bound& bound, std::size_t last) {
  for (const PairBound& pair : bound.pairs)
    if (pair.first == 0 && pair.second == last) return pair;
  throw std::logic_error("no such pair");
}

struct Row {
  DType dtype;
  std::int64_t hidden;
  Policies policies;  // one: two kernels of it
  std::optional<DType> weight;
  std::int64_t apart;
  double rtol;
};

TEST(Bound, Table) {
  const std::vector<Row> rows = {
      {bf16, 4096, {"weight=fp32"}, bf16, 1, 0x1p-7},
      {bf16, 16384, {"weight=fp32"}, bf16, 1, 0x1p-7},
      {bf16, 4096, {"native"}, std::nullopt, 1, 0x1p-7},
      {fp16, 4096, {"weight=fp32"}, fp16, 1, 0x1p-10},
      {fp16, 16384, {"weight=fp32"}, fp16, 3, 0.001953},
      {bf16, 4096, {"native"}, bf16, 2, 1.0 / 72},
      {bf16, 16384, {"native"}, bf16, 2, 1.0 / 72},
      {fp16, 4096, {"native"}, fp16, 2, 0.001871},
      {fp16, 16384, {"native"}, fp16, 4, 0.002809},
      {bf16, 1024, {"native", "weight=fp32"}, bf16, 1, 0x1p-7},
      {bf16, 4096, {"native", "weight=fp32"}, bf16, 2, 1.0 / 126},
      {bf16, 16384, {"native", "weight=fp32"}, bf16, 2, 0.0094},
      {fp16, 4096, {"native", "weight=fp32"}, fp16, 2, 0.0014},
      {fp16, 16384, {"native", "weight=fp32"}, fp16, 3, 0.0022},
      {fp32, 64, {"native"}, std::nullopt, 76, 4.59e-6},
      {fp32, 1024, {"native"}, std::nullopt, 1036, 6.18e-5},
      {fp32, 4096, {"native"}, std::nullopt, 4108, 2.45e-4},
      {fp32, 4096, {"native,sum_depth=25"}, fp32, 40, 2.44e-6},
  };
  for (const Row& row : rows) {
    const Bound bound = bound_of(question(row.dtype, row.hidden, row.policies, row.weight));
    const std::string what =
        std::string(name_of(row.dtype)) + " " + std::to_string(row.hidden) + " " + row.policies.back();
    const PairBound& pair = between(bound, row.policies.size() - 1);
    EXPECT_EQ(pair.apart, row.apart) << what;
    EXPECT_NEAR(pair.rtol, row.rtol, row.rtol * 0.03) << what;
  }
}

TEST(Bound, TableOfSumsAndCodes) {
  const auto sums = [](DType dtype, std::int64_t hidden, const std::string& weight) {
    return between(bound_of(fused_add(dtype, hidden, {weight, weight + ",sum=fp32"})), 1);
  };
  EXPECT_EQ(sums(bf16, 4096, "weight=fp32").apart, 3);
  EXPECT_NEAR(sums(bf16, 4096, "weight=fp32").rtol, 0.0157, 0.0005);
  EXPECT_EQ(sums(bf16, 4096, "weight=native").apart, 4);
  EXPECT_NEAR(sums(bf16, 4096, "weight=native").rtol, 0.0210, 0.0005);
  EXPECT_EQ(sums(fp16, 4096, "weight=fp32").apart, 3);
  EXPECT_EQ(sums(bf16, 4096, "weight=fp32").residual_apart, 0);
  for (const DType quantized : kQuantizedDTypes) {
    const Bound bound = bound_of(to_fp8(bf16, quantized, 16384, {"native", "weight=fp32"}));
    EXPECT_EQ(bound.apart(), 1) << name_of(quantized);
    EXPECT_EQ(bound.worst().apart_before, 2);
    const int bits = oracle::format_of(quantized).precision - 1;
    EXPECT_DOUBLE_EQ(bound.rtol(), std::ldexp(1.0, -bits));
  }
}

struct Wanted {
  std::string name;
  Question question;
  std::int64_t apart;  // found
  bool attained;
};

std::vector<Wanted> searches() {
  return {
      {"bf16, H 2", question(bf16, 2, {"native"}, bf16), 2, true},
      {"bf16, H 3", question(bf16, 3, {"native"}, bf16), 2, true},
      {"bf16, H 64", question(bf16, 64, {"native"}, bf16), 2, true},
      {"bf16, H 4096", question(bf16, 4096, {"native"}, bf16), 2, true},
      {"bf16, H 16384", question(bf16, 16384, {"native"}, bf16), 2, true},
      {"bf16, depth 25", question(bf16, 4096, {"native,sum_depth=25"}, bf16), 2, true},
      {"bf16, weight=fp32", question(bf16, 4096, {"weight=fp32"}, bf16), 1, true},
      {"bf16, no weight", question(bf16, 4096, {"native"}, std::nullopt), 1, true},
      {"bf16, weight=activation, fp32 weights", question(bf16, 4096, {"weight=activation"}, fp32), 2, true},
      {"bf16, root=divide", question(bf16, 4096, {"root=divide"}, bf16), 2, true},
      {"bf16, native and fp32", question(bf16, 4096, {"native", "weight=fp32"}, bf16), 1, false},
      {"fp16", question(fp16, 4096, {"native"}, fp16), 2, true},
      {"fp16, weight=fp32", question(fp16, 4096, {"weight=fp32"}, fp16), 1, true},
      {"fp16, H 16384", question(fp16, 16384, {"native"}, fp16), 2, false},
      {"fp32", question(fp32, 4096, {"native"}, fp32), 2000, false},
      {"sums, native", fused_add(bf16, 4096, {"native", "sum=fp32"}), 3, false},
      {"sums, weight=fp32", fused_add(bf16, 4096, {"weight=fp32", "weight=fp32,sum=fp32"}), 2, false},
      {"e4m3", to_fp8(bf16, DType::fp8_e4m3fn, 4096, {"native"}), 1, true},
      {"e5m2, fp16", to_fp8(fp16, DType::fp8_e5m2, 4096, {"native"}), 1, true},
  };
}

// attain() has the witness judge look at what it finds, and throws where one of the two does not conform.
TEST(Bound, IsAttainedWhereSaid) {
  for (const Wanted& wanted : searches()) {
    const Bound bound = bound_of(wanted.question);
    const PairBound& pair = between(bound, wanted.question.policies.size() - 1);
    const Attainment found = attain(wanted.question, pair);
    ASSERT_TRUE(found.by_apart) << wanted.name;
    EXPECT_LE(found.by_apart->apart, pair.apart) << wanted.name;
    EXPECT_LE(found.by_rtol->ratio - 1, pair.rtol) << wanted.name;
    EXPECT_GE(found.by_apart->apart, wanted.apart) << wanted.name;
    EXPECT_EQ(found.by_apart->apart == pair.apart, wanted.attained) << wanted.name;
    if (!wanted.attained) continue;
    EXPECT_NEAR(found.by_rtol->ratio - 1, pair.rtol, 1e-12) << wanted.name;
  }
}

// The usual tolerance of 1e-2 is below the bound: it rejects one of two right kernels.
TEST(Bound, TwoHonestKernelsThatATestRejects) {
  const Question asked = question(bf16, 4096, {"native"}, bf16);
  const Bound bound = bound_of(asked);
  const Example example = *attain(asked, bound.worst()).by_rtol;
  const auto value = [&](const Outputs& outputs) {
    return to_double(oracle::decode(bf16, load_bits(outputs[Role::out], bf16, example.column)));
  };
  const double a = value(example.first_outputs), b = value(example.second_outputs);
  EXPECT_GT(std::abs(a - b), 1e-2 + 1e-2 * std::abs(b)) << a << " " << b;
  EXPECT_LE(std::abs(a - b), bound.atol() + bound.rtol() * std::min(std::abs(a), std::abs(b)));
}

TEST(Bound, OneKernelDoesNotDifferFromItself) {
  Question asked = question(bf16, 1024, {"native,inverse_root_ulp=0"}, bf16);
  asked.policies[0].inverse_root.order = std::make_shared<const oracle::SumTree>(order::serial(1024));
  EXPECT_EQ(bound_of(asked).apart(), 0);
  EXPECT_EQ(bound_of(asked).rtol(), 0);
  // With 1000 elements it may divide by H or multiply by 1 / H.
  asked.hidden_size = 1000;
  EXPECT_THROW(static_cast<void>(bound_of(asked)), std::invalid_argument);
  asked.policies[0].inverse_root.order = std::make_shared<const oracle::SumTree>(order::serial(1000));
  EXPECT_GT(bound_of(asked).apart(), 0);
  EXPECT_LT(bound_of(asked).pairs[0].root_ratio, 1 + 8 * 0x1p-24);
}

TEST(Bound, IsNotGivenWhereThereIsNone) {
  const auto reason = [](const Policies& policies, std::optional<std::uint32_t> epsilon = {}) {
    Question asked = question(bf16, 4096, policies, bf16);
    asked.epsilon_bits = epsilon;
    return bound_of(asked).no_bound;
  };
  EXPECT_NE(reason({"native"}, 0xb5800000u).find("negative"), std::string::npos);
  EXPECT_NE(reason({"native"}, 0x7fc00000u).find("NaN"), std::string::npos);
  EXPECT_NE(reason({"weight=fp32", "weight=fp32_plus_one"}).find("1 + w"), std::string::npos);
  EXPECT_NE(reason({"native", "epsilon=floored"}, 0u).find("epsilon=floored"), std::string::npos);
  EXPECT_NE(reason({"native", "epsilon=activation"}, 1u).find("makes 0"), std::string::npos);
  EXPECT_EQ(reason({"native", "epsilon=activation"}, 0x358637bdu), "");
  EXPECT_EQ(reason({"native"}, 0x358637bdu), "");
}

TEST(Bound, DifferentFunctionsAreShown) {
  const auto examples = boundless_examples(question(bf16, 64, {"native", "weight=fp32_plus_one"}, bf16));
  ASSERT_FALSE(examples.empty());
  EXPECT_EQ(examples.front().condition, "the policies are different functions");
  EXPECT_GT(examples.front().example.apart, 1000);
}

// A sum in T loses a share of itself that is bounded by the number of terms, or by its depth.
TEST(Bound, OfSumsInTheActivationDtype) {
  const Bound any = bound_of(question(bf16, 4096, {"variance=activation"}, bf16));
  ASSERT_TRUE(any.exists());
  EXPECT_GT(any.pairs[0].root_ratio, 4);  // serial order stalls at 256 terms of 4096
  EXPECT_LT(any.pairs[0].root_ratio, 4200);
  const Bound deep = bound_of(question(bf16, 4096, {"variance=activation,sum_depth=25"}, bf16));
  EXPECT_NEAR(deep.pairs[0].root_ratio, 1.12, 0.02);
  const Attainment found = attain(question(bf16, 4096, {"variance=activation"}, bf16), any.worst());
  ASSERT_TRUE(found.by_rtol);
  EXPECT_GE(found.by_rtol->ratio, 3.9);
  EXPECT_LE(found.by_apart->apart, any.apart());
}

TEST(Bound, OfDifferentEpsilons) {
  const auto ratio = [](const Policies& policies, std::optional<std::uint32_t> epsilon = {}) {
    Question asked = question(DType::fp16, 4096, policies, DType::fp16);
    asked.epsilon_bits = epsilon;
    return between(bound_of(asked), 1).root_ratio;
  };
  EXPECT_NEAR(ratio({"native", "epsilon=maximum"}), std::sqrt(2.0), 1e-3);
  // 1e-6 is 17 of fp16's smallest numbers, 1.0133e-6.
  EXPECT_NEAR(ratio({"native", "epsilon=activation"}, 0x358637bdu), std::sqrt(1.01328), 1e-3);
  EXPECT_NEAR(ratio({"native", "epsilon=floored"}, 0x358637bdu), std::sqrt(61.035), 0.05);
  EXPECT_LT(ratio({"native", "epsilon=floored"}), 1.001);
}

TEST(Bound, OfRowsWithScalesOfTheirOwn) {
  for (const DType quantized : code_dtypes(Operation::rms_norm_dynamic_quant)) {
    Question asked = to_fp8(bf16, quantized, 4096, {"native", "row_scale=product"});
    asked.operation = Operation::rms_norm_dynamic_quant;
    const Bound bound = bound_of(asked);
    ASSERT_TRUE(bound.exists()) << bound.no_bound;
    // Near 127 both y and the scale may be off by 1/72, of one policy by the one or the other.
    EXPECT_EQ(bound.apart(), quantized == DType::int8 ? 4 : 1) << name_of(quantized);
    EXPECT_EQ(bound.pairs.front().apart, quantized == DType::int8 ? 2 : 1) << name_of(quantized);
    EXPECT_NEAR(bound.worst().scale_rtol, 1.0 / 72, 0.001);
    const Attainment found = attain(asked, bound.worst());
    ASSERT_TRUE(found.by_apart) << name_of(quantized);
    EXPECT_GE(found.by_apart->apart, 1);
    // What is not equal is an integer apart, however small.
    EXPECT_EQ(bound.rtol() == 0, quantized == DType::int8);
    if (quantized == DType::int8) {
      EXPECT_EQ(bound.atol(), 4);
    }
  }
}

Question below(const std::string& upper, DType quantized, const Policies& policies) {
  Question asked = to_fp8(bf16, quantized, 4096, policies);
  asked.operation = Operation::rms_norm_dynamic_quant;
  asked.scale_ub_bits = oracle::bits_of(DType::fp32, std::stod(upper));
  return asked;
}

// Whatever the rows, the lesser one of the largest |y| and the bound is no farther apart than the largest
// |y|.
TEST(Bound, BelowAnUpperBoundOfScales) {
  for (const DType quantized : {DType::fp8_e4m3fn, DType::int8}) {
    const Policies policies = {"native", "row_scale=product"};
    Question none = below("1", quantized, policies);
    none.scale_ub_bits = 0x7f800000u;
    const Bound unbounded = bound_of(none), bounded = bound_of(below("1", quantized, policies));
    ASSERT_TRUE(bounded.exists()) << bounded.no_bound;
    EXPECT_EQ(bounded.apart(), unbounded.apart());
    EXPECT_EQ(bounded.worst().scale_rtol, unbounded.worst().scale_rtol);
    EXPECT_NE(conditions(none), conditions(below("1", quantized, policies)));
    const Attainment found = attain(below("1", quantized, policies), bounded.pairs.front());
    ASSERT_TRUE(found.by_apart);
    EXPECT_TRUE(found.by_apart->test_case.has_scale_ub());
    EXPECT_LE(found.by_apart->apart, bounded.pairs.front().apart);
  }
}

// r of so long rows is 1 / 126 apart, so that -126 and -128 are met, where there is -128.
TEST(Bound, MinusOneHundredAndTwentyEightIsACode) {
  const auto apart = [](const std::string& low) {
    Question asked = below("1", DType::int8, {"weight=fp32,before_quantization=unrounded,int8_low=" + low});
    asked.hidden_size = 133000;
    return bound_of(asked).apart();
  };
  EXPECT_EQ(apart("minus_128"), 2);
  EXPECT_EQ(apart("minus_127"), 1);
}

// vLLM's least scale of e4m3 is 1 / (512 * 448): all rows have it whose maxima are not above 1 / 512.
TEST(Bound, AnUpperBoundBelowTheFloorMakesOneScale) {
  const Policies two = {"native", "row_scale=product"};
  const Bound all = bound_of(below("1e-3", DType::fp8_e4m3fn, two));
  ASSERT_TRUE(all.exists()) << all.no_bound;
  for (const PairBound& pair : all.pairs)
    EXPECT_EQ(std::pair(pair.scale_apart, pair.scale_rtol), std::pair(0l, 0.0));
  EXPECT_GT(bound_of(below("1", DType::fp8_e4m3fn, two)).pairs.front().scale_apart, 0);
  // Of 1e-4 and of 1 / 512.
  const Bound apart = bound_of(below("5e-5", DType::fp8_e4m3fn, {"native", "scale_floor=maximum_1e-4"}));
  ASSERT_TRUE(apart.exists()) << apart.no_bound;
  EXPECT_NEAR(between(apart, 1).scale_rtol, 1 / 512.0 / 1e-4 - 1, 1e-3);
  const auto objection = [](const std::string& upper, const std::string& floor) {
    return bound_of(below(upper, DType::fp8_e4m3fn, {"native", "scale_floor=" + floor})).no_bound;
  };
  EXPECT_NE(objection("1e-3", "none").find("one scale for all rows of the one"), std::string::npos);
  EXPECT_NE(objection("1e-3", "scale_1e-10").find("one scale for all rows of the one"), std::string::npos);
  EXPECT_EQ(objection("1e-11", "scale_1e-10"), "");
  EXPECT_NE(objection("1e-37", "none").find("normal number"), std::string::npos);
}

TEST(Bound, ExamplesOutsideItsConditions) {
  std::size_t overflows = 0, subnormals = 0;
  for (const DType dtype : kActivationDTypes) {
    for (const std::int64_t hidden : {64, 100, 4096}) {
      for (const bool quantizes : {false, true}) {
        const Question asked = quantizes ? to_fp8(dtype, DType::fp8_e4m3fn, hidden, {"native"})
                                         : question(dtype, hidden, {"native"}, dtype);
        const std::int64_t claimed = bound_of(asked).apart();
        for (const Boundless& one : boundless_examples(asked)) {
          EXPECT_GT(one.example.apart, claimed) << one.condition << " " << name_of(dtype) << " " << hidden;
          overflows += one.condition == "the sum of squares overflows";
          subnormals += one.condition == "y is subnormal";
        }
      }
    }
  }
  EXPECT_EQ(overflows, 12u);  // bf16 and fp32
  EXPECT_EQ(subnormals, 5u);  // fp16, and some rows of bf16
}

// Any two values whose ratio is at most so much are at most so many codes apart.
TEST(CodeSpread, HoldsForAllValues) {
  Random random(3);
  for (const DType quantized : code_dtypes(Operation::rms_norm_dynamic_quant)) {
    const oracle::Format& format = oracle::format_of(quantized);
    for (const double ratio : {1.001, 1.0139, 1.07, 1.3, 2.0}) {
      const std::uint64_t last = format.is_integer ? 128 : format.max_finite_bits();
      const CodeSpread spread = code_spread(format, ratio, last);
      std::int64_t seen = 0;
      // Of negative numbers, as int8 has one more of them.
      const auto code = [&](double value) {
        const double clamped = std::min(value, format.is_integer ? 128 : to_double(decode(format, last)));
        return -line_position(format,
                              static_cast<std::uint32_t>(round_bits(format, oracle::from_double(-clamped))));
      };
      for (int trial = 0; trial < 20000; ++trial) {
        const double low = std::exp2(-12 + 21 * static_cast<double>(random.below(1u << 30)) * 0x1p-30);
        seen = std::max(seen, code(low * ratio) - code(low));
      }
      EXPECT_LE(seen, spread.apart) << name_of(quantized) << " " << ratio;
      EXPECT_GE(seen, spread.apart - 1) << name_of(quantized) << " " << ratio;
    }
  }
}

// 126.5 and 126.5 * 127 / 126 are two codes apart where the last is 128: -126 and -128.
TEST(CodeSpread, ReachesTheLastCode) {
  const oracle::Format& format = oracle::format_of(DType::int8);
  EXPECT_EQ(code_spread(format, 1 + 1.0 / 126, 128).apart, 2);
  EXPECT_EQ(code_spread(format, 1 + 1.0 / 126, 127).apart, 1);
}

TEST(Bound, DecimalsAreNotLess) {
  EXPECT_EQ(rounded_up(1.0 / 72), "0.0139");
  EXPECT_EQ(rounded_up(0x1p-7), "0.00782");
  EXPECT_EQ(rounded_up(0.25), "0.25");
  Random random(1);
  for (int trial = 0; trial < 2000; ++trial) {
    const double number = std::exp2(-130 + static_cast<double>(random.below(140))) *
                          (1 + static_cast<double>(random.below(1u << 30)) * 0x1p-30);
    const double shown = std::stod(rounded_up(number));
    EXPECT_GE(shown, number);
    EXPECT_LE(shown, number * 1.0101);
  }
}

// A residual stream of another dtype has rows of another size.
TEST(Intervals, HoldTheContractsOutputs) {
  for (const bool fp32_residual : {false, true}) {
    Case test_case;
    test_case.operation = Operation::fused_add_rms_norm;
    test_case.shape = {5, 48};
    test_case.weight_dtype = DType::bf16;
    test_case.fp32_residual = fp32_residual;
    for (const Role role : {Role::input, Role::residual, Role::weight})
      test_case[role].data.recipe = Recipe{"normal", 7};
    const CaseTensors tensors = materialize(test_case);
    const Outputs expected = oracle::expected_outputs(test_case, tensors);
    const std::vector<oracle::Policy> policies = {oracle::native()};
    const Intervals intervals = output_intervals(test_case, tensors, policies);
    const auto position = [](const Outputs& outputs, std::int64_t i) {
      return line_position(oracle::format_of(DType::bf16), load_bits(outputs[Role::out], DType::bf16, i));
    };
    for (std::int64_t i = 0; i < test_case.elements(); ++i) {
      EXPECT_LE(position(intervals.low, i), position(expected, i)) << "element " << i;
      EXPECT_GE(position(intervals.high, i), position(expected, i)) << "element " << i;
    }
  }
}

}  // namespace
}  // namespace normproof::bound
