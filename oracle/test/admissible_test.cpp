// The admissible interval holds every honest evaluation, and is as narrow as the model says.
#include "oracle/admissible.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "oracle/fast_row.h"
#include "oracle/inverse_root.h"
#include "oracle/test/summation.h"

namespace normproof::oracle {
namespace {

Formula formula(std::int64_t hidden_size, std::uint32_t epsilon_bits, const std::string& policy = "native") {
  Formula result;
  result.formats = {DType::bf16, {}, {}};
  result.hidden_size = hidden_size;
  result.parameter_bits[static_cast<std::size_t>(Parameter::epsilon)] = epsilon_bits;
  result.policy = parse_policy(policy);
  return result;
}

constexpr std::array<const char*, 4> kModels = {"native", "sum_depth=26", "inverse_root_ulp=0",
                                                "flush_to_zero=on"};

// Rows of any magnitude; every fourth one with values whose squares underflow or overflow.
std::vector<float> any_row(test::RandomCases& random, std::int64_t count) {
  const int range = random.one_in(4) ? 80 : 6;
  const int shift = static_cast<int>(random.below(static_cast<std::uint32_t>(2 * range))) - range;
  std::vector<float> row;
  for (std::int64_t j = 0; j < count; ++j) {
    row.push_back(std::bit_cast<float>(random.ordinary_bits(kFormats[0], shift) &
                                       (random.one_in(2) ? ~0u : 0xffff0000u)));
  }
  if (random.one_in(8)) row[0] = 0;
  return row;
}

TEST(SquareSum, BucketsEqualOneByOne) {
  test::RandomCases random(31);
  for (int i = 0; i < 3000; ++i) {
    std::vector<float> row;
    std::vector<Value> values;
    for (std::uint32_t j = 1 + random.below(30); j > 0; --j) {
      const std::uint32_t bits = random.any_bits(kFormats[0]);
      row.push_back(std::bit_cast<float>(bits));
      values.push_back(decode(DType::fp32, bits));
    }
    const SquareSum a = exact_square_sum(row);
    const SquareSum b = exact_square_sum(values);
    ASSERT_EQ(a.count, b.count);
    ASSERT_EQ(a.has_nan, b.has_nan);
    ASSERT_EQ(a.has_infinity, b.has_infinity);
    ASSERT_TRUE(a.sum == b.sum && a.largest == b.largest);
    ASSERT_EQ(a.lowest_bit, b.lowest_bit);
    ASSERT_EQ(a.smallest_top, b.smallest_top);
  }
}

TEST(Admissible, HoldsEveryHonestEvaluation) {
  test::RandomCases random(32);
  for (int i = 0; i < 6000 * test::scale(); ++i) {
    const std::int64_t count = 1 + random.below(1 + random.below(300));
    const std::vector<float> row = any_row(random, count);
    const std::uint32_t epsilon_bits = random.one_in(2) ? 0x358637bdu : random.scalar_bits();
    const AdmissibleModel model(formula(count, epsilon_bits));
    const Admissible admissible = model.admissible(exact_square_sum(row));
    for (const SummationOrder order : kSummationOrders) {
      const float r = test::honest_root(row, std::bit_cast<float>(epsilon_bits), order, 2, random);
      if (std::isnan(r)) {
        ASSERT_TRUE(admissible.nan);
      } else {
        ASSERT_TRUE(admissible.interval.contains(std::bit_cast<std::uint32_t>(r)))
            << r << " order " << static_cast<int>(order) << " H " << count << " " << to_text(admissible);
      }
    }
  }
}

// Pairwise sums of 2^k terms have depth k: the bound with sum_depth = k still holds them.
TEST(Admissible, HoldsPairwiseSumsWithinTheirDepth) {
  test::RandomCases random(33);
  for (int i = 0; i < 4000; ++i) {
    const std::uint32_t depth = random.below(9);
    const std::int64_t count = std::int64_t{1} << depth;
    const std::vector<float> row = any_row(random, count);
    const AdmissibleModel model(formula(count, 0x358637bdu, "sum_depth=" + std::to_string(depth)));
    const float r = test::honest_root(row, 1e-6f, SummationOrder::pairwise, 2, random);
    ASSERT_TRUE(model.admissible(exact_square_sum(row)).interval.contains(std::bit_cast<std::uint32_t>(r)));
  }
}

TEST(Admissible, HoldsFlushedEvaluations) {
  test::RandomCases random(34);
  const auto flush = [](float value) { return std::fabs(value) < 0x1p-126f ? 0.0f : value; };
  for (int i = 0; i < 4000; ++i) {
    const std::int64_t count = 1 + random.below(20);
    std::vector<float> row;
    for (std::int64_t j = 0; j < count; ++j) {
      row.push_back(
          std::bit_cast<float>(random.ordinary_bits(kFormats[0], -62 + static_cast<int>(random.below(3)))));
    }
    const std::uint32_t epsilon_bits = random.one_in(2) ? 0 : random.below(0x1000000);
    float sum = 0;
    for (const float x : row) sum = flush(sum + flush(x * x));
    const float m = flush(flush(sum / static_cast<float>(count)) + flush(std::bit_cast<float>(epsilon_bits)));
    const auto r = static_cast<float>(1.0 / std::sqrt(static_cast<double>(m)));
    const AdmissibleModel model(formula(count, epsilon_bits, "flush_to_zero=on"));
    ASSERT_TRUE(model.admissible(exact_square_sum(row)).interval.contains(std::bit_cast<std::uint32_t>(r)))
        << r;
  }
}

// eps cancels all but a subnormal rest of the mean, 2^-124 - (2^-124 - 2^-140).
TEST(Admissible, FlushesASubnormalMeanPlusEpsilon) {
  const SquareSum squares = exact_square_sum(std::vector<float>{0x1p-62f});
  const std::uint32_t epsilon_bits = std::bit_cast<std::uint32_t>(-(0x1p-124f - 0x1p-140f));
  const RootInterval kept = AdmissibleModel(formula(1, epsilon_bits)).admissible(squares).interval;
  EXPECT_TRUE(kept.contains(std::bit_cast<std::uint32_t>(0x1p70f)));
  EXPECT_FALSE(kept.contains(kInfiniteRoot));
  const RootInterval flushed =
      AdmissibleModel(formula(1, epsilon_bits, "flush_to_zero=on")).admissible(squares).interval;
  EXPECT_TRUE(flushed.contains(kInfiniteRoot));
}

TEST(Admissible, WidthFollowsTheModel) {
  // 2^-5 squared keeps every partial sum of 1024 terms exact: only the root's own ulp are left.
  std::vector<float> row(1024, 0.03125f);
  const auto width = [&](const char* policy) {
    const RootInterval r =
        AdmissibleModel(formula(1024, 0x358637bdu, policy)).admissible(exact_square_sum(row)).interval;
    return r.high - r.low;
  };
  EXPECT_EQ(width("native"), 4);
  EXPECT_EQ(width("inverse_root_ulp=0"), 0);
  row[1] = 1.0000001f;  // now the order matters
  const std::int64_t any_order = width("inverse_root_ulp=0");
  const std::int64_t shallow = width("inverse_root_ulp=0,sum_depth=10");
  EXPECT_GT(any_order, 10 * shallow);
  EXPECT_GT(shallow, 0);
}

TEST(Admissible, SpecialRows) {
  const auto admissible = [](std::vector<float> row, std::uint32_t epsilon_bits) {
    return AdmissibleModel(formula(static_cast<std::int64_t>(row.size()), epsilon_bits))
        .admissible(exact_square_sum(row));
  };
  const Admissible nan_only{{0, -1}, true};
  EXPECT_EQ(admissible({1, NAN}, 0), nan_only);
  EXPECT_EQ(admissible({1, 2}, 0x7fc00000u), nan_only);
  EXPECT_EQ(admissible({1, 2}, 0xff800000u), nan_only);
  EXPECT_EQ(admissible({1, 2}, 0xc2000000u), nan_only);         // m < 0
  EXPECT_EQ(admissible({INFINITY, 2}, 0xff800000u), nan_only);  // inf - inf
  EXPECT_EQ(admissible({1, INFINITY}, 0), (Admissible{{0, 0}, false}));
  EXPECT_EQ(admissible({3e38f, 1}, 0), (Admissible{{0, 0}, false}));  // the square overflows
  EXPECT_EQ(admissible({1, 2}, 0x7f800000u), (Admissible{{0, 0}, false}));
  EXPECT_EQ(admissible({0, 0}, 0), (Admissible{{kInfiniteRoot, kInfiniteRoot}, false}));
  EXPECT_EQ(admissible({0, 0}, 0x3f800000u), (Admissible{{0x3f7ffffe, 0x3f800002}, false}));
  // On the verge of overflow r may be 0 or that of the largest sum.
  const Admissible verge = admissible(std::vector<float>(64, 0x1.fffffep60f), 0);
  EXPECT_EQ(verge.interval.low, 0);
  EXPECT_GT(verge.interval.high, 0);
  EXPECT_FALSE(verge.nan);
  // eps cancels the mean: m may be zero or of either sign.
  const Admissible cancelled = admissible({1.0000001f, 1, 1}, 0xbf800000u);
  EXPECT_EQ(cancelled.interval.high, kInfiniteRoot);
  EXPECT_TRUE(cancelled.nan);
}

TEST(Admissible, Fp64GivesTheExactModelsInterval) {
  test::RandomCases random(35);
  int answered = 0;
  for (int i = 0; i < 20000 * test::scale(); ++i) {
    const std::int64_t count = 1 + random.below(1 + random.below(2000));
    const std::vector<float> row = any_row(random, count);
    const std::uint32_t epsilon_bits = random.one_in(2) ? 0x358637bdu : random.scalar_bits();
    const AdmissibleModel model(formula(count, epsilon_bits, kModels[random.below(4)]));
    const double sum = row_kernels().sum_fp64(row.data(), count);
    if (!model.needs_more_bits(row, sum)) continue;
    const std::optional<RootInterval> interval = model.admissible_by_fp64(sum);
    if (!interval) continue;
    ++answered;
    const Admissible exact = model.admissible(exact_square_sum(row));
    ASSERT_EQ(*interval, exact.interval) << to_text(*interval) << " and " << to_text(exact) << " H " << count;
    ASSERT_FALSE(exact.nan);
  }
  EXPECT_GT(answered, 8000);
}

// Small integers times a power of two, some of them too large for an exact sum: what is answered is right.
TEST(Admissible, ExactSumsGiveTheExactModelsInterval) {
  test::RandomCases random(36);
  int answered = 0, not_answered = 0;
  for (int i = 0; i < 5000 * test::scale(); ++i) {
    const std::int64_t count = 1 + random.below(1 + random.below(2000));
    const int bits = 1 + static_cast<int>(random.below(12)),
              exponent = static_cast<int>(random.below(140)) - 70;
    std::vector<float> row(static_cast<std::size_t>(count));
    for (float& x : row) {
      const auto integer = static_cast<float>(random.below(std::int64_t{1} << bits));
      x = std::ldexp(random.one_in(2) ? integer : -integer, exponent);
    }
    const std::uint32_t epsilon_bits = random.one_in(2) ? 0x358637bdu : random.scalar_bits();
    const AdmissibleModel model(formula(count, epsilon_bits, kModels[random.below(4)]));
    const double sum = row_kernels().sum_fp64(row.data(), count);
    const std::optional<RootInterval> interval = model.admissible_of_exact_sum(row, sum);
    ++(interval ? answered : not_answered);
    if (!interval) continue;
    const Admissible exact = model.admissible(exact_square_sum(row));
    ASSERT_EQ(*interval, exact.interval) << to_text(*interval) << " and " << to_text(exact) << " H " << count;
    ASSERT_FALSE(exact.nan);
  }
  EXPECT_GT(answered, 1000 * test::scale());
  EXPECT_GT(not_answered, 500 * test::scale());
}

TEST(Admissible, SumsThatNeedMoreBits) {
  const AdmissibleModel model(formula(4, 0));
  EXPECT_FALSE(model.needs_more_bits(std::vector<float>{1, 2, 3, 4}, 30));
  EXPECT_TRUE(model.needs_more_bits(std::vector<float>{1, 2, 3, 0x1.00002p0f}, 15));
}

TEST(Admissible, CorrectlyRoundedRootOfTheExactMean) {
  const Formula f = formula(3, 0);
  EXPECT_EQ(correctly_rounded_root(f, exact_square_sum(std::vector<float>{1, 1, 1})), 0x3f800000u);
  EXPECT_EQ(correctly_rounded_root(f, exact_square_sum(std::vector<float>{1, 1, INFINITY})), 0u);
  EXPECT_TRUE(
      is_nan(DType::fp32, correctly_rounded_root(f, exact_square_sum(std::vector<float>{1, 1, NAN}))));
}

}  // namespace
}  // namespace normproof::oracle
