// Compensated sums, written as loops, are recovered with their accumulator; whatever is none of them gets no
// tree; lies about them are refused; and every row is predicted.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "oracle/formats.h"
#include "oracle/order_file.h"
#include "oracle/row_kernels.h"
#include "properties/order/compensated.h"
#include "properties/order/detect.h"
#include "properties/order/families.h"
#include "properties/order/test/boxes.h"

namespace normproof::order {
namespace {

using Accumulator = SumTree::Accumulator;
using Order = std::vector<std::size_t>;

constexpr DType kDTypes[] = {DType::bf16, DType::fp16, DType::fp32};

// The running sum of one thread.
struct Running {
  float sum = 0, correction = 0;
  void kahan(float value) { step(value - correction); }
  void kahan_fma(float x) { step(std::fma(x, x, -correction)); }
  void neumaier(float value) {
    const float t = sum + value;
    correction += std::abs(sum) >= std::abs(value) ? (sum - t) + value : (value - t) + sum;
    sum = t;
  }

 private:
  void step(float y) {
    const float t = sum + y;
    correction = (t - sum) - y;
    sum = t;
  }
};

float sum_in(std::span<const float> row, const Order& order, Accumulator accumulator, bool fma) {
  Running running;
  for (const std::size_t j : order) {
    if (accumulator == Accumulator::neumaier)
      running.neumaier(row[j] * row[j]);
    else if (fma)
      running.kahan_fma(row[j]);
    else
      running.kahan(row[j] * row[j]);
  }
  switch (accumulator) {
    case Accumulator::plain:
    case Accumulator::kahan:
      return running.sum;
    case Accumulator::kahan_corrected:
      return running.sum - running.correction;
    case Accumulator::neumaier:
      return running.sum + running.correction;
  }
  return 0;
}

Order ascending(std::size_t count) {
  Order order(count);
  std::iota(order.begin(), order.end(), 0u);
  return order;
}
Order descending(std::size_t count) {
  Order order = ascending(count);
  std::ranges::reverse(order);
  return order;
}
Order shuffled(std::size_t count) {
  Order order = ascending(count);
  Random random(count);
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

RowSum serial_sum(Order (*order)(std::size_t), Accumulator accumulator, bool fma = false) {
  return [=, kept = Order()](std::span<const float> row, std::int64_t) mutable {
    if (kept.size() != row.size()) kept = order(row.size());
    return static_cast<double>(sum_in(row, kept, accumulator, fma));
  };
}
// Lane l takes the elements l, l + lanes, ...; the lanes are joined by halves, without their corrections.
RowSum lanes_sum(std::size_t lanes, Accumulator accumulator, bool fma = false) {
  return [=](std::span<const float> row, std::int64_t) {
    std::vector<float> sums;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      Order order;
      for (std::size_t j = lane; j < row.size(); j += lanes) order.push_back(j);
      sums.push_back(sum_in(row, order, accumulator, fma));
    }
    for (std::size_t distance = lanes / 2; distance > 0; distance /= 2)
      for (std::size_t i = 0; i < distance; ++i) sums[i] += sums[i + distance];
    return static_cast<double>(sums[0]);
  };
}
// Plain sums of four go to one compensated sum.
double blocks_sum(std::span<const float> row, std::int64_t) {
  Running running;
  for (std::size_t j = 0; j < row.size(); j += 4) {
    float block = row[j] * row[j];
    for (std::size_t k = j + 1; k < std::min(j + 4, row.size()); ++k) block += row[k] * row[k];
    running.kahan(block);
  }
  return static_cast<double>(running.sum);
}
// A correction is dropped after every 16th term: the value begins a new sum.
double forgetful_sum(std::span<const float> row, std::int64_t) {
  Running running;
  for (std::size_t j = 0; j < row.size(); ++j) {
    running.kahan(row[j] * row[j]);
    if (j % 16 == 15) running.correction = 0;
  }
  return static_cast<double>(running.sum);
}
// The compensated sums of four lanes go to a compensated sum.
double nested_sum(std::span<const float> row, std::int64_t) {
  Running running;
  for (std::size_t lane = 0; lane < 4; ++lane) {
    Order order;
    for (std::size_t j = lane; j < row.size(); j += 4) order.push_back(j);
    running.kahan(sum_in(row, order, Accumulator::kahan, false));
  }
  return static_cast<double>(running.sum);
}

struct Known {
  std::string name;
  RowSum sum;
  Accumulator accumulator;
  bool fma = false;
};

std::vector<Known> known_sums() {
  std::vector<Known> all;
  for (const auto accumulator : {Accumulator::kahan, Accumulator::kahan_corrected, Accumulator::neumaier}) {
    const std::string name(name_of(accumulator));
    all.push_back({name + " serial", serial_sum(ascending, accumulator), accumulator});
    all.push_back({name + " reverse", serial_sum(descending, accumulator), accumulator});
    all.push_back({name + " 8 lanes", lanes_sum(8, accumulator), accumulator});
    if (accumulator == Accumulator::neumaier) continue;
    all.push_back({name + " shuffled", serial_sum(shuffled, accumulator), accumulator});
  }
  all.push_back({"kahan that forgets", forgetful_sum, Accumulator::kahan});
  all.push_back({"kahan blocks", blocks_sum, Accumulator::kahan});
  all.push_back(
      {"kahan serial fma", serial_sum(ascending, Accumulator::kahan, true), Accumulator::kahan, true});
  all.push_back({"kahan 8 lanes fma", lanes_sum(8, Accumulator::kahan, true), Accumulator::kahan, true});
  return all;
}

// A row of numbers of the dtype, some of them large.
std::vector<float> drawn_row(std::int32_t hidden, DType dtype, Random& random, int kind) {
  std::vector<float> row;
  for (std::int32_t j = 0; j < hidden; ++j) {
    const double share = static_cast<double>(random.below(1u << 24)) * 0x1p-24;
    const double value = kind == 0   ? 2 * share - 1
                         : kind == 1 ? std::exp(20 * share - 10)
                                     : std::ldexp(1 + share, -static_cast<int>(random.below(14)));
    row.push_back(static_cast<float>(number_of(dtype, bits_of(dtype, value))));
  }
  return row;
}

// Rows whose sum the tree gives otherwise.
int differing_rows(const RowSum& sum, const SumTree& tree, DType dtype, int rows) {
  const oracle::StandardFloatEnvironment environment;
  Random random(17);
  std::vector<float> scratch;
  int differ = 0;
  for (int i = 0; i < rows; ++i) {
    const std::vector<float> row = drawn_row(tree.leaves, dtype, random, i % 3);
    differ += sum(row, 0) != static_cast<double>(sum_of_squares_fp32(tree, row, scratch)) ? 1 : 0;
  }
  return differ;
}

void expect_found(const Known& known, std::int32_t hidden, DType dtype, int rows) {
  BoxOptions options;
  options.dtype = options.output_dtype = dtype;
  DetectOptions detect_options;
  detect_options.look_at_root = false;
  const Finding finding = detect(*make_box(hidden, known.sum, options), detect_options);
  const std::string what = known.name + " " + std::string(name_of(dtype)) + " H " + std::to_string(hidden);
  ASSERT_TRUE(finding.tree) << what << ": " << name_of(finding.kind) << ", " << finding.reason;
  EXPECT_EQ(finding.kind, Kind::compensated) << what;
  EXPECT_EQ(finding.tree->accumulator, known.accumulator) << what;
  if (dtype == DType::fp32) {
    EXPECT_EQ(finding.fma_known, known.accumulator != Accumulator::neumaier) << what;
    EXPECT_EQ(finding.tree->fused_leaves() > 0, known.fma) << what;
  }
  EXPECT_EQ(differing_rows(known.sum, *finding.tree, dtype, rows), 0) << what;
  EXPECT_LE(finding.rows, 24 * hidden + 2000) << what << " " << finding.certificate_rows;
}

TEST(Compensated, SumsAreRecoveredAndPredicted) {
  for (const Known& known : known_sums())
    for (const DType dtype : kDTypes)
      for (const std::int32_t hidden : {40, 100}) expect_found(known, hidden, dtype, 60);
}

// Sums that begin anew with the sum of another lane may not be recovered; but no wrong tree is given.
TEST(Compensated, NestedSumsGetNoWrongTree) {
  for (const std::int32_t hidden : {3, 4, 5, 8, 40, 100, 256}) {
    const Finding finding = detect(*make_box(hidden, nested_sum));
    if (!finding.tree) continue;
    EXPECT_EQ(differing_rows(nested_sum, *finding.tree, DType::bf16, 200), 0) << hidden;
  }
}

TEST(Compensated, ShortRowsGetNoWrongTree) {
  for (const Known& known : known_sums()) {
    for (const DType dtype : {DType::bf16, DType::fp32}) {
      for (const std::int32_t hidden : {3, 4, 5, 7, 9}) {
        BoxOptions options;
        options.dtype = options.output_dtype = dtype;
        const Finding finding = detect(*make_box(hidden, known.sum, options));
        if (!finding.tree || (dtype == DType::fp32 && !finding.fma_known)) continue;
        EXPECT_EQ(differing_rows(known.sum, *finding.tree, dtype, 100), 0)
            << known.name << " " << name_of(dtype) << " H " << hidden;
      }
    }
  }
}

// Compensated in ways that are none of the known: no tree.
TEST(Compensated, OtherCompensationsGetNone) {
  const auto twice = [](std::span<const float> row, std::int64_t) {  // the correction is subtracted twice
    float sum = 0, correction = 0;
    for (const float x : row) {
      const float y = x * x - 2 * correction, t = sum + y;
      correction = (t - sum) - y;
      sum = t;
    }
    return static_cast<double>(sum);
  };
  const auto unordered = [](std::span<const float> row, std::int64_t call) {  // another order in each call
    Random random(static_cast<std::uint64_t>(call));
    Order order = ascending(row.size());
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
    return static_cast<double>(sum_in(row, order, Accumulator::kahan, false));
  };
  for (const DType dtype : kDTypes) {
    BoxOptions options;
    options.dtype = options.output_dtype = dtype;
    for (const RowSum& sum : {RowSum(twice), RowSum(unordered)})
      for (const std::int32_t hidden : {64, 100}) {
        EXPECT_FALSE(detect(*make_box(hidden, sum, options)).tree);
      }
  }
}

// Chains of random subtrees in a random order, joined at random.
SumTree random_compensated(Random& random) {
  const auto leaves = static_cast<std::int32_t>(12 + random.below(40));
  const auto accumulator = static_cast<Accumulator>(1 + random.below(3));
  const std::size_t lanes = 1 + random.below(2);
  std::vector<std::vector<std::int32_t>> parts(lanes);
  std::vector<SumTree::Node> nodes;
  std::vector<SumTree::Running> running;
  const auto add = [&](std::int32_t a, std::int32_t b, SumTree::Running of) {
    nodes.push_back({a, b});
    running.push_back(of);
    return leaves + static_cast<std::int32_t>(nodes.size()) - 1;
  };
  for (std::int32_t leaf = 0; leaf < leaves; ++leaf) {
    auto& lane = parts[static_cast<std::size_t>(leaf) % lanes];
    if (lane.size() > 5 && random.below(4) == 0)
      lane.back() = add(lane.back(), leaf, SumTree::Running::none);
    else
      lane.push_back(leaf);
  }
  std::vector<std::int32_t> sums;
  for (auto& lane : parts) {
    for (std::size_t i = lane.size(); i > 1; --i) std::swap(lane[i - 1], lane[random.below(i)]);
    std::int32_t sum = lane.front();
    for (std::size_t i = 1; i < lane.size(); ++i) sum = add(sum, lane[i], SumTree::Running::first);
    sums.push_back(sum);
  }
  if (lanes == 2) add(sums[0], sums[1], SumTree::Running::none);
  return oracle::make_compensated_tree(leaves, nodes, running, accumulator);
}

TEST(Compensated, HardwareAndExactSumsAgree) {
  const oracle::StandardFloatEnvironment environment;
  Random random(4);
  std::vector<float> scratch;
  for (int i = 0; i < 60; ++i) {
    SumTree tree = random_compensated(random);
    if (tree.accumulator != Accumulator::neumaier) {
      const std::vector<Chain> chains = chains_of(tree);
      std::vector<std::uint8_t> fused(static_cast<std::size_t>(tree.leaves), 0);
      for (const Chain& chain : chains)
        for (std::size_t t = 2; t < chain.size(); ++t)
          if (tree.is_leaf(chain[t])) fused[static_cast<std::size_t>(chain[t])] = random.below(2) != 0;
      tree = oracle::make_compensated_tree(tree.leaves, tree.nodes, tree.running, tree.accumulator, fused);
    }
    const std::vector<float> row = drawn_row(tree.leaves, DType::fp32, random, i % 3);
    std::vector<oracle::Value> values;
    for (const float x : row) values.push_back(oracle::decode(DType::fp32, std::bit_cast<std::uint32_t>(x)));
    oracle::Arithmetic arithmetic;
    EXPECT_EQ(oracle::to_double(sum_of_squares(arithmetic, tree, values)),
              static_cast<double>(sum_of_squares_fp32(tree, row, scratch)));
    EXPECT_EQ(
        oracle::orders_from_json(
            R"({"normproof_order": 1, "orders": [{"operation": "rms_norm", "dtype": "bf16", "hidden_size": )" +
            std::to_string(tree.leaves) + R"(, "tree": )" + oracle::to_json(tree) + "}]}")
            .all()
            .front()
            .tree->running,
        tree.running);
  }
}

bool is_long() { return std::getenv("NORMPROOF_LONG_TESTS") != nullptr; }

// The tree with two leaves swapped; itself where that is the same function.
SumTree with_leaves_swapped(const SumTree& tree, Random& random) {
  const auto any = [&] {
    return static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(tree.leaves)));
  };
  const std::int32_t a = any(), b = any();
  for (const Chain& chain : chains_of(tree)) {  // no row tells the order of Neumaier's first three
    const auto place = [&](std::int32_t leaf) { return std::ranges::find(chain, leaf) - chain.begin(); };
    if (tree.accumulator == Accumulator::neumaier && place(a) < 3 && place(b) < 3) return tree;
  }
  std::vector<SumTree::Node> nodes = tree.nodes;
  for (SumTree::Node& node : nodes)
    for (std::int32_t* child : {&node.first, &node.second})
      *child = *child == a ? b : *child == b ? a : *child;
  return oracle::make_compensated_tree(tree.leaves, nodes, tree.running, tree.accumulator);
}
SumTree with_another_accumulator(const SumTree& tree, Random& random) {
  return oracle::make_compensated_tree(tree.leaves, tree.nodes, tree.running,
                                       static_cast<Accumulator>(1 + random.below(3)));
}
// Of one addition: not compensated, or its running sum another child.
SumTree with_an_addition_changed(const SumTree& tree, Random& random) {
  std::vector<SumTree::Running> running = tree.running;
  running[random.below(running.size())] = static_cast<SumTree::Running>(random.below(3));
  return oracle::make_compensated_tree(tree.leaves, tree.nodes, running, tree.accumulator);
}

TEST(Compensated, PlantedLiesAreRefused) {
  using Lie = SumTree (*)(const SumTree&, Random&);
  const std::int64_t wanted = is_long() ? 10000 : 200;
  for (const Lie lie :
       {Lie{with_leaves_swapped}, Lie{with_another_accumulator}, Lie{with_an_addition_changed}}) {
    Random random(6);
    std::int64_t lies = 0, refused = 0;
    while (lies < wanted) {
      const SumTree truth = random_compensated(random);
      const auto box = make_tree_box(truth);
      std::string why;
      ASSERT_TRUE(has_tree(*box, truth, random.next(), why)) << why << oracle::to_json(truth);
      for (int i = 0; i < 10; ++i) {
        const SumTree other = lie(truth, random);
        if (other == truth) continue;
        ++lies;
        refused += has_tree(*box, other, random.next(), why) ? 0 : 1;
      }
    }
    EXPECT_EQ(refused, lies);
  }
}

// Long rows, and a hundred thousand rows replayed: by NORMPROOF_LONG_TESTS. Prints the figures of figures.md.
TEST(LongRows, OfCompensatedSumsAreCertified) {
  if (!is_long()) GTEST_SKIP() << "NORMPROOF_LONG_TESTS is not set";
  std::printf("| sum | H | rows / H | s | depth |\n");
  for (const Known& known : known_sums()) {
    for (const std::int32_t hidden : {1000, 4096, 16384}) {
      if (hidden == 16384 && known.name.ends_with("shuffled")) continue;  // 40 H rows and more
      DetectOptions options;
      options.look_at_root = false;
      const Finding finding = detect(*make_box(hidden, known.sum), options);
      ASSERT_TRUE(finding.tree) << known.name << " " << finding.reason;
      std::printf("| %s | %d | %.1f | %.1f | %lld |\n", known.name.c_str(), hidden,
                  static_cast<double>(finding.rows) / hidden, finding.seconds,
                  static_cast<long long>(finding.tree->depth()));
      std::fflush(stdout);
      if (hidden != 1000) continue;
      EXPECT_EQ(differing_rows(known.sum, *finding.tree, DType::bf16, 100000), 0) << known.name;
    }
  }
}

}  // namespace
}  // namespace normproof::order
