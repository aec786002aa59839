// A tree under recovery: subtrees that are known by their leaves and solved from the root down, and the
// shapes that have been seen.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "oracle/sum_tree.h"

namespace normproof::order {

using oracle::SumTree;

using Leaves = std::vector<std::int32_t>;
// The shape of a subtree: a tree of the ranks of its leaves.
using Shape = std::shared_ptr<const SumTree>;

class Subtrees {
 public:
  static constexpr std::int32_t kRoot = 0;

  Subtrees() : slots_(1) {}

  // A subtree is one leaf, or two children that are to be solved.
  void set_leaf(std::int32_t slot, std::int32_t leaf);
  struct Children {
    std::int32_t first, second;
  };
  Children divide(std::int32_t slot);
  // The subtree has this shape; `leaves` are ascending.
  void graft(std::int32_t slot, const Leaves& leaves, const SumTree& shape);

  // The tree of the ranks of its leaves. All below it must be solved.
  SumTree tree_of(std::int32_t slot) const;

  // Shapes of solved subtrees of a size, at most a few.
  std::span<const Shape> shapes_of(std::size_t leaves) const;
  // Remembers the shapes of subtrees that have been divided since, once all below them is solved, as far as
  // their sizes are among those wanted.
  void learn(std::span<const std::size_t> wanted_sizes);

 private:
  struct Slot {
    std::int32_t first = -1, second = -1;
    std::int32_t leaf = -1;
  };
  Slot& at(std::int32_t slot) { return slots_[static_cast<std::size_t>(slot)]; }
  const Slot& at(std::int32_t slot) const { return slots_[static_cast<std::size_t>(slot)]; }
  Leaves leaves_of(std::int32_t slot) const;
  std::vector<std::int32_t> sizes() const;

  std::vector<Slot> slots_;              // children have larger numbers than their parents
  std::vector<std::int32_t> unlearned_;  // divided; their shapes are not known yet
  std::map<std::size_t, std::vector<Shape>> shapes_;
};

}  // namespace normproof::order
