// The witness judge: against brute force over every admissible r, against honest kernels of all kinds,
// against wrong ones. Which share of faults it sees is measured by `normproof assess`.
#include "oracle/witness_judge.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "oracle/beside.h"
#include "oracle/canonical_judge.h"
#include "oracle/code_factor.h"
#include "oracle/fast_row.h"
#include "oracle/feasible.h"
#include "oracle/test/summation.h"
#include "oracle/witness_row.h"

namespace normproof::oracle {
namespace {

using test::build;
using test::Built;
using test::RandomCases;

// A loaded row with what a brute force needs.
struct LoadedRow {
  LoadedRow(const Built& built, const Policy& policy)
      : formula(formula_of(built.test_case, policy)), fast(formula, built.tensors[Role::weight]) {
    fast.load(built.tensors[Role::input].data(),
              formula.has(Role::residual) ? built.tensors[Role::residual].data() : nullptr);
  }
  Admissible admissible() const {
    std::vector<Value> operands;
    for (const float operand : fast.variance_operands()) {
      Value value = decode(DType::fp32, std::bit_cast<std::uint32_t>(operand));
      if (row_of(formula.policy.variance).in_activation_dtype())
        value = round_to(formula.formats.activation, value);
      operands.push_back(value);
    }
    return AdmissibleModel(formula).admissible(exact_square_sum(operands));
  }
  std::vector<std::byte> outputs(float r) {
    const auto out = fast.outputs(r);
    return {out.begin(), out.end()};
  }
  float row_scale(float r) { return ScaleRule(formula).of(fast.row_maximum(r)); }
  Outputs all_outputs(float r) {
    Outputs all;
    if (formula.has(NormStep::quantize_by_row)) {
      const float scale = fast.set_own_scale(r);
      const auto bytes = std::as_bytes(std::span(&scale, 1));
      all[Role::scales].assign(bytes.begin(), bytes.end());
    }
    if (row_of(formula.policy.scaling).approximate && formula.formats.quantized) {
      const std::uint32_t bits = formula.has(NormStep::quantize_by_row) ? row_scale_bits(formula, all, 0)
                                                                        : formula.bits_of(Parameter::scale);
      fast.set_code_factor(factors(r, std::bit_cast<float>(bits)).back());
    }
    all[Role::out] = outputs(r);
    const auto residual_out = fast.residual_out();
    all[Role::residual_out].assign(residual_out.begin(), residual_out.end());
    return all;
  }
  // What codes may be made with at this r. An approximate reciprocal: every number near the inverse that has
  // no other number between it and the inverse.
  std::vector<float> factors(float r, float scale) {
    const ScalingRow& row = row_of(formula.policy.scaling);
    if (row.from_maximum) return {ScaleRule(formula).factor_of(fast.row_maximum(r))};
    const float nearest = 1.0f / scale;
    std::vector<float> result = {row.divides ? scale : nearest};
    if (!row.approximate || std::isnan(nearest)) return result;
    const float infinity = std::numeric_limits<float>::infinity();
    const double inverse = 1.0 / static_cast<double>(scale);
    for (const float toward : {-infinity, infinity}) {
      const float other = std::nextafter(nearest, toward);
      const double first = static_cast<double>(std::min(nearest, other));
      const double second = static_cast<double>(std::max(nearest, other));
      if (first < inverse && inverse < second) result.push_back(other);
    }
    if (!formula.policy.inverse_root.flush_to_zero) return result;
    const auto is_subnormal = [](float number) { return number != 0 && std::fabs(number) < 0x1p-126f; };
    if (std::ranges::any_of(result, is_subnormal)) result.push_back(std::copysign(0.0f, scale));
    if (is_subnormal(scale)) result.push_back(std::copysign(infinity, scale));
    return result;
  }
  bool explains(float r, const Outputs& all) {
    float scale = std::bit_cast<float>(formula.bits_of(Parameter::scale));
    if (formula.has(NormStep::quantize_by_row)) {
      const std::uint32_t bits = row_scale_bits(formula, all, 0);
      if (!same(DType::fp32, std::bit_cast<std::uint32_t>(row_scale(r)), bits)) return false;
      scale = std::bit_cast<float>(bits);
    }
    if (!formula.formats.quantized) return has_outputs(r, all);
    return std::ranges::any_of(factors(r, scale), [&](float factor) {
      fast.set_code_factor(factor);
      return has_outputs(r, all);
    });
  }
  bool has_outputs(float r, const Outputs& all) {
    const std::vector<std::byte>& got = all[Role::out];
    const std::vector<std::byte> wanted = outputs(r);
    for (std::int64_t j = 0; j < formula.hidden_size; ++j) {
      const DType dtype = formula.output_dtype();
      if (!same(dtype, load_bits(wanted, dtype, j), load_bits(got, dtype, j))) return false;
    }
    return true;
  }
  Formula formula;
  FastRow fast;
};

struct BruteForce {
  bool conforms = false;
  std::uint64_t width = 0;
};

BruteForce brute_force(LoadedRow& row, const Admissible& admissible, const Outputs& got) {
  BruteForce result;
  if (admissible.nan && row.explains(std::nanf(""), got)) return {true, 1};
  for (std::int64_t r = admissible.interval.low; r <= admissible.interval.high; ++r) {
    result.width += row.explains(root_value(r), got) ? 1 : 0;
  }
  result.conforms = result.width > 0;
  return result;
}

Policy any_policy(RandomCases& random, const Case& test_case) {
  const std::vector<Policy> policies = all_policies(test_case);
  Policy policy = policies[random.below(static_cast<std::uint32_t>(policies.size()))];
  for (std::uint32_t further = random.below(3); further > 0; --further) {
    const std::vector<Policy> others = neighbours(policy, test_case);
    policy = others[random.below(static_cast<std::uint32_t>(others.size()))];
  }
  policy.inverse_root.ulp_bound = static_cast<int>(random.below(4));
  policy.inverse_root.flush_to_zero = random.one_in(4);
  if (random.one_in(4)) policy.inverse_root.sum_depth = random.below(6);
  return policy;
}

// Outputs for some r in or around the admissible interval, sometimes with a corrupted element.
Outputs any_outputs(RandomCases& random, LoadedRow& row, const Admissible& admissible) {
  const RootInterval& r = admissible.interval;
  std::int64_t bits = 0x3f800000;
  if (!r.empty()) {
    const std::int64_t margin = random.one_in(3) ? 40 : 0;
    const std::int64_t low = std::max<std::int64_t>(0, r.low - margin);
    const std::int64_t high = std::min(kInfiniteRoot, r.high + margin);
    bits = low + static_cast<std::int64_t>(random.draw() % static_cast<std::uint64_t>(high - low + 1));
  }
  Outputs outputs = row.all_outputs(admissible.nan && random.one_in(2) ? std::nanf("") : root_value(bits));
  if (random.one_in(3)) {
    const DType dtype = row.formula.output_dtype();
    const std::int64_t j = random.below(static_cast<std::uint32_t>(row.formula.hidden_size));
    const std::uint32_t old = load_bits(outputs[Role::out], dtype, j);
    store_bits(outputs[Role::out], dtype, j,
               static_cast<std::uint32_t>(random.one_in(2) ? next_up(format_of(dtype), old)
                                                           : random.any_bits(format_of(dtype))));
  }
  if (row.formula.has(NormStep::quantize_by_row) && random.one_in(3)) {
    const std::uint32_t old = row_scale_bits(row.formula, outputs, 0);
    const std::uint32_t step = random.one_in(2) ? 1 : ~0u;
    store_bits(outputs[Role::scales], DType::fp32, 0,
               random.one_in(4) ? random.any_bits(format_of(DType::fp32)) : old + step);
  }
  return outputs;
}

struct Tally {
  int judged = 0, conforming = 0, rounding = 0, scale = 0;
};

// Cases of `draw_case`, each with outputs under the policy that `draw_policy` gives it.
template <typename DrawCase, typename DrawPolicy>
Tally agreement(RandomCases& random, int cases, DrawCase draw_case, DrawPolicy draw_policy) {
  const StandardFloatEnvironment environment;
  Tally tally;
  auto& [judged, conforming, rounding, scale] = tally;
  for (int i = 0; i < cases * test::scale() && !::testing::Test::HasFatalFailure(); ++i) {
    const Built built = draw_case();
    const Policy policy = draw_policy(built.test_case);
    LoadedRow row(built, policy);
    const Admissible admissible = row.admissible();
    if (admissible.interval.high - admissible.interval.low > 2000) continue;
    const Outputs outputs = any_outputs(random, row, admissible);
    const BruteForce expected = brute_force(row, admissible, outputs);
    const WitnessVerdict verdict =
        judge_witness(built.test_case, built.tensors, outputs, policy, {.keep_rows = true});
    ++judged;
    const auto what = [&] {
      return fmt::format(
          "{} {} {}\n{}", name_of(built.test_case.operation), to_string(policy), to_text(admissible),
          verdict.first_violations.empty() ? std::string()
                                           : to_text(verdict.first_violations[0], row.formula));
    };
    EXPECT_EQ(verdict.conforms(), expected.conforms) << what();
    conforming += expected.conforms ? 1 : 0;
    rounding += static_cast<int>(verdict.rounding_violations);
    scale += static_cast<int>(verdict.scale_violations);
    if (!expected.conforms || !verdict.conforms()) continue;
    const RowWitness& witness = verdict.row_witnesses.at(0);
    // Of special rows whose scale comes from two intervals of r one is reported; of several factors too.
    if (!row.formula.has(NormStep::quantize_by_row) && !leaves_factor_open(row.formula)) {
      EXPECT_EQ(witness.width, expected.width) << what();
    }
    EXPECT_LE(witness.width, expected.width) << what();
    EXPECT_TRUE(row.explains(root_value(witness.witness), outputs)) << what();
    if (::testing::Test::HasFailure()) break;
  }
  return tally;
}

TEST(WitnessJudge, AgreesWithBruteForce) {
  RandomCases random(41);
  const Tally tally = agreement(
      random, 40000, [&] { return random.any_case(1, 1 + random.below(12)); },
      [&](const Case& test_case) { return any_policy(random, test_case); });
  EXPECT_GT(tally.judged, 30000);
  EXPECT_GT(tally.conforming, 10000);
  EXPECT_GT(tally.rounding, 1000);
  EXPECT_GT(tally.scale, 1000);
}

// Where the scale leaves several factors, with every floor, range and use of NaN.
TEST(WitnessJudge, AgreesWithBruteForceOverEveryFactor) {
  RandomCases random(44);
  const auto draw_case = [&] {
    for (;;) {
      Built built = random.any_case(1, 1 + random.below(12));
      if (quantizes(built.test_case.operation)) return built;
    }
  };
  for (const ScalingPolicy scaling :
       {ScalingPolicy::approximate_inverse, ScalingPolicy::range_over_maximum}) {
    const Tally tally = agreement(random, 8000, draw_case, [&](const Case& test_case) {
      Policy policy = any_policy(random, test_case);
      policy.scaling = scaling;
      if (random.one_in(2)) policy.scale_floor = static_cast<ScaleFloor>(random.below(4));
      if (random.one_in(3)) policy.row_scale = RowScalePolicy::product;
      if (random.one_in(4)) policy.maximum_nan = MaximumNanPolicy::drop;
      return policy;
    });
    EXPECT_GT(tally.judged, 6000);
    EXPECT_GT(tally.conforming, 2000);
    EXPECT_GT(tally.rounding, 200);
    EXPECT_GT(tally.scale, 200);
  }
}

// The codes and scales that some admissible r gives a row, by trying them all.
struct Tried {
  std::vector<CodeSet> codes;  // with the scale that is stored
  bool scale = false;          // some r gives it
  bool other_scale = false;    // some r gives another one than `unfused`
};
Tried try_all(LoadedRow& row, const Admissible& admissible, std::uint32_t stored, std::uint32_t unfused) {
  using Seen = std::pair<std::uint32_t, std::vector<std::vector<std::byte>>>;  // scale, codes of each factor
  const Format& format = format_of(row.formula.output_dtype());
  Tried result{std::vector<CodeSet>(static_cast<std::size_t>(row.formula.hidden_size))};
  const auto look = [&](float r) {
    Seen seen(stored, {});
    if (row.formula.has(NormStep::quantize_by_row)) {
      seen.first = std::bit_cast<std::uint32_t>(row.row_scale(r));
      result.other_scale |= !same(DType::fp32, seen.first, unfused);
      if (!same(DType::fp32, seen.first, stored)) return seen;
    }
    result.scale = true;
    for (const float factor : row.factors(r, std::bit_cast<float>(stored))) {
      row.fast.set_code_factor(factor);
      seen.second.push_back(row.outputs(r));
      for (std::size_t j = 0; j < seen.second.back().size(); ++j)
        result.codes[j].set(compared_code(format, std::to_integer<std::uint32_t>(seen.second.back()[j])));
    }
    return seen;
  };
  if (admissible.nan) look(std::nanf(""));
  constexpr std::int64_t kStep = 64;  // between two r that give the same there is nothing else
  const RootInterval& all = admissible.interval;
  if (all.empty()) return result;
  Seen low = look(root_value(all.low));
  for (std::int64_t r = all.low; r < all.high; r = std::min(r + kStep, all.high)) {
    const std::int64_t next = std::min(r + kStep, all.high);
    Seen high = look(root_value(next));
    for (std::int64_t between = r + 1; between < next && low != high; ++between) look(root_value(between));
    low = std::move(high);
  }
  return result;
}

TEST(WitnessJudge, ReachableCodesAreThoseOfEveryRoot) {
  const StandardFloatEnvironment environment;
  RandomCases random(46);
  int judged = 0, several = 0, illegal = 0;
  for (int i = 0; i < 2000 * test::scale() && !HasFatalFailure(); ++i) {
    const Built built = random.any_case(1, 1 + random.below(12));
    if (!quantizes(built.test_case.operation)) continue;
    Policy policy = any_policy(random, built.test_case);
    policy.inverse_root.ulp_bound = static_cast<int>(random.below(20000));  // so that some codes move
    LoadedRow row(built, policy);
    const Admissible admissible = row.admissible();
    if (admissible.interval.high - admissible.interval.low > 80000) continue;
    const Outputs fused = any_outputs(random, row, admissible),
                  unfused = any_outputs(random, row, admissible);
    const std::uint32_t stored = row.formula.has(NormStep::quantize_by_row)
                                     ? row_scale_bits(row.formula, fused, 0)
                                     : row.formula.bits_of(Parameter::scale);
    const Tried wanted = try_all(row, admissible, stored, row_scale_bits(row.formula, unfused, 0));
    const std::string what =
        fmt::format("{} {} {}", name_of(built.test_case.operation), to_string(policy), to_text(admissible));
    const std::vector<CodeSet> got = WitnessRow(row.formula).reachable(row.fast, stored);
    ASSERT_EQ(got, wanted.scale ? wanted.codes : std::vector<CodeSet>()) << what;
    const BesideVerdict verdict =
        compare_beside(built.test_case, built.tensors, fused, unfused, true, policy);
    ASSERT_EQ(verdict.illegal_scales, row.formula.has(NormStep::quantize_by_row) && !wanted.scale ? 1 : 0)
        << what;
    if (row.formula.has(NormStep::quantize_by_row)) {
      ASSERT_EQ(verdict.scales_that_may_differ, wanted.other_scale ? 1 : 0) << what;
    }
    ++judged;
    several += std::ranges::any_of(got, [](const CodeSet& codes) { return codes.count() > 1; }) ? 1 : 0;
    illegal += verdict.illegal_codes > 0 ? 1 : 0;
  }
  EXPECT_GT(judged, 800);
  EXPECT_GT(several, 5);
  EXPECT_GT(illegal, 50);
}

// Unfused numbers are quantized as the fused policy says.
TEST(WitnessJudge, QuantizedNormsAreTheCodesOfTheFusedOperation) {
  RandomCases random(47);
  int judged = 0;
  for (int i = 0; i < 4000 * test::scale() && !HasFatalFailure(); ++i) {
    const Built built = random.any_case(1 + random.below(2), 1 + random.below(12));
    const Case& fused = built.test_case;
    if (!quantizes(fused.operation)) continue;
    Policy policy = any_policy(random, fused);
    policy.before_quantization = BeforeQuantization::rounded;
    policy.row_maximum = RowMaximumPolicy::of_quantized;
    policy.inverse_root = {};  // the canonical order is admissible
    Case norm = fused;
    norm.operation = *spec_of(fused.operation).without_last_step;
    keep_what_it_has(norm);
    const Outputs codes = expected_outputs(fused, built.tensors, policy);
    const Outputs numbers = expected_outputs(norm, built.tensors, policy);
    const BesideVerdict verdict = compare_beside(fused, built.tensors, codes, numbers, false, policy);
    ASSERT_EQ(verdict.codes_that_differ + verdict.illegal_codes + verdict.illegal_scales +
                  verdict.scales_that_differ,
              0)
        << name_of(fused.operation) << " " << to_string(policy);
    judged += verdict.codes > 0 ? 1 : 0;
  }
  EXPECT_GT(judged, 1000);
}

// A rounding violation says that no r at all explains its elements: checked over a wide range, not only the
// admissible one.
TEST(WitnessJudge, RoundingViolationsHaveNoWitnessAnywhereNear) {
  RandomCases random(42);
  const StandardFloatEnvironment environment;
  int seen = 0;
  for (int i = 0; i < 3000; ++i) {
    const Built built = random.any_case(1, 2 + random.below(10));
    if (quantizes_by_row(built.test_case.operation)) continue;  // the scale is one more unit there
    LoadedRow row(built, native());
    const Admissible admissible = row.admissible();
    if (admissible.interval.empty() || admissible.interval.high - admissible.interval.low > 2000) continue;
    const Outputs outputs = any_outputs(random, row, admissible);
    const WitnessVerdict verdict = judge_witness(built.test_case, built.tensors, outputs);
    if (verdict.first_violations.empty()) continue;
    const Certificate& certificate = verdict.first_violations[0];
    ASSERT_LE(certificate.elements.size(), 2u);
    if (certificate.kind != ViolationKind::rounding) continue;
    ++seen;
    const DType dtype = built.test_case.output_dtype();
    const std::int64_t center = admissible.interval.low;
    for (std::int64_t r = std::max<std::int64_t>(0, center - 1500);
         r <= std::min(kInfiniteRoot, center + 1500); ++r) {
      bool all = true;
      for (const CertificateElement& element : certificate.elements) {
        if (element.tensor == Role::scales) continue;
        all = all && same(dtype, row.fast.output(root_value(r), element.column), element.got);
      }
      ASSERT_FALSE(all) << r;
    }
  }
  EXPECT_GT(seen, 100);
}

TEST(WitnessJudge, CanonicalOutputsConformUnderEveryPolicy) {
  RandomCases random(43);
  for (int i = 0; i < 12000 * test::scale(); ++i) {
    const Built built = random.any_case(2, 1 + random.below(1 + random.below(100)));
    const std::vector<Policy> policies = all_policies(built.test_case);
    const Policy policy = policies[random.below(static_cast<std::uint32_t>(policies.size()))];
    const Outputs outputs = expected_outputs(built.test_case, built.tensors, policy);
    const WitnessVerdict verdict = judge_witness(built.test_case, built.tensors, outputs, policy);
    ASSERT_TRUE(verdict.conforms()) << name_of(built.test_case.operation) << " "
                                    << name_of(built.test_case.dtype) << " " << to_string(policy)
                                    << (verdict.first_violations.empty()
                                            ? ""
                                            : "\n" + to_text(verdict.first_violations[0],
                                                             formula_of(built.test_case, policy)));
    ASSERT_EQ(verdict.rows, 2);
  }
}

// Rows of N(0, 1) with weights of N(1, 0.1), scaled at random, as bits of T.
Built gaussian(RandomCases& random, DType dtype, std::int64_t rows, std::int64_t hidden_size,
               Operation operation) {
  const auto normal = [&] {
    const double u = (static_cast<double>(random.draw() >> 11) + 0.5) * 0x1p-53;
    const double v = static_cast<double>(random.draw() >> 11) * 0x1p-53;
    return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
  };
  const auto bits = [&](double value) { return bits_of(dtype, value); };
  std::vector<std::uint32_t> x, residual, weight;
  for (std::int64_t row = 0; row < rows; ++row) {
    const double scale = std::exp2(4 * (static_cast<double>(random.draw() >> 11) * 0x1p-53) - 2);
    for (std::int64_t j = 0; j < hidden_size; ++j) x.push_back(bits(scale * normal()));
    for (std::int64_t j = 0; j < hidden_size && has(operation, Role::residual); ++j)
      residual.push_back(bits(scale * normal()));
  }
  for (std::int64_t j = 0; j < hidden_size; ++j) weight.push_back(bits(1 + 0.1 * normal()));
  std::optional<DType> quantized;
  if (quantizes(operation)) quantized = kQuantizedDTypes[random.below(4)];
  Built built = build(operation, dtype, hidden_size, x, residual, dtype, weight, quantized);
  built.test_case.bits_of(Parameter::epsilon) = 0x358637bdu;
  built.test_case.bits_of(Parameter::scale) = 0x3c23d70au;
  return built;
}

// Outputs of a kernel that takes r from `root(row)` and is otherwise native.
template <typename Root>
Outputs kernel_outputs(const Built& built, const Policy& policy, Root root) {
  const Formula formula = formula_of(built.test_case, policy);
  FastRow fast(formula, built.tensors[Role::weight]);
  Outputs outputs;
  const std::size_t bytes =
      static_cast<std::size_t>(formula.hidden_size) * size_of(formula.formats.activation);
  for (std::int64_t row = 0; row < built.test_case.rows(); ++row) {
    const std::size_t offset = static_cast<std::size_t>(row) * bytes;
    fast.load(built.tensors[Role::input].data() + offset,
              formula.has(Role::residual) ? built.tensors[Role::residual].data() + offset : nullptr);
    const float r = root(fast);
    if (formula.has(NormStep::quantize_by_row)) {
      const float scale = fast.set_own_scale(r);
      const auto packed = std::as_bytes(std::span(&scale, 1));
      outputs[Role::scales].insert(outputs[Role::scales].end(), packed.begin(), packed.end());
    }
    const auto out = fast.outputs(r);
    outputs[Role::out].insert(outputs[Role::out].end(), out.begin(), out.end());
    outputs[Role::residual_out].insert(outputs[Role::residual_out].end(), fast.residual_out().begin(),
                                       fast.residual_out().end());
  }
  return outputs;
}

TEST(WitnessJudge, NeverRejectsHonestKernels) {
  RandomCases random(44);
  const StandardFloatEnvironment environment;
  for (const DType dtype : kActivationDTypes) {
    for (const std::int64_t hidden_size : {1, 2, 7, 32, 257, 1024, 4096}) {
      for (const SummationOrder order : kSummationOrders) {
        const Operation operation =
            all_operations()[random.below(static_cast<std::uint32_t>(all_operations().size()))];
        const Built built = gaussian(random, dtype, 6 * test::scale(), hidden_size, operation);
        const Outputs outputs = kernel_outputs(built, native(), [&](const FastRow& fast) {
          return test::honest_root(fast.variance_operands(), built.test_case.value_of(Parameter::epsilon),
                                   order, 2, random);
        });
        const WitnessVerdict verdict = judge_witness(built.test_case, built.tensors, outputs);
        ASSERT_TRUE(verdict.conforms())
            << name_of(dtype) << " H " << hidden_size << " order " << static_cast<int>(order)
            << (verdict.first_violations.empty()
                    ? ""
                    : "\n" + to_text(verdict.first_violations[0], formula_of(built.test_case, native())));
      }
    }
  }
}

TEST(WitnessJudge, ClassifiesAScaleViolation) {
  RandomCases random(52);
  const Built built = gaussian(random, DType::bf16, 1, 64, Operation::rms_norm);
  // Half of the row is not summed: r is too large, the roundings are native.
  RandomCases unused(1);
  const Outputs outputs = kernel_outputs(built, native(), [&](const FastRow& fast) {
    return test::honest_root(fast.variance_operands().first(32), 1e-6f, SummationOrder::serial, 0, unused);
  });
  const WitnessVerdict verdict = judge_witness(built.test_case, built.tensors, outputs);
  ASSERT_EQ(verdict.scale_violations, 1);
  const Certificate& certificate = verdict.first_violations.at(0);
  ASSERT_EQ(certificate.elements.size(), 1u);
  const std::string text = to_text(certificate, formula_of(built.test_case, native()));
  EXPECT_NE(text.find("scale violation in row 0"), std::string::npos) << text;
  EXPECT_NE(text.find("admissible r: ["), std::string::npos) << text;
}

// A row of an fp32 multiply whose certificate has two elements (in some rows one element is enough).
struct TwoElements {
  Built built;
  Certificate certificate;
};
TwoElements two_elements(RandomCases& random) {
  for (;;) {
    const Built built = gaussian(random, DType::bf16, 1, 32, Operation::rms_norm);
    const Outputs outputs = expected_outputs(built.test_case, built.tensors, parse_policy("weight=fp32"));
    const WitnessVerdict verdict = judge_witness(built.test_case, built.tensors, outputs);
    EXPECT_EQ(verdict.rounding_violations, 1);
    if (verdict.first_violations.at(0).elements.size() == 2) return {built, verdict.first_violations[0]};
  }
}

TEST(WitnessJudge, CertifiesB1WithTwoElements) {
  RandomCases random(53);
  const auto [built, certificate] = two_elements(random);
  EXPECT_LT(certificate.elements[0].needs.high, certificate.elements[1].needs.low);
  EXPECT_NE(to_text(certificate, formula_of(built.test_case, native())).find("no single r explains both"),
            std::string::npos);
}

TEST(WitnessJudge, JudgesResidualOutBitwise) {
  RandomCases random(54);
  const Built built = gaussian(random, DType::bf16, 2, 16, Operation::fused_add_rms_norm);
  Outputs outputs = expected_outputs(built.test_case, built.tensors);
  const std::uint32_t wanted = load_bits(outputs[Role::residual_out], DType::bf16, 21);
  store_bits(outputs[Role::residual_out], DType::bf16, 21, wanted ^ 1);
  const WitnessVerdict verdict = judge_witness(built.test_case, built.tensors, outputs);
  EXPECT_FALSE(verdict.conforms());
  EXPECT_EQ(verdict.conforming_rows(), 2);
  ASSERT_EQ(verdict.first_residual_mismatches.size(), 1u);
  EXPECT_EQ(verdict.first_residual_mismatches[0].row, 1);
  EXPECT_EQ(verdict.first_residual_mismatches[0].column, 5);
  EXPECT_EQ(verdict.first_residual_mismatches[0].wanted, wanted);
}

TEST(WitnessJudge, StopsWhenAskedTo) {
  RandomCases random(55);
  const Built built = gaussian(random, DType::bf16, 20, 64, Operation::rms_norm);
  const Outputs outputs = expected_outputs(built.test_case, built.tensors, parse_policy("weight=fp32"));
  const WitnessVerdict all = judge_witness(built.test_case, built.tensors, outputs);
  EXPECT_EQ(all.rows, 20);
  EXPECT_EQ(all.rounding_violations, 20);
  EXPECT_EQ(all.first_violations.size(), kMaximumListed);
  EXPECT_EQ(judge_witness(built.test_case, built.tensors, outputs, native(), {.stop_after = 1}).rows, 1);
}

// A row that is not listed costs less, but its verdict is the same.
TEST(WitnessJudge, CountsTheSameWhatItDoesNotList) {
  RandomCases random(57);
  for (const DType dtype : {DType::bf16, DType::fp16, DType::fp32}) {
    const Built built = gaussian(random, dtype, 60, 48, Operation::rms_norm);
    Outputs outputs = expected_outputs(built.test_case, built.tensors);
    const Outputs otherwise = expected_outputs(built.test_case, built.tensors, parse_policy("weight=fp32"));
    RandomCases unused(1);
    const Outputs half = kernel_outputs(built, native(), [&](const FastRow& fast) {
      return test::honest_root(fast.variance_operands().first(24), 1e-6f, SummationOrder::serial, 0, unused);
    });
    const std::size_t row_bytes = outputs[Role::out].size() / 60;
    for (std::size_t row = 0; row < 60; ++row) {  // right, another policy, another scale, one bit
      const auto at = static_cast<std::ptrdiff_t>(row * row_bytes);
      const auto end = at + static_cast<std::ptrdiff_t>(row_bytes);
      if (row % 4 == 1 || row % 4 == 2) {
        const std::vector<std::byte>& wrong = (row % 4 == 1 ? otherwise : half)[Role::out];
        std::copy(wrong.begin() + at, wrong.begin() + end, outputs[Role::out].begin() + at);
      }
      if (row % 4 == 3) outputs[Role::out][row * row_bytes + size_of(dtype)] ^= std::byte{4};
    }
    const WitnessVerdict none =
        judge_witness(built.test_case, built.tensors, outputs, native(), {.keep_rows = true, .listed = 0});
    const WitnessVerdict all =
        judge_witness(built.test_case, built.tensors, outputs, native(), {.keep_rows = true, .listed = 60});
    EXPECT_TRUE(none.first_violations.empty());
    EXPECT_EQ(all.first_violations.size(), static_cast<std::size_t>(60 - all.conforming_rows()));
    EXPECT_GT(all.rounding_violations, 10);
    EXPECT_GT(all.scale_violations, 10);
    for (std::size_t row = 0; row < 60; ++row)
      EXPECT_EQ(none.row_witnesses[row].violation, all.row_witnesses[row].violation) << "row " << row;
  }
}

TEST(WitnessJudge, TamperedCertificatesAreRefused) {
  RandomCases random(56);
  const auto [built, good] = two_elements(random);
  const Formula formula = formula_of(built.test_case, native());
  EXPECT_NO_THROW(require_valid(good, formula, built.tensors));
  const auto refused = [&, &original = good, &tensors = built.tensors](auto tamper) {
    Certificate bad = original;
    tamper(bad);
    EXPECT_THROW(require_valid(bad, formula, tensors), std::logic_error);
  };
  refused([](Certificate& c) { ++c.elements[0].needs.high; });
  refused([](Certificate& c) { --c.elements[0].needs.high; });
  refused([](Certificate& c) { ++c.elements[1].needs.low; });
  refused([](Certificate& c) { --c.elements[1].needs.low; });
  refused([](Certificate& c) { std::swap(c.elements[0], c.elements[1]); });
  refused([](Certificate& c) { c.elements.pop_back(); });
  refused([](Certificate& c) { c.elements[0].got ^= 1; });
  refused([](Certificate& c) { c.elements[0].operand ^= 1u << 16; });
  refused([](Certificate& c) { ++c.admissible.interval.high; });
  refused([](Certificate& c) { ++c.correctly_rounded_root; });
  refused([](Certificate& c) { c.kind = ViolationKind::scale; });
}

// The same where a row's own scale is one of the elements: what stands beside its interval is checked too.
TEST(WitnessJudge, TamperedCertificatesOfRowsScalesAreRefused) {
  const Built built = build(Operation::rms_norm_dynamic_quant, DType::bf16, 4,
                            {0x3f80, 0x4010, 0xbf20, 0x3e99}, {}, {}, {}, DType::fp8_e4m3fn);
  const Formula formula = formula_of(built.test_case, native());
  Outputs outputs = expected_outputs(built.test_case, built.tensors);
  const std::uint32_t scale = load_bits(outputs[Role::scales], DType::fp32, 0);
  int scales = 0;
  // A few ulp off, twice, and half of it: no r gives it, or none that explains the elements.
  for (const std::uint32_t wrong : {scale + 3, scale + 4000, scale + 0x00800000, scale - 0x00800000}) {
    store_bits(outputs[Role::scales], DType::fp32, 0, wrong);
    const WitnessVerdict verdict = judge_witness(built.test_case, built.tensors, outputs, native());
    for (const Certificate& good : verdict.first_violations) {
      EXPECT_NO_THROW(require_valid(good, formula, built.tensors));
      for (std::size_t place = 0; place < good.elements.size(); ++place) {
        if (good.elements[place].tensor != Role::scales) continue;
        ++scales;
        Certificate bad = good;
        bad.elements[place].operand ^= 1;
        EXPECT_THROW(require_valid(bad, formula, built.tensors), std::logic_error) << to_text(good, formula);
        bad = good;
        bad.elements[place].got ^= 1;
        EXPECT_THROW(require_valid(bad, formula, built.tensors), std::logic_error) << to_text(good, formula);
      }
    }
  }
  EXPECT_GT(scales, 0);
}

// A certificate that is right in every part but accuses a conforming row: its
// element meets the admissible interval.
TEST(WitnessJudge, CertificatesAgainstConformingRowsAreRefused) {
  RandomCases random(59);
  const StandardFloatEnvironment environment;
  const Built built = gaussian(random, DType::bf16, 1, 32, Operation::rms_norm);
  LoadedRow row(built, native());
  const Outputs outputs = expected_outputs(built.test_case, built.tensors);
  CertificateElement element;
  element.operand = std::bit_cast<std::uint32_t>(row.fast.output_operands()[0]);
  element.got = load_bits(outputs[Role::out], DType::bf16, 0);
  element.needs = feasible_interval(format_of(DType::bf16), element.got, {0, kInfiniteRoot},
                                    [&](std::int64_t r) { return row.fast.output(root_value(r), 0); });
  Certificate certificate;
  certificate.kind = ViolationKind::scale;
  certificate.elements = {element};
  certificate.admissible = row.admissible();
  certificate.correctly_rounded_root =
      correctly_rounded_root(row.formula, exact_square_sum(row.fast.variance_operands()));
  try {
    require_valid(certificate, row.formula, built.tensors);
    FAIL() << "not refused";
  } catch (const std::logic_error& error) {
    EXPECT_NE(std::string(error.what()).find("meets the admissible interval"), std::string::npos)
        << error.what();
  }
}

TEST(WitnessJudge, WrongSizesAreRefused) {
  RandomCases random(57);
  const Built built = gaussian(random, DType::bf16, 1, 8, Operation::rms_norm);
  EXPECT_THROW(judge_witness(built.test_case, built.tensors, {}), std::invalid_argument);
}

}  // namespace
}  // namespace normproof::oracle
