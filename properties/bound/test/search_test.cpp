// Honest kernels search for a larger difference than the bound says: rows on which orders of summation differ
// most, elements and weights beside rounding ties, epsilons that slide the root across them, roots at the
// ends of what is allowed, numbers near and below the smallest normal ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "corpus/generate.h"
#include "corpus/random.h"
#include "corpus/recipe.h"
#include "oracle/fast_row.h"
#include "oracle/honest_root.h"
#include "oracle/row_kernels.h"
#include "properties/bound/bound.h"

namespace normproof::bound {
namespace {

using oracle::Formula;
using oracle::Policy;
using oracle::SummationOrder;

struct Subject {
  Operation operation;
  DType dtype;
  std::optional<DType> weight;
  std::optional<DType> quantized;
  std::vector<std::string> policies;
  std::uint32_t scale_ub = 0x7f800000u;
};

const std::vector<Subject>& subjects() {
  using enum DType;
  using enum Operation;
  static const std::vector<Subject> kSubjects = {
      {rms_norm, bf16, bf16, {}, {"native", "weight=fp32"}},
      {rms_norm, fp16, fp16, {}, {"native", "weight=fp32"}},
      {rms_norm, fp32, fp32, {}, {"native", "root=divide"}},
      {rms_norm, bf16, std::nullopt, {}, {"native", "root=divide"}},
      {rms_norm, bf16, fp32, {}, {"native", "weight=activation", "weight=cast"}},
      {rms_norm, bf16, bf16, {}, {"weight=product_first_activation", "weight=factor_first"}},
      {rms_norm,
       fp16,
       fp32,
       {},
       {"weight=fp32_plus_one", "weight=plus_one_activation", "weight=native_plus_one"}},
      {rms_norm, bf16, bf16, {}, {"native", "root=activation"}},
      {rms_norm, bf16, bf16, {}, {"native", "rounding=truncate", "rounding=ties_away"}},
      {rms_norm, bf16, bf16, {}, {"native,sum_depth=25", "native,sum_depth=25,inverse_root_ulp=0"}},
      {fused_add_rms_norm, bf16, bf16, {}, {"native", "sum=fp32", "sum=mixed"}},
      {fused_add_rms_norm, fp16, fp16, {}, {"weight=fp32", "weight=fp32,sum=fp32,rounding=truncate"}},
      {rms_norm_static_fp8_quant, bf16, bf16, fp8_e4m3fn, {"native", "before_quantization=unrounded"}},
      {rms_norm_static_fp8_quant,
       fp16,
       fp16,
       fp8_e5m2,
       {"native", "scaling=divide", "fp8_rounding=through_bf16"}},
      {fused_add_rms_norm_static_fp8_quant, bf16, bf16, fp8_e4m3fnuz, {"native", "weight=fp32,sum=fp32"}},
      {rms_norm, bf16, bf16, {}, {"variance=activation", "native"}},
      {rms_norm, bf16, std::nullopt, {}, {"variance=activation,sum_depth=12", "epsilon=activation"}},
      {fused_add_rms_norm, bf16, bf16, {}, {"variance=activation", "variance=activation,sum=fp32"}},
      {rms_norm, bf16, bf16, {}, {"native", "epsilon=maximum"}},
      {rms_norm, fp16, fp16, {}, {"native", "epsilon=activation", "epsilon=floored"}},
      {rms_norm_dynamic_quant, bf16, bf16, fp8_e4m3fn, {"native", "before_quantization=unrounded"}},
      {rms_norm_dynamic_quant,
       fp16,
       fp16,
       fp8_e5m2,
       {"native", "row_scale=product", "scaling=divide", "scaling=range_over_maximum",
        "row_maximum=of_other"}},
      {fused_add_rms_norm_dynamic_quant, bf16, bf16, fp8_e4m3fn, {"native", "weight=fp32,sum=fp32"}},
      // Some rows reach the bound, others do not; below 2^-23 * 127 all have the least scale.
      {rms_norm_dynamic_quant,
       bf16,
       bf16,
       int8,
       {"native", "row_scale=product", "int8_low=minus_127"},
       0x40200000u},
      {rms_norm_dynamic_quant,
       bf16,
       bf16,
       fp8_e5m2,
       {"native", "weight=fp32,scaling=range_over_maximum"},
       0x40600000u},
      {fused_add_rms_norm_dynamic_quant, bf16, bf16, int8, {"native", "sum=fp32"}, 0x37000000u},
  };
  return kSubjects;
}

// Of one row: the operands of all kernels, as a case has them.
struct SearchedRow {
  Case test_case;
  CaseTensors tensors;
};

void fill(SearchedRow& row, Role role, std::string_view data_class, Random& random) {
  if (!row.test_case.has_data(role)) return;
  generate({std::string(data_class), random.next()}, row.test_case.dtype_of(role), 1,
           row.test_case.hidden_size(), row.tensors[role]);
}

// Whether the bound is about subnormal outputs too (conditions()).
bool claims_subnormal(const Question& asked) {
  return !asked.quantized_dtype && std::ranges::all_of(asked.policies, [](const Policy& policy) {
    return row_of(policy.weight).is_plain();
  });
}

SearchedRow random_row(const Question& asked, Random& random) {
  constexpr std::string_view kClasses[] = {"near_ties", "normal", "model_rows", "small_integers", "spike"};
  SearchedRow row{case_of(asked), {}};
  const std::string_view values = kClasses[random.below(std::size(kClasses))];
  for (const Role role : {Role::input, Role::residual}) fill(row, role, values, random);
  fill(row, Role::weight, random.chance(1, 2) ? "near_ties" : "model_weights", random);
  const DType dtype = asked.dtype;
  const auto one = [&](double value) { return oracle::bits_of(dtype, value); };
  if (random.chance(1,
                    3)) {  // one big element and units that it absorbs one by one, some elements as they were
    for (std::int64_t j = 4; j < row.test_case.hidden_size(); ++j) {
      store_bits(row.tensors[Role::input], dtype, j, one(j == 4 ? 4096 : 255.0 / 256));
      if (row.test_case.has_data(Role::residual)) store_bits(row.tensors[Role::residual], dtype, j, 0);
    }
  }
  if (claims_subnormal(asked) && random.chance(1, 3)) {  // outputs below the normal numbers
    for (std::int64_t j = 0; j < 4; ++j) {
      store_bits(row.tensors[Role::input], dtype, j, static_cast<std::uint32_t>(random.below(1u << 11)));
      if (row.test_case.has_data(Role::residual)) store_bits(row.tensors[Role::residual], dtype, j, 0);
    }
  }
  row.test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(
      std::ldexp(1.0f + static_cast<float>(random.below(1u << 20)) * 0x1p-20f,
                 static_cast<int>(random.between(dtype == DType::fp16 ? -14 : -20, 6))));
  row.test_case.bits_of(Parameter::scale) = std::bit_cast<std::uint32_t>(std::ldexp(
      1.0f + static_cast<float>(random.below(1u << 20)) * 0x1p-20f, static_cast<int>(random.between(-6, 3))));
  return row;
}

// Each step rounded to T.
struct ActivationSteps {
  DType activation;
  float rounded(float value) const {
    return static_cast<float>(
        to_double(round_to(activation, oracle::from_double(static_cast<double>(value)))));
  }
  float square(float x) const { return rounded(rounded(x) * rounded(x)); }
  float add(float a, float b) const { return rounded(a + b); }
  float add_square(float x, float sum) const { return add(square(x), sum); }
};

// m of the mean square and epsilon, as the policy has it.
float with_epsilon(const Policy& policy, DType activation, float mean, float epsilon) {
  const ActivationSteps in_activation{activation};
  const bool rounds = row_of(policy.variance).in_activation_dtype();
  switch (policy.epsilon) {
    case oracle::EpsilonPolicy::maximum:
      return std::max(mean, rounds ? in_activation.rounded(epsilon) : epsilon);
    case oracle::EpsilonPolicy::activation:
      epsilon = in_activation.rounded(epsilon);
      break;
    case oracle::EpsilonPolicy::floored:
      epsilon = std::max(epsilon,
                         static_cast<float>(std::ldexp(1.0, oracle::format_of(activation).min_exponent())));
      break;
    case oracle::EpsilonPolicy::added:
      break;
  }
  return rounds ? in_activation.add(mean, in_activation.rounded(epsilon)) : mean + epsilon;
}

// r, or rms where the policy divides, in some order, of these operands.
float honest_unknown(const Policy& policy, DType activation, std::span<const float> operands, float epsilon,
                     Random& random) {
  SummationOrder order = oracle::kSummationOrders[random.below(oracle::kSummationOrders.size())];
  if (policy.inverse_root.sum_depth) order = SummationOrder::pairwise;  // at most 12 additions
  const bool in_activation = row_of(policy.variance).in_activation_dtype();
  const ActivationSteps steps{activation};
  const float sum = in_activation ? oracle::sum_of_squares(operands, order, random, steps)
                                  : oracle::sum_of_squares(operands, order, random, oracle::Fp32Steps());
  const auto count = static_cast<float>(operands.size());
  float mean = random.chance(1, 2) ? sum / count : sum * (1.0f / count);
  if (in_activation) mean = steps.rounded(sum / count);
  const auto m = static_cast<double>(with_epsilon(policy, activation, mean, epsilon));
  const bool divides = row_of(policy.root).divides;
  const auto unknown = static_cast<float>(divides ? std::sqrt(m) : 1 / std::sqrt(m));
  const auto bound = static_cast<std::int64_t>(policy.inverse_root.ulp_bound);
  return oracle::root_off_by(unknown, static_cast<int>(random.between(-bound, bound)));
}

// `scale`: the row's own, or 1.
std::vector<std::byte> outputs_of(const Question& asked, const Policy& policy, const SearchedRow& row,
                                  Random& random, float& scale) {
  const Formula formula = formula_of(asked, policy);
  Formula own = formula;
  own.parameter_bits = row.test_case.parameter_bits;
  oracle::FastRow fast(own, row.tensors[Role::weight]);
  fast.load(row.tensors[Role::input].data(),
            own.has(Role::residual) ? row.tensors[Role::residual].data() : nullptr);
  const float unknown = honest_unknown(policy, asked.dtype, fast.variance_operands(),
                                       row.test_case.value_of(Parameter::epsilon), random);
  scale = fast.set_own_scale(unknown);
  const auto out = fast.outputs(unknown);
  return {out.begin(), out.end()};
}

struct Seen {
  std::int64_t apart = 0;
  double rtol = 0;
  std::int64_t compared = 0, different = 0;
};

// Whether y before it is quantized could be subnormal: then nothing is claimed of its code. Outputs are about
// x times w there, times at most 2^10.
void compare(const Question& asked, const PairBound& bound, const std::vector<std::byte>& first,
             const std::vector<std::byte>& second, Seen& seen) {
  const DType dtype = asked.quantized_dtype.value_or(asked.dtype);
  const oracle::Format& format = oracle::format_of(dtype);
  const double smallest = std::ldexp(1.0, format.min_exponent());
  for (std::int64_t j = 0; j < asked.hidden_size; ++j) {
    const std::uint32_t a = load_bits(first, dtype, j), b = load_bits(second, dtype, j);
    ++seen.compared;
    if (a == b) continue;
    ++seen.different;
    const double x = to_double(oracle::decode(format, a)), y = to_double(oracle::decode(format, b));
    if (!std::isfinite(x) || !std::isfinite(y)) continue;  // beyond the largest number of T
    const double less = std::min(std::abs(x), std::abs(y)), difference = std::abs(x - y);
    EXPECT_LE(difference, bound.atol + bound.rtol * less) << x << " " << y;
    const auto apart = static_cast<std::int64_t>(oracle::ulp_distance(format, a, b));
    // Above 2^7 times the smallest normal number n is normal too, for such weights.
    const bool is_normal = asked.quantized_dtype || less >= 0x1p7 * smallest;
    if (!is_normal) continue;
    EXPECT_LE(apart, bound.apart) << x << " " << y;
    seen.apart = std::max(seen.apart, apart);
    if (less >= smallest) seen.rtol = std::max(seen.rtol, difference / less);
  }
}

Question question_of(const Subject& subject, std::int64_t hidden) {
  Question asked;
  asked.operation = subject.operation;
  asked.dtype = subject.dtype;
  asked.weight_dtype = subject.weight;
  asked.quantized_dtype = subject.quantized;
  asked.hidden_size = hidden;
  asked.scale_ub_bits = subject.scale_ub;
  asked.policies.clear();
  for (const std::string& policy : subject.policies) asked.policies.push_back(oracle::parse_policy(policy));
  return asked;
}

Seen search(const Question& asked, const Bound& bound, int rows, std::uint64_t seed) {
  Seen seen;
  Random random(seed);
  const oracle::StandardFloatEnvironment environment;
  for (int i = 0; i < rows && !testing::Test::HasFailure(); ++i) {
    const SearchedRow row = random_row(asked, random);
    const PairBound& pair = bound.pairs[random.below(bound.pairs.size())];
    float scale = 1, other_scale = 1;
    const auto first = outputs_of(asked, asked.policies[pair.first], row, random, scale);
    const auto second = outputs_of(asked, asked.policies[pair.second], row, random, other_scale);
    compare(asked, pair, first, second, seen);
    if (!quantizes_by_row(asked.operation)) continue;
    const auto less = static_cast<double>(std::min(scale, other_scale));
    EXPECT_LE(static_cast<double>(std::max(scale, other_scale)) / less - 1, pair.scale_rtol);
    EXPECT_LE(oracle::ulp_distance(DType::fp32, std::bit_cast<std::uint32_t>(scale),
                                   std::bit_cast<std::uint32_t>(other_scale)),
              static_cast<std::uint64_t>(pair.scale_apart));
  }
  return seen;
}

TEST(Search, FindsNothingBeyondTheBound) {
  std::uint64_t seed = 1;
  for (const Subject& subject : subjects()) {
    std::int64_t different = 0;
    for (const std::int64_t hidden : {5, 64, 1000}) {
      const Question asked = question_of(subject, hidden);
      const Bound bound = bound_of(asked);
      ASSERT_TRUE(bound.exists()) << bound.no_bound;
      const Seen seen = search(asked, bound, hidden < 100 ? 2000 : 400, ++seed);
      const std::string what = std::string(name_of(subject.operation)) + " " +
                               std::string(name_of(subject.dtype)) + " " + subject.policies.back() + " H " +
                               std::to_string(hidden);
      ASSERT_FALSE(HasFailure()) << what << ", seed " << seed;
      different += seen.different;
      if (std::getenv("NORMPROOF_LONG_TESTS") != nullptr)
        printf("%s: seen %lld of %lld apart, rtol %.3g of %.3g, %lld of %lld differ\n", what.c_str(),
               static_cast<long long>(seen.apart), static_cast<long long>(bound.apart()), seen.rtol,
               bound.rtol(), static_cast<long long>(seen.different), static_cast<long long>(seen.compared));
    }
    EXPECT_GT(different, 0) << subject.policies.back();
  }
}

}  // namespace
}  // namespace normproof::bound
