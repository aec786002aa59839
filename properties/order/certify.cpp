#include "properties/order/certify.h"

namespace normproof::order {

std::vector<Triple> certificate(const SumTree& tree) {
  std::vector<Triple> triples;
  if (tree.leaves < 3) return triples;
  triples.reserve(static_cast<std::size_t>(tree.leaves) - 2);
  const std::vector<std::int32_t> smallest = oracle::smallest_leaves(tree);
  std::vector<std::int32_t> sibling(smallest.size(), 0);
  for (const SumTree::Node& node : tree.nodes) {
    sibling[static_cast<std::size_t>(node.first)] = node.second;
    sibling[static_cast<std::size_t>(node.second)] = node.first;
  }
  for (std::int32_t number = tree.leaves; number < tree.root(); ++number) {
    const SumTree::Node& node = tree.node(number);
    const auto below = [&](std::int32_t of) { return smallest[static_cast<std::size_t>(of)]; };
    triples.push_back(
        {below(node.first), below(node.second), below(sibling[static_cast<std::size_t>(number)])});
  }
  return triples;
}

CertificateResult certify(BlackBox& box, const Reader& reader, const SumTree& tree, Random& random) {
  std::vector<Triple> triples = certificate(tree);
  const std::size_t count = triples.size();
  // The same three leaves with the big one in the place of a unit.
  for (std::size_t i = 0; i < count; ++i)
    triples.push_back({triples[i].first, triples[i].big, triples[i].second});
  const std::vector<Reading> readings = reader.ask(box, triples, random);
  CertificateResult result;
  result.rows = static_cast<std::int64_t>(triples.size());
  for (std::size_t i = 0; i < triples.size(); ++i) {
    if (readings[i] == (i < count ? Reading::survived : Reading::absorbed)) continue;
    if (result.refuted++ == 0) result.first_refuted = triples[i % count];
  }
  result.holds = result.refuted == 0;
  return result;
}

}  // namespace normproof::order
