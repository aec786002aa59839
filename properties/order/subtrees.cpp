#include "properties/order/subtrees.h"

#include <algorithm>
#include <utility>

namespace normproof::order {
namespace {

constexpr std::size_t kShapesKept = 3;   // of each size
constexpr int kSlotsLookedAt = 2;        // for shapes of a size, each time
constexpr std::int32_t kLeastShape = 4;  // leaves; smaller subtrees are solved as cheaply

}  // namespace

void Subtrees::set_leaf(std::int32_t slot, std::int32_t leaf) { at(slot).leaf = leaf; }

Subtrees::Children Subtrees::divide(std::int32_t slot) {
  const auto first = static_cast<std::int32_t>(slots_.size());
  slots_.emplace_back();
  slots_.emplace_back();
  at(slot).first = first;
  at(slot).second = first + 1;
  unlearned_.push_back(slot);
  return {first, first + 1};
}

void Subtrees::graft(std::int32_t slot, const Leaves& leaves, const SumTree& shape) {
  std::vector<std::int32_t> slot_of(static_cast<std::size_t>(shape.leaves) + shape.nodes.size());
  slot_of.back() = slot;
  for (std::int32_t number = shape.root(); number >= shape.leaves; --number) {
    const SumTree::Node& node = shape.node(number);
    const Children children = divide(slot_of[static_cast<std::size_t>(number)]);
    unlearned_.pop_back();  // the shape is known
    slot_of[static_cast<std::size_t>(node.first)] = children.first;
    slot_of[static_cast<std::size_t>(node.second)] = children.second;
  }
  for (std::int32_t leaf = 0; leaf < shape.leaves; ++leaf)
    set_leaf(slot_of[static_cast<std::size_t>(leaf)], leaves[static_cast<std::size_t>(leaf)]);
}

Leaves Subtrees::leaves_of(std::int32_t slot) const {
  Leaves leaves;
  std::vector<std::int32_t> open = {slot};
  while (!open.empty()) {
    const Slot& top = at(open.back());
    open.pop_back();
    if (top.leaf >= 0) leaves.push_back(top.leaf);
    if (top.first < 0) continue;
    open.push_back(top.first);
    open.push_back(top.second);
  }
  std::ranges::sort(leaves);
  return leaves;
}

SumTree Subtrees::tree_of(std::int32_t slot) const {
  const Leaves leaves = leaves_of(slot);
  const auto count = static_cast<std::int32_t>(leaves.size());
  std::vector<SumTree::Node> nodes;
  std::map<std::int32_t, std::int32_t> numbers;  // of the slots
  std::vector<std::pair<std::int32_t, bool>> open = {{slot, false}};
  while (!open.empty()) {
    const auto [top, below_is_done] = open.back();
    open.pop_back();
    const Slot& subtree = at(top);
    if (subtree.leaf >= 0) {
      numbers[top] =
          static_cast<std::int32_t>(std::ranges::lower_bound(leaves, subtree.leaf) - leaves.begin());
    } else if (!below_is_done) {
      open.push_back({top, true});
      open.push_back({subtree.first, false});
      open.push_back({subtree.second, false});
    } else {
      nodes.push_back({numbers[subtree.first], numbers[subtree.second]});
      numbers[top] = count + static_cast<std::int32_t>(nodes.size()) - 1;
    }
  }
  return oracle::make_tree(count, std::move(nodes));
}

std::span<const Shape> Subtrees::shapes_of(std::size_t leaves) const {
  const auto known = shapes_.find(leaves);
  return known == shapes_.end() ? std::span<const Shape>() : std::span<const Shape>(known->second);
}

// In leaves; 0: not solved.
std::vector<std::int32_t> Subtrees::sizes() const {
  std::vector<std::int32_t> sizes(slots_.size(), 0);
  for (std::size_t i = slots_.size(); i-- > 0;) {
    const Slot& slot = slots_[i];
    if (slot.leaf >= 0) sizes[i] = 1;
    if (slot.first < 0) continue;
    const std::int32_t a = sizes[static_cast<std::size_t>(slot.first)],
                       b = sizes[static_cast<std::size_t>(slot.second)];
    sizes[i] = a != 0 && b != 0 ? a + b : 0;
  }
  return sizes;
}

void Subtrees::learn(std::span<const std::size_t> wanted_sizes) {
  if (unlearned_.empty()) return;
  std::map<std::int32_t, int> wanted;
  for (const std::size_t size : wanted_sizes) wanted[static_cast<std::int32_t>(size)] = kSlotsLookedAt;
  const std::vector<std::int32_t> size_of = sizes();
  std::vector<std::int32_t> left;
  for (const std::int32_t slot : unlearned_) {
    const std::int32_t size = size_of[static_cast<std::size_t>(slot)];
    const auto waiting = wanted.find(size);
    if (size == 0 || waiting == wanted.end()) left.push_back(slot);
    if (size < kLeastShape || waiting == wanted.end() || waiting->second-- <= 0) continue;
    std::vector<Shape>& known = shapes_[static_cast<std::size_t>(size)];
    if (known.size() >= kShapesKept) continue;
    auto shape = std::make_shared<const SumTree>(tree_of(slot));
    if (std::ranges::none_of(known, [&](const Shape& other) { return *other == *shape; }))
      known.push_back(std::move(shape));
  }
  unlearned_ = std::move(left);
}

}  // namespace normproof::order
