// LayerNorm's judge against the plain kernel: stored statistics, and the canonical order.
#include "properties/assess/family/layer_norm.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "oracle/box_search/canonical_order.h"

namespace normproof::assess::family {
namespace {

using oracle::StandardFloatEnvironment;
using oracle::Value;
using oracle::box_search::canonical_sum;
using oracle::box_search::ExactNumbers;
using oracle::box_search::NormForm;
using oracle::box_search::RowVerdict;
using oracle::box_search::StoredStatistics;

// What a kernel stores must be in the window, and must give every bit.
TEST(LayerNormSearch, StoredStatisticsAreJudged) {
  const std::uint64_t seed = 4;
  Random random(seed);
  const StandardFloatEnvironment environment;
  std::int64_t tried = 0, refused = 0;
  while (tried < 300) {
    LayerNormSubject subject = random_layer_norm(random, random.log_between(16, 400), RowClass::offset_5);
    if (subject.rule.activation != DType::fp32 || subject.rule.rounds_normalized) continue;
    const MeanAndRoot honest = honest_statistics(subject, SummationOrder::pairwise, 0, random);
    const float root = honest.root;
    const std::vector<std::byte> input = subject.input();
    const std::vector<std::byte> out = subject.output(subject.plain(honest.mean, root));
    LayerNormJudge judge = subject.judge();
    ASSERT_TRUE(judge.judge(input, out, {honest.mean, root}).conforms);
    // Far away: no honest kernel arrives there, whatever the outputs are.
    const RowVerdict far =
        judge.judge(input, subject.output(subject.plain(honest.mean, 2 * root)), {honest.mean, 2 * root});
    if (subject.rule.statistics != Statistics::one_pass &&
        subject.rule.statistics != Statistics::one_pass_clamped) {
      ASSERT_FALSE(far.conforms) << "seed " << seed;
      ASSERT_TRUE(far.refutation.empty());
      judge.require_exact(far, {honest.mean, 2 * root});
    }
    // The neighbour: admissible, but not what the outputs were made with.
    const StoredStatistics next{honest.mean, std::nextafter(root, INFINITY)};
    const RowVerdict other = judge.judge(input, out, next);
    refused += other.conforms ? 0 : 1;
    if (!other.conforms) {
      ASSERT_EQ(other.refutation.size(), 1u);
      judge.require_exact(other, next);
    }
    ++tried;
  }
  EXPECT_GT(refused, 250);
}

// Far from zero and in rows of few columns, where n is little else than roundings: what the search says is
// what trying every mean and root of the window says.
TEST(LayerNormSearch, ShiftedRowsAgreeWithEnumeration) {
  const std::uint64_t seed = 7;
  Random random(seed);
  const StandardFloatEnvironment environment;
  int explained_rows = 0, refuted_rows = 0;
  for (int i = 0; explained_rows + refuted_rows < 1500; ++i) {
    const RowClass row_class = random.pick(
        std::array{RowClass::offset_30, RowClass::offset_300, RowClass::nearly_constant, RowClass::constant});
    LayerNormSubject subject = random_layer_norm(random, random.between(1, 4), row_class);
    LayerNormRule& rule = subject.rule;
    rule.form = random.chance(1, 2) ? NormForm::shifted : NormForm::shifted_fma;
    rule.statistics = Statistics::two_pass;
    rule.sum_depth = 1;
    rule.inverse_root_ulp = static_cast<int>(random.below(3));
    const MeanAndRoot honest = honest_statistics(subject, SummationOrder::pairwise, 0, random);
    LayerNormSubject wrong = subject;
    const auto fault = random.below(5);
    if (fault == 0) wrong.rule.form = NormForm::centred;
    if (fault == 1)
      wrong.rule.form = rule.form == NormForm::shifted ? NormForm::shifted_fma : NormForm::shifted;
    std::vector<float> y = wrong.plain(near(honest.mean, fault == 2 ? 3 : 0, random),
                                       near(honest.root, fault < 4 ? 3 : 0, random));
    if (fault == 3) y[0] = one_number_up(y[0], rule.activation);
    LayerNormJudge judge = subject.judge();
    const RowVerdict verdict = judge.judge(subject.input(), subject.output(y));
    if (points_of(verdict.window) > 20000) continue;
    const bool explained = any_point(
        verdict.window, [&](float mean, float root) { return same_numbers(subject.plain(mean, root), y); });
    ASSERT_FALSE(verdict.undecided) << "seed " << seed << " row " << i << ": " << subject.text();
    ASSERT_EQ(verdict.conforms, explained) << "seed " << seed << " row " << i << ": " << subject.text();
    if (i % 8 == 0) judge.require_exact(verdict);
    ++(explained ? explained_rows : refuted_rows);
  }
  EXPECT_GT(explained_rows, 300);
  EXPECT_GT(refuted_rows, 300);
}

// The canonical statistics by exact arithmetic, one rounding at a time.
TEST(LayerNormSearch, CanonicalStatisticsAreExact) {
  const std::uint64_t seed = 6;
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 60; ++i) {
    const std::int64_t count = random.log_between(1, 3000);
    const LayerNormSubject subject = random_layer_norm(random, count, ordinary_class(random));
    const auto value = [&](std::int64_t j) {
      return ExactNumbers::from_float(subject.x[static_cast<std::size_t>(j)]);
    };
    const Value divisor = Value::integer(count);
    const auto over_count = [&](const Value& sum) { return ExactNumbers::fl(quotient(sum, divisor)); };
    const auto add = [](const Value& a, const Value& b) { return ExactNumbers::add(a, b); };
    const DType dtype = subject.rule.activation;
    const Value mean = over_count(canonical_sum<Value>(
        count, dtype, [&](const Value& sum, std::int64_t j) { return add(sum, value(j)); }, add));
    const Value v = over_count(canonical_sum<Value>(
        count, dtype,
        [&](const Value& sum, std::int64_t j) {
          const Value deviation = add(value(j), -mean);
          return ExactNumbers::fused(deviation, deviation, sum);
        },
        add));
    const Value epsilon = oracle::decode(DType::fp32, subject.rule.epsilon);
    const Value root = ExactNumbers::fl(inverse_root(add(v, epsilon)));
    const LayerNormJudge::Canonical statistics = subject.judge().canonical_statistics(subject.input());
    ASSERT_EQ(position_of(statistics.mean), position_of(mean)) << "seed " << seed << " row " << i;
    ASSERT_EQ(position_of(statistics.inverse_root), position_of(root)) << "seed " << seed << " row " << i;
  }
}

TEST(LayerNormSearch, CanonicalRowsConform) {
  const std::uint64_t seed = 5;
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 300; ++i) {
    const RowClass row_class = any_class(random);
    LayerNormSubject subject = random_layer_norm(random, random.log_between(1, 5000), row_class);
    subject.rule.statistics = Statistics::two_pass;
    subject.rule.sum_depth = subject.count() / 1024 + 8 + 10;  // a lane's additions and the butterfly's
    LayerNormJudge judge = subject.judge();
    const LayerNormJudge::Canonical statistics = judge.canonical_statistics(subject.input());
    const auto out = judge.outputs(subject.input(), statistics.mean, statistics.inverse_root);
    if (std::isfinite(statistics.mean) && std::isfinite(statistics.inverse_root)) {  // no NaN, of either sign
      ASSERT_EQ(out, subject.output(subject.plain(statistics.mean, statistics.inverse_root)));
    }
    ASSERT_TRUE(judge.judge(subject.input(), out, {statistics.mean, statistics.inverse_root}).conforms)
        << "seed " << seed << " row " << i << ": " << subject.text();
  }
}

}  // namespace
}  // namespace normproof::assess::family
