#include "properties/bound/kernel_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "oracle/admissible.h"
#include "oracle/sum_tree.h"

namespace normproof::bound {
namespace {

using oracle::Formula;
using oracle::Policy;
using oracle::Rounding;
using oracle::WeightRow;

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
  if (!kernel.adds_residual) return {};
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
  const Factor operand = error_of_operand(kernel, other, &oracle::SumRow::variance_reads_rounded);
  return operand * operand *
         Factor{as_bound(model.least_of_sum(), Rounding::down),
                as_bound(model.greatest_of_sum(), Rounding::up)};
}

// Unit roundoff of the sum, the mean and m.
double unit_of_variance(const Formula& formula) {
  return std::ldexp(1.0, -row_of(formula.policy.variance).format(formula.formats.activation).precision);
}

// The division by H, or the product with the rounded 1 / H.
Factor error_of_mean(const Formula& formula) {
  const oracle::MeanRow& mean = row_of(formula.policy.mean);
  if (mean.of_terms || is_power_of_two(formula.hidden_size)) return {};
  const double unit = unit_of_variance(formula);
  Factor rounded_inverse = within(unit);
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

}  // namespace

std::string objection_to_pair(const Formula& first, const Formula& second) {
  if (first.quantizes_by_row)
    return "each row has a scale of its own, which comes out too: no bound is derived";
  for (const Formula* formula : {&first, &second}) {
    if (row_of(formula->policy.variance).in_activation_dtype())
      return "variance=activation adds in T: an order can lose any share of the sum there";
    if (formula->policy.inverse_root.flush_to_zero)
      return "flush_to_zero: numbers may be lost on the way to r";
  }
  if (first.policy.epsilon != second.policy.epsilon)
    return "the policies add epsilon in different ways: how far apart they are depends on epsilon";
  if (first.formats.weight && weight_row(first).adds_one() != weight_row(second).adds_one())
    return "one policy multiplies by w, the other by 1 + w: they are different functions";
  return {};
}

Factor error_of_root(const Formula& kernel, const Formula& other) {
  const oracle::InverseRootModel& model = kernel.policy.inverse_root;
  const bool same_mean = kernel.policy.mean == other.policy.mean &&
                         kernel.policy.variance == other.policy.variance && share_sum(kernel, other) &&
                         (is_power_of_two(kernel.hidden_size) || row_of(kernel.policy.mean).fused);
  Factor m;
  if (!same_mean) {
    const Factor mean = error_of_sum(kernel, other) * error_of_mean(kernel);
    // Where squares or the mean are subnormal but epsilon is at least 2^-100, they are off by less than
    // 2^-148.
    constexpr double kUnderflow = 0x1p-48;
    m = hull(mean, {}) * within(kUnderflow);
    if (!row_of(kernel.policy.epsilon).takes_maximum) m = m * within(unit_of_variance(kernel));
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
  return !first.adds_residual || same_rounding(first, second) ? 0 : 1;
}

Factor error_of_scaling(const Formula& kernel, const Formula& other) {
  Factor error = kFl;
  if (row_of(kernel.policy.scaling).approximate) {
    error = error * within(0x1p-23);  // one of the two numbers next to the inverse
  } else if (kernel.policy.scaling != other.policy.scaling && !row_of(kernel.policy.scaling).divides) {
    error = error * kFl;
  }
  if (row_of(kernel.policy.fp8_rounding).through_bf16) error = error * within(0x1p-8);
  return error;
}

}  // namespace normproof::bound
