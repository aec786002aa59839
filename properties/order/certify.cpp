#include "properties/order/certify.h"

#include <fmt/format.h>

#include "properties/order/chains.h"

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

namespace {

// The questions of the certificate and their opposites: of three parts of one chain both survive.
void ask_triples(BlackBox& box, const Reader& reader, const SumTree& tree, Random& random,
                 CertificateResult& result) {
  std::vector<Triple> triples = certificate(tree);
  const std::size_t count = triples.size();
  // The same three leaves with the big one in the place of a unit.
  for (std::size_t i = 0; i < count; ++i)
    triples.push_back({triples[i].first, triples[i].big, triples[i].second});
  const std::vector<bool> followed = is_followed(tree);
  const std::vector<Reading> readings = reader.ask(box, triples, random);
  result.rows += static_cast<std::int64_t>(triples.size());
  for (std::size_t i = 0; i < triples.size(); ++i) {
    const bool survives = i < count || followed[i - count];
    if (readings[i] == (survives ? Reading::survived : Reading::absorbed)) continue;
    const Triple& triple = triples[i % count];
    result.only_opposites =
        i >= count && readings[i] != Reading::other && (result.refuted == 0 || result.only_opposites);
    if (result.refuted++ > 0) continue;
    result.why = survives && i >= count ? fmt::format("elements {}, {} and {} are not of one compensated sum",
                                                      triple.first, triple.second, triple.big)
                                        : fmt::format("elements {} and {} do not meet before element {}",
                                                      triple.first, triple.second, triple.big);
  }
}

void ask_chains(BlackBox& box, const Reader& reader, const SumTree& tree, CertificateResult& result) {
  const ChainRows rows(box, reader);
  const std::vector<OrderRow> asked = order_rows(rows, tree, result.why);
  if (asked.empty()) {
    ++result.refuted;
    return;
  }
  const auto readings = ask(box, reader, rows, tree, asked);
  result.rows += static_cast<std::int64_t>(asked.size());
  if (!readings) {
    ++result.refuted;
    result.why = "the control rows of a compensated sum do not read as two numbers";
    return;
  }
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if ((*readings)[i] == asked[i].expected) continue;
    if (result.refuted++ == 0)
      result.why = fmt::format("a {} sum does not take element {} before element {}",
                               name_of(tree.accumulator), asked[i].earlier, asked[i].later);
  }
}

}  // namespace

CertificateResult certify(BlackBox& box, const Reader& reader, const SumTree& tree, Random& random) {
  CertificateResult result;
  ask_triples(box, reader, tree, random, result);
  if (result.refuted == 0 && tree.is_compensated()) ask_chains(box, reader, tree, result);
  result.holds = result.refuted == 0;
  return result;
}

}  // namespace normproof::order
