// The tree as data: its evaluation against loops and against exact arithmetic, and
// planted lies against its certificate.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <utility>
#include <vector>

#include "oracle/row_kernels.h"
#include "properties/order/certify.h"
#include "properties/order/detect.h"
#include "properties/order/families.h"
#include "properties/order/test/boxes.h"

namespace normproof::order {
namespace {

std::vector<float> random_row(std::int32_t count, Random& random) {
  std::vector<float> row;
  for (std::int32_t j = 0; j < count; ++j) {
    const auto exponent = static_cast<int>(random.below(40)) - 20;
    const double sign = random.below(2) != 0 ? 1 : -1;
    const auto mantissa = static_cast<double>(random.below(1u << 24));
    row.push_back(static_cast<float>(sign * std::ldexp(mantissa, exponent - 24)));
  }
  return row;
}

// With every second leaf fused where its sibling is none.
SumTree with_fused(const SumTree& tree) {
  std::vector<std::uint8_t> fused(static_cast<std::size_t>(tree.leaves), 0);
  for (const SumTree::Node& node : tree.nodes) {
    if (tree.is_leaf(node.second)) fused[static_cast<std::size_t>(node.second)] = node.second % 3 != 0;
  }
  return oracle::make_tree(tree.leaves, tree.nodes, fused, tree.precision);
}

TEST(SumTree, HardwareAndExactEvaluationAgree) {
  Random random(3);
  const oracle::StandardFloatEnvironment environment;
  for (const std::int32_t leaves : {1, 2, 3, 10, 100, 300}) {
    for (SumTree tree : {serial(leaves), random_tree(leaves, 9), canonical(leaves, 4)}) {
      for (const auto precision : {SumTree::Precision::fp32, SumTree::Precision::fp64}) {
        tree.precision = precision;
        for (const SumTree& variant : {tree, with_fused(tree)}) {
          const std::vector<float> row = random_row(leaves, random);
          std::vector<oracle::Value> values;
          for (const float x : row)
            values.push_back(oracle::decode(DType::fp32, std::bit_cast<std::uint32_t>(x)));
          std::vector<double> scratch;
          oracle::Arithmetic arithmetic;
          const double hardware = sum_of_squares(variant, row, scratch);
          EXPECT_EQ(hardware, oracle::to_double(sum_of_squares(arithmetic, variant, values)));
        }
      }
    }
  }
}

TEST(SumTree, RefusesWhatIsNoTree) {
  using Nodes = std::vector<SumTree::Node>;
  EXPECT_THROW(oracle::make_tree(0, {}), std::invalid_argument);
  EXPECT_THROW(oracle::make_tree(3, Nodes{{0, 1}}), std::invalid_argument);
  EXPECT_THROW(oracle::make_tree(3, Nodes{{0, 1}, {0, 2}}), std::invalid_argument);
  EXPECT_THROW(oracle::make_tree(3, Nodes{{0, 1}, {4, 2}}), std::invalid_argument);
  EXPECT_THROW(oracle::make_tree(3, Nodes{{0, -1}, {3, 2}}), std::invalid_argument);
  EXPECT_THROW(oracle::make_tree(2, Nodes{{0, 1}}, {1, 1}), std::invalid_argument);
  EXPECT_NO_THROW(oracle::make_tree(3, Nodes{{2, 1}, {3, 0}}, {1, 1, 0}));
}

TEST(SumTree, EqualTreesAreEqualHoweverTheyWereBuilt) {
  using Nodes = std::vector<SumTree::Node>;
  EXPECT_EQ(oracle::make_tree(4, Nodes{{3, 2}, {1, 0}, {5, 4}}), pairwise(4));
  EXPECT_EQ(oracle::make_tree(4, Nodes{{0, 1}, {2, 3}, {4, 5}}), pairwise(4));
  EXPECT_NE(serial(4), pairwise(4));
  EXPECT_NE(serial(4), reverse(4));
}

TEST(SumTree, DepthOfFamilies) {
  EXPECT_EQ(serial(16384).depth(), 16383);
  EXPECT_EQ(pairwise(16384).depth(), 14);
  EXPECT_EQ(numpy_pairwise(16384).depth(), 25);
  EXPECT_EQ(canonical(16384, 8).depth(), 25);
  EXPECT_EQ(cub_block_reduce(16384, 1024, 8).depth(), 51);
}

// The tree of these additions, whose numbers stand for themselves although parents may come before their
// children. The other tree where it is none: one subtree would hold itself.
SumTree sorted_tree(const SumTree& other, const std::vector<SumTree::Node>& nodes) {
  std::vector<SumTree::Node> sorted;
  std::vector<std::int32_t> renamed(static_cast<std::size_t>(other.leaves) + nodes.size(), -1);
  for (std::int32_t leaf = 0; leaf < other.leaves; ++leaf) renamed[static_cast<std::size_t>(leaf)] = leaf;
  while (sorted.size() < nodes.size()) {
    const std::size_t before = sorted.size();
    for (std::size_t k = 0; k < nodes.size(); ++k) {
      const auto number = static_cast<std::size_t>(other.leaves) + k;
      const std::int32_t first = renamed[static_cast<std::size_t>(nodes[k].first)];
      const std::int32_t second = renamed[static_cast<std::size_t>(nodes[k].second)];
      if (renamed[number] != -1 || first == -1 || second == -1) continue;
      sorted.push_back({first, second});
      renamed[number] = other.leaves + static_cast<std::int32_t>(sorted.size()) - 1;
    }
    if (sorted.size() == before) return other;
  }
  return oracle::make_tree(other.leaves, sorted);
}

std::int32_t any_below(Random& random, std::int32_t bound) {
  return static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(bound)));
}

// Each gives a tree that differs from `tree` in one thing, or `tree` itself where the draw changes nothing.
SumTree with_swapped(const SumTree& tree, std::int32_t a, std::int32_t b) {
  std::vector<SumTree::Node> nodes = tree.nodes;
  for (SumTree::Node& node : nodes)
    for (std::int32_t* child : {&node.first, &node.second})
      *child = *child == a ? b : *child == b ? a : *child;
  return sorted_tree(tree, nodes);
}
SumTree with_leaves_swapped(const SumTree& tree, Random& random) {
  const std::int32_t a = any_below(random, tree.leaves);
  return with_swapped(tree, a, any_below(random, tree.leaves));
}
SumTree with_subtrees_swapped(const SumTree& tree, Random& random) {
  const std::int32_t a = any_below(random, tree.root());
  return with_swapped(tree, a, any_below(random, tree.root()));
}
// a + (b + c) becomes (a + b) + c: two subtrees lie one addition deeper, or less deep.
SumTree with_depth_off_by_one(const SumTree& tree, Random& random) {
  std::vector<SumTree::Node> nodes = tree.nodes;
  SumTree::Node& outer = nodes[random.below(nodes.size())];
  if (random.below(2) != 0) std::swap(outer.first, outer.second);
  if (tree.is_leaf(outer.second)) return tree;
  SumTree::Node& inner = nodes[static_cast<std::size_t>(outer.second - tree.leaves)];
  if (random.below(2) != 0) std::swap(inner.first, inner.second);
  const std::int32_t number = outer.second, a = outer.first, b = inner.first, c = inner.second;
  inner = {a, b};
  outer = {number, c};
  return sorted_tree(tree, nodes);
}
// The leaves below a node in the opposite order.
SumTree with_subtree_reversed(const SumTree& tree, Random& random) {
  std::vector<std::int32_t> leaves, open = {tree.leaves + any_below(random, tree.leaves - 1)};
  while (!open.empty()) {
    const std::int32_t number = open.back();
    open.pop_back();
    if (tree.is_leaf(number)) {
      leaves.push_back(number);
      continue;
    }
    open.push_back(tree.node(number).first);
    open.push_back(tree.node(number).second);
  }
  std::ranges::sort(leaves);
  std::vector<SumTree::Node> nodes = tree.nodes;
  for (SumTree::Node& node : nodes) {
    for (std::int32_t* child : {&node.first, &node.second}) {
      const auto found = std::ranges::lower_bound(leaves, *child);
      if (tree.is_leaf(*child) && found != leaves.end() && *found == *child)
        *child = leaves[leaves.size() - 1 - static_cast<std::size_t>(found - leaves.begin())];
    }
  }
  return oracle::make_tree(tree.leaves, nodes);
}
SumTree with_fma_flag_flipped(const SumTree& tree, Random& random) {
  std::vector<std::uint8_t> fused = tree.fused;
  fused.resize(static_cast<std::size_t>(tree.leaves), 0);
  std::uint8_t& flag = fused[random.below(fused.size())];
  flag = flag == 0 ? 1 : 0;
  try {
    return oracle::make_tree(tree.leaves, tree.nodes, fused);
  } catch (const std::invalid_argument&) {  // both children of one addition would be fused
    return tree;
  }
}

SumTree random_truth(Random& random) {
  const std::int32_t hidden = 4 + any_below(random, 29);
  const std::uint64_t seed = random.next();
  switch (random.below(3)) {
    case 0:
      return random_tree(hidden, seed);
    case 1:
      return numpy_pairwise(hidden);
    default:
      return warp_shuffles(hidden, 32, 4);
  }
}

// Of each kind; with NORMPROOF_LONG_TESTS, by night, ten thousand.
std::int64_t lies_of_a_kind() { return std::getenv("NORMPROOF_LONG_TESTS") != nullptr ? 10000 : 1000; }

TEST(Certificate, RefusesPlantedLies) {
  struct Kind {
    const char* name;
    SumTree (*lie)(const SumTree&, Random&);
  };
  constexpr int kLiesOfATruth = 20;
  for (const Kind& kind :
       {Kind{"two leaves swapped", with_leaves_swapped}, Kind{"two subtrees swapped", with_subtrees_swapped},
        Kind{"one subtree reversed", with_subtree_reversed},
        Kind{"depth off by one", with_depth_off_by_one}}) {
    Random random(11);
    std::int64_t lies = 0, refused = 0;
    while (lies < lies_of_a_kind()) {
      const SumTree truth = random_truth(random);
      const auto box = make_tree_box(truth);
      std::string why;
      const auto reader = Reader::calibrate(*box, Reader::Scale::fp32, random, why);
      ASSERT_TRUE(reader) << why;
      ASSERT_TRUE(certify(*box, *reader, truth, random).holds);
      for (int i = 0; i < kLiesOfATruth; ++i) {
        const SumTree lie = kind.lie(truth, random);
        if (lie == truth) continue;
        ++lies;
        refused += certify(*box, *reader, lie, random).holds ? 0 : 1;
      }
    }
    EXPECT_EQ(refused, lies) << kind.name;
  }
}

// Flags show in rows of fp32, and are looked at once the tree is certified.
TEST(Certificate, RefusesAFlippedFmaFlag) {
  Random random(12);
  BoxOptions options;
  options.dtype = options.output_dtype = DType::fp32;
  std::int64_t lies = 0, refused = 0;
  while (lies < lies_of_a_kind()) {
    SumTree truth = random_truth(random);
    for (int i = 0; i < truth.leaves; ++i) truth = with_fma_flag_flipped(truth, random);
    const auto box = make_tree_box(truth, options);
    std::string why;
    ASSERT_TRUE(has_tree(*box, truth, random.next(), why)) << why;
    for (int i = 0; i < 10; ++i) {
      const SumTree lie = with_fma_flag_flipped(truth, random);
      if (lie == truth) continue;
      ++lies;
      refused += has_tree(*box, lie, random.next(), why) ? 0 : 1;
    }
  }
  EXPECT_EQ(refused, lies);
}

TEST(Certificate, HasARowForEachAdditionButTheLast) {
  for (const std::int32_t leaves : {1, 2, 3, 4, 100})
    EXPECT_EQ(certificate(random_tree(leaves, 1)).size(), static_cast<std::size_t>(std::max(0, leaves - 2)));
}

}  // namespace
}  // namespace normproof::order
