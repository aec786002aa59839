// Kernels whose order of summation and root are known, carried out by the exact oracle.
#include "properties/bound/attain.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "corpus/float_format.h"
#include "oracle/fast_row.h"
#include "oracle/known_sum.h"
#include "oracle/row_kernels.h"

namespace normproof::bound {
namespace {

using oracle::Format;
using oracle::Formula;
using oracle::Value;

// A finite number above 0 moved by so many numbers of fp32.
std::uint32_t moved(const Value& unknown, int off) {
  const auto bits = static_cast<std::uint32_t>(round_bits(oracle::format_of(DType::fp32), unknown));
  if (!unknown.is_finite() || unknown.is_zero() || unknown.negative()) return bits;
  return static_cast<std::uint32_t>(static_cast<std::int64_t>(bits) + off);
}

Formula with_order(Formula formula, const HonestKernel& kernel) {
  formula.policy = kernel.policy;
  formula.policy.inverse_root.order = kernel.tree;
  return formula;
}

// By the tree, each step rounded to T: operands, squares and sums of two numbers of T are exact in fp64.
double sum_in_activation(const oracle::SumTree& tree, DType activation, std::span<const float> operands) {
  const FloatFormat format = format_of(activation);
  const auto in_activation = [&](double value) { return value_of(format, rounded(format, value)); };
  std::vector<double> numbers;
  numbers.reserve(operands.size() + tree.nodes.size());
  for (const float operand : operands) {
    const double x = in_activation(static_cast<double>(operand));
    numbers.push_back(in_activation(x * x));
  }
  for (const oracle::SumTree::Node& node : tree.nodes)
    numbers.push_back(in_activation(numbers[static_cast<std::size_t>(node.first)] +
                                    numbers[static_cast<std::size_t>(node.second)]));
  return numbers.back();
}

}  // namespace

std::string to_text(const HonestKernel& kernel) {
  std::string text = fmt::format("policy {}, {} order", to_string(kernel.policy), kernel.order);
  const bool divides = row_of(kernel.policy.root).divides;
  if (kernel.root_off != 0)
    text += fmt::format(", {} {} number{} {} the root rounded once", divides ? "rms" : "r",
                        std::abs(kernel.root_off), std::abs(kernel.root_off) == 1 ? "" : "s",
                        kernel.root_off > 0 ? "above" : "below");
  return text;
}

Value sum_of(const HonestKernel& kernel, const Formula& formula, const CaseTensors& tensors) {
  const Formula own = with_order(formula, kernel);
  if (kernel.tree != nullptr) {
    const oracle::StandardFloatEnvironment environment;
    oracle::FastRow row(own, tensors[Role::weight]);
    row.load_row(tensors, 0);
    if (row_of(own.policy.variance).in_activation_dtype())
      return oracle::from_double(
          sum_in_activation(*kernel.tree, own.formats.activation, row.variance_operands()));
    std::vector<double> scratch;
    if (const auto sum = known_sum(own, row.variance_operands(), scratch))
      return oracle::decode(DType::fp32, std::bit_cast<std::uint32_t>(static_cast<float>(*sum)));
  }
  const oracle::ExactRow row = decode_row(own, tensors, 0);
  oracle::Arithmetic arithmetic;
  return exact_row_scale(arithmetic, own, row.variance_operands()).sum;
}

std::uint32_t unknown_of(const HonestKernel& kernel, const Formula& formula, const Value& sum) {
  oracle::Arithmetic arithmetic;
  Formula own = formula;
  own.policy = kernel.policy;
  return moved(exact_scale_of_sum(arithmetic, own, sum).inverse_root, kernel.root_off);
}

Outputs outputs_of(const HonestKernel& kernel, const Case& test_case, const CaseTensors& tensors) {
  const Formula formula = oracle::formula_of(test_case, kernel.policy);
  const Value sum = sum_of(kernel, formula, tensors);
  const float unknown = std::bit_cast<float>(unknown_of(kernel, formula, sum));
  const oracle::StandardFloatEnvironment environment;
  oracle::FastRow row(formula, tensors[Role::weight]);
  row.load_row(tensors, 0);
  Outputs outputs;
  if (formula.has(NormStep::quantize_by_row)) {
    const float scale = row.set_own_scale(unknown);
    const auto bytes = std::as_bytes(std::span(&scale, 1));
    outputs[Role::scales].assign(bytes.begin(), bytes.end());
  }
  row.outputs(unknown);
  for (const Role role : kRoles) {
    if (!test_case.has_output(role) || !test_case.has_strides(role)) continue;
    const auto packed = row.packed(role);
    outputs[role].assign(packed.begin(), packed.end());
  }
  return outputs;
}

Example example_of(const Case& test_case, const CaseTensors& tensors, const HonestKernel& first,
                   const HonestKernel& second, std::int64_t column) {
  Example example{
      test_case, first, second, outputs_of(first, test_case, tensors), outputs_of(second, test_case, tensors),
      column,    0,     1};
  set_data(example.test_case, tensors);
  const DType dtype = test_case.output_dtype();
  const std::uint32_t a = load_bits(example.first_outputs[Role::out], dtype, column),
                      b = load_bits(example.second_outputs[Role::out], dtype, column);
  const std::uint64_t apart = oracle::ulp_distance(dtype, a, b);
  example.apart = static_cast<std::int64_t>(
      std::min(apart, static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())));
  const double one = std::abs(to_double(oracle::decode(dtype, a))),
               other = std::abs(to_double(oracle::decode(dtype, b)));
  const bool is_one =
      one == other || oracle::format_of(dtype).is_integer;  // which have no relative difference
  example.ratio = is_one ? 1 : std::max(one, other) / std::min(one, other);
  return example;
}

}  // namespace normproof::bound
