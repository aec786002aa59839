#include "oracle/sum_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace normproof::oracle {
namespace {

// Throws unless each number below the root is a child exactly once.
void require_tree(std::int32_t leaves, const std::vector<SumTree::Node>& nodes) {
  if (leaves < 1 || leaves > kMaximumTreeLeaves)
    throw std::invalid_argument(fmt::format("a tree has 1 to {} leaves, got {}", kMaximumTreeLeaves, leaves));
  if (nodes.size() != static_cast<std::size_t>(leaves) - 1)
    throw std::invalid_argument(
        fmt::format("a tree of {} leaves has {} additions, got {}", leaves, leaves - 1, nodes.size()));
  std::vector<bool> taken(2 * static_cast<std::size_t>(leaves) - 1, false);
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    const std::int32_t number = leaves + static_cast<std::int32_t>(k);
    for (const std::int32_t child : {nodes[k].first, nodes[k].second}) {
      if (child < 0 || child >= number)
        throw std::invalid_argument(
            fmt::format("addition {} adds {}, which is no element and no earlier addition", number, child));
      if (taken[static_cast<std::size_t>(child)])
        throw std::invalid_argument(fmt::format("addition {} adds {} a second time", number, child));
      taken[static_cast<std::size_t>(child)] = true;
    }
  }
}

template <class Number, class Fused>
Number evaluate(const SumTree& tree, std::span<const float> operands, std::vector<Number>& scratch,
                const Fused& fma) {
  const auto leaves = static_cast<std::size_t>(tree.leaves);
  scratch.resize(leaves + tree.nodes.size());
  for (std::size_t j = 0; j < leaves; ++j) {
    const auto x = static_cast<Number>(operands[j]);
    scratch[j] = x * x;
  }
  const bool any_fused = !tree.fused.empty();
  for (std::size_t k = 0; k < tree.nodes.size(); ++k) {
    const auto a = static_cast<std::size_t>(tree.nodes[k].first),
               b = static_cast<std::size_t>(tree.nodes[k].second);
    if (any_fused && a < leaves && tree.fused[a] != 0) {
      scratch[leaves + k] = fma(static_cast<Number>(operands[a]), scratch[b]);
    } else if (any_fused && b < leaves && tree.fused[b] != 0) {
      scratch[leaves + k] = fma(static_cast<Number>(operands[b]), scratch[a]);
    } else {
      scratch[leaves + k] = scratch[a] + scratch[b];
    }
  }
  return scratch.back();
}

using Running = SumTree::Running;
using SumAccumulator = SumTree::Accumulator;

// A running sum and its correction.
template <class Number>
struct Compensated {
  Number sum;
  Number correction;
};

// One compensated addition, with the operations in which a kernel writes it.
// `minus_correction` is v - c of Kahan's.
template <class Number, class Arithmetic>
Compensated<Number> kahan_step(const Arithmetic& in, const Compensated<Number>& running,
                               const Number& minus_correction) {
  const Number t = in.add(running.sum, minus_correction);
  return {t, in.subtract(in.subtract(t, running.sum), minus_correction)};
}
template <class Number, class Arithmetic>
Compensated<Number> neumaier_step(const Arithmetic& in, const Compensated<Number>& running,
                                  const Number& term) {
  const Number t = in.add(running.sum, term);
  const bool larger = !(in.magnitude(running.sum) < in.magnitude(term));
  const Number lost =
      larger ? in.add(in.subtract(running.sum, t), term) : in.add(in.subtract(term, t), running.sum);
  return {t, in.add(running.correction, lost)};
}

template <class Number, class Arithmetic>
Number value_of(const Arithmetic& in, SumAccumulator accumulator, const Compensated<Number>& state,
                bool is_compensated) {
  if (!is_compensated || accumulator == SumAccumulator::kahan) return state.sum;
  return accumulator == SumAccumulator::neumaier ? in.add(state.sum, state.correction)
                                                 : in.subtract(state.sum, state.correction);
}

// The sum of a tree with compensated additions.
template <class Number, class Arithmetic>
Number evaluate_compensated(const SumTree& tree, const Arithmetic& in) {
  const auto leaves = static_cast<std::size_t>(tree.leaves);
  std::vector<Compensated<Number>> states(leaves + tree.nodes.size());
  const auto is_compensated = [&](std::int32_t number) {
    return !tree.is_leaf(number) && tree.running[static_cast<std::size_t>(number) - leaves] != Running::none;
  };
  const auto value = [&](std::int32_t number) {
    return value_of(in, tree.accumulator, states[static_cast<std::size_t>(number)], is_compensated(number));
  };
  for (std::size_t j = 0; j < leaves; ++j) states[j] = {in.square(j), in.zero()};
  for (std::size_t k = 0; k < tree.nodes.size(); ++k) {
    const SumTree::Node& node = tree.nodes[k];
    Compensated<Number>& result = states[leaves + k];
    const Running running = tree.running[k];
    if (running == Running::none) {
      const bool first = tree.is_fused(node.first), second = tree.is_fused(node.second);
      result = {first    ? in.fma(static_cast<std::size_t>(node.first), value(node.second))
                : second ? in.fma(static_cast<std::size_t>(node.second), value(node.first))
                         : in.add(value(node.first), value(node.second)),
                in.zero()};
      continue;
    }
    const std::int32_t from = is_first(running) ? node.first : node.second;
    const std::int32_t term = is_first(running) ? node.second : node.first;
    const Compensated<Number> before = takes_correction(running)
                                           ? states[static_cast<std::size_t>(from)]
                                           : Compensated<Number>{value(from), in.zero()};
    if (tree.accumulator == SumAccumulator::neumaier) {
      result = neumaier_step(in, before, value(term));
    } else {
      const Number y = tree.is_fused(term)
                           ? in.fma(static_cast<std::size_t>(term), in.negative(before.correction))
                           : in.subtract(value(term), before.correction);
      result = kahan_step(in, before, y);
    }
  }
  return value(tree.root());
}

// fp32 in hardware.
struct HardwareArithmetic {
  std::span<const float> operands;
  float square(std::size_t j) const { return operands[j] * operands[j]; }
  float fma(std::size_t j, float z) const { return std::fma(operands[j], operands[j], z); }
  static float zero() { return 0; }
  static float add(float a, float b) { return a + b; }
  static float subtract(float a, float b) { return a - b; }
  static float negative(float a) { return -a; }
  static float magnitude(float a) { return std::abs(a); }
};

// The same, exactly.
struct ExactArithmetic {
  Arithmetic& arithmetic;
  std::span<const Value> operands;
  Value rounded(const Value& exact) const {
    return arithmetic.round(Step::accumulate, "a + b", DType::fp32, exact);
  }
  Value square(std::size_t j) const {
    return arithmetic.round(Step::accumulate, "x * x", DType::fp32, operands[j] * operands[j]);
  }
  Value fma(std::size_t j, const Value& z) const { return rounded(operands[j] * operands[j] + z); }
  static Value zero() { return Value::zero(false); }
  Value add(const Value& a, const Value& b) const { return rounded(a + b); }
  Value subtract(const Value& a, const Value& b) const { return rounded(a + -b); }
  static Value negative(const Value& a) { return -a; }
  static Value magnitude(const Value& a) { return a.negative() ? -a : a; }
};

// Whether the number's correction may be other than 0.
bool may_have_correction(const SumTree& tree, std::int32_t number) {
  return !tree.is_leaf(number) &&
         tree.running[static_cast<std::size_t>(number - tree.leaves)] != Running::none;
}

Running with_children_swapped(Running running) {
  switch (running) {
    case Running::none:
      return Running::none;
    case Running::first:
      return Running::second;
    case Running::second:
      return Running::first;
    case Running::value_of_first:
      return Running::value_of_second;
    case Running::value_of_second:
      return Running::value_of_first;
  }
  return running;
}

// Makes trees that are the same function equal, as far as that is told by their form: a first compensated
// addition whose correction nobody takes is a plain one, and of Neumaier's
// first one both children do the same.
void normalize(SumTree& tree) {
  std::vector<bool> is_taken(tree.nodes.size(), false);
  for (std::size_t k = 0; k < tree.nodes.size(); ++k) {
    Running& running = tree.running[k];
    if (running == Running::none) continue;
    const SumTree::Node& node = tree.nodes[k];
    const std::int32_t from = is_first(running) ? node.first : node.second;
    if (!may_have_correction(tree, from)) running = is_first(running) ? Running::first : Running::second;
    if (takes_correction(running) && !tree.is_leaf(from))
      is_taken[static_cast<std::size_t>(from - tree.leaves)] = true;
  }
  for (std::size_t k = 0; k < tree.nodes.size(); ++k) {
    Running& running = tree.running[k];
    const SumTree::Node& node = tree.nodes[k];
    if (running == Running::none || (takes_correction(running) &&
                                     may_have_correction(tree, is_first(running) ? node.first : node.second)))
      continue;
    if (tree.accumulator == SumAccumulator::neumaier)
      running = takes_correction(running) ? Running::first : Running::value_of_first;
    if (!is_taken[k] && tree.accumulator != SumAccumulator::kahan_corrected) running = Running::none;
  }
  if (std::ranges::all_of(tree.running, [](Running running) { return running == Running::none; })) {
    tree.running.clear();
    tree.accumulator = SumAccumulator::plain;
  }
}

// An fma of a compensated addition is one of the term and a correction that there may be.
void require_fused_terms(const SumTree& tree) {
  for (std::size_t k = 0; k < tree.running.size(); ++k) {
    if (tree.running[k] == Running::none) continue;
    const SumTree::Node& node = tree.nodes[k];
    const std::int32_t from = is_first(tree.running[k]) ? node.first : node.second;
    const std::int32_t term = is_first(tree.running[k]) ? node.second : node.first;
    const bool refused = tree.is_fused(from) ||
                         (tree.is_fused(term) &&
                          (tree.accumulator == SumAccumulator::neumaier || !may_have_correction(tree, from)));
    if (refused)
      throw std::invalid_argument(
          fmt::format("element {} is said to be added by an fma, but there is no correction to add it to",
                      tree.is_fused(from) ? from : term));
  }
}

}  // namespace

std::int64_t SumTree::compensated_additions() const {
  return std::ranges::count_if(running, [](Running of) { return of != Running::none; });
}

std::int64_t SumTree::depth() const {
  std::vector<std::int32_t> height(static_cast<std::size_t>(leaves) + nodes.size(), 0);
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    height[static_cast<std::size_t>(leaves) + k] =
        1 + std::max(height[static_cast<std::size_t>(nodes[k].first)],
                     height[static_cast<std::size_t>(nodes[k].second)]);
  }
  return height.empty() ? 0 : height.back();
}

std::int64_t SumTree::fused_leaves() const {
  return std::ranges::count_if(fused, [](std::uint8_t flag) { return flag != 0; });
}

namespace {

// `running` is empty where no addition is compensated.
SumTree numbered(std::int32_t leaves, std::vector<SumTree::Node> nodes, std::vector<Running> running,
                 std::vector<std::uint8_t> fused) {
  require_tree(leaves, nodes);
  const auto count = static_cast<std::size_t>(leaves);
  std::vector<std::int32_t> smallest(count + nodes.size()), height(count + nodes.size(), 0);
  std::iota(smallest.begin(), smallest.begin() + leaves, 0);
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    SumTree::Node& node = nodes[k];
    auto a = static_cast<std::size_t>(node.first), b = static_cast<std::size_t>(node.second);
    if (smallest[b] < smallest[a]) {
      std::swap(node.first, node.second);
      std::swap(a, b);
      if (!running.empty() && running[k] != Running::none) running[k] = with_children_swapped(running[k]);
    }
    smallest[count + k] = smallest[a];
    height[count + k] = 1 + std::max(height[a], height[b]);
  }
  std::vector<std::int32_t> sorted(nodes.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::ranges::sort(sorted, {}, [&](std::int32_t k) {
    const std::size_t number = count + static_cast<std::size_t>(k);
    return std::pair(height[number], smallest[number]);
  });
  std::vector<std::int32_t> renamed(count + nodes.size());
  std::iota(renamed.begin(), renamed.begin() + leaves, 0);
  for (std::size_t k = 0; k < sorted.size(); ++k)
    renamed[count + static_cast<std::size_t>(sorted[k])] = leaves + static_cast<std::int32_t>(k);

  SumTree tree;
  tree.leaves = leaves;
  tree.nodes.reserve(nodes.size());
  for (const std::int32_t k : sorted) {
    const SumTree::Node& node = nodes[static_cast<std::size_t>(k)];
    tree.nodes.push_back(
        {renamed[static_cast<std::size_t>(node.first)], renamed[static_cast<std::size_t>(node.second)]});
    if (!running.empty()) tree.running.push_back(running[static_cast<std::size_t>(k)]);
  }
  if (std::ranges::any_of(fused, [](std::uint8_t flag) { return flag != 0; })) {
    if (fused.size() != count)
      throw std::invalid_argument(fmt::format("{} elements, but {} fma flags", leaves, fused.size()));
    tree.fused = std::move(fused);
    for (const SumTree::Node& node : tree.nodes) {
      if (tree.is_fused(node.first) && tree.is_fused(node.second))
        throw std::invalid_argument(
            fmt::format("elements {} and {} are added to each other: one of them must be rounded first",
                        node.first, node.second));
    }
  }
  return tree;
}

}  // namespace

SumTree make_tree(std::int32_t leaves, std::vector<SumTree::Node> nodes, std::vector<std::uint8_t> fused,
                  SumTree::Precision precision) {
  SumTree tree = numbered(leaves, std::move(nodes), {}, std::move(fused));
  tree.precision = precision;
  return tree;
}

SumTree make_compensated_tree(std::int32_t leaves, std::vector<SumTree::Node> nodes,
                              std::vector<SumTree::Running> running, SumTree::Accumulator accumulator,
                              std::vector<std::uint8_t> fused) {
  if (running.size() != nodes.size())
    throw std::invalid_argument(fmt::format("{} additions, but {} of them are said to be compensated or not",
                                            nodes.size(), running.size()));
  SumTree tree = numbered(leaves, std::move(nodes), std::move(running), std::move(fused));
  tree.accumulator = accumulator;
  normalize(tree);
  require_fused_terms(tree);
  return tree;
}

std::string_view name_of(SumTree::Accumulator accumulator) {
  switch (accumulator) {
    case SumAccumulator::plain:
      return "plain";
    case SumAccumulator::kahan:
      return "kahan";
    case SumAccumulator::kahan_corrected:
      return "kahan_corrected";
    case SumAccumulator::neumaier:
      return "neumaier";
  }
  return "?";
}

std::optional<SumTree::Accumulator> accumulator_from_name(std::string_view name) {
  for (const auto accumulator : {SumAccumulator::plain, SumAccumulator::kahan,
                                 SumAccumulator::kahan_corrected, SumAccumulator::neumaier})
    if (name == name_of(accumulator)) return accumulator;
  return std::nullopt;
}

std::vector<std::int32_t> smallest_leaves(const SumTree& tree) {
  std::vector<std::int32_t> smallest(static_cast<std::size_t>(tree.leaves) + tree.nodes.size());
  std::iota(smallest.begin(), smallest.begin() + tree.leaves, 0);
  for (std::size_t k = 0; k < tree.nodes.size(); ++k)
    smallest[static_cast<std::size_t>(tree.leaves) + k] =
        smallest[static_cast<std::size_t>(tree.nodes[k].first)];
  return smallest;
}

float sum_of_squares_fp32(const SumTree& tree, std::span<const float> operands, std::vector<float>& scratch) {
  if (tree.is_compensated()) return evaluate_compensated<float>(tree, HardwareArithmetic{operands});
  return evaluate(tree, operands, scratch, [](float x, float sum) { return std::fma(x, x, sum); });
}

double sum_of_squares(const SumTree& tree, std::span<const float> operands, std::vector<double>& scratch) {
  if (tree.precision == SumTree::Precision::fp64)
    return evaluate(tree, operands, scratch, [](double x, double sum) { return std::fma(x, x, sum); });
  thread_local std::vector<float> of_fp32;
  return static_cast<double>(sum_of_squares_fp32(tree, operands, of_fp32));
}

Value sum_of_squares(Arithmetic& arithmetic, const SumTree& tree, std::span<const Value> operands) {
  if (tree.is_compensated()) return evaluate_compensated<Value>(tree, ExactArithmetic{arithmetic, operands});
  const Format& format = tree.precision == SumTree::Precision::fp64 ? kFp64 : format_of(DType::fp32);
  const auto leaves = static_cast<std::size_t>(tree.leaves);
  std::vector<Value> values(leaves + tree.nodes.size());
  for (std::size_t j = 0; j < leaves; ++j) {
    const Value square = operands[j] * operands[j];
    const bool rounded = !tree.is_fused(static_cast<std::int32_t>(j));
    values[j] = rounded ? arithmetic.round(Step::accumulate, "x * x", format, square) : square;
  }
  for (std::size_t k = 0; k < tree.nodes.size(); ++k) {
    values[leaves + k] = arithmetic.round(Step::accumulate, "a + b", format,
                                          values[static_cast<std::size_t>(tree.nodes[k].first)] +
                                              values[static_cast<std::size_t>(tree.nodes[k].second)]);
  }
  return values.back();
}

}  // namespace normproof::oracle
