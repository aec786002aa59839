#include "oracle/sum_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace normproof::oracle {
namespace {

// Throws unless each number below the root is a child exactly once.
void require_tree(std::int32_t leaves, const std::vector<SumTree::Node>& nodes) {
  if (leaves < 1 || leaves > kMaximumTreeLeaves)
    throw std::invalid_argument(fmt::format("a tree has 1 to {} leaves, got {}", kMaximumTreeLeaves, leaves));
  if (nodes.size() != static_cast<std::size_t>(leaves) - 1)
    throw std::invalid_argument(
        fmt::format("a tree of {} leaves has {} additions, got {}", leaves, leaves - 1, nodes.size()));
  std::vector<bool> taken(2 * static_cast<std::size_t>(leaves) - 1, false);
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    const std::int32_t number = leaves + static_cast<std::int32_t>(k);
    for (const std::int32_t child : {nodes[k].first, nodes[k].second}) {
      if (child < 0 || child >= number)
        throw std::invalid_argument(
            fmt::format("addition {} adds {}, which is no element and no earlier addition", number, child));
      if (taken[static_cast<std::size_t>(child)])
        throw std::invalid_argument(fmt::format("addition {} adds {} a second time", number, child));
      taken[static_cast<std::size_t>(child)] = true;
    }
  }
}

template <class Number, class Fused>
Number evaluate(const SumTree& tree, std::span<const float> operands, std::vector<Number>& scratch,
                const Fused& fma) {
  const auto leaves = static_cast<std::size_t>(tree.leaves);
  scratch.resize(leaves + tree.nodes.size());
  for (std::size_t j = 0; j < leaves; ++j) {
    const auto x = static_cast<Number>(operands[j]);
    scratch[j] = x * x;
  }
  const bool any_fused = !tree.fused.empty();
  for (std::size_t k = 0; k < tree.nodes.size(); ++k) {
    const auto a = static_cast<std::size_t>(tree.nodes[k].first),
               b = static_cast<std::size_t>(tree.nodes[k].second);
    if (any_fused && a < leaves && tree.fused[a] != 0) {
      scratch[leaves + k] = fma(static_cast<Number>(operands[a]), scratch[b]);
    } else if (any_fused && b < leaves && tree.fused[b] != 0) {
      scratch[leaves + k] = fma(static_cast<Number>(operands[b]), scratch[a]);
    } else {
      scratch[leaves + k] = scratch[a] + scratch[b];
    }
  }
  return scratch.back();
}

}  // namespace

std::int64_t SumTree::depth() const {
  std::vector<std::int32_t> height(static_cast<std::size_t>(leaves) + nodes.size(), 0);
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    height[static_cast<std::size_t>(leaves) + k] =
        1 + std::max(height[static_cast<std::size_t>(nodes[k].first)],
                     height[static_cast<std::size_t>(nodes[k].second)]);
  }
  return height.empty() ? 0 : height.back();
}

std::int64_t SumTree::fused_leaves() const {
  return std::ranges::count_if(fused, [](std::uint8_t flag) { return flag != 0; });
}

SumTree make_tree(std::int32_t leaves, std::vector<SumTree::Node> nodes, std::vector<std::uint8_t> fused,
                  SumTree::Precision precision) {
  require_tree(leaves, nodes);
  const auto count = static_cast<std::size_t>(leaves);
  std::vector<std::int32_t> smallest(count + nodes.size()), height(count + nodes.size(), 0);
  std::iota(smallest.begin(), smallest.begin() + leaves, 0);
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    SumTree::Node& node = nodes[k];
    auto a = static_cast<std::size_t>(node.first), b = static_cast<std::size_t>(node.second);
    if (smallest[b] < smallest[a]) {
      std::swap(node.first, node.second);
      std::swap(a, b);
    }
    smallest[count + k] = smallest[a];
    height[count + k] = 1 + std::max(height[a], height[b]);
  }
  std::vector<std::int32_t> sorted(nodes.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::ranges::sort(sorted, {}, [&](std::int32_t k) {
    const std::size_t number = count + static_cast<std::size_t>(k);
    return std::pair(height[number], smallest[number]);
  });
  std::vector<std::int32_t> renamed(count + nodes.size());
  std::iota(renamed.begin(), renamed.begin() + leaves, 0);
  for (std::size_t k = 0; k < sorted.size(); ++k)
    renamed[count + static_cast<std::size_t>(sorted[k])] = leaves + static_cast<std::int32_t>(k);

  SumTree tree;
  tree.leaves = leaves;
  tree.precision = precision;
  tree.nodes.reserve(nodes.size());
  for (const std::int32_t k : sorted) {
    const SumTree::Node& node = nodes[static_cast<std::size_t>(k)];
    tree.nodes.push_back(
        {renamed[static_cast<std::size_t>(node.first)], renamed[static_cast<std::size_t>(node.second)]});
  }
  if (std::ranges::any_of(fused, [](std::uint8_t flag) { return flag != 0; })) {
    if (fused.size() != count)
      throw std::invalid_argument(fmt::format("{} elements, but {} fma flags", leaves, fused.size()));
    tree.fused = std::move(fused);
    for (const SumTree::Node& node : tree.nodes) {
      if (tree.is_fused(node.first) && tree.is_fused(node.second))
        throw std::invalid_argument(
            fmt::format("elements {} and {} are added to each other: one of them must be rounded first",
                        node.first, node.second));
    }
  }
  return tree;
}

std::vector<std::int32_t> smallest_leaves(const SumTree& tree) {
  std::vector<std::int32_t> smallest(static_cast<std::size_t>(tree.leaves) + tree.nodes.size());
  std::iota(smallest.begin(), smallest.begin() + tree.leaves, 0);
  for (std::size_t k = 0; k < tree.nodes.size(); ++k)
    smallest[static_cast<std::size_t>(tree.leaves) + k] =
        smallest[static_cast<std::size_t>(tree.nodes[k].first)];
  return smallest;
}

float sum_of_squares_fp32(const SumTree& tree, std::span<const float> operands, std::vector<float>& scratch) {
  return evaluate(tree, operands, scratch, [](float x, float sum) { return std::fma(x, x, sum); });
}

double sum_of_squares(const SumTree& tree, std::span<const float> operands, std::vector<double>& scratch) {
  if (tree.precision == SumTree::Precision::fp64)
    return evaluate(tree, operands, scratch, [](double x, double sum) { return std::fma(x, x, sum); });
  thread_local std::vector<float> of_fp32;
  return static_cast<double>(sum_of_squares_fp32(tree, operands, of_fp32));
}

Value sum_of_squares(Arithmetic& arithmetic, const SumTree& tree, std::span<const Value> operands) {
  const Format& format = tree.precision == SumTree::Precision::fp64 ? kFp64 : format_of(DType::fp32);
  const auto leaves = static_cast<std::size_t>(tree.leaves);
  std::vector<Value> values(leaves + tree.nodes.size());
  for (std::size_t j = 0; j < leaves; ++j) {
    const Value square = operands[j] * operands[j];
    const bool rounded = !tree.is_fused(static_cast<std::int32_t>(j));
    values[j] = rounded ? arithmetic.round(Step::accumulate, "x * x", format, square) : square;
  }
  for (std::size_t k = 0; k < tree.nodes.size(); ++k) {
    values[leaves + k] = arithmetic.round(Step::accumulate, "a + b", format,
                                          values[static_cast<std::size_t>(tree.nodes[k].first)] +
                                              values[static_cast<std::size_t>(tree.nodes[k].second)]);
  }
  return values.back();
}

}  // namespace normproof::oracle
