#include "properties/order/fused_leaves.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <utility>

#include "oracle/formats.h"

namespace normproof::order {
namespace {

constexpr float kBigLeaf = 4096;            // its square is 2^24, the ulp of which is 2
constexpr float kTrace = 2.2360680103302f;  // its square is 5 and a trace, and 5 when it is rounded
constexpr float kWhole = 2;                 // its square is 4
constexpr float kNudge = 1.1875;            // 1.41 more is above half an ulp
constexpr float kRead = 0.5;                // an element to read, whose square vanishes beside the big one
constexpr std::size_t kLeafControls = 4;

std::uint32_t bits(float value) { return std::bit_cast<std::uint32_t>(value); }

// Any column but these.
std::int32_t column_beside(std::int32_t hidden, std::initializer_list<std::int32_t> taken) {
  std::int32_t column = 0;
  while (std::ranges::find(taken, column) != taken.end()) ++column;
  return column < hidden ? column : -1;
}

// Those that leave a few ulp of the mean of 2^24 + 4, then those with which fp32 outputs often show one ulp
// of it.
std::vector<float> likely_epsilons(std::int32_t hidden) {
  const auto count = static_cast<float>(hidden);
  const float sum = kBigLeaf * kBigLeaf + 4;
  std::vector<float> epsilons;
  for (const float mean : {sum / count, sum * (1.0f / count)}) {
    float epsilon = mean;
    for (int steps = 1; steps <= 3; ++steps) {
      epsilon = std::nextafter(epsilon, 0.0f);
      epsilons.push_back(-epsilon);
    }
  }
  for (int step = 0; step < 64; ++step) epsilons.push_back(sum / count * static_cast<float>(step) / 16);
  return epsilons;
}

// The flags; nothing where the control rows, which come first, do not read as
// two numbers, or a row as neither.
std::optional<std::vector<std::uint8_t>> ask(BlackBox& box, std::span<const Probe> rows,
                                             std::uint32_t epsilon) {
  const auto& format = oracle::format_of(box.output_dtype());
  const auto read = box.outputs(rows.first(2 * kLeafControls), epsilon);
  const std::uint32_t rounded = read.front(), fma = read.back();
  const bool alike =
      std::all_of(read.begin(), read.begin() + kLeafControls, [&](auto value) { return value == rounded; }) &&
      std::all_of(read.begin() + kLeafControls, read.end(), [&](auto value) { return value == fma; });
  if (!alike || rounded == fma) return std::nullopt;
  for (const std::uint32_t control : {rounded, fma})
    if (oracle::is_nan(format, control) || oracle::is_infinite(format, control)) return std::nullopt;
  std::vector<std::uint8_t> fused;
  for (const std::uint32_t answer : box.outputs(rows.subspan(2 * kLeafControls), epsilon)) {
    if (answer != rounded && answer != fma) return std::nullopt;
    fused.push_back(answer == fma ? 1 : 0);
  }
  return fused;
}

// Whether what is rounded differs from row to row, as where a compiler unrolls a loop over rows: each leaf is
// asked once more, in another row of the calls.
bool differs_by_row(BlackBox& box, std::vector<Probe> rows, const std::vector<std::uint8_t>& fused,
                    std::uint32_t epsilon) {
  std::reverse(rows.begin() + 2 * kLeafControls, rows.end());
  auto again = ask(box, rows, epsilon);
  if (!again) return true;
  std::ranges::reverse(*again);
  return *again != fused;
}

// Of two leaves that are added to each other one is rounded.
bool are_both_fused(const oracle::SumTree& tree, const std::vector<std::uint8_t>& fused) {
  return std::ranges::any_of(tree.nodes, [&](const oracle::SumTree::Node& node) {
    return tree.is_leaf(node.first) && tree.is_leaf(node.second) &&
           fused[static_cast<std::size_t>(node.first)] != 0 &&
           fused[static_cast<std::size_t>(node.second)] != 0;
  });
}

}  // namespace

std::optional<std::vector<std::uint8_t>> fused_leaves(BlackBox& box, const oracle::SumTree& tree,
                                                      Random& random) {
  const std::int32_t hidden = box.hidden_size();
  if (box.dtype() != DType::fp32 || hidden < 4) return std::nullopt;
  const std::vector<std::int32_t> smallest = oracle::smallest_leaves(tree);
  std::vector<Probe> rows;
  // Controls: 2^24 + 4 + 0.25, and 1.41 more.
  for (const bool more : {false, true}) {
    for (std::size_t i = 0; i < kLeafControls; ++i) {
      const std::uint64_t first = random.below(static_cast<std::uint64_t>(hidden));
      const auto at = [&](std::uint64_t place) {
        return static_cast<std::int32_t>((first + place) % static_cast<std::uint64_t>(hidden));
      };
      Probe row{{{at(0), bits(kBigLeaf)}, {at(1), bits(kWhole)}, {at(2), bits(kRead)}}, at(2)};
      if (more) row.elements.push_back({at(3), bits(kNudge)});
      rows.push_back(std::move(row));
    }
  }
  // A leaf's big number lies below its sibling, where nothing rounds the leaf's square before they meet.
  std::vector<std::int32_t> sibling(static_cast<std::size_t>(hidden), 0);
  std::vector<bool> skipped(static_cast<std::size_t>(hidden), false);
  for (std::size_t k = 0; k < tree.nodes.size(); ++k) {
    const oracle::SumTree::Node& node = tree.nodes[k];
    const bool compensated = tree.is_compensated() && tree.running[k] != oracle::SumTree::Running::none;
    for (const auto& [leaf, other] :
         {std::pair(node.first, node.second), std::pair(node.second, node.first)}) {
      if (!tree.is_leaf(leaf)) continue;
      sibling[static_cast<std::size_t>(leaf)] = other;
      skipped[static_cast<std::size_t>(leaf)] = compensated;
    }
  }
  for (std::int32_t leaf = 0; leaf < hidden; ++leaf) {
    if (skipped[static_cast<std::size_t>(leaf)]) continue;
    const std::int32_t big = smallest[static_cast<std::size_t>(sibling[static_cast<std::size_t>(leaf)])];
    const std::int32_t read = column_beside(hidden, {leaf, big});
    rows.push_back({{{big, bits(kBigLeaf)}, {leaf, bits(kTrace)}, {read, bits(kRead)}}, read});
  }
  for (const float epsilon : likely_epsilons(hidden)) {
    try {
      auto fused = ask(box, rows, bits(epsilon));
      if (!fused) continue;
      std::vector<std::uint8_t> all(static_cast<std::size_t>(hidden), 0);
      for (std::size_t leaf = 0, asked = 0; leaf < all.size(); ++leaf)
        if (!skipped[leaf]) all[leaf] = (*fused)[asked++];
      if (differs_by_row(box, rows, *fused, bits(epsilon)) || are_both_fused(tree, all)) return std::nullopt;
      return all;
    } catch (const NoAnswer& error) {
      if (!error.refused) throw;
    }
  }
  return std::nullopt;
}

}  // namespace normproof::order
