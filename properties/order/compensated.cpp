#include "properties/order/compensated.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "properties/order/certify.h"
#include "properties/order/chain_order.h"

namespace normproof::order {
namespace {

using Accumulator = SumTree::Accumulator;
using Running = SumTree::Running;

// The tree with each chain drawn together: an addition and its parts, which are leaves, or additions by their
// number in the tree that was asked.
struct Joint {
  std::int32_t number = 0;
  std::vector<std::int32_t> parts;
};

// Whether the addition and the one above it are of one chain. Nothing where a
// row of the certificate is refuted.
std::optional<std::vector<bool>> ask_which_are_of_a_chain(BlackBox& box, const Reader& reader,
                                                          const SumTree& tree, Random& random) {
  std::vector<Triple> triples = certificate(tree);
  const std::size_t count = triples.size();
  for (std::size_t i = 0; i < count; ++i)
    triples.push_back({triples[i].first, triples[i].big, triples[i].second});
  const std::vector<Reading> readings = reader.ask(box, triples, random);
  std::vector<bool> joined(tree.nodes.size(), false);
  for (std::size_t i = 0; i < count; ++i) {
    if (readings[i] != Reading::survived || readings[count + i] == Reading::other) return std::nullopt;
    joined[i] = readings[count + i] == Reading::survived;
  }
  return joined;
}

std::vector<Joint> joints_of(const SumTree& tree, const std::vector<bool>& joined) {
  const auto is_joined = [&](std::int32_t number) {
    return !tree.is_leaf(number) && joined[static_cast<std::size_t>(number - tree.leaves)];
  };
  std::vector<Joint> joints;
  for (std::int32_t number = tree.leaves; number <= tree.root(); ++number) {
    if (is_joined(number)) continue;
    Joint joint{number, {}};
    std::vector<std::int32_t> open = {number};
    while (!open.empty()) {
      const SumTree::Node& node = tree.node(open.back());
      open.pop_back();
      for (const std::int32_t child : {node.first, node.second})
        (is_joined(child) ? open : joint.parts).push_back(child);
    }
    joints.push_back(std::move(joint));
  }
  return joints;
}

// Parts of a joint of more than two are added in the order in which they stand.
SumTree tree_of(std::int32_t leaves, const std::vector<Joint>& joints, Accumulator accumulator) {
  std::vector<SumTree::Node> nodes;
  std::vector<Running> running;
  std::vector<std::int32_t> renamed(2 * static_cast<std::size_t>(leaves) - 1);
  for (std::int32_t leaf = 0; leaf < leaves; ++leaf) renamed[static_cast<std::size_t>(leaf)] = leaf;
  for (const Joint& joint : joints) {
    std::int32_t sum = renamed[static_cast<std::size_t>(joint.parts.front())];
    for (std::size_t i = 1; i < joint.parts.size(); ++i) {
      nodes.push_back({sum, renamed[static_cast<std::size_t>(joint.parts[i])]});
      running.push_back(joint.parts.size() == 2 ? Running::none
                        : i == 1                ? Running::value_of_first
                                                : Running::first);
      sum = leaves + static_cast<std::int32_t>(nodes.size()) - 1;
    }
    renamed[static_cast<std::size_t>(joint.number)] = sum;
  }
  return oracle::make_compensated_tree(leaves, std::move(nodes), std::move(running), accumulator);
}

// The joints of more than two parts, as lists of their parts' smallest leaves.
std::vector<std::vector<std::int32_t>> unordered(const SumTree& tree, const std::vector<Joint>& joints) {
  const std::vector<std::int32_t> smallest = oracle::smallest_leaves(tree);
  std::vector<std::vector<std::int32_t>> lists;
  for (const Joint& joint : joints) {
    if (joint.parts.size() < 3) continue;
    lists.emplace_back();
    for (const std::int32_t part : joint.parts)
      lists.back().push_back(smallest[static_cast<std::size_t>(part)]);
  }
  return lists;
}

void take_order(const SumTree& tree, std::vector<Joint>& joints,
                const std::vector<std::vector<std::int32_t>>& ordered) {
  const std::vector<std::int32_t> smallest = oracle::smallest_leaves(tree);
  std::vector<std::int32_t> part_of(static_cast<std::size_t>(tree.leaves));
  std::size_t next = 0;
  for (Joint& joint : joints) {
    if (joint.parts.size() < 3) continue;
    for (const std::int32_t part : joint.parts)
      part_of[static_cast<std::size_t>(smallest[static_cast<std::size_t>(part)])] = part;
    for (std::size_t i = 0; i < joint.parts.size(); ++i)
      joint.parts[i] = part_of[static_cast<std::size_t>(ordered[next][i])];
    ++next;
  }
}

}  // namespace

std::optional<CompensatedTree> find_compensated(BlackBox& box, const Reader& reader, const SumTree& tree,
                                                Random& random, std::string& why) {
  const auto joined = ask_which_are_of_a_chain(box, reader, tree, random);
  if (!joined) {
    why = kFitsNoTree;
    return std::nullopt;
  }
  std::vector<Joint> joints = joints_of(tree, *joined);
  const auto lists = unordered(tree, joints);
  if (lists.empty()) {
    why = "no addition is wide";
    return std::nullopt;
  }
  const auto found = order_chains(box, reader, lists, random, why);
  if (!found) return std::nullopt;
  take_order(tree, joints, found->chains);
  const auto accumulators = found->is_neumaier
                                ? std::vector<Accumulator>{Accumulator::neumaier}
                                : std::vector<Accumulator>{Accumulator::kahan, Accumulator::kahan_corrected};
  const SumTree first = tree_of(tree.leaves, joints, accumulators.front());
  const CertificateResult result = certify(box, reader, first, random);
  if (!result.holds) {
    why = result.why;
    return std::nullopt;
  }
  for (const Accumulator accumulator : accumulators) {
    SumTree candidate = tree_of(tree.leaves, joints, accumulator);
    if (has_accumulator(box, reader, candidate, random, why))
      return CompensatedTree{std::move(candidate), result.rows};
  }
  return std::nullopt;
}

}  // namespace normproof::order
