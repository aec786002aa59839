#include "properties/order/chains.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "corpus/float_format.h"

namespace normproof::order {
namespace {

using Running = SumTree::Running;
using Accumulator = SumTree::Accumulator;

constexpr std::size_t kControlChains = 4;

Running running_of(const SumTree& tree, std::int32_t number) {
  return tree.is_leaf(number) ? Running::none : tree.running[static_cast<std::size_t>(number - tree.leaves)];
}

// The addition that the running sum comes from with its correction: the one before it in the chain; -1 where
// there is none.
std::int32_t previous(const SumTree& tree, std::int32_t number) {
  const Running running = running_of(tree, number);
  if (!takes_correction(running)) return -1;
  const SumTree::Node& node = tree.node(number);
  const std::int32_t from = is_first(running) ? node.first : node.second;
  return running_of(tree, from) == Running::none ? -1 : from;
}

std::vector<std::int32_t> leaves_of(const Chain& chain, const std::vector<std::int32_t>& smallest) {
  std::vector<std::int32_t> leaves;
  for (const std::int32_t part : chain) leaves.push_back(smallest[static_cast<std::size_t>(part)]);
  return leaves;
}

void add_kahan(const ChainRows& rows, const std::vector<std::int32_t>& p, std::vector<OrderRow>& all) {
  for (std::size_t t = 0; t + 2 < p.size(); ++t) {
    all.push_back({rows.in_turn(p[t], p[t + 1], p[t + 2]), Reading::absorbed, p[t], p[t + 1]});
    all.push_back({rows.in_turn(p[t + 2], p[t + 1], p[t]), Reading::survived, p[t], p[t + 1]});
  }
}

// p[0] to p[2] come first, in an order that no row tells.
void add_neumaier(const ChainRows& rows, const std::vector<std::int32_t>& p, std::vector<OrderRow>& all) {
  const auto add = [&](std::int32_t u, std::int32_t v, std::int32_t x, std::int32_t y) {
    all.push_back({rows.before(u, v, x, y), Reading::survived, u, x, false});
    all.push_back({rows.before(x, y, u, v), Reading::absorbed, u, x, false});
  };
  for (std::size_t t = 0; t + 2 < p.size(); ++t)
    all.push_back({rows.in_turn(p[t], p[t + 1], p[t + 2]), Reading::survived, p[t], p[t + 1]});
  add(p[2], p[1], p[3], p[0]);
  for (std::size_t t = 2; t + 1 < p.size(); ++t) add(p[t], p[t - 2], p[t + 1], p[t - 1]);
}

}  // namespace

std::vector<bool> is_followed(const SumTree& tree) {
  std::vector<bool> followed(tree.nodes.size(), false);
  for (std::int32_t number = tree.leaves; number <= tree.root() && tree.is_compensated(); ++number) {
    const std::int32_t before = previous(tree, number);
    if (before >= 0) followed[static_cast<std::size_t>(before - tree.leaves)] = true;
  }
  return followed;
}

std::vector<Chain> chains_of(const SumTree& tree) {
  std::vector<Chain> chains;
  if (!tree.is_compensated()) return chains;
  const std::vector<bool> followed = is_followed(tree);
  for (std::int32_t last = tree.leaves; last <= tree.root(); ++last) {
    if (running_of(tree, last) == Running::none || followed[static_cast<std::size_t>(last - tree.leaves)])
      continue;
    Chain chain;
    for (std::int32_t at = last; at >= 0; at = previous(tree, at)) {
      const SumTree::Node& node = tree.node(at);
      const bool first = is_first(running_of(tree, at));
      chain.push_back(first ? node.second : node.first);
      if (previous(tree, at) < 0) chain.push_back(first ? node.first : node.second);
    }
    std::ranges::reverse(chain);
    if (chain.size() >= 3) chains.push_back(std::move(chain));
  }
  return chains;
}

ChainRows::ChainRows(const BlackBox& box, const Reader& reader) : unit_(reader.unit()) {
  const FloatFormat format = format_of(box.dtype());
  big_ = rounded(format, 4096);
  one_ = rounded(format, 1);
  small_ = rounded(format, 0.99609375 * 0x1p-12);
  nudge_ = rounded(format, 0x1p-10);
  const double unit = value_of(format, unit_) * value_of(format, unit_);
  const std::uint32_t lost = rounded(format, std::sqrt((1.5 - unit) / 2));
  const double square = value_of(format, lost) * value_of(format, lost);
  if (square < 0.5 && square + unit > 1) lost_ = lost;
}

Probe ChainRows::in_turn(std::int32_t first, std::int32_t second, std::int32_t third) const {
  return {{{first, lost_}, {second, big_}, {third, unit_}}, third};
}

Probe ChainRows::before(std::int32_t u, std::int32_t v, std::int32_t x, std::int32_t y) const {
  return {{{x, big_}, {y, one_}, {u, small_}, {v, small_}}, y};
}

Probe ChainRows::before_control(std::int32_t x, std::int32_t y, std::int32_t other, bool survived) const {
  return {{{x, big_}, {y, one_}, {other, survived ? nudge_ : small_}}, y};
}

std::vector<OrderRow> order_rows(const ChainRows& rows, const SumTree& tree, std::string& why) {
  const bool is_neumaier = tree.accumulator == Accumulator::neumaier;
  std::vector<OrderRow> all;
  if (!rows.usable()) {
    why = "the reader's epsilon leaves no room for rows that tell the order of a compensated sum";
    return all;
  }
  const std::vector<std::int32_t> smallest = oracle::smallest_leaves(tree);
  std::int64_t told = 0;
  for (const Chain& chain : chains_of(tree)) {
    const std::vector<std::int32_t> p = leaves_of(chain, smallest);
    if (is_neumaier && p.size() < 4) {
      why = "a sum of three numbers does not show that it is Neumaier's";
      return {};
    }
    told += static_cast<std::int64_t>(p.size()) - 1;
    is_neumaier ? add_neumaier(rows, p, all) : add_kahan(rows, p, all);
  }
  if (told == tree.compensated_additions()) return all;
  why = "a sum of two numbers does not show that it is compensated";
  return {};
}

std::optional<std::vector<Reading>> ask(BlackBox& box, const Reader& reader, const ChainRows& rows,
                                        const SumTree& tree, const std::vector<OrderRow>& asked) {
  std::vector<Probe> by_unit, by_control;
  for (const OrderRow& row : asked) (row.reads_unit ? by_unit : by_control).push_back(row.probe);
  const std::vector<Reading> of_unit = reader.reads().ask(box, by_unit);
  if (by_control.empty()) return of_unit;
  std::vector<Probe> absorbed, survived;
  const std::vector<std::int32_t> smallest = oracle::smallest_leaves(tree);
  const std::vector<Chain> chains = chains_of(tree);
  for (std::size_t i = 0; i < std::min(kControlChains, chains.size()); ++i) {
    const std::vector<std::int32_t> p = leaves_of(chains[i], smallest);
    for (std::size_t first = 0; first < 3; ++first) {
      const std::int32_t x = p[first], y = p[(first + 1) % 3], other = p[p.size() - 1];
      absorbed.push_back(rows.before_control(x, y, other, false));
      survived.push_back(rows.before_control(x, y, other, true));
    }
  }
  const auto controls = Controls::read(box, reader.epsilon_bits(), absorbed, survived);
  if (!controls) return std::nullopt;
  const std::vector<Reading> of_control = controls->ask(box, by_control);
  std::vector<Reading> readings;
  std::size_t unit = 0, control = 0;
  for (const OrderRow& row : asked)
    readings.push_back(row.reads_unit ? of_unit[unit++] : of_control[control++]);
  return readings;
}

}  // namespace normproof::order
