#include "properties/bound/boundless.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "oracle/known_sum.h"
#include "oracle/witness_judge.h"
#include "properties/order/families.h"

namespace normproof::bound {
namespace {

using oracle::bits_of;
using oracle::Value;

// A case of one row with these elements, then zeros; weights of 1.
struct Row {
  Case test_case;
  CaseTensors tensors;
  void set(std::int64_t column, double x) {
    store_bits(tensors[Role::input], test_case.dtype, column, bits_of(test_case.dtype, x));
  }
};

Row row_of(const Question& question, const std::vector<double>& elements) {
  Row row{case_of(question), {}};
  for (const Role role : {Role::input, Role::residual, Role::weight})
    if (row.test_case.has_data(role)) row.tensors[role].resize(row.test_case.bytes_of(role));
  for (std::size_t j = 0; j < elements.size(); ++j) row.set(static_cast<std::int64_t>(j), elements[j]);
  if (!question.weight_dtype) return row;
  // 1 + w where the policy adds one: then a weight of 0.
  const bool adds_one = oracle::row_of(question.policies.front().weight).adds_one();
  for (std::int64_t j = 0; j < question.hidden_size; ++j)
    store_bits(row.tensors[Role::weight], *question.weight_dtype, j,
               bits_of(*question.weight_dtype, adds_one ? 0 : 1));
  return row;
}

HonestKernel kernel_of(const Question& question, bool reverse) {
  const auto leaves = static_cast<std::int32_t>(question.hidden_size);
  HonestKernel kernel;
  kernel.policy = question.policies.front();
  kernel.policy.inverse_root.sum_depth.reset();
  kernel.policy.inverse_root.order = nullptr;
  kernel.order = reverse ? "reverse serial" : "serial";
  kernel.tree =
      std::make_shared<const oracle::SumTree>(reverse ? order::reverse(leaves) : order::serial(leaves));
  return kernel;
}

bool conforms(const Example& example) {
  const CaseTensors tensors = materialize(example.test_case);
  return oracle::judge_witness(example.test_case, tensors, example.first_outputs, example.first.policy)
             .conforms() &&
         oracle::judge_witness(example.test_case, tensors, example.second_outputs, example.second.policy)
             .conforms();
}

Example in_both_orders(const Question& question, const Row& row, std::int64_t column) {
  return example_of(row.test_case, row.tensors, kernel_of(question, false), kernel_of(question, true),
                    column);
}

// The sum is B in the one order and B + ulp in the other; with epsilon = -B / H
// the mean of the first is cancelled.
Boundless negative_epsilon(const Question& question) {
  constexpr double kLarge = 4096, kNearOne = 255.0 / 256;
  Row row = row_of(question, {kLarge, kNearOne, kNearOne});
  const auto mean = static_cast<float>(kLarge * kLarge) / static_cast<float>(question.hidden_size);
  row.test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(-mean);
  return {"epsilon < 0", "epsilon cancels the mean square: one ulp of the sum is all that is left of it",
          in_both_orders(question, row, 1)};
}

// Squares that add up to the largest fp32 number, and two units that are less than half an ulp of it each:
// joined first they push the sum over.
std::optional<Boundless> overflow(const Question& question) {
  const double largest = 0x1.fffffep127, ulp = 0x1p104;
  std::vector<double> elements;
  double sum = 0;
  while (largest - sum >= ulp && static_cast<std::int64_t>(elements.size()) + 2 < question.hidden_size) {
    const double x = floor_to(question.dtype, std::sqrt(largest - sum));
    const double next = static_cast<double>(static_cast<float>(x * x) + static_cast<float>(sum));
    if (!(next <= largest) || next <= sum) break;
    elements.push_back(x);
    sum = next;
  }
  if (sum != largest) return std::nullopt;
  const double unit = floor_to(question.dtype, std::sqrt(0.498 * ulp));
  elements.push_back(unit);
  elements.push_back(unit);
  const Row row = row_of(question, elements);
  Boundless result{"the sum of squares overflows", "one order reaches infinity, and r is 0; another does not",
                   in_both_orders(question, row, 0)};
  if (result.example.apart == 0) return std::nullopt;
  return result;
}

// Two values of y one subnormal number apart, and a scale that makes each of them a normal number of fp8.
std::optional<Boundless> subnormal_fp8(const Question& question) {
  const oracle::Format& format = oracle::format_of(question.dtype);
  const double smallest = std::ldexp(1.0, format.min_exponent() - format.mantissa_bits());
  const auto hidden = static_cast<double>(question.hidden_size);
  // x * r shall be 1.5 times the smallest number, with an epsilon that is about the mean square.
  const double mean = 4096.0 * 4096.0 / hidden;
  const double x = floor_to(question.dtype, 1.5 * smallest * std::sqrt(2 * mean));
  std::vector<double> elements(static_cast<std::size_t>(question.hidden_size), 255.0 / 256);
  elements[0] = x;
  elements[1] = 4096;
  Row row = row_of(question, elements);
  row.test_case.bits_of(Parameter::scale) = bits_of(DType::fp32, std::max(smallest, 0x1p-127));
  HonestKernel low = kernel_of(question, true), high = kernel_of(question, false);
  const int off = low.policy.inverse_root.ulp_bound;
  const bool divides = oracle::row_of(low.policy.root).divides;
  low.root_off = divides ? off : -off;
  high.root_off = -low.root_off;
  const double m = (x / smallest / 1.5) * (x / smallest / 1.5);
  for (int step = 0; step < 256; ++step) {
    const double moved = (step % 128 - 64) * (step < 128 ? 0x1p-24 : 0x1p-20);
    row.test_case.bits_of(Parameter::epsilon) = bits_of(DType::fp32, m * (1 + moved) - mean);
    Boundless result{"y is subnormal", "scale makes normal fp8 numbers of neighbouring subnormal ones",
                     example_of(row.test_case, row.tensors, low, high, 0)};
    if (result.example.apart > 1) return result;
  }
  return std::nullopt;
}

// w and 1 + w, of a weight of 0.
std::optional<Boundless> different_functions(const Question& question) {
  const auto adds_one = [](const oracle::Policy& policy) { return oracle::row_of(policy.weight).adds_one(); };
  const auto other = std::ranges::find_if(question.policies, [&](const oracle::Policy& policy) {
    return adds_one(policy) != adds_one(question.policies.front());
  });
  if (!question.weight_dtype || other == question.policies.end()) return std::nullopt;
  Row row = row_of(question, {1, 1});
  for (std::int64_t j = 0; j < question.hidden_size; ++j)
    store_bits(row.tensors[Role::weight], *question.weight_dtype, j, 0);
  HonestKernel first, second;
  first.policy = question.policies.front();
  second.policy = *other;
  return Boundless{"the policies are different functions",
                   "a weight of 0 makes 0 of every element, or leaves it",
                   example_of(row.test_case, row.tensors, first, second, 0)};
}

}  // namespace

std::vector<Boundless> boundless_examples(const Question& question) {
  std::vector<Boundless> all;
  if (auto example = different_functions(question)) all.push_back(std::move(*example));
  const bool has_tree = !quantizes_by_row(question.operation) && question.hidden_size >= 4 &&
                        question.hidden_size <= oracle::kMaximumTreeLeaves &&
                        objection_to_order(oracle::SumTree{}, question.policies.front()).empty();
  if (!has_tree) return all;
  Question plain = question;  // the examples choose epsilon
  plain.epsilon_bits.reset();
  all.push_back(negative_epsilon(plain));
  if (question.dtype != DType::fp16)
    if (auto example = overflow(plain)) all.push_back(std::move(*example));
  if (question.has_codes() && question.dtype != DType::fp32)
    if (auto example = subnormal_fp8(plain)) all.push_back(std::move(*example));
  for (const Boundless& one : all)
    if (!conforms(one.example))
      throw std::logic_error("the witness judge refuses the example for: " + one.condition);
  return all;
}

}  // namespace normproof::bound
