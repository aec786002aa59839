#include "properties/detective/try_policies.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "corpus/generate.h"
#include "corpus/random.h"
#include "oracle/formats.h"
#include "oracle/witness_judge.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"
#include "properties/judging/tally.h"
#include "properties/judging/verification_case.h"

namespace normproof {
namespace {

constexpr std::int64_t kShortCases = 24;
constexpr std::int64_t kRandomCases = 96;

// Rows whose elements, or sums with the residual, are all +-2: r is exactly known.
Case uniform_case(const Case& like, std::int64_t hidden, float epsilon) {
  Case test_case = like;
  test_case.name = "one-magnitude";
  test_case.shape = {2, hidden};
  test_case[Role::input].layout = test_case[Role::residual].layout = test_case[Role::out].layout = {};
  test_case[Role::weight].layout.offset = 0;
  test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(epsilon);
  const auto fill = [&](TensorData& data, DType dtype, int exponent, std::int64_t count, bool weights) {
    const oracle::Format& format = oracle::format_of(dtype);
    const auto bits = static_cast<std::uint32_t>(exponent + format.bias) << format.mantissa_bits();
    data = {};
    data.bytes.resize(static_cast<std::size_t>(count) * size_of(dtype));
    for (std::int64_t i = 0; i < count; ++i) {
      // Weights of 1, 1 + 2 ulp, 1 + 4 ulp, ...; every other element is negative.
      const std::uint32_t change = weights      ? static_cast<std::uint32_t>(2 * (i % 8))
                                   : i % 2 == 1 ? static_cast<std::uint32_t>(format.sign_bit())
                                                : 0;
      store_bits(data.bytes, dtype, i, bits + change);
    }
  };
  const bool adds = has(like.operation, NormStep::add_residual);
  fill(test_case[Role::input].data, like.dtype, adds ? 0 : 1, 2 * hidden, false);
  if (like.has(Role::residual)) fill(test_case[Role::residual].data, like.dtype, 0, 2 * hidden, false);
  if (like.weight_dtype) fill(test_case[Role::weight].data, *like.weight_dtype, 0, hidden, true);
  return test_case;
}

}  // namespace

bool is_like(const Case& test_case, const Case& like) { return test_case.kind() == like.kind(); }

std::vector<Case> trial_cases(const Case& like, std::uint64_t seed) {
  std::vector<Case> cases;
  for (const std::int64_t hidden : {1, 2, 3, 4, 16, 300}) {
    for (const float epsilon : {1e-6f, 5.0f}) cases.push_back(uniform_case(like, hidden, epsilon));
  }
  CaseLimits limits;
  limits.max_rows = 512;  // an r that is a little off shows in one of thousands of elements
  limits.max_hidden = 4;
  limits.hold_to(like);
  Random random(seed);
  for (std::int64_t index = 0; index < kShortCases; ++index) cases.push_back(random_case(random, limits));
  const std::vector<Combination> combinations = {{like.kind(), KernelPath::automatic}};
  for (std::int64_t index = 0; index < kRandomCases; ++index)
    cases.push_back(verification_case(seed, index, combinations));
  std::erase_if(cases,
                [&](const Case& test_case) { return !is_like(test_case, like) || test_case.rows() == 0; });
  return cases;
}

std::vector<std::optional<std::string>> refutations(Target& target, std::span<const oracle::Policy> policies,
                                                    std::span<const oracle::Policy> excused,
                                                    std::span<const Case> cases) {
  std::vector<std::optional<std::string>> result(policies.size());
  oracle::WitnessOptions options;
  options.stop_after = 1;
  for (Case test_case : cases) {
    fit_to(target.limits_of(test_case.operation), test_case);
    if (std::ranges::all_of(result, [](const auto& refuted) { return refuted.has_value(); })) break;
    const CaseTensors tensors = materialize(test_case);
    const RunResult run = target.run(test_case, tensors);
    if (run.status != RunResult::Status::completed) continue;
    const auto judged = [&](const oracle::Policy& policy) {
      return oracle::judge_witness(test_case, tensors, run.outputs, policy, options);
    };
    if (std::ranges::any_of(excused, [&](const oracle::Policy& policy) { return judged(policy).conforms(); }))
      continue;
    for (std::size_t i = 0; i < policies.size(); ++i) {
      if (result[i]) continue;
      const oracle::WitnessVerdict verdict = judged(policies[i]);
      if (verdict.conforms()) continue;
      const std::string why =
          verdict.first_violations.empty()
              ? mismatch_line(verdict.first_residual_mismatches.front()) + "\n"
              : oracle::to_text(verdict.first_violations.front(), oracle::formula_of(test_case, policies[i]));
      result[i] = fmt::format("{}: {}", subject_of(test_case), why);
    }
  }
  return result;
}

}  // namespace normproof
