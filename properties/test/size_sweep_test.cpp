// The sweep over all sizes: every wanted cell has a valid case, whatever the seed and the operations.
#include "properties/judging/size_sweep.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "corpus/size_bands.h"

namespace normproof {
namespace {

void expect_all_sizes(const std::vector<Case>& sweep, std::uint64_t seed) {
  SizesReached reached;
  for (const Case& test_case : sweep) {
    EXPECT_EQ(validate(test_case), std::vector<std::string>());
    if (const auto cell = size_cell(test_case)) reached.add(*cell);
  }
  EXPECT_EQ(reached.count(), SizesReached::wanted_count()) << "seed " << seed;
}

TEST(SizeSweep, HasACaseForEverySize) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    expect_all_sizes(size_sweep(seed, all_combinations()), seed);
    expect_all_sizes(size_sweep(seed, all_combinations(Operation::rms_norm, DType::bf16)), seed);
    expect_all_sizes(size_sweep(seed, all_combinations(Operation::fused_add_rms_norm_static_fp8_quant)),
                     seed);
  }
}

TEST(SizeSweep, HasManyRowsInEachDimension) {
  bool first = false, second = false;
  for (const Case& test_case : size_sweep(3, all_combinations(Operation::rms_norm))) {
    if (test_case.shape.size() != 3) continue;
    first = first || test_case.shape[0] == 65537;
    second = second || test_case.shape[1] == 65537;
  }
  EXPECT_TRUE(first && second);
}

TEST(SizeSweep, HasUpperBoundsOfScalesWhereTheyAreTaken) {
  std::vector<Combination> combinations = all_combinations(Operation::rms_norm_dynamic_quant, DType::bf16);
  const auto bounded = [&] {
    return std::ranges::count_if(size_sweep(3, combinations),
                                 [](const Case& each) { return each.has_scale_ub(); });
  };
  EXPECT_GT(bounded(), 10);
  for (Combination& each : combinations) each.scale_ub = false;
  EXPECT_EQ(bounded(), 0);
}

TEST(SizeSweep, IsTheSameForTheSameSeed) {
  EXPECT_EQ(size_sweep(7, all_combinations()), size_sweep(7, all_combinations()));
  EXPECT_NE(size_sweep(7, all_combinations()), size_sweep(8, all_combinations()));
}

}  // namespace
}  // namespace normproof
