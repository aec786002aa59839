// The tree as data: its evaluation against loops and against exact arithmetic, and planted lies against its
// certificate.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "oracle/row_kernels.h"
#include "properties/order/certify.h"
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

// Leaves in pre-order of a tree whose subtrees are written from the root, with two things changed at a time.
SumTree with_leaves_swapped(const SumTree& tree, std::int32_t a, std::int32_t b) {
  std::vector<SumTree::Node> nodes = tree.nodes;
  for (SumTree::Node& node : nodes)
    for (std::int32_t* child : {&node.first, &node.second})
      *child = *child == a ? b : *child == b ? a : *child;
  return oracle::make_tree(tree.leaves, nodes);
}

// Two subtrees, none of which holds the other, in each other's place: "depth off by one" if one is a leaf.
SumTree with_subtrees_swapped(const SumTree& tree, std::int32_t a, std::int32_t b) {
  std::vector<SumTree::Node> nodes = tree.nodes;
  for (SumTree::Node& node : nodes)
    for (std::int32_t* child : {&node.first, &node.second})
      *child = *child == a ? b : *child == b ? a : *child;
  // Parents may now come before their children: sort by what must come first.
  std::vector<SumTree::Node> sorted;
  std::vector<std::int32_t> renamed(static_cast<std::size_t>(tree.leaves) + nodes.size(), -1);
  for (std::int32_t leaf = 0; leaf < tree.leaves; ++leaf) renamed[static_cast<std::size_t>(leaf)] = leaf;
  while (sorted.size() < nodes.size()) {
    const std::size_t before = sorted.size();
    for (std::size_t k = 0; k < nodes.size(); ++k) {
      const auto number = static_cast<std::size_t>(tree.leaves) + k;
      const std::int32_t first = renamed[static_cast<std::size_t>(nodes[k].first)];
      const std::int32_t second = renamed[static_cast<std::size_t>(nodes[k].second)];
      if (renamed[number] != -1 || first == -1 || second == -1) continue;
      sorted.push_back({first, second});
      renamed[number] = tree.leaves + static_cast<std::int32_t>(sorted.size()) - 1;
    }
    if (sorted.size() == before) return tree;  // one holds the other
  }
  return oracle::make_tree(tree.leaves, sorted);
}

// The leaves below a node in the opposite order.
SumTree with_subtree_reversed(const SumTree& tree, std::int32_t of) {
  std::vector<std::int32_t> leaves, open = {of};
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

TEST(Certificate, RefusesPlantedLies) {
  Random random(11);
  std::int64_t lies = 0, refused = 0;
  for (int trial = 0; lies < 10000; ++trial) {
    const auto hidden = static_cast<std::int32_t>(4 + random.below(29));
    const std::uint64_t seed = random.next();
    const SumTree truth = trial % 3 == 0   ? random_tree(hidden, seed)
                          : trial % 3 == 1 ? numpy_pairwise(hidden)
                                           : warp_shuffles(hidden, 32, 4);
    const auto box = make_tree_box(truth);
    std::string why;
    const auto reader = Reader::calibrate(*box, Reader::Scale::fp32, random, why);
    ASSERT_TRUE(reader) << why;
    ASSERT_TRUE(certify(*box, *reader, truth, random).holds);
    const auto any = [&](std::int32_t bound) {
      return static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(bound)));
    };
    for (int kind = 0; kind < 30; ++kind) {
      const SumTree lie = kind % 3 == 0   ? with_leaves_swapped(truth, any(hidden), any(hidden))
                          : kind % 3 == 1 ? with_subtrees_swapped(truth, any(truth.root()), any(truth.root()))
                                          : with_subtree_reversed(truth, hidden + any(hidden - 1));
      if (lie == truth) continue;
      ++lies;
      refused += certify(*box, *reader, lie, random).holds ? 0 : 1;
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
