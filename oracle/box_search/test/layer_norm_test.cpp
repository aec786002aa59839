// LayerNorm's judge: honest kernels of all kinds conform; on small rows its verdict is that of trying every
// pair of the window; which faults it sees is measured. NORMPROOF_TEST_SCALE=N makes N times as many rows,
// NORMPROOF_TEST_SEED=N others.
#include "oracle/box_search/layer_norm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "oracle/box_search/canonical_order.h"
#include "oracle/box_search/layer_norm_window.h"
#include "oracle/box_search/test/enumeration_tally.h"
#include "oracle/box_search/test/honest_sums.h"
#include "oracle/box_search/test/random_rows.h"

namespace normproof::oracle::box_search {
namespace {

using test::random_row;
using test::RowClass;

// A row with everything that a kernel is given. The formula is written here once more, plainly.
struct Subject {
  LayerNormRule rule;
  std::vector<float> x, weight, bias;

  std::int64_t count() const { return static_cast<std::int64_t>(x.size()); }
  std::vector<float> plain(float mean, float root) const {
    std::vector<float> y;
    for (std::size_t j = 0; j < x.size(); ++j) y.push_back((x[j] - mean) * root);
    if (rule.rounds_normalized) test::round_to_format(y, rule.activation);
    for (std::size_t j = 0; j < x.size(); ++j) {
      const float w = rule.weight_plus_one ? 1 + weight[j] : weight[j];
      if (rule.rounds_product) {
        std::vector<float> product = {y[j] * w};
        test::round_to_format(product, rule.activation);
        y[j] = rule.bias ? product[0] + bias[j] : product[0];
      } else if (!rule.bias) {
        y[j] = y[j] * w;
      } else {
        y[j] = rule.fused ? std::fma(y[j], w, bias[j]) : y[j] * w + bias[j];
      }
    }
    test::round_to_format(y, rule.activation);
    return y;
  }
  LayerNormJudge judge() const {
    const auto bytes = [](const std::vector<float>& values, const std::optional<DType>& dtype) {
      return dtype ? test::packed(values, *dtype) : std::vector<std::byte>();
    };
    return LayerNormJudge(rule, count(), bytes(weight, rule.weight), bytes(bias, rule.bias));
  }
  std::vector<std::byte> input() const { return test::packed(x, rule.operand.value_or(rule.activation)); }
  std::vector<std::byte> output(const std::vector<float>& y) const {
    return test::packed(y, rule.activation);
  }
};

Subject random_subject(Random& random, std::int64_t count, RowClass row_class) {
  Subject subject;
  LayerNormRule& rule = subject.rule;
  rule.activation = random.pick(std::array{DType::bf16, DType::fp16, DType::fp32});
  const auto some = [&]() -> std::optional<DType> {
    const auto kind = random.below(3);
    if (kind == 0) return std::nullopt;
    return kind == 1 ? rule.activation : DType::fp32;
  };
  rule.weight = some();
  rule.bias = some();
  rule.statistics = static_cast<Statistics>(random.below(4));
  rule.fused = random.chance(1, 2);
  rule.rounds_normalized = random.chance(1, 4);
  rule.weight_plus_one = random.chance(1, 8);
  rule.rounds_product = !rule.fused && random.chance(1, 4);
  if (random.chance(1, 8)) rule.operand = DType::fp32;
  rule.epsilon = std::bit_cast<std::uint32_t>(random.pick(std::array{1e-5f, 1e-6f, 1e-12f, 0.0f}));
  subject.x = random_row(random, rule.operand.value_or(rule.activation), count, row_class);
  const auto n = static_cast<std::size_t>(count);
  subject.weight.assign(n, rule.weight_plus_one ? 0.0f : 1.0f);
  subject.bias.assign(n, 0.0f);
  if (rule.weight) subject.weight = test::random_weight(random, *rule.weight, count);
  if (rule.bias) subject.bias = test::random_weight(random, *rule.bias, count);
  return subject;
}

std::string text_of(const Subject& subject, RowClass row_class) {
  const LayerNormRule& rule = subject.rule;
  return fmt::format("{} H={} {} fused={} rounds={} plus_one={} eps={} weight={} bias={} class={}",
                     name_of(rule.activation), subject.count(), name_of(rule.statistics), rule.fused,
                     rule.rounds_normalized, rule.weight_plus_one, std::bit_cast<float>(rule.epsilon),
                     rule.weight ? name_of(*rule.weight) : "none", rule.bias ? name_of(*rule.bias) : "none",
                     static_cast<int>(row_class));
}

TEST(LayerNormSearch, HonestRowsConform) {
  const std::uint64_t seed = test::seed(1);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 4000 * test::scale();
  std::int64_t most_boxes = 0, elements = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t count = random.log_between(1, random.chance(1, 20) ? 8192 : 512);
    const auto row_class = static_cast<RowClass>(random.below(test::kRowClasses));
    Subject subject = random_subject(random, count, row_class);
    const SummationOrder order = random.pick(kSummationOrders);
    const test::MeanAndVariance honest =
        test::honest_statistics(subject.x, subject.rule.statistics, order, random);
    const int off = static_cast<int>(random.between(-2, 2));
    const float root = test::inverse_root_off_by(honest.variance, subject.rule.epsilon, off);
    StoredStatistics stored;
    if (random.chance(1, 4)) stored.mean = honest.mean;
    if (random.chance(1, 4)) stored.inverse_root = root;
    if (random.chance(1, 8)) {  // stored in T
      std::vector<float> rounded = {honest.mean, root};
      test::round_to_format(rounded, subject.rule.activation);
      stored = {rounded[0], rounded[1], subject.rule.activation, subject.rule.activation};
    }
    const std::vector<float> y = subject.plain(honest.mean, root);
    LayerNormJudge judge = subject.judge();
    const RowVerdict verdict = judge.judge(subject.input(), subject.output(y), stored);
    ASSERT_TRUE(verdict.conforms) << "seed " << seed << " row " << i << ": " << text_of(subject, row_class)
                                  << " order " << name_of(order) << " mean " << honest.mean << " root "
                                  << root;
    if (random.chance(1, 40)) judge.require_exact(verdict, stored);
    most_boxes = std::max(most_boxes, verdict.boxes);
    elements += count;
  }
  fmt::print("LayerNorm, honest: {} rows, {} elements, 0 refused, at most {} boxes (seed {})\n", rows,
             elements, most_boxes, seed);
}

// Whether any pair of the window explains the elements.
bool explained(const Subject& subject, const std::vector<Box>& window, const std::vector<float>& got) {
  for (const Box& box : window) {
    for (Position m = box.first.low; m <= box.first.high; ++m) {
      for (Position r = box.second.low; r <= box.second.high; ++r) {
        const std::vector<float> y = subject.plain(number_at(m), number_at(r));
        bool all = true;
        for (std::size_t j = 0; j < y.size() && all; ++j) {
          all = position_of(y[j]) == position_of(got[j]);
        }
        if (all) return true;
      }
    }
  }
  return false;
}

// What a wrong kernel may give: the formula changed, the statistics off, bits changed.
std::vector<float> faulty(const Subject& subject, float mean, float root, int fault, Random& random) {
  Subject other = subject;
  std::vector<float> y = subject.plain(mean, root);
  const auto at = static_cast<std::size_t>(random.below(y.size()));
  switch (fault) {
    case 0: {  // one element, one number up
      const auto bytes = subject.output(y);
      const DType dtype = subject.rule.activation;
      const Format& format = format_of(dtype);
      const auto bits = static_cast<std::uint32_t>(
          round_bits(format, decode(DType::fp32, std::bit_cast<std::uint32_t>(y[at]))));
      const Value next = decode(format, next_up(format, bits));
      y[at] = next.is_nan() ? NAN : static_cast<float>(to_double(next));
      return y;
    }
    case 1:    // half the row with another root
    case 2: {  // half the row with another mean
      const float other_root = fault == 1 ? std::nextafter(root, INFINITY) : root;
      const float other_mean = fault == 2 ? std::nextafter(mean, INFINITY) : mean;
      const std::vector<float> z = subject.plain(other_mean, other_root);
      std::copy(z.begin() + static_cast<std::ptrdiff_t>(z.size() / 2), z.end(),
                y.begin() + static_cast<std::ptrdiff_t>(z.size() / 2));
      return y;
    }
    case 3:
      other.rule.fused = !other.rule.fused;
      return other.plain(mean, root);
    case 4:
      other.rule.rounds_normalized = !other.rule.rounds_normalized;
      return other.plain(mean, root);
    case 5: {  // x * r - m * r
      for (std::size_t j = 0; j < y.size(); ++j) {
        const float w = subject.rule.weight_plus_one ? 1 + subject.weight[j] : subject.weight[j];
        const float n = subject.x[j] * root - mean * root;
        y[j] = n * w + (subject.rule.bias ? subject.bias[j] : -0.0f);
      }
      test::round_to_format(y, subject.rule.activation);
      return y;
    }
    default:  // statistics a few numbers away, beyond the window perhaps
      return subject.plain(number_at(position_of(mean) + static_cast<Position>(random.between(-40, 40))),
                           number_at(position_of(root) + static_cast<Position>(random.between(-40, 40))));
  }
}
constexpr std::array<const char*, 7> kFaults = {
    "one element one number up", "half the row with the next r", "half the row with the next m",
    "the other contraction",     "the other rounding of n",      "x*r - m*r",
    "m and r off by up to 40"};

TEST(LayerNormSearch, AgreesWithEnumeration) {
  const std::uint64_t seed = test::seed(2);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 1500 * test::scale();
  test::EnumerationTally tally;
  while (tally.judged() < rows) {
    const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(16));
    const auto row_class = test::mostly_ordinary(random);
    Subject subject = random_subject(random, count, row_class);
    if (random.chance(1, 2)) subject.rule.sum_depth = 4;
    subject.rule.inverse_root_ulp = static_cast<int>(random.below(3));
    const test::MeanAndVariance honest =
        test::honest_statistics(subject.x, subject.rule.statistics, random.pick(kSummationOrders), random);
    const float root = test::inverse_root_off_by(honest.variance, subject.rule.epsilon, 0);
    const std::vector<float> y =
        faulty(subject, honest.mean, root, static_cast<int>(random.below(kFaults.size())), random);
    LayerNormJudge judge = subject.judge();
    const RowVerdict verdict = judge.judge(subject.input(), subject.output(y));
    tally.look_at(verdict);
    if (test::points_of(verdict.window) > 4000) continue;
    ASSERT_EQ(verdict.conforms, explained(subject, verdict.window, y))
        << "seed " << seed << ": " << text_of(subject, row_class);
    tally.add_agreed(verdict);
    if (random.chance(1, 20)) judge.require_exact(verdict);
  }
  EXPECT_GT(tally.refuted(), rows / 5);
  tally.print("LayerNorm", "rows", seed);
}

// What a kernel stores must be in the window, and must give every bit.
TEST(LayerNormSearch, StoredStatisticsAreJudged) {
  const std::uint64_t seed = test::seed(4);
  Random random(seed);
  const StandardFloatEnvironment environment;
  std::int64_t tried = 0, refused = 0;
  while (tried < 300) {
    Subject subject = random_subject(random, random.log_between(16, 400), RowClass::offset_5);
    if (subject.rule.activation != DType::fp32 || subject.rule.rounds_normalized) continue;
    const test::MeanAndVariance honest =
        test::honest_statistics(subject.x, subject.rule.statistics, SummationOrder::pairwise, random);
    const float root = test::inverse_root_off_by(honest.variance, subject.rule.epsilon, 0);
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

TEST(LayerNormSearch, ExactArithmeticRefusesWrongVerdicts) {
  const StandardFloatEnvironment environment;
  LayerNormRule rule;
  rule.activation = DType::fp32;
  LayerNormJudge judge(rule, 2, {}, {});
  const auto row = [](float a, float b) { return test::packed({a, b}, DType::fp32); };
  const RowVerdict right = judge.judge(row(1, 3), row(-1, 1));
  judge.require_exact(right);
  RowVerdict refuted = right;
  refuted.conforms = false;
  refuted.refutation = {0, 1};
  EXPECT_THROW(judge.require_exact(refuted), std::logic_error);
  RowVerdict moved = right;
  ++moved.witness.second;
  EXPECT_THROW(judge.require_exact(moved), std::logic_error);
  RowVerdict narrowed = right;
  narrowed.window[0].second.low = narrowed.window[0].second.high;
  EXPECT_THROW(judge.require_exact(narrowed), std::logic_error);
  const RowVerdict wrong = judge.judge(row(1, 3), row(-1, 1.0000001f));
  judge.require_exact(wrong);
  RowVerdict too_little = wrong;
  too_little.refutation.pop_back();
  EXPECT_THROW(judge.require_exact(too_little), std::logic_error);
}

// Rows so short that the verdict can be followed by hand.
TEST(LayerNormSearch, Examples) {
  const StandardFloatEnvironment environment;
  LayerNormRule rule;
  rule.activation = DType::fp32;
  LayerNormJudge judge(rule, 2, {}, {});
  const auto row = [](float a, float b) { return test::packed({a, b}, DType::fp32); };
  EXPECT_TRUE(judge.judge(row(1, 3), row(-1, 1)).conforms);
  const RowVerdict wrong = judge.judge(row(1, 3), row(-1, 1.0000001f));
  EXPECT_FALSE(wrong.conforms);
  const std::array<std::string_view, 2> unknowns = {"mean", "r"};
  EXPECT_EQ(
      to_text(wrong, unknowns),
      "no mean and r explain columns 0, 1 together; an honest evaluation arrives at mean in [1.9999999, "
      "2.0000002] with r in [0.99999976, 1.0000004]");
  EXPECT_EQ(to_text(judge.judge(row(1, 3), row(-1, 1)), unknowns), "conforms with mean = 2, r = 1");
  EXPECT_EQ(to_text(judge.judge(row(1, 3), row(-1, 1), {5.0f, {}}), unknowns),
            "the stored values are none that an honest evaluation arrives at");
  // mean 0, variance 0, epsilon 0: 0 * infinity.
  EXPECT_TRUE(judge.judge(row(0, 0), row(NAN, NAN)).conforms);
  EXPECT_FALSE(judge.judge(row(0, 0), row(0, NAN)).conforms);
  rule.epsilon = std::bit_cast<std::uint32_t>(1.0f);
  LayerNormJudge with_epsilon(rule, 2, {}, {});
  EXPECT_TRUE(with_epsilon.judge(row(0, 0), row(0, 0)).conforms);
  // x - m of equal zeros is +0; -0 - +0 is -0.
  EXPECT_TRUE(with_epsilon.judge(row(-0.0f, -0.0f), row(-0.0f, -0.0f)).conforms);
  EXPECT_FALSE(with_epsilon.judge(row(-0.0f, -0.0f), row(0.0f, -0.0f)).conforms);
  EXPECT_TRUE(with_epsilon.judge(row(INFINITY, 1), row(NAN, NAN)).conforms);
  EXPECT_FALSE(with_epsilon.judge(row(INFINITY, 1), row(NAN, -INFINITY)).conforms);
  rule.statistics = Statistics::one_pass_clamped;
  LayerNormJudge clamped(rule, 2, {}, {});
  EXPECT_TRUE(clamped.judge(row(INFINITY, 1), row(NAN, -INFINITY)).conforms);
  EXPECT_THROW(judge.judge(row(1, 2), {}), std::invalid_argument);
  EXPECT_THROW(LayerNormJudge({}, 0, {}, {}), std::invalid_argument);
}

// The canonical statistics by exact arithmetic, one rounding at a time.
TEST(LayerNormSearch, CanonicalStatisticsAreExact) {
  const std::uint64_t seed = test::seed(6);
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 60; ++i) {
    const Subject subject = random_subject(random, random.log_between(1, 3000),
                                           static_cast<RowClass>(random.below(test::kOrdinaryRowClasses)));
    const auto value = [&](std::int64_t j) {
      return ExactNumbers::from_float(subject.x[static_cast<std::size_t>(j)]);
    };
    const Value count = Value::integer(subject.count());
    const auto over_count = [&](const Value& sum) { return ExactNumbers::fl(quotient(sum, count)); };
    const auto add = [](const Value& a, const Value& b) { return ExactNumbers::add(a, b); };
    const DType dtype = subject.rule.activation;
    const Value mean = over_count(canonical_sum<Value>(
        subject.count(), dtype, [&](const Value& sum, std::int64_t j) { return add(sum, value(j)); }, add));
    const Value v = over_count(canonical_sum<Value>(
        subject.count(), dtype,
        [&](const Value& sum, std::int64_t j) {
          const Value deviation = add(value(j), -mean);
          return ExactNumbers::fused(deviation, deviation, sum);
        },
        add));
    const Value epsilon = decode(DType::fp32, subject.rule.epsilon);
    const Value root = ExactNumbers::fl(inverse_root(add(v, epsilon)));
    const LayerNormJudge::Canonical statistics = subject.judge().canonical_statistics(subject.input());
    ASSERT_EQ(position_of(statistics.mean), position_of(mean)) << "seed " << seed << " row " << i;
    ASSERT_EQ(position_of(statistics.inverse_root), position_of(root)) << "seed " << seed << " row " << i;
  }
}

TEST(LayerNormSearch, CanonicalRowsConform) {
  const std::uint64_t seed = test::seed(5);
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 300; ++i) {
    const auto row_class = random.below(test::kRowClasses);
    Subject subject = random_subject(random, random.log_between(1, 5000), static_cast<RowClass>(row_class));
    subject.rule.statistics = Statistics::two_pass;
    subject.rule.sum_depth = subject.count() / 1024 + 8 + 10;  // a lane's additions and the butterfly's
    LayerNormJudge judge = subject.judge();
    const LayerNormJudge::Canonical statistics = judge.canonical_statistics(subject.input());
    const auto out = judge.outputs(subject.input(), statistics.mean, statistics.inverse_root);
    if (std::isfinite(statistics.mean) && std::isfinite(statistics.inverse_root)) {  // no NaN, of either sign
      ASSERT_EQ(out, subject.output(subject.plain(statistics.mean, statistics.inverse_root)));
    }
    ASSERT_TRUE(judge.judge(subject.input(), out, {statistics.mean, statistics.inverse_root}).conforms)
        << "seed " << seed << " row " << i << ": " << text_of(subject, static_cast<RowClass>(row_class));
  }
}

TEST(LayerNormSearch, DetectionTable) {
  const std::uint64_t seed = test::seed(3);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 60 * test::scale();
  for (const DType dtype : {DType::bf16, DType::fp16, DType::fp32}) {
    for (std::size_t fault = 0; fault + 1 < kFaults.size(); ++fault) {
      std::int64_t changed = 0, seen = 0;
      for (std::int64_t i = 0; i < rows; ++i) {
        const std::int64_t count = random.log_between(16, 1024);
        const auto row_class = static_cast<RowClass>(random.below(test::kOrdinaryRowClasses));
        Subject subject = random_subject(random, count, row_class);
        subject.rule.activation = dtype;
        subject.rule.statistics = static_cast<Statistics>(random.below(2) * 3);
        subject.rule.weight = subject.rule.bias = dtype;
        subject.x = random_row(random, dtype, count, row_class);
        subject.weight = test::random_weight(random, dtype, count);
        subject.bias = test::random_weight(random, dtype, count);
        const test::MeanAndVariance honest = test::honest_statistics(subject.x, subject.rule.statistics,
                                                                     random.pick(kSummationOrders), random);
        const float root = test::inverse_root_off_by(honest.variance, subject.rule.epsilon, 0);
        const std::vector<float> right = subject.plain(honest.mean, root);
        const std::vector<float> wrong = faulty(subject, honest.mean, root, static_cast<int>(fault), random);
        if (subject.output(right) == subject.output(wrong)) continue;
        ++changed;
        const RowVerdict verdict = subject.judge().judge(subject.input(), subject.output(wrong), {}, false);
        seen += verdict.conforms ? 0 : 1;
      }
      fmt::print("| LayerNorm | {} | {} | {} / {} |\n", name_of(dtype), kFaults[fault], seen, changed);
      if (dtype == DType::fp32 && changed > 0) {
        EXPECT_GT(2 * seen, changed) << kFaults[fault];
      }
    }
  }
}

}  // namespace
}  // namespace normproof::oracle::box_search
