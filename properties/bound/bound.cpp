#include "properties/bound/bound.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "oracle/known_sum.h"
#include "properties/known_steps.h"

namespace normproof::bound {
namespace {

using oracle::Formula;

std::string objection_to_epsilon(const Question& question) {
  if (!question.epsilon_bits) return {};
  const float epsilon = std::bit_cast<float>(*question.epsilon_bits);
  if (epsilon >= 0 && std::isfinite(epsilon)) return {};
  const std::string text = oracle::value_text(DType::fp32, *question.epsilon_bits);
  if (!(epsilon < 0)) return fmt::format("epsilon is {}: every output is NaN or zero", text);
  return fmt::format(
      "epsilon is {}, negative: it cancels the mean square, and one ulp of the sum becomes any factor", text);
}

void require_order(const Question& question, const oracle::Policy& policy) {
  const auto& order = policy.inverse_root.order;
  if (order == nullptr) return;
  const std::string objection = oracle::objection_to_order(*order, policy);
  if (!objection.empty()) throw std::invalid_argument(objection);
  if (order->leaves != question.hidden_size)
    throw std::invalid_argument(fmt::format("the order is one of rows of {} elements, not of {}",
                                            order->leaves, question.hidden_size));
}

double ratio_of_roots(const Formula& first, const Formula& second) {
  const Factor a = error_of_root(first, second), b = error_of_root(second, first);
  return std::max(quotient_up(a.high, b.low), quotient_up(b.high, a.low));
}

// The same order, root and mean: one kernel, whose outputs cannot differ.
bool are_one_kernel(const Formula& first, const Formula& second) {
  return first.policy == second.policy && ratio_of_roots(first, second) == 1;
}

double smallest_subnormal(const oracle::Format& format) {
  return format.is_integer ? 1 : std::ldexp(1.0, format.min_exponent() - format.mantissa_bits());
}

// Two rows' scales: the ratio of the larger one to the smaller, and what that adds to the ratio of codes.
struct ScaleSpread {
  double ratio = 1, of_codes = 1;
};
ScaleSpread scale_spread(const Formula& a, const Formula& b, double ratio_of_y) {
  // Every scale is the least one, or that of the upper bound, whatever r is: no error but the two numbers'.
  if (const auto one = scale_of_all_rows(a), other = scale_of_all_rows(b); one && other) {
    const double ratio = std::max(quotient_up(*one, *other), quotient_up(*other, *one));
    return {ratio, ratio};
  }
  // All |y| of one kernel are within that ratio of the other's, so the largest of them are too, and so is the
  // lesser one of those and an upper bound. In a row whose largest |y| are above it the scale does not depend
  // on r, and codes differ as y does.
  const Factor scale_a = error_of_row_scale(a, b), scale_b = error_of_row_scale(b, a);
  const double own = std::max(quotient_up(scale_a.high, scale_b.low), quotient_up(scale_b.high, scale_a.low));
  const double scale = product_up(ratio_of_y, own);
  // Where r alone differs, a greater one makes no y of the row smaller, and so neither the largest one, nor
  // the lesser one of it and the bound: y and the scale go the same way, and what is y over the scale is off
  // by the one or by the other.
  return {scale, a.policy == b.policy ? own : scale};
}

// Below an upper bound y over the scale is any number, and codes saturate; int8 at the lower end has one
// more.
std::uint64_t last_code(const Formula& a, const Formula& b) {
  const oracle::Format& format = oracle::format_of(*a.formats.quantized);
  if (!format.is_integer) return format.max_finite_bits();
  return static_cast<std::uint64_t>(
      std::max(-row_of(a.policy.int8_low).least, -row_of(b.policy.int8_low).least));
}

PairBound pair_bound(const Question& question, std::size_t first, std::size_t second) {
  const Formula a = formula_of(question, question.policies[first]),
                b = formula_of(question, question.policies[second]);
  PairBound bound;
  bound.first = first;
  bound.second = second;
  bound.root_ratio = ratio_of_roots(a, b);
  bound.residual_apart = residual_apart(a, b);
  if (are_one_kernel(a, b)) return bound;
  const Spread spread = exact_spread(a, b);
  bound.atol = std::max(1.0, question.largest_weight) *
               smallest_subnormal(oracle::format_of(question.dtype)) *
               static_cast<double>(spread.apart_subnormal);
  bound.places = spread.places;
  bound.apart = spread.apart;
  bound.rtol = spread.ratio - 1;
  if (!question.has_codes()) return bound;
  const oracle::Format& codes_format = oracle::format_of(question.output_dtype());
  const Factor scaling_a = error_of_scaling(a, b), scaling_b = error_of_scaling(b, a);
  const double scaling =
      std::max(quotient_up(scaling_a.high, scaling_b.low), quotient_up(scaling_b.high, scaling_a.low));
  double before_code = product_up(spread.ratio, scaling);
  if (a.has(NormStep::quantize_by_row)) {
    const ScaleSpread scales = scale_spread(a, b, spread.ratio);
    bound.scale_rtol = scales.ratio - 1;
    bound.scale_apart = scales.ratio == 1 ? 0 : numbers_of_ratio(scales.ratio, 24);
    before_code = product_up(before_code, scales.of_codes);
  }
  const CodeSpread codes = code_spread(codes_format, before_code, last_code(a, b));
  bound.apart_before = spread.apart;
  bound.rtol_before = spread.ratio - 1;
  bound.apart = codes.apart;
  bound.rtol = codes.ratio - 1;
  bound.atol = static_cast<double>(codes.apart) * smallest_subnormal(codes_format);
  return bound;
}

std::string condition_of_scales(const Question& question) {
  constexpr std::string_view kFloor = "is above what scale_floor makes of smaller ones";
  const Case test_case = case_of(question);
  if (!test_case.has_scale_ub())
    return fmt::format("the largest y of a row {}, and no upper bound of scales is given", kFloor);
  const float upper = test_case.value_of(Parameter::scale_ub);
  if (scale_of_all_rows(formula_of(question, question.policies.front())))
    return fmt::format("the upper bound of scales is {}, of which scale_floor makes one scale for all rows",
                       upper);
  return fmt::format("the upper bound of scales is {}, and the largest y of a row {}", upper, kFloor);
}

}  // namespace

Case case_of(const Question& question) {
  Case test_case;
  test_case.name = "bound";
  test_case.kind() = question;
  test_case.shape = {1, question.hidden_size};
  if (question.epsilon_bits) test_case.bits_of(Parameter::epsilon) = *question.epsilon_bits;
  test_case.bits_of(Parameter::scale_ub) = question.scale_ub_bits;
  return test_case;
}

Formula formula_of(const Question& question, const oracle::Policy& policy) {
  if (!has_known_steps(question.operation))
    throw std::invalid_argument(fmt::format("{} has a step whose error nobody has derived: there is no bound",
                                            name_of(question.operation)));
  Case test_case = case_of(question);
  if (!question.epsilon_bits) test_case.bits_of(Parameter::epsilon) = 0x7fc00000u;
  return oracle::formula_of(test_case, policy);
}

std::int64_t Bound::apart() const {
  std::int64_t greatest = 0;
  for (const PairBound& pair : pairs) greatest = std::max(greatest, pair.apart);
  return greatest;
}

double Bound::rtol() const {
  double greatest = 0;
  for (const PairBound& pair : pairs) greatest = std::max(greatest, pair.rtol);
  return greatest;
}

double Bound::atol() const {
  double greatest = 0;
  for (const PairBound& pair : pairs) greatest = std::max(greatest, pair.atol);
  return greatest;
}

const PairBound& Bound::worst() const {
  return *std::ranges::max_element(pairs, [](const PairBound& a, const PairBound& b) {
    return a.apart != b.apart ? a.apart < b.apart : a.rtol < b.rtol;
  });
}

Bound bound_of(const Question& question) {
  if (question.policies.empty()) throw std::invalid_argument("policies: none is given");
  Bound bound;
  bound.no_bound = objection_to_epsilon(question);
  for (const oracle::Policy& policy : question.policies) require_order(question, policy);
  for (std::size_t i = 0; i < question.policies.size() && bound.exists(); ++i) {
    for (std::size_t j = i; j < question.policies.size() && bound.exists(); ++j) {
      bound.no_bound = objection_to_pair(formula_of(question, question.policies[i]),
                                         formula_of(question, question.policies[j]));
      if (bound.exists()) bound.pairs.push_back(pair_bound(question, i, j));
    }
  }
  if (!bound.exists()) bound.pairs.clear();
  return bound;
}

std::vector<std::string> conditions(const Question& question) {
  const std::string_view dtype = name_of(question.dtype);
  std::vector<std::string> list = {
      "epsilon >= 0; below 1e-30, or with a known order, the mean square and every square but 0 are at least "
      "2^-126",
      "no NaN, no infinity, no sum of squares that could overflow",
      fmt::format("outputs{} finite in {}", question.has_codes() ? " before scaling" : "", dtype)};
  if (question.has_codes())
    list.push_back(fmt::format(
        "before scaling n and y are 0 or normal numbers of {}; scale and 1 / scale are normal", dtype));
  else if (question.weight_dtype)
    list.push_back(fmt::format("atol: weights up to {:g}", question.largest_weight));
  const auto any = [&](const auto& holds) { return std::ranges::any_of(question.policies, holds); };
  const auto of_epsilon = [](oracle::EpsilonPolicy epsilon) {
    return [=](const oracle::Policy& policy) { return policy.epsilon == epsilon; };
  };
  const auto in_activation = [](const oracle::Policy& policy) {
    return row_of(policy.variance).in_activation_dtype();
  };
  const bool epsilons_differ = std::ranges::any_of(question.policies, [&](const oracle::Policy& policy) {
    return policy.epsilon != question.policies.front().epsilon ||
           in_activation(policy) != in_activation(question.policies.front());
  });
  if (!question.epsilon_bits && epsilons_differ &&
      (any(of_epsilon(oracle::EpsilonPolicy::activation)) ||
       any(of_epsilon(oracle::EpsilonPolicy::floored)) || any(in_activation)))
    list.push_back(fmt::format("epsilon is a normal number of {}", dtype));
  if (any(in_activation) && question.dtype == DType::fp16)
    list.push_back("squares, their sums, the mean square and epsilon are 0 or normal numbers of fp16");
  if (quantizes_by_row(question.operation)) list.push_back(condition_of_scales(question));
  if (any([](const oracle::Policy& policy) { return row_of(policy.root).rounds_to_activation; }))
    list.push_back(fmt::format("r is a normal number of {}", dtype));
  if (!question.weight_dtype) return list;
  if (any([](const oracle::Policy& policy) { return !row_of(policy.weight).is_plain(); }))
    list.push_back("the product with the weight that comes first is 0 or normal");
  if (any([](const oracle::Policy& policy) { return row_of(policy.weight).rounds_to_activation(); }))
    list.push_back(fmt::format("weights, or 1 + w, that are rounded to {} are 0 or normal", dtype));
  return list;
}

std::string rounded_up(double number, int digits) {
  if (!(number > 0) || !std::isfinite(number)) return fmt::format("{}", number);
  for (int shown = 1; shown <= digits; ++shown) {
    const std::string text = fmt::format("{:.{}g}", number, shown);
    if (std::stod(text) == number) return text;
  }
  const int exponent = static_cast<int>(std::floor(std::log10(number))) - digits + 1;
  // Of the decimals around it the first that is not less.
  const auto near = static_cast<std::int64_t>(std::floor(number / std::pow(10.0, exponent)));
  for (std::int64_t count = std::max<std::int64_t>(near - 1, 1);; ++count) {
    const double value = std::stod(fmt::format("{}e{}", count, exponent));
    if (value >= number) return fmt::format("{}", value);
  }
}

}  // namespace normproof::bound
