// Every black box of a known order is named, and its tree is certified; what is no tree is said to be none.
#include "properties/order/detect.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "oracle/row_kernels.h"
#include "properties/order/families.h"
#include "properties/order/recover.h"
#include "properties/order/test/boxes.h"

namespace normproof::order {
namespace {

constexpr DType kDTypes[] = {DType::bf16, DType::fp16, DType::fp32};

// Sums written as loops, not as trees.
double serial_sum(std::span<const float> row, std::int64_t) {
  float sum = 0;
  for (const float x : row) sum += x * x;
  return static_cast<double>(sum);
}
double serial_fma_sum(std::span<const float> row, std::int64_t) {
  float sum = 0;
  for (const float x : row) sum = std::fma(x, x, sum);
  return static_cast<double>(sum);
}
double reverse_sum(std::span<const float> row, std::int64_t) {
  float sum = 0;
  for (std::size_t j = row.size(); j-- > 0;) sum += row[j] * row[j];
  return static_cast<double>(sum);
}
float pairwise_part(std::span<const float> row) {
  if (row.size() == 1) return row[0] * row[0];
  return pairwise_part(row.first(row.size() / 2)) + pairwise_part(row.subspan(row.size() / 2));
}
double pairwise_sum(std::span<const float> row, std::int64_t) {
  return static_cast<double>(pairwise_part(row));
}
float numpy_part(std::span<const float> row) {
  const std::size_t n = row.size();
  const auto square = [&](std::size_t j) { return row[j] * row[j]; };
  float sum = 0;
  if (n < 8) {
    for (std::size_t j = 0; j < n; ++j) sum += square(j);
    return sum;
  }
  if (n > 128) {
    const std::size_t half = n / 2 - n / 2 % 8;
    return numpy_part(row.first(half)) + numpy_part(row.subspan(half));
  }
  float r[8];
  for (std::size_t k = 0; k < 8; ++k) r[k] = square(k);
  std::size_t j = 8;
  for (; j < n - n % 8; j += 8)
    for (std::size_t k = 0; k < 8; ++k) r[k] += square(j + k);
  sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
  for (; j < n; ++j) sum += square(j);
  return sum;
}
double numpy_sum(std::span<const float> row, std::int64_t) { return static_cast<double>(numpy_part(row)); }

std::vector<float> thread_parts(std::span<const float> row, std::size_t threads, std::size_t width) {
  std::vector<float> parts(threads, 0.0f);
  for (std::size_t j = 0; j < row.size(); ++j) {
    float& part = parts[j / width % threads];
    part = std::fma(row[j], row[j], part);
  }
  return parts;
}
// Every lane of a warp adds the lane whose number differs in one bit.
double xor_sum(std::span<const float> row, std::size_t threads, std::size_t width) {
  std::vector<float> parts = thread_parts(row, threads, width);
  std::vector<float> warps(32, 0.0f);
  for (std::size_t warp = 0; warp < threads / 32; ++warp) {
    for (std::size_t mask = 16; mask > 0; mask /= 2) {
      const std::vector<float> before = parts;
      for (std::size_t lane = 0; lane < 32; ++lane)
        parts[warp * 32 + lane] = before[warp * 32 + lane] + before[warp * 32 + (lane ^ mask)];
    }
    warps[warp] = parts[warp * 32];
  }
  for (std::size_t mask = 16; mask > 0; mask /= 2) {
    const std::vector<float> before = warps;
    for (std::size_t lane = 0; lane < 32; ++lane) warps[lane] = before[lane] + before[lane ^ mask];
  }
  return static_cast<double>(warps[0]);
}
// shfl_down by 1, 2, 4, 8, 16; thread 0 adds up the warps.
double cub_sum(std::span<const float> row, std::size_t threads, std::size_t width) {
  std::vector<float> parts = thread_parts(row, threads, width);
  float sum = 0;
  for (std::size_t warp = 0; warp < threads / 32; ++warp) {
    for (std::size_t distance = 1; distance < 32; distance *= 2)
      for (std::size_t lane = 0; lane + distance < 32; ++lane)
        parts[warp * 32 + lane] += parts[warp * 32 + lane + distance];
    sum = warp == 0 ? parts[0] : sum + parts[warp * 32];
  }
  return static_cast<double>(sum);
}
double four_accumulators(std::span<const float> row, std::int64_t) {
  const std::vector<float> lanes = thread_parts(row, 4, 1);
  return static_cast<double>((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
}

struct Known {
  std::string name;
  RowSum sum;
  std::function<SumTree(std::int32_t)> tree;
};

std::vector<Known> known_orders() {
  return {
      {"serial", serial_sum, serial},
      {"serial fma", serial_fma_sum, serial},
      {"reverse", reverse_sum, reverse},
      {"pairwise", pairwise_sum, pairwise},
      {"numpy", numpy_sum, numpy_pairwise},
      {"CUB 1024 x 8", [](std::span<const float> row, std::int64_t) { return cub_sum(row, 1024, 8); },
       [](std::int32_t n) { return cub_block_reduce(n, 1024, 8); }},
      {"CUB 96 x 4", [](std::span<const float> row, std::int64_t) { return cub_sum(row, 96, 4); },
       [](std::int32_t n) { return cub_block_reduce(n, 96, 4); }},
      {"xor 256 x 8", [](std::span<const float> row, std::int64_t) { return xor_sum(row, 256, 8); },
       [](std::int32_t n) { return warp_shuffles(n, 256, 8); }},
      {"canonical", [](std::span<const float> row, std::int64_t) { return xor_sum(row, 1024, 8); },
       [](std::int32_t n) { return canonical(n, 8); }},
  };
}

void expect_tree(BlackBox& box, const SumTree& tree, const std::string& what, DetectOptions options = {}) {
  const Finding finding = detect(box, options);
  ASSERT_TRUE(finding.tree) << what << ": " << name_of(finding.kind) << ", " << finding.reason;
  EXPECT_TRUE(finding.tree->nodes == tree.nodes) << what << " at H " << tree.leaves << ": another tree";
  EXPECT_EQ(finding.kind, tree.leaves < 3 ? Kind::trivial : Kind::fp32_tree) << what;
}

TEST(Detect, KnownOrdersOfAllDtypesAndLengths) {
  for (const Known& known : known_orders()) {
    for (const DType dtype : kDTypes) {
      BoxOptions options;
      options.dtype = options.output_dtype = dtype;
      for (const std::int32_t hidden : {1, 2, 3, 4, 5, 31, 64, 100, 1024}) {
        if (dtype != DType::bf16 && (hidden < 3 || hidden == 5 || hidden == 100)) continue;
        const auto box = make_box(hidden, known.sum, options);
        expect_tree(*box, known.tree(hidden), known.name + " " + std::string(name_of(dtype)));
      }
    }
  }
}

// Of all kinds of rows the sum is predicted bit for bit, which is more than the outputs show. With
// NORMPROOF_LONG_TESTS a hundred thousand rows of each.
TEST(Detect, RecoveredTreesPredictRows) {
  const bool is_long = std::getenv("NORMPROOF_LONG_TESTS") != nullptr;
  const oracle::StandardFloatEnvironment environment;
  DetectOptions detect_options;
  detect_options.look_at_root = false;
  for (const Known& known : known_orders()) {
    for (const DType dtype : kDTypes) {
      for (const std::int32_t hidden : {64, 1000}) {
        BoxOptions options;
        options.dtype = options.output_dtype = dtype;
        const Finding finding = detect(*make_box(hidden, known.sum, options), detect_options);
        ASSERT_TRUE(finding.tree);
        Random random(9);
        std::vector<float> row(static_cast<std::size_t>(hidden)), scratch;
        int differ = 0;
        for (int i = 0; i < (is_long ? 100000 : 50); ++i) {
          for (float& x : row) {
            const double share = static_cast<double>(random.below(1u << 24)) * 0x1p-24;
            const double value = i % 3 == 0   ? 2 * share - 1
                                 : i % 3 == 1 ? std::exp(20 * share - 10)
                                              : 1 + share;
            x = static_cast<float>(number_of(dtype, bits_of(dtype, value)));
          }
          differ +=
              known.sum(row, 0) != static_cast<double>(sum_of_squares_fp32(*finding.tree, row, scratch));
        }
        EXPECT_EQ(differ, 0) << known.name << " " << name_of(dtype) << " H " << hidden;
      }
    }
  }
}

TEST(Detect, NamesTheFamily) {
  for (const Known& known : known_orders()) {
    if (known.name == "CUB 96 x 4") continue;  // stands in no table
    const auto box = make_box(5000, known.sum);
    DetectOptions options;
    options.look_at_root = false;
    const Finding finding = detect(*box, options);
    ASSERT_TRUE(finding.tree) << known.name;
    const std::string wanted = known.name == "serial fma"     ? "serial"
                               : known.name == "reverse"      ? "reverse serial"
                               : known.name == "numpy"        ? "numpy pairwise"
                               : known.name == "CUB 1024 x 8" ? "CUB block reduce, 1024 threads x 8"
                               : known.name == "xor 256 x 8"  ? "warp shuffles, 256 threads x 8"
                               : known.name == "canonical"    ? "canonical of bf16 and fp16"
                                                              : known.name;
    EXPECT_EQ(finding.family, wanted);
    EXPECT_LE(finding.rows, 4 * 5000) << known.name;
  }
}

// Without the table of families, so that the recovery itself is tried.
TEST(Detect, RecoversWithoutKnowingFamilies) {
  DetectOptions options;
  options.look_for_families = false;
  options.look_at_root = false;
  for (const Known& known : known_orders()) {
    for (const std::int32_t hidden : {7, 64, 100, 1024, 2880}) {
      const auto box = make_box(hidden, known.sum);
      expect_tree(*box, known.tree(hidden), known.name, options);
      EXPECT_LE(box->rows_asked(), 16 * hidden + 2000) << known.name << " at H " << hidden;
    }
  }
  const auto box = make_box(1024, four_accumulators);
  const Finding finding = detect(*box, options);
  ASSERT_TRUE(finding.tree);
  EXPECT_EQ(finding.tree->depth(), 257);
}

TEST(Detect, RandomTrees) {
  DetectOptions options;
  options.look_at_root = false;
  for (const std::int32_t hidden : {3, 4, 5, 6, 9, 33, 64, 257, 1024}) {
    for (std::uint64_t seed = 1; seed <= (hidden < 100 ? 20 : 2); ++seed) {
      const SumTree tree = random_tree(hidden, seed);
      BoxOptions box_options;
      box_options.dtype = box_options.output_dtype = kDTypes[seed % 3];
      const auto box = make_tree_box(tree, box_options);
      expect_tree(*box, tree, "random tree", options);
    }
  }
}

// The last additions of many: a sample of rows hardly meets them, and a wrong family costs a full recovery.
TEST(Detect, FamiliesThatDifferInTheLastAdditionsAreToldApart) {
  for (const auto& make : {lanes_then_halves, lanes_then_serial}) {
    const SumTree tree = make(4096, 4, 1);
    const auto box = make_tree_box(tree);
    DetectOptions options;
    options.look_at_root = false;
    const Finding finding = detect(*box, options);
    ASSERT_TRUE(finding.tree) << finding.reason;
    EXPECT_EQ(*finding.tree, tree);
    EXPECT_LT(finding.rows, 3 * 4096);
  }
}

TEST(Detect, Fp8OutputsAreEnough) {
  for (const DType quantized : kQuantizedDTypes) {
    BoxOptions options;
    options.output_dtype = quantized;
    for (const std::int32_t hidden : {64, 1024}) {
      const SumTree tree = random_tree(hidden, 7);
      const auto box = make_tree_box(tree, options);
      expect_tree(*box, tree, "fp8");
    }
  }
}

TEST(Detect, PositiveEpsilonWhereNegativeIsRefusedOrClamped) {
  for (const bool clamps : {false, true}) {
    for (const DType dtype : kDTypes) {
      for (const int off : {0, 2}) {
        BoxOptions options;
        options.dtype = options.output_dtype = dtype;
        options.clamps_epsilon = clamps;
        options.refuses_negative_epsilon = !clamps;
        options.root_off = off;
        for (const std::int32_t hidden : {64, 100, 128, 512, 1024, 2880}) {
          const SumTree tree = canonical(hidden, 8);
          const auto box = make_tree_box(tree, options);
          DetectOptions detect_options;
          detect_options.look_at_root = false;
          const Finding finding = detect(*box, detect_options);
          ASSERT_TRUE(finding.tree) << name_of(dtype) << " H " << hidden << " off " << off << ": "
                                    << finding.reason;
          EXPECT_TRUE(*finding.tree == tree);
          EXPECT_TRUE(clamps || !finding.negative_epsilon);
        }
      }
    }
  }
}

TEST(Detect, FusedLeavesOfFp32) {
  BoxOptions options;
  options.dtype = options.output_dtype = DType::fp32;
  for (const std::int32_t hidden : {4, 5, 64, 100, 1024}) {
    SumTree tree = random_tree(hidden, 3);
    std::vector<std::uint8_t> fused(static_cast<std::size_t>(hidden), 0);
    Random random(static_cast<std::uint64_t>(hidden));
    for (const SumTree::Node& node : tree.nodes) {
      if (tree.is_leaf(node.first))
        fused[static_cast<std::size_t>(node.first)] = random.below(2) != 0;
      else if (tree.is_leaf(node.second))
        fused[static_cast<std::size_t>(node.second)] = random.below(2) != 0;
    }
    tree = oracle::make_tree(hidden, tree.nodes, fused);
    const auto box = make_tree_box(tree, options);
    const Finding finding = detect(*box);
    ASSERT_TRUE(finding.tree) << finding.reason;
    EXPECT_TRUE(finding.fma_known);
    EXPECT_TRUE(*finding.tree == tree) << "H " << hidden;
  }
  const auto with = make_box(512, serial_fma_sum, options), without = make_box(512, serial_sum, options);
  EXPECT_EQ(detect(*with).tree->fused_leaves(), 511);
  EXPECT_EQ(detect(*without).tree->fused_leaves(), 0);
}

// Which of the first two squares is rounded depends on the row.
TEST(Detect, FmaThatDiffersFromRowToRowIsNotTold) {
  BoxOptions options;
  options.dtype = options.output_dtype = DType::fp32;
  const auto sum = [](std::span<const float> row, std::int64_t) {
    const float a = row[0], b = row[1];
    float total = std::abs(a) < std::abs(b) ? std::fma(a, a, b * b) : std::fma(b, b, a * a);
    for (const float x : row.subspan(2)) total += x * x;
    return static_cast<double>(total);
  };
  const auto box = make_box(64, sum, options);
  const Finding finding = detect(*box);
  ASSERT_TRUE(finding.tree) << finding.reason;
  EXPECT_FALSE(finding.fma_known);
  EXPECT_EQ(finding.tree->nodes, serial(64).nodes);
}

// The box is asked by calls of 64 rows; of each second row the squares are rounded first.
TEST(Detect, FmaOfEverySecondRowIsNotTold) {
  BoxOptions options;
  options.dtype = options.output_dtype = DType::fp32;
  int row_number = 0;
  const auto box = make_box(
      64,
      [&row_number](std::span<const float> row, std::int64_t index) {
        return row_number++ % 2 == 0 ? serial_sum(row, index) : serial_fma_sum(row, index);
      },
      options);
  const Finding finding = detect(*box);
  ASSERT_TRUE(finding.tree) << finding.reason;
  EXPECT_FALSE(finding.fma_known);
}

TEST(Detect, Roots) {
  using Root = RootFinding::Root;
  for (const DType dtype : kDTypes) {
    for (const bool inverse : {false, true}) {
      BoxOptions options;
      options.dtype = options.output_dtype = dtype;
      options.inverse_hidden = inverse;
      const auto root_of = [&](BoxOptions::Root root, int off) {
        options.root = root;
        options.root_off = off;
        return detect(*make_box(320, serial_sum, options)).root;
      };
      const std::string what = std::string(name_of(dtype)) + (inverse ? ", 1 / H" : "");
      EXPECT_EQ(root_of(BoxOptions::Root::once, 0).root, Root::rounded_once) << what;
      EXPECT_EQ(root_of(BoxOptions::Root::quotient, 0).root, Root::quotient) << what;
      EXPECT_EQ(root_of(BoxOptions::Root::divides, 0).root, Root::divides) << what;
      const RootFinding off = root_of(BoxOptions::Root::once, 2);
      EXPECT_EQ(off.root, Root::other) << what;
      EXPECT_EQ(off.farthest_ulp, dtype == DType::fp32 ? 2 : -1) << what;
    }
  }
}

double fp64_sum(std::span<const float> row, std::int64_t) {
  double sum = 0;
  for (const float x : row) sum += static_cast<double>(x) * static_cast<double>(x);
  return sum;
}
// Four squares are added at once, to each other and to the accumulator, and rounded once.
double fused_adder_sum(std::span<const float> row, std::int64_t) {
  float sum = 0;
  for (std::size_t j = 0; j < row.size(); j += 4) {
    double exact = static_cast<double>(sum);
    for (std::size_t k = j; k < std::min(j + 4, row.size()); ++k)
      exact += static_cast<double>(row[k]) * static_cast<double>(row[k]);
    sum = static_cast<float>(exact);
  }
  return static_cast<double>(sum);
}
// fp32 lanes whose sums are added in fp64.
double mixed_sum(std::span<const float> row, std::int64_t) {
  double sum = 0;
  for (const float lane : thread_parts(row, 8, 1)) sum += static_cast<double>(lane);
  return sum;
}

TEST(Detect, Fp64AccumulationIsSaidToBeThat) {
  for (const DType dtype : kDTypes) {
    BoxOptions options;
    options.dtype = options.output_dtype = dtype;
    for (const bool keeps : {false, true}) {
      options.keeps_fp64 = keeps;
      for (const std::int32_t hidden : {64, 1024}) {
        const Finding finding = detect(*make_box(hidden, fp64_sum, options));
        EXPECT_EQ(finding.kind, Kind::fp64_tree) << name_of(dtype) << " " << keeps << " " << finding.reason;
        ASSERT_TRUE(finding.tree);
        EXPECT_TRUE(finding.tree->nodes == serial(hidden).nodes);
        EXPECT_EQ(finding.tree->precision, SumTree::Precision::fp64);
      }
    }
  }
}

TEST(Detect, NoTreeIsGivenWhereThereIsNone) {
  for (const DType dtype : kDTypes) {
    BoxOptions options;
    options.dtype = options.output_dtype = dtype;
    for (const std::int32_t hidden : {64, 1000, 1024}) {
      const auto kind_of = [&](const RowSum& sum) {
        const Finding finding = detect(*make_box(hidden, sum, options));
        EXPECT_FALSE(finding.tree);
        return finding.kind;
      };
      EXPECT_EQ(kind_of(fused_adder_sum), Kind::fused_adder) << hidden;
      const Kind mixed = kind_of(mixed_sum);
      EXPECT_TRUE(mixed == Kind::mixed || mixed == Kind::fused_adder || mixed == Kind::wide) << hidden;
      // An order drawn anew for each call, as atomics make it.
      EXPECT_EQ(kind_of([hidden](std::span<const float> row, std::int64_t call) {
                  std::vector<double> scratch;
                  return sum_of_squares(random_tree(hidden, static_cast<std::uint64_t>(call)), row, scratch);
                }),
                Kind::varies)
          << hidden;
    }
  }
}

// One wide addition among many rounded ones: random triples do not see it, the certificate does.
TEST(Detect, OneWideAdditionRefusesTheTree) {
  const RowSum sum = [](std::span<const float> row, std::int64_t) {
    const auto square = [&](std::size_t j) {
      return static_cast<double>(row[j]) * static_cast<double>(row[j]);
    };
    auto total = static_cast<float>(square(500) + square(501) + square(502));
    for (std::size_t j = 0; j < row.size(); ++j)
      if (j < 500 || j > 502) total += row[j] * row[j];
    return static_cast<double>(total);
  };
  const Finding finding = detect(*make_box(1024, sum));
  EXPECT_FALSE(finding.tree);
}

TEST(Detect, HasTreeRefusesOthers) {
  BoxOptions options;
  options.dtype = options.output_dtype = DType::fp32;
  const auto box = make_box(256, serial_fma_sum, options);
  const SumTree right = *detect(*box).tree;
  std::string why;
  EXPECT_TRUE(has_tree(*box, right, 5, why)) << why;
  EXPECT_FALSE(has_tree(*box, pairwise(256), 5, why));
  EXPECT_FALSE(has_tree(*box, serial(256), 5, why));  // the same tree without fma
  EXPECT_EQ(why, "other squares are added by an fma");
  EXPECT_FALSE(has_tree(*box, serial(255), 5, why));
}

}  // namespace
}  // namespace normproof::order
