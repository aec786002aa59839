#include "properties/detective/identify.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <tuple>

#include "oracle/canonical.h"
#include "oracle/formats.h"
#include "oracle/witness_judge.h"
#include "properties/detective/closest_policy.h"
#include "properties/detective/policy_class.h"
#include "properties/detective/policy_power.h"
#include "properties/judging/difference_histogram.h"
#include "properties/judging/in_parallel.h"
#include "properties/judging/judge_rows.h"

namespace normproof {
namespace {

using oracle::Policy;
using oracle::VariancePolicy;

// Whether `policy` explains what `other` explains merely because it bounds r less: a variance in T.
bool only_leaves_more_freedom(const Policy& policy, const Policy& other) {
  return policy.variance == VariancePolicy::activation && other.variance == VariancePolicy::fp32;
}

// The widespread values of an axis stand first in the table.
std::vector<std::size_t> table_position(const Policy& policy) {
  std::vector<std::size_t> position;
  for (std::size_t axis = 0; axis < oracle::policy_axes().size(); ++axis)
    position.push_back(oracle::axis_value(policy, axis));
  std::ranges::sort(position, std::greater());
  return position;
}

// Whether both make the output from x, w and r in the same way, and only arrive at r otherwise: by another
// accumulator, mean or epsilon.
bool differs_before_root_alone(Policy policy, const Policy& other) {
  policy.variance = other.variance;
  policy.mean = other.mean;
  policy.epsilon = other.epsilon;
  return policy == other;
}

class Detective {
 public:
  Detective(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
            const oracle::InverseRootModel& inverse_root, std::uint64_t seed, std::int64_t threads)
      : case_(test_case),
        tensors_(tensors),
        outputs_(outputs),
        inverse_root_(inverse_root),
        seed_(seed),
        threads_(threads) {}

  Identification run(std::int64_t sample_rows) {
    result_.rows = case_.rows();
    const RowSlice sample = slice_rows(case_, tensors_, outputs_, 0, std::min(kPowerRows, case_.rows()));
    try_policies(oracle::all_policies(case_), sample);
    // The table's policies are where the search begins, not all there are: go
    // on from the closest, axis by axis.
    for (int step = 0; step < kStepsFromClosest && !result_.identified() && result_.loose.empty(); ++step) {
      try_policies(oracle::neighbours(closest_by_elements(), case_), sample);
    }
    if (!result_.identified()) {
      for (std::size_t i = 0; i < std::min(kShownLoose, result_.loose.size()); ++i)
        measure(result_.loose[i], sample);
      const RowSlice rows = slice_rows(case_, tensors_, outputs_, 0, std::min(sample_rows, case_.rows()));
      result_.rows = rows.test_case.rows();
      Closest(rows, inverse_root_, result_).find();
      result_.best_certificate = certificate_text(result_.best);
      return std::move(result_);
    }
    choose_best();
    // What the outputs do not tell from the best belongs to the class that is reported.
    try_policies(oracle::neighbours(result_.best, case_), sample);
    choose_best();
    result_.best_rows = result_.rows;
    result_.wrong_explained = power_of(result_.best, sample.test_case, sample.tensors, seed_).explained;
    for (std::size_t axis = 0; axis < oracle::policy_axes().size(); ++axis) {
      if (oracle::axis_applies(axis, case_)) result_.axes.push_back(finding_of(axis));
    }
    return std::move(result_);
  }

 private:
  static constexpr int kStepsFromClosest = 2;
  static constexpr std::int64_t kProbedRows = 4;

  // Those that were not tried yet are judged on all threads, and then looked at in their order.
  void try_policies(const std::vector<Policy>& policies, const RowSlice& sample) {
    const std::size_t first = tried_.size();
    for (Policy policy : policies) {
      policy.inverse_root = inverse_root_;
      policy = representative(policy, case_);
      if (std::ranges::find(tried_, policy) == tried_.end()) tried_.push_back(policy);
    }
    const auto fresh = std::span(tried_).subspan(first);
    std::vector<char> conforms(fresh.size());
    in_parallel(static_cast<std::int64_t>(fresh.size()), threads_, [&](std::int64_t index) {
      const auto at = static_cast<std::size_t>(index);
      conforms[at] = violation(fresh[at], false).conforms();
    });
    result_.policies += static_cast<std::int64_t>(fresh.size());
    for (std::size_t i = 0; i < fresh.size(); ++i)
      if (conforms[i]) take(fresh[i], sample);
  }

  // One that every row conforms to.
  void take(const Policy& policy, const RowSlice& sample) {
    // Beside a widespread policy that these outputs identify, one of the others is a member of its class.
    if (!oracle::is_widespread(policy) && result_.identified()) {
      result_.survivors.push_back(policy);
    } else {
      sort_in(policy, sample);
    }
  }

  // Of the policies that were tried the one with the most equal elements in the first rows.
  Policy closest_by_elements() const {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = 0; row < std::min(kProbedRows, case_.rows()); ++row) rows.push_back(row);
    const auto distances = [&](const Policy& policy) {
      return difference_histogram(case_, tensors_, outputs_, policy, rows).elements;
    };
    return *std::ranges::max_element(tried_, {}, distances);
  }

  void choose_best() {
    std::ranges::sort(result_.survivors, {}, [](const Policy& policy) {
      return std::tuple(policy.variance == VariancePolicy::activation, axes_off_native(policy),
                        table_position(policy));
    });
    result_.best = result_.survivors.front();
  }

  // Judged until the first violation. Most policies are only asked whether they survive; the rejections that
  // are reported are asked for again, with their proof.
  oracle::WitnessVerdict violation(const Policy& policy, bool with_proof) const {
    oracle::WitnessOptions options;
    options.stop_after = 1;
    options.listed = with_proof ? 1 : 0;
    return oracle::judge_witness(case_, tensors_, outputs_, policy, options);
  }

  // "row 3: rounding violation ..." of the first violation.
  std::string certificate_text(const Policy& policy) const {
    const oracle::WitnessVerdict verdict = violation(policy, true);
    const oracle::Formula formula = oracle::formula_of(case_, policy);
    if (!verdict.first_violations.empty()) return oracle::to_text(verdict.first_violations.front(), formula);
    if (verdict.first_residual_mismatches.empty()) return {};
    return mismatch_line(verdict.first_residual_mismatches.front()) + "\n";
  }

  // A policy whose bounds on r admit every row is a survivor, unless that says nothing: it explains many
  // wrong outputs as well; or its bounds admit them, and the r that the rows show have another reason.
  void sort_in(const Policy& policy, const RowSlice& sample) {
    // The cheap question first: most policies of a variance in T end here.
    if (!follows_variance(policy, case_, tensors_, outputs_)) {
      std::string reason = fmt::format("but not every r is the root of a number of {}", name_of(case_.dtype));
      result_.loose.push_back({policy, {}, std::move(reason)});
      return;
    }
    const PolicyPower power = power_of(policy, sample.test_case, sample.tensors, seed_);
    if (!power.says_something()) {
      result_.loose.push_back({policy, power.explained, "so this says nothing"});
      return;
    }
    if (!power.bounds_say_something()) {
      if (!causes_) causes_ = causes_of_roots(sample, inverse_root_);
      if (!causes_->empty()) {
        result_.loose.push_back(
            {policy, power.within_bounds, "and " + causes_->front() + " explains them too"});
        return;
      }
    }
    result_.survivors.push_back(policy);
  }

  // The shares of wrong outputs that are shown.
  void measure(LoosePolicy& loose, const RowSlice& sample) const {
    if (!loose.wrong_admitted)
      loose.wrong_admitted = power_of(loose.policy, sample.test_case, sample.tensors, seed_).within_bounds;
  }

  AxisFinding finding_of(std::size_t axis) const {
    const oracle::PolicyAxis& table = oracle::policy_axes()[axis];
    AxisFinding finding{table.name, {}};
    const std::size_t best_value = oracle::axis_value(result_.best, axis);
    for (std::size_t value = 0; value < table.values.size(); ++value) {
      AxisValueFinding value_finding{table.values[value].name, value == best_value, {}};
      if (value != best_value) {
        const Policy changed = oracle::with_axis_value(result_.best, axis, value);
        explain_other_value(axis, changed, value_finding);
      }
      finding.values.push_back(std::move(value_finding));
    }
    return finding;
  }

  // `changed` is the best policy but for its value on `axis`.
  void explain_other_value(std::size_t axis, const Policy& changed, AxisValueFinding& finding) const {
    const Policy same_as = representative(changed, case_);
    if (same_as == result_.best) {
      finding.survives = true;
      finding.reason = why_the_same(axis, changed, case_);
      return;
    }
    if (std::ranges::find(result_.survivors, same_as) != result_.survivors.end()) {
      finding.survives = true;
      finding.reason = only_leaves_more_freedom(same_as, result_.best)
                           ? "also consistent, but only because this value is looser about r"
                       : differs_before_root_alone(same_as, result_.best)
                           ? "explains every row as well: both arrive at such an r"
                           : reason_in_the_data(axis, same_as);
      return;
    }
    for (const Policy& survivor : result_.survivors) {
      if (oracle::axis_value(survivor, axis) != oracle::axis_value(changed, axis)) continue;
      finding.survives = true;
      finding.reason = fmt::format("explains every row as well, as part of {}{}", oracle::to_string(survivor),
                                   only_leaves_more_freedom(survivor, result_.best)
                                       ? ", but only because that is looser about r"
                                       : "");
      return;
    }
    for (const LoosePolicy& loose : result_.loose) {
      if (loose.policy != same_as) continue;
      finding.reason = fmt::format("{}\n", reason_of(loose));
      return;
    }
    // A value that is the same arithmetic as one before it needs no certificate of its own.
    for (std::size_t value = 0; value < oracle::axis_value(changed, axis); ++value) {
      const Policy earlier = oracle::with_axis_value(changed, axis, value);
      if (representative(earlier, case_) != same_as) continue;
      finding.reason =
          fmt::format("the same arithmetic as {}\n", oracle::policy_axes()[axis].values[value].name);
      return;
    }
    finding.reason = certificate_text(changed);
    // Of the many values that are not widespread the first line will do.
    if (oracle::axis_value(changed, axis) >= oracle::policy_axes()[axis].combined)
      finding.reason.resize(finding.reason.find('\n') + 1);
  }

  // Why these inputs give the same outputs under two values of an axis that are different arithmetic: that of
  // the best policy and that of `other`.
  std::string reason_in_the_data(std::size_t axis, const Policy& other) const {
    const std::string_view name = oracle::policy_axes()[axis].name;
    const std::string same = "explains every row as well: ";
    const auto adds_zero = [](const Policy& policy) {
      return policy.weight == oracle::WeightPolicy::fp32_plus_zero;
    };
    if (name == "weight" && adds_zero(other) != adds_zero(result_.best))
      return same + "no weight of -0 shows";
    if (name == "weight" && weights_are_powers_of_two()) return same + "all weights are powers of two";
    if (name == "scaling" && has(case_.operation, Parameter::scale) &&
        is_power_of_two(case_.value_of(Parameter::scale)))
      return same + "the scale is a power of two";
    if (name == "scaling") {
      return same +
             "the two differ by one ulp of fp32 at most, and no quotient lies so near a rounding boundary";
    }
    if (name == "fp8_nan") return same + "no NaN reaches the quantization";
    if (name == "weight" || name == "root") {
      return same + "the two differ by a few ulp of fp32, and no product lies so near a rounding boundary";
    }
    if (name == "sum") return same + "no sum x + residual shows its rounding in an output";
    return same + "no element of these inputs comes out differently";
  }

  static bool is_power_of_two(float value) {
    int exponent = 0;
    return std::abs(std::frexp(value, &exponent)) == 0.5f;
  }
  bool weights_are_powers_of_two() const {
    const oracle::Formula formula = oracle::formula_of(case_, result_.best);
    for (std::int64_t column = 0; column < case_.hidden_size(); ++column) {
      const auto weight =
          static_cast<float>(oracle::to_double(oracle::decode_weight(formula, tensors_, column)));
      if (weight != 0 && !is_power_of_two(weight)) return false;
    }
    return true;
  }

  const Case& case_;
  const CaseTensors& tensors_;
  const Outputs& outputs_;
  oracle::InverseRootModel inverse_root_;
  std::uint64_t seed_;
  std::int64_t threads_;
  std::optional<std::vector<std::string>> causes_;  // of the r that the rows show; asked for once
  std::vector<Policy> tried_;
  Identification result_;
};

}  // namespace

std::vector<Policy> Identification::rivals() const {
  std::vector<Policy> result;
  for (const Policy& policy : survivors) {
    if (!differs_before_root_alone(policy, best) && !only_leaves_more_freedom(policy, best))
      result.push_back(policy);
  }
  return result;
}

Identification identify(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                        const oracle::InverseRootModel& inverse_root, std::int64_t sample_rows,
                        std::uint64_t seed, std::int64_t threads) {
  return Detective(test_case, tensors, outputs, inverse_root, seed, threads).run(sample_rows);
}

std::string reason_of(const LoosePolicy& loose) {
  if (!loose.wrong_admitted) return "admits the r of every row, " + loose.reason;
  return fmt::format("admits the r of every row, and {:.0f} % of random outputs, {}",
                     100 * *loose.wrong_admitted, loose.reason);
}

std::vector<std::string> known_as(const Policy& policy, const Case& test_case) {
  std::vector<std::string> names;
  for (const oracle::NamedPolicy& named : oracle::named_policies()) {
    // The older names say nothing about the operation.
    if (named.operation != test_case.operation && named.name != "native") continue;
    Policy candidate = oracle::parse_policy(named.text);
    candidate.inverse_root = policy.inverse_root;
    if (representative(candidate, test_case) != representative(policy, test_case)) continue;
    names.push_back(fmt::format("{} ({})", named.name, named.source));
  }
  return names;
}

}  // namespace normproof
