// The order in which a kernel adds the squares of a row, as data: a binary tree whose leaves are the
// elements.
//
// Addition is commutative, so a tree has no left and right. Numbered in one fixed way (see SumTree::nodes)
// two trees are the same order of summation exactly when they are equal.
//
// Additions may be compensated: a running sum s keeps a correction c for what its additions have rounded
// away. There the two children differ, and the tree says which of them is the running sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oracle/steps.h"

namespace normproof::oracle {

// Leaves that a tree may have; its text stays within what the JSON reader takes.
inline constexpr std::int64_t kMaximumTreeLeaves = std::int64_t{1} << 17;

struct SumTree {
  // In which every square and every sum is rounded.
  enum class Precision : std::uint8_t { fp32, fp64 };
  // What compensated additions do with the running sum (s, c) and the term v; c is 0 at first. Whoever adds
  // the result to something else takes its value, and no correction.
  enum class Accumulator : std::uint8_t {
    plain,            // there are none
    kahan,            // y = v - c, t = s + y, c = (t - s) - y, s = t; its value is s
    kahan_corrected,  // the same; its value is s - c
    neumaier          // t = s + v, c += what the addition rounded away, exactly; its value is s + c
  };
  // Of an addition: that it is not compensated, or which child is the running sum: with its correction, or
  // its value alone, where a new running sum begins with the result of another one.
  enum class Running : std::uint8_t { none, first, second, value_of_first, value_of_second };

  struct Node {
    std::int32_t first = 0;
    std::int32_t second = 0;
    friend bool operator==(const Node&, const Node&) = default;
  };

  std::int32_t leaves = 0;
  Precision precision = Precision::fp32;
  // leaves - 1 additions. Leaf j has the number j, nodes[k] the number leaves + k; it adds what its two
  // children give, of which the first holds the smaller leaf. Nodes are sorted by height, then by their
  // smallest leaf, so that children come before their parents and the root is last.
  std::vector<Node> nodes;
  // fused[j] != 0: the square of element j is not rounded, it is added by an fma. Empty: none is. Never both
  // children of a node.
  std::vector<std::uint8_t> fused;
  // Of fp32 alone. `running` has an entry for each addition, or none where the accumulator is plain.
  Accumulator accumulator = Accumulator::plain;
  std::vector<Running> running;

  bool is_leaf(std::int32_t number) const { return number < leaves; }
  std::int32_t root() const {
    return nodes.empty() ? 0 : leaves + static_cast<std::int32_t>(nodes.size()) - 1;
  }
  const Node& node(std::int32_t number) const { return nodes[static_cast<std::size_t>(number - leaves)]; }
  bool is_fused(std::int32_t number) const {
    return !fused.empty() && is_leaf(number) && fused[static_cast<std::size_t>(number)] != 0;
  }
  // The longest chain of additions from an element to the sum.
  std::int64_t depth() const;
  std::int64_t fused_leaves() const;
  bool is_compensated() const { return accumulator != Accumulator::plain; }
  // Additions that are.
  std::int64_t compensated_additions() const;
  friend bool operator==(const SumTree&, const SumTree&) = default;
};

// The tree with its nodes numbered as said above. In `nodes` children come before their parents, in any other
// order. Throws std::invalid_argument, naming the node, where that is no tree of all leaves or two leaves are
// both fused with each other.
SumTree make_tree(std::int32_t leaves, std::vector<SumTree::Node> nodes, std::vector<std::uint8_t> fused = {},
                  SumTree::Precision precision = SumTree::Precision::fp32);

// The tree with compensated additions: running[k] belongs to nodes[k]. An fma of a compensated addition is
// that of v - c. Throws std::invalid_argument as well where an fma has no such place.
SumTree make_compensated_tree(std::int32_t leaves, std::vector<SumTree::Node> nodes,
                              std::vector<SumTree::Running> running, SumTree::Accumulator accumulator,
                              std::vector<std::uint8_t> fused = {});

inline bool is_first(SumTree::Running running) {
  return running == SumTree::Running::first || running == SumTree::Running::value_of_first;
}
inline bool takes_correction(SumTree::Running running) {
  return running == SumTree::Running::first || running == SumTree::Running::second;
}

// "kahan", as the JSON form has it, and back.
std::string_view name_of(SumTree::Accumulator accumulator);
std::optional<SumTree::Accumulator> accumulator_from_name(std::string_view name);

// The smallest leaf below each number, leaves first.
std::vector<std::int32_t> smallest_leaves(const SumTree& tree);

// The sum of the squares of `operands`, one per leaf, in hardware arithmetic; `scratch` is overwritten. Only
// within a StandardFloatEnvironment. The tree of fp32 gives an fp32 number.
double sum_of_squares(const SumTree& tree, std::span<const float> operands, std::vector<double>& scratch);
float sum_of_squares_fp32(const SumTree& tree, std::span<const float> operands, std::vector<float>& scratch);
// The same, exactly.
Value sum_of_squares(Arithmetic& arithmetic, const SumTree& tree, std::span<const Value> operands);

}  // namespace normproof::oracle
