#include "properties/bound/kernel_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "oracle/admissible.h"
#include "oracle/quantization_scale.h"
#include "oracle/sum_tree.h"

namespace normproof::bound {
namespace {

using oracle::Formula;
using oracle::Policy;
using oracle::Rounding;
using oracle::WeightRow;

constexpr std::uint32_t kNoUpperBound = 0x7f800000u;
const Factor kFl = within(0x1p-24);  // one rounding to fp32

// One rounding to T. Those that are not to the nearest even number round to fp32 first.
Factor error_of_activation(const Formula& formula) {
  const auto& format = oracle::format_of(formula.formats.activation);
  if (format.precision >= 24) return {};
  const double half_ulp = std::ldexp(1.0, -format.precision);
  const Rounding rounding = row_of(formula.formats.rounding).rounding;
  if (rounding == Rounding::nearest_even) return within(half_ulp);
  if (rounding == Rounding::toward_zero) return kFl * Factor{1 - 2 * half_ulp, 1};
  return kFl * within(half_ulp);
}

bool same_rounding(const Formula& first, const Formula& second) {
  return first.formats.rounding == second.formats.rounding || first.formats.activation == DType::fp32;
}

// An element of x + residual, rounded or not, as a multiple of the exact sum. Nothing where both kernels have
// the very same number.
Factor error_of_operand(const Formula& kernel, const Formula& other, bool oracle::SumRow::* reads_rounded) {
  if (!kernel.has(NormStep::add_residual)) return {};
  const bool rounded = row_of(kernel.policy.sum).*reads_rounded;
  if (rounded == row_of(other.policy.sum).*reads_rounded && (!rounded || same_rounding(kernel, other)))
    return {};
  return rounded ? error_of_activation(kernel) : kFl;
}

bool is_power_of_two(std::int64_t number) { return std::has_single_bit(static_cast<std::uint64_t>(number)); }

double as_bound(const oracle::Value& value, Rounding rounding) {
  return to_double(round_to(oracle::kFp64, value, rounding));
}

// Whether both add the same numbers in the same known order, so that the sum is one number.
bool share_sum(const Formula& first, const Formula& second) {
  const oracle::SumTree* order = first.policy.inverse_root.order.get();
  const oracle::SumTree* other = second.policy.inverse_root.order.get();
  return order != nullptr && other != nullptr && *order == *other &&
         error_of_operand(first, second, &oracle::SumRow::variance_reads_rounded).is_one() &&
         error_of_operand(second, first, &oracle::SumRow::variance_reads_rounded).is_one();
}

// Unit roundoff of the sum, the mean and m.
double unit_of_variance(const Formula& formula) {
  return std::ldexp(1.0, -row_of(formula.policy.variance).format(formula.formats.activation).precision);
}

bool sums_in_activation(const Formula& formula) {
  return row_of(formula.policy.variance).in_activation_dtype();
}

// Of few bits any share of a sum can be lost, but not more than this, whatever the tree of n terms that are
// not negative. An addition errs by no more than its smaller operand, which would be lost at most. So a sum
// is never less than one of its terms, and the largest of n is an n-th of them. And a sum of a and b is at
// most a + 2b: down the path of the children with more leaves it is one term and twice the other children's
// sums, each of which has at most half of the leaves; so it is at most 2^floor(log2 n) <= n times what it
// should be.
Factor of_any_tree(const Formula& formula) {
  const auto count = static_cast<double>(formula.hidden_size);
  const Factor square = within(unit_of_variance(formula));
  if (row_of(formula.policy.mean).of_terms) return {0, HUGE_VAL};  // its terms have more roundings
  return {quotient_down(square.low, count), product_up(square.high, count)};
}

Factor error_of_sum(const Formula& kernel, const Formula& other) {
  if (share_sum(kernel, other)) return {};
  Formula any_order = kernel;
  if (const auto order = kernel.policy.inverse_root.order) {
    any_order.policy.inverse_root.order = nullptr;
    any_order.policy.inverse_root.sum_depth = order->depth();
    if (order->is_compensated()) {
      // A compensated sum is no worse than a plain one of the same chain, but for powers of u from the second
      // on, for which two additions more are plenty.
      any_order.policy.variance = oracle::VariancePolicy::fp32;
      any_order.policy.inverse_root.sum_depth = order->depth() + 2;
    }
  }
  const oracle::AdmissibleModel model(any_order);
  Factor operand = error_of_operand(kernel, other, &oracle::SumRow::variance_reads_rounded);
  Factor sum{as_bound(model.least_of_sum(), Rounding::down), as_bound(model.greatest_of_sum(), Rounding::up)};
  if (sums_in_activation(kernel)) {
    sum = intersection(sum, of_any_tree(kernel));
    if (kernel.has(NormStep::add_residual) && !row_of(kernel.policy.sum).variance_reads_rounded)
      operand = operand * within(unit_of_variance(kernel));
  }
  return operand * operand * sum;
}

// The division by H, or the product with the rounded 1 / H.
Factor error_of_mean(const Formula& formula) {
  const oracle::MeanRow& mean = row_of(formula.policy.mean);
  if (mean.of_terms || is_power_of_two(formula.hidden_size)) return {};
  const double unit = unit_of_variance(formula);
  Factor rounded_inverse = within(unit);
  if (sums_in_activation(formula)) return within(unit) * within(unit) * within(unit);
  if (unit == 0x1p-24) {  // both have 24 bits, so their product is exact
    const auto count = static_cast<float>(formula.hidden_size);
    const double off = static_cast<double>(count) * static_cast<double>(1.0f / count);
    rounded_inverse = {off, off};
  }
  return mean.fused ? rounded_inverse : hull(within(unit), rounded_inverse * within(unit));
}

// 0 + w is w but for the sign of a zero.
WeightRow::Factor plain(WeightRow::Factor factor) {
  return factor == WeightRow::Factor::zero_plus ? WeightRow::Factor::weight : factor;
}

const WeightRow& weight_row(const Formula& formula) { return row_of(formula.policy.weight); }
WeightRow::Factor factor_of(const Formula& formula) { return plain(weight_row(formula).factor); }

Factor error_of_weight(const Formula& kernel, const Formula& other) {
  const WeightRow::Factor factor = factor_of(kernel);
  if (factor == factor_of(other) && same_rounding(kernel, other)) return {};  // the same number
  switch (factor) {
    case WeightRow::Factor::weight:
    case WeightRow::Factor::zero_plus:
      return {};
    case WeightRow::Factor::activation:
      return kernel.formats.weight == kernel.formats.activation ? Factor{} : error_of_activation(kernel);
    case WeightRow::Factor::one_plus:
      return kFl;
    case WeightRow::Factor::one_plus_activation:
      return kFl * error_of_activation(kernel);
  }
  return {};
}

bool rounds_first(const Formula& formula) {
  if (oracle::format_of(formula.formats.activation).precision >= 24) return false;
  switch (row_of(formula.policy.weight).intermediate) {
    case WeightRow::Intermediate::weight:
      return formula.formats.weight == formula.formats.activation;
    case WeightRow::Intermediate::activation:
      return true;
    case WeightRow::Intermediate::fp32:
      break;
  }
  return false;
}

double scale_of_maximum(const Formula& kernel, std::uint32_t maximum_bits) {
  oracle::Arithmetic arithmetic;
  return to_double(exact_quantization_scale(arithmetic, kernel, oracle::decode(DType::fp32, maximum_bits)));
}

// Of an upper bound so small, or so large, that no row has a scale of which the bound could be claimed.
std::string objection_to_scale_ub(const Formula& first, const Formula& second) {
  if (first.scale_ub_bits == kNoUpperBound) return {};
  const auto upper = std::bit_cast<float>(first.scale_ub_bits);
  for (const Formula* kernel : {&first, &second})
    if (!(scale_of_maximum(*kernel, kernel->scale_ub_bits) >= 0x1p-126))
      return fmt::format("scale_ub is {}: no scale that it makes is a normal number", upper);
  if (scale_of_all_rows(first).has_value() == scale_of_all_rows(second).has_value()) return {};
  return fmt::format(
      "scale_ub is {}: scale_floor makes one scale for all rows of the one policy and not of the other, they "
      "are different functions",
      upper);
}

}  // namespace

std::string objection_to_pair(const Formula& first, const Formula& second) {
  for (const auto& [kernel, other] : {std::pair(&first, &second), std::pair(&second, &first)}) {
    const Factor epsilon = error_of_epsilon(*kernel, *other);
    if (!(epsilon.low > 0 && std::isfinite(epsilon.high)))
      return fmt::format(
          "epsilon={} makes {} of this epsilon, epsilon={} does not: where the mean square is small beside "
          "it, r "
          "is off by any factor",
          row_of(kernel->policy.epsilon).text.name, epsilon.low > 0 ? "a number above 0" : "0",
          row_of(other->policy.epsilon).text.name);
  }
  if (first.has(NormStep::quantize_by_row)) {
    if (first.policy.range != second.policy.range)
      return "range: the policies scale to different largest numbers, they are different functions";
    if (std::string objection = objection_to_scale_ub(first, second); !objection.empty()) return objection;
  }
  if (first.formats.weight && weight_row(first).adds_one() != weight_row(second).adds_one())
    return "one policy multiplies by w, the other by 1 + w: they are different functions";
  return {};
}

// The epsilon that takes part, as a multiple of the call's, or of what both make of it.
Factor error_of_epsilon(const Formula& kernel, const Formula& other) {
  const oracle::Format& activation = oracle::format_of(kernel.formats.activation);
  const auto rounds = [](const Formula& formula) {
    return formula.policy.epsilon == oracle::EpsilonPolicy::activation || sums_in_activation(formula);
  };
  const bool is_common = kernel.policy.epsilon == other.policy.epsilon && rounds(kernel) == rounds(other);
  const bool floors = kernel.policy.epsilon == oracle::EpsilonPolicy::floored;
  if (is_common || (!floors && !rounds(kernel))) return {};
  const float epsilon = std::bit_cast<float>(kernel.bits_of(Parameter::epsilon));
  // Of any epsilon: conditions() has it a normal number of T.
  if (std::isnan(epsilon)) return rounds(kernel) ? within(std::ldexp(1.0, -activation.precision)) : Factor{};
  auto taken = static_cast<double>(epsilon);
  if (floors) taken = std::max(taken, std::ldexp(1.0, activation.min_exponent()));
  if (rounds(kernel)) taken = to_double(round_to(kernel.formats.activation, oracle::from_double(taken)));
  if (epsilon == 0 && taken == 0) return {};
  const double ratio = taken / static_cast<double>(epsilon);
  return {ratio * (1 - 0x1p-50), ratio * (1 + 0x1p-50)};
}

Factor error_of_root(const Formula& kernel, const Formula& other) {
  const oracle::InverseRootModel& model = kernel.policy.inverse_root;
  const bool same_mean = kernel.policy.mean == other.policy.mean &&
                         kernel.policy.epsilon == other.policy.epsilon &&
                         model.flush_to_zero == other.policy.inverse_root.flush_to_zero &&
                         kernel.policy.variance == other.policy.variance && share_sum(kernel, other) &&
                         (is_power_of_two(kernel.hidden_size) || row_of(kernel.policy.mean).fused);
  Factor m;
  if (!same_mean) {
    const Factor mean = error_of_sum(kernel, other) * error_of_mean(kernel);
    // Where squares or the mean are subnormal but epsilon is at least 2^-100, they are off by less than
    // 2^-148; in bf16 by less than 2^-132, and where they may be flushed to zero by less than 2^-124.
    const double underflow = model.flush_to_zero ? 0x1p-24 : sums_in_activation(kernel) ? 0x1p-32 : 0x1p-48;
    m = hull(mean, error_of_epsilon(kernel, other)) * within(underflow);
    const bool maximum = row_of(kernel.policy.epsilon).takes_maximum;
    if (!maximum) m = m * within(unit_of_variance(kernel));
    // The larger one of two numbers is at least half of their sum.
    if (maximum && !row_of(other.policy.epsilon).takes_maximum) m = m * Factor{0.5, 1};
  }
  const bool same_root = same_mean && row_of(kernel.policy.root).divides == row_of(other.policy.root).divides;
  const Factor once = same_root ? Factor{} : kFl;
  const Factor numbers = within(static_cast<double>(model.ulp_bound) * 0x1p-23);
  const bool divides = row_of(kernel.policy.root).divides;
  const Factor unknown = (divides ? square_root(m) : inverse(square_root(m))) * once * numbers;
  const Factor r = divides ? inverse(unknown) : unknown;
  return row_of(kernel.policy.root).rounds_to_activation ? r * error_of_activation(kernel) : r;
}

Chain chain_of(const Formula& kernel, const Formula& other, const Factor& root) {
  Chain chain;
  chain.rounding = row_of(kernel.formats.rounding).rounding;
  chain.rounds_output =
      !kernel.formats.quantized || kernel.policy.before_quantization == oracle::BeforeQuantization::rounded;
  const Factor operand = error_of_operand(kernel, other, &oracle::SumRow::output_reads_rounded);
  chain.before = operand * root * kFl;
  if (!kernel.formats.weight) return chain;
  const WeightRow& row = row_of(kernel.policy.weight);
  if (row.first == WeightRow::First::x_and_unknown) {
    chain.rounds_first = rounds_first(kernel);
    chain.after = error_of_weight(kernel, other);
    // A product of two numbers of T is exact in fp32; the rounding to T is the only one.
    const bool exact = chain.rounds_first && weight_is_in_activation(kernel, other) && chain.rounds_output;
    if (!exact) chain.after = chain.after * kFl;
    return chain;
  }
  chain.after = kFl;
  const bool same_product = row.first == WeightRow::First::x_and_weight &&
                            kernel.policy.weight == other.policy.weight && same_rounding(kernel, other) &&
                            operand.is_one();
  if (same_product) chain.after = {};
  const bool rounds_product = row.intermediate == WeightRow::Intermediate::activation;
  if (rounds_product && !same_product) chain.after = chain.after * error_of_activation(kernel);
  return chain;
}

bool weight_is_in_activation(const Formula& first, const Formula& second) {
  if (!first.formats.weight) return false;
  const WeightRow::Factor factor = factor_of(first);
  if (factor != factor_of(second) || !same_rounding(first, second)) {
    // w itself, which one of the two does not round because it is a number of T.
    return first.formats.weight == first.formats.activation && !weight_row(first).adds_one();
  }
  return weight_row(first).rounds_to_activation() ||
         (factor == WeightRow::Factor::weight && first.formats.weight == first.formats.activation);
}

// Rounding x + residual to fp32 before it is rounded to T changes nothing: where the sum has more than 24
// bits, the smaller operand is less than a quarter of the larger one's last bit in T.
int residual_apart(const Formula& first, const Formula& second) {
  return !first.has(NormStep::add_residual) || same_rounding(first, second) ? 0 : 1;
}

// max|y| of the row, rounded to T or not, then divided by the largest code, or times its rounded inverse.
Factor error_of_row_scale(const Formula& kernel, const Formula& other) {
  Factor error = kFl;
  if (kernel.policy.row_scale != other.policy.row_scale && row_of(kernel.policy.row_scale).multiplies)
    error = error * kFl;
  // Of the other number than the one that is quantized: y may or may not have been rounded to T.
  if (kernel.policy.row_maximum != oracle::RowMaximumPolicy::of_quantized)
    error = error * hull(error_of_activation(kernel), inverse(error_of_activation(kernel)));
  return error;
}

std::optional<double> scale_of_all_rows(const Formula& kernel) {
  const oracle::ScaleFloorRow& floor = row_of(kernel.policy.scale_floor);
  if (kernel.scale_ub_bits == kNoUpperBound) return std::nullopt;
  const double of_bound = scale_of_maximum(kernel, kernel.scale_ub_bits);
  // The scale grows with the maximum, but where a maximum just above the least scale has a smaller one.
  const bool is_one = floor.compares_maximum ? kernel.scale_ub_bits <= least_scale_bits(kernel)
                                             : of_bound == scale_of_maximum(kernel, 1);
  return is_one ? std::optional(of_bound) : std::nullopt;
}

Factor error_of_scaling(const Formula& kernel, const Formula& other) {
  Factor error = kFl;
  if (row_of(kernel.policy.scaling).approximate) {
    error = error * within(0x1p-23);  // one of the two numbers next to the inverse
  } else if (kernel.policy.scaling != other.policy.scaling && !row_of(kernel.policy.scaling).divides) {
    error = error * kFl;
  }
  // Kernels with different scales do not have one inverse.
  if (kernel.has(NormStep::quantize_by_row) && !row_of(kernel.policy.scaling).divides) error = error * kFl;
  if (row_of(kernel.policy.fp8_rounding).through_bf16) error = error * within(0x1p-8);
  return error;
}

}  // namespace normproof::bound
