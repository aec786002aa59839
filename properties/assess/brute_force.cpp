// The judge against a search over every admissible r by the plain kernel.
#include "properties/assess/brute_force.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <limits>

#include "corpus/generate.h"
#include "oracle/admissible.h"
#include "oracle/witness_judge.h"
#include "properties/assess/plain_kernel.h"
#include "properties/bits.h"

namespace normproof::assess {
namespace {

using oracle::Admissible;
using oracle::Policy;
using oracle::root_value;

constexpr std::int64_t kLongestRow = 8;
constexpr int kPairsOfRow = 6;
// Wider intervals of r (a variance in T whose sum depends on its order) are
// searched rarely, the widest never.
constexpr std::int64_t kUsualWidth = 1024;
constexpr std::int64_t kLargestWidth = 1 << 17;

// Every bit class, but only the two highest mantissa bits: sums of such squares are exact, and so the
// admissible interval is narrow where the variance is in T.
void keep_few_bits(std::vector<std::byte>& data, DType dtype) {
  const int mantissa_bits = dtype == DType::fp32 ? 23 : dtype == DType::fp16 ? 10 : 7;
  const auto count = static_cast<std::int64_t>(data.size() / size_of(dtype));
  for (std::int64_t i = 0; i < count; ++i) {
    store_bits(data, dtype, i, load_bits(data, dtype, i) & ~((1u << (mantissa_bits - 2)) - 1));
  }
}

class EnumeratedStudy {
 public:
  EnumeratedStudy(std::uint64_t seed, const StudyOptions& options) : random_(seed), options_(options) {}

  BruteForceAgreement run(std::int64_t pairs) {
    while (result_.pairs < pairs) judge_one_row();
    return std::move(result_);
  }

 private:
  void judge_one_row() {
    CaseLimits limits;
    limits.max_rows = 1;
    limits.max_hidden = kLongestRow;
    if (!options_.operations.empty()) limits.operation = random_.pick(operations_asked_for(options_));
    Case test_case = random_case(random_, limits);
    if (test_case.rows() == 0) return;
    CaseTensors tensors = materialize(test_case);
    if (random_.chance(1, 2)) {
      keep_few_bits(tensors[Role::input], test_case.dtype);
      keep_few_bits(tensors[Role::residual], test_case.dtype);
    }
    draw_int8_and_bound(random_, test_case);
    const std::vector<Policy> policies = oracle::all_policies(test_case);
    for (int pair = 0; pair < kPairsOfRow; ++pair) {
      Policy policy = random_.pick(policies);
      for (auto further = random_.below(3); further > 0; --further)
        policy = random_.pick(oracle::neighbours(policy, test_case));
      policy.inverse_root.ulp_bound = static_cast<int>(random_.below(4));
      policy.inverse_root.flush_to_zero = random_.chance(1, 4);
      if (random_.chance(1, 4)) policy.inverse_root.sum_depth = static_cast<std::int64_t>(random_.below(6));
      judge_one_pair(test_case, tensors, policy, policies);
    }
  }

  void judge_one_pair(const Case& test_case, const CaseTensors& tensors, const Policy& policy,
                      const std::vector<Policy>& policies) {
    PlainKernel kernel(test_case, tensors, policy);
    kernel.load(0);
    const oracle::Formula formula = oracle::formula_of(test_case, policy);
    const Admissible admissible =
        oracle::AdmissibleModel(formula).admissible(oracle::exact_square_sum(kernel.variance_operands()));
    const std::int64_t width = admissible.interval.high - admissible.interval.low;
    if (width > kLargestWidth || (width > kUsualWidth && !random_.chance(1, 256))) {
      ++result_.too_wide;
      return;
    }

    kernel.choose(random_.pick(kReciprocals));
    const bool alters = random_.chance(1, 2);
    const Outputs outputs = alters ? altered_outputs(test_case, tensors, policy, policies, admissible)
                                   : outputs_for(kernel, any_root(admissible));
    if (quantizes_by_row(test_case.operation)) kernel.set_scale(scale_of(outputs));
    const std::uint64_t explaining = search(kernel, policy, test_case, admissible, outputs);
    const auto verdict = oracle::judge_witness(test_case, tensors, outputs, judged_policy(policy, options_),
                                               {.keep_rows = true});
    const oracle::RowWitness& witness = verdict.row_witnesses.front();
    bool agrees = witness.violation.has_value() == (explaining == 0) && verdict.residual_mismatches == 0;
    if (agrees && explaining > 0) {
      // A NaN scale may come from two intervals of r, of which one is reported; so of several factors.
      const bool whole = quantizes_by_row(test_case.operation) || is_approximate(policy)
                             ? witness.width <= explaining
                             : witness.width == explaining;
      agrees = whole && explains(kernel, policy, test_case, root_value(witness.witness), outputs);
    }
    for (const oracle::Certificate& certificate : verdict.first_violations) {
      ++result_.certificates;
      agrees = agrees && holds(certificate, kernel, test_case, outputs);
    }
    ++result_.pairs;
    ++result_.pairs_of_policy[axes_of(policy)];
    result_.altered += alters;
    result_.conforming += explaining > 0;
    if (agrees) return;
    ++result_.disagreements;
    if (!result_.first_disagreement.empty()) return;
    result_.first_disagreement = fmt::format(
        "{} {}, H {}, policy {}: {} admissible r explain the row, the judge says {}\n{}",
        name_of(test_case.operation), name_of(test_case.dtype), test_case.hidden_size(),
        oracle::to_string(policy), explaining,
        witness.violation ? std::string(name_of(*witness.violation)) : fmt::format("{}", witness.width),
        verdict.first_violations.empty() ? "" : oracle::to_text(verdict.first_violations.front(), formula));
  }

  static bool is_approximate(const Policy& policy) {
    return policy.scaling == oracle::ScalingPolicy::approximate_inverse;
  }

  static std::string axes_of(Policy policy) {
    policy.inverse_root = {};
    return oracle::to_string(policy);
  }

  float any_root(const Admissible& admissible) {
    const bool takes_nan = admissible.nan && (admissible.interval.empty() || random_.chance(1, 2));
    if (takes_nan) return std::numeric_limits<float>::quiet_NaN();
    return root_value(random_.between(admissible.interval.low, admissible.interval.high));
  }

  // Just outside of the admissible interval, where there is such an r.
  float root_outside(const Admissible& admissible) {
    if (admissible.interval.empty()) return root_value(random_.between(0, oracle::kInfiniteRoot));
    const std::int64_t step = random_.between(1, 40);
    const std::int64_t bits =
        random_.chance(1, 2) ? admissible.interval.low - step : admissible.interval.high + step;
    return root_value(std::clamp<std::int64_t>(bits, 0, oracle::kInfiniteRoot));
  }

  static Outputs outputs_for(const PlainKernel& kernel, float r) {
    Outputs outputs;
    kernel.append_outputs(r, outputs);
    return outputs;
  }

  // Another r, another policy, or one element changed. Some of these explain the row all the same.
  Outputs altered_outputs(const Case& test_case, const CaseTensors& tensors, const Policy& policy,
                          const std::vector<Policy>& policies, const Admissible& admissible) {
    PlainKernel kernel(test_case, tensors, policy);
    kernel.load(0);
    switch (random_.below(8)) {
      case 0:
        return outputs_for(kernel, root_outside(admissible));
      case 1: {
        PlainKernel other(test_case, tensors, random_.pick(policies));
        other.load(0);
        other.choose(random_.pick(kReciprocals));
        Outputs outputs = outputs_for(other, any_root(admissible));
        const Role sum = normalized_tensor(test_case.operation);
        outputs[sum] = outputs_for(kernel, 1)[sum];
        return outputs;
      }
      default: {
        Outputs outputs = outputs_for(kernel, any_root(admissible));
        if (quantizes_by_row(test_case.operation) && random_.chance(1, 3)) {
          const std::uint32_t old = load_bits(outputs[Role::scales], DType::fp32, 0);
          store_bits(outputs[Role::scales], DType::fp32, 0, random_.chance(1, 2) ? old + 1 : old - 1);
          return outputs;
        }
        const DType dtype = test_case.output_dtype();
        const auto column =
            static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(test_case.hidden_size())));
        const std::uint32_t old = load_bits(outputs[Role::out], dtype, column);
        const std::uint64_t any = random_.next();
        const bool up = random_.chance(1, 2);
        store_bits(outputs[Role::out], dtype, column,
                   random_.chance(2, 3) ? (up ? old + 1 : old - 1) : static_cast<std::uint32_t>(any));
        return outputs;
      }
    }
  }

  static float scale_of(const Outputs& outputs) {
    return std::bit_cast<float>(load_bits(outputs[Role::scales], DType::fp32, 0));
  }

  static bool gives_scale(const PlainKernel& kernel, float r, std::uint32_t scale) {
    return bits::equal(DType::fp32, std::bit_cast<std::uint32_t>(kernel.row_scale(r)), scale);
  }

  // With the factor of this r, or with any reciprocal of the scale.
  static bool explains(PlainKernel& kernel, const Policy& policy, const Case& test_case, float r,
                       const Outputs& outputs) {
    if (!is_approximate(policy)) return explains_as_it_is(kernel, test_case, r, outputs);
    for (const Reciprocal reciprocal : kReciprocals) {
      kernel.choose(reciprocal);
      if (explains_as_it_is(kernel, test_case, r, outputs)) return true;
    }
    return false;
  }

  static bool explains_as_it_is(const PlainKernel& kernel, const Case& test_case, float r,
                                const Outputs& outputs) {
    const DType dtype = test_case.output_dtype();
    if (quantizes_by_row(test_case.operation) &&
        !gives_scale(kernel, r, load_bits(outputs[Role::scales], DType::fp32, 0)))
      return false;
    for (std::int64_t column = 0; column < test_case.hidden_size(); ++column) {
      if (!bits::equal(dtype, kernel.output(r, column), load_bits(outputs[Role::out], dtype, column)))
        return false;
    }
    return true;
  }

  // The same for an element of a certificate: with its factor where it has one.
  static bool gives_scale_of(const oracle::CertificateElement& element, PlainKernel kernel, float r,
                             bool has_factors) {
    if (!gives_scale(kernel, r, element.got)) return false;
    if (!has_factors) return true;
    for (const Reciprocal reciprocal : kReciprocals) {
      kernel.choose(reciprocal);
      if (bits::equal(DType::fp32, std::bit_cast<std::uint32_t>(kernel.code_factor(r)), element.factor))
        return true;
    }
    return false;
  }
  static std::uint32_t output_of(const oracle::CertificateElement& element, const PlainKernel& kernel,
                                 float r, bool has_factors) {
    return has_factors ? kernel.output_with_factor(r, element.column, std::bit_cast<float>(element.factor))
                       : kernel.output(r, element.column);
  }

  // Whether the element's bits come from exactly the r that it is said to need.
  bool holds(const oracle::CertificateElement& element, const PlainKernel& kernel, const Case& test_case,
             const Outputs& outputs, bool has_factors) {
    const bool is_scale = element.tensor == Role::scales;
    const DType dtype = test_case.dtype_of(element.tensor);
    const auto gives = [&](std::int64_t r) {
      return is_scale
                 ? gives_scale_of(element, kernel, root_value(r), has_factors)
                 : bits::equal(dtype, output_of(element, kernel, root_value(r), has_factors), element.got);
    };
    if (load_bits(outputs[element.tensor], dtype, is_scale ? 0 : element.column) != element.got) return false;
    const oracle::RootInterval& needs = element.needs;
    if (needs.empty()) {
      for (int i = 0; i < 16; ++i) {
        if (gives(random_.between(0, oracle::kInfiniteRoot))) return false;
      }
      return !gives(0) && !gives(oracle::kInfiniteRoot);
    }
    return gives(needs.low) && gives(needs.high) && (needs.low == 0 || !gives(needs.low - 1)) &&
           (needs.high == oracle::kInfiniteRoot || !gives(needs.high + 1));
  }

  bool holds(const oracle::Certificate& certificate, const PlainKernel& kernel, const Case& test_case,
             const Outputs& outputs) {
    for (const oracle::CertificateElement& element : certificate.elements) {
      if (!holds(element, kernel, test_case, outputs, !certificate.factors.empty())) return false;
    }
    const auto& elements = certificate.elements;
    if (!certificate.factors.empty()) {
      return std::ranges::all_of(certificate.factors, [&](std::uint32_t factor) {
        oracle::Certificate part = certificate;
        std::erase_if(part.elements, [&](const auto& element) { return element.factor != factor; });
        return excludes_all(part, kernel, test_case);
      });
    }
    if (quantizes_by_row(test_case.operation)) return excludes_all(certificate, kernel, test_case);
    if (certificate.kind == oracle::ViolationKind::rounding && elements.size() == 2) {
      const oracle::RootInterval& first = elements[0].needs;
      const oracle::RootInterval& second = elements[1].needs;
      return !first.empty() && !second.empty() && (first.high < second.low || second.high < first.low);
    }
    // A second element of a scale violation refutes NaN.
    const bool may_have_two = certificate.kind == oracle::ViolationKind::scale && certificate.admissible.nan;
    if (elements.empty() || elements.size() > (may_have_two ? 2 : 1)) return false;
    if (may_have_two) {
      const oracle::CertificateElement& last = elements.back();
      const float nan = std::numeric_limits<float>::quiet_NaN();
      if (bits::equal(test_case.output_dtype(), kernel.output(nan, last.column), last.got)) return false;
    }
    if (certificate.kind == oracle::ViolationKind::rounding) return elements[0].needs.empty();
    const oracle::RootInterval& needs = elements[0].needs;
    const oracle::RootInterval& allowed = certificate.admissible.interval;
    return !needs.empty() && (allowed.empty() || needs.high < allowed.low || allowed.high < needs.low);
  }

  // Where the scale is one more unit: its intervals, the elements' and the
  // admissible one have no r in common.
  static bool excludes_all(const oracle::Certificate& certificate, const PlainKernel& kernel,
                           const Case& test_case) {
    const bool of_scale = certificate.kind == oracle::ViolationKind::scale;
    const auto allows = [&](std::int64_t r) {
      bool has_scale = false, in_scale = false;
      if (of_scale && !certificate.admissible.interval.contains(r)) return false;
      for (const oracle::CertificateElement& element : certificate.elements) {
        const bool inside = element.needs.contains(r);
        if (element.tensor == Role::scales) {
          has_scale = true;
          in_scale = in_scale || inside;
        } else if (!inside) {
          return false;
        }
      }
      return !has_scale || in_scale;
    };
    // The lowest r of an intersection of intervals is the low end of one of them.
    if (allows(0) || (of_scale && allows(certificate.admissible.interval.low))) return false;
    for (const oracle::CertificateElement& element : certificate.elements)
      if (allows(element.needs.low)) return false;
    if (!of_scale || !certificate.admissible.nan) return true;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    return std::ranges::any_of(certificate.elements, [&](const oracle::CertificateElement& element) {
      const bool has_factors = !certificate.factors.empty();
      return element.tensor == Role::scales
                 ? !gives_scale_of(element, kernel, nan, has_factors)
                 : !bits::equal(test_case.output_dtype(), output_of(element, kernel, nan, has_factors),
                                element.got);
    });
  }

  // How many admissible r explain the outputs; NaN counts as one, and alone.
  std::uint64_t search(PlainKernel& kernel, const Policy& policy, const Case& test_case,
                       const Admissible& admissible, const Outputs& outputs) {
    ++result_.tried_roots;
    if (admissible.nan &&
        explains(kernel, policy, test_case, std::numeric_limits<float>::quiet_NaN(), outputs)) {
      return 1;
    }
    std::uint64_t count = 0;
    for (std::int64_t r = admissible.interval.low; r <= admissible.interval.high; ++r) {
      ++result_.tried_roots;
      count += explains(kernel, policy, test_case, root_value(r), outputs) ? 1 : 0;
    }
    return count;
  }

  Random random_;
  const StudyOptions& options_;
  BruteForceAgreement result_;
};

}  // namespace

BruteForceAgreement& BruteForceAgreement::operator+=(const BruteForceAgreement& other) {
  pairs += other.pairs;
  altered += other.altered;
  conforming += other.conforming;
  tried_roots += other.tried_roots;
  certificates += other.certificates;
  disagreements += other.disagreements;
  too_wide += other.too_wide;
  for (const auto& [policy, count] : other.pairs_of_policy) pairs_of_policy[policy] += count;
  if (first_disagreement.empty()) first_disagreement = other.first_disagreement;
  return *this;
}

BruteForceAgreement study_brute_force(std::int64_t pairs, const StudyOptions& options) {
  constexpr std::int64_t kPartPairs = 5'000;
  const std::int64_t parts = (pairs + kPartPairs - 1) / kPartPairs;
  const Random seeds(options.seed ^ 0x6272757465);  // other draws than the other studies
  return run_parts<BruteForceAgreement>(parts, options, [&](std::int64_t part) {
    Random seed = seeds.split(static_cast<std::uint64_t>(part));
    return EnumeratedStudy(seed.next(), options).run(std::min(pairs, kPartPairs));
  });
}

}  // namespace normproof::assess
