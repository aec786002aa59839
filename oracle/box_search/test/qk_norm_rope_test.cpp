// The judge of q/k norm with rotary embedding: honest kernels of all kinds conform; its verdict is that of
// trying every r of the window; which faults it sees is measured. NORMPROOF_TEST_SCALE=N makes N times as
// many heads, NORMPROOF_TEST_SEED=N others.
#include "oracle/box_search/qk_norm_rope.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "oracle/box_search/test/enumeration_tally.h"
#include "oracle/box_search/test/honest_sums.h"
#include "oracle/box_search/test/random_rows.h"

namespace normproof::oracle::box_search {
namespace {

using test::random_row;
using test::RowClass;

// A head with everything that a kernel is given. The formula is written here once more, plainly.
struct Subject {
  QkNormRopeRule rule;
  std::vector<float> x, weight, cosine, sine;

  std::size_t size() const { return x.size(); }
  std::size_t pairs() const { return cosine.size(); }

  std::vector<float> normalized(float root) const {
    std::vector<float> n;
    for (std::size_t j = 0; j < size(); ++j) {
      const float w = rule.weight_plus_one ? 1 + weight[j] : weight[j];
      switch (rule.order) {
        case NormOrder::normalized_first:
          n.push_back((x[j] * root) * w);
          break;
        case NormOrder::product_first:
          n.push_back((x[j] * w) * root);
          break;
        case NormOrder::factor_first:
          n.push_back(x[j] * (root * w));
          break;
        case NormOrder::rounded_first:
          n.push_back(in_format(x[j] * root) * w);
          break;
      }
    }
    if (rule.rounds_norm) test::round_to_format(n, rule.activation);
    return n;
  }
  float in_format(float value) const {
    std::vector<float> one{value};
    test::round_to_format(one, rule.activation);
    return one[0];
  }
  std::vector<float> plain(float root) const {
    std::vector<float> y = normalized(root);
    for (std::size_t i = 0; i < pairs(); ++i) {
      const std::size_t p = rule.interleaved ? 2 * i : i;
      const std::size_t q = rule.interleaved ? 2 * i + 1 : i + pairs();
      const float a = y[p], b = y[q], c = cosine[i], s = sine[i];
      if (rule.rounds_steps) {
        y[p] = in_format(a * c) - in_format(b * s);
        y[q] = in_format(b * c) + in_format(a * s);
        continue;
      }
      y[p] = rule.first == RopeContraction::cosine ? std::fma(a, c, -(b * s))
             : rule.first == RopeContraction::sine ? std::fma(-b, s, a * c)
                                                   : a * c - b * s;
      y[q] = rule.second == RopeContraction::cosine ? std::fma(b, c, a * s)
             : rule.second == RopeContraction::sine ? std::fma(a, s, b * c)
                                                    : b * c + a * s;
    }
    test::round_to_format(y, rule.activation);
    return y;
  }
  QkNormRopeJudge judge() const {
    QkNormRopeJudge result(rule, static_cast<std::int64_t>(size()), static_cast<std::int64_t>(2 * pairs()),
                           rule.weight ? test::packed(weight, *rule.weight) : std::vector<std::byte>());
    result.set_rotation(test::packed(cosine, rule.rotation), test::packed(sine, rule.rotation));
    return result;
  }
  std::vector<std::byte> bytes(const std::vector<float>& values) const {
    return test::packed(values, rule.activation);
  }
  float honest_root(SummationOrder order, int off, Random& random) const {
    const float root = oracle::honest_root(x, std::bit_cast<float>(rule.epsilon), order, random);
    return root_off_by(root, off);
  }
};

Subject random_subject(Random& random, std::int64_t count, RowClass row_class) {
  Subject subject;
  QkNormRopeRule& rule = subject.rule;
  rule.activation = random.pick(std::array{DType::bf16, DType::fp16, DType::fp32});
  rule.rotation = random.chance(1, 2) ? rule.activation : DType::fp32;
  rule.order = static_cast<NormOrder>(random.below(4));
  rule.rounds_norm = random.chance(1, 3);
  rule.rounds_steps = random.chance(1, 4);
  if (!rule.rounds_steps) {
    rule.first = static_cast<RopeContraction>(random.below(3));
    rule.second = static_cast<RopeContraction>(random.below(3));
  }
  rule.interleaved = random.chance(1, 2);
  rule.weight_plus_one = random.chance(1, 8);
  rule.epsilon = std::bit_cast<std::uint32_t>(random.pick(std::array{1e-5f, 1e-6f, 0.0f}));
  if (random.chance(3, 4)) rule.weight = random.chance(1, 2) ? rule.activation : DType::fp32;
  subject.x = random_row(random, rule.activation, count, row_class);
  subject.weight.assign(static_cast<std::size_t>(count), rule.weight_plus_one ? 0.0f : 1.0f);
  if (rule.weight) subject.weight = test::random_weight(random, *rule.weight, count);
  const std::int64_t pairs =
      random.chance(1, 3) ? static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(count / 2 + 1)))
                          : count / 2;
  for (std::int64_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(random.below(1 << 20)) * 0x1p-16;
    subject.cosine.push_back(static_cast<float>(std::cos(angle)));
    subject.sine.push_back(static_cast<float>(std::sin(angle)));
  }
  test::round_to_format(subject.cosine, rule.rotation);
  test::round_to_format(subject.sine, rule.rotation);
  return subject;
}

std::string text_of(const Subject& subject, RowClass row_class) {
  const QkNormRopeRule& rule = subject.rule;
  return fmt::format(
      "{} D={} pairs={} {} rounds_norm={} rounds_steps={} first={} second={} interleaved={} class={}",
      name_of(rule.activation), subject.size(), subject.pairs(), name_of(rule.order), rule.rounds_norm,
      rule.rounds_steps, name_of(rule.first), name_of(rule.second), rule.interleaved,
      static_cast<int>(row_class));
}

TEST(QkNormRopeSearch, HonestHeadsConform) {
  const std::uint64_t seed = test::seed(31);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t heads = 4000 * test::scale();
  std::int64_t most_boxes = 0, elements = 0;
  for (std::int64_t i = 0; i < heads; ++i) {
    const std::int64_t count = random.log_between(1, 576);
    const auto row_class = static_cast<RowClass>(random.below(test::kRowClasses));
    const Subject subject = random_subject(random, count, row_class);
    const SummationOrder order = random.pick(kSummationOrders);
    const float root = subject.honest_root(order, static_cast<int>(random.between(-2, 2)), random);
    const std::vector<float> y = subject.plain(root);
    QkNormRopeJudge judge = subject.judge();
    const RowVerdict verdict = judge.judge(subject.bytes(subject.x), subject.bytes(y));
    ASSERT_TRUE(verdict.conforms) << "seed " << seed << " head " << i << ": " << text_of(subject, row_class)
                                  << " order " << name_of(order) << " root " << root;
    if (random.chance(1, 40)) judge.require_exact(verdict);
    most_boxes = std::max(most_boxes, verdict.boxes);
    elements += count;
  }
  fmt::print("q/k norm + rope, honest: {} heads, {} elements, 0 refused, at most {} boxes (seed {})\n", heads,
             elements, most_boxes, seed);
}

bool explained(const Subject& subject, const std::vector<Box>& window, const std::vector<float>& got) {
  for (const Box& box : window) {
    for (Position r = box.first.low; r <= box.first.high; ++r) {
      const std::vector<float> y = subject.plain(number_at(r));
      bool all = true;
      for (std::size_t j = 0; j < y.size() && all; ++j) all = position_of(y[j]) == position_of(got[j]);
      if (all) return true;
    }
  }
  return false;
}

std::vector<float> faulty(const Subject& subject, float root, int fault, Random& random) {
  Subject other = subject;
  std::vector<float> y = subject.plain(root);
  switch (fault) {
    case 0: {
      const Format& format = format_of(subject.rule.activation);
      float& value = y[random.below(y.size())];
      const std::uint64_t bits = round_bits(format, decode(DType::fp32, std::bit_cast<std::uint32_t>(value)));
      const Value next = decode(format, next_up(format, bits));
      value = next.is_nan() ? NAN : static_cast<float>(to_double(next));
      return y;
    }
    case 1: {
      const std::vector<float> z = subject.plain(std::nextafter(root, INFINITY));
      const auto half = static_cast<std::ptrdiff_t>(y.size() / 2);
      std::copy(z.begin() + half, z.end(), y.begin() + half);
      return y;
    }
    case 2:
      other.rule.rounds_norm = !other.rule.rounds_norm;
      return other.plain(root);
    case 3:
      other.rule.first = static_cast<RopeContraction>((static_cast<int>(other.rule.first) + 1) % 3);
      return other.plain(root);  // the same where both products are rounded to T
    case 4:
      other.rule.order = static_cast<NormOrder>((static_cast<int>(other.rule.order) + 1) % 4);
      return other.plain(root);
    case 5:
      for (float& value : other.sine) value = -value;
      return other.plain(root);
    case 6:
      other.rule.interleaved = !other.rule.interleaved;
      return other.plain(root);
    case 7:
      other.rule.rounds_steps = !other.rule.rounds_steps;
      return other.plain(root);
    default:
      return subject.plain(number_at(position_of(root) + static_cast<Position>(random.between(-300, 300))));
  }
}
constexpr std::array<const char*, 9> kFaults = {
    "one element one number up", "half the head with the next r",      "the other rounding of the norm",
    "another contraction",       "another order of the products",      "rotated backwards",
    "neox for interleaved",      "the other rounding of the rotation", "r off by up to 300"};

TEST(QkNormRopeSearch, AgreesWithEnumeration) {
  const std::uint64_t seed = test::seed(32);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t heads = 1500 * test::scale();
  test::EnumerationTally tally;
  while (tally.judged() < heads) {
    const std::int64_t count = random.log_between(1, 128);
    const auto row_class = test::mostly_ordinary(random);
    const Subject subject = random_subject(random, count, row_class);
    const float root = subject.honest_root(random.pick(kSummationOrders), 0, random);
    const std::vector<float> y =
        faulty(subject, root, static_cast<int>(random.below(kFaults.size())), random);
    QkNormRopeJudge judge = subject.judge();
    const RowVerdict verdict = judge.judge(subject.bytes(subject.x), subject.bytes(y));
    if (test::points_of(verdict.window) > 2000) continue;
    ASSERT_EQ(verdict.conforms, explained(subject, verdict.window, y))
        << "seed " << seed << ": " << text_of(subject, row_class);
    tally.look_at(verdict);
    tally.add_agreed(verdict);
    if (random.chance(1, 20)) judge.require_exact(verdict);
  }
  EXPECT_GT(tally.refuted(), heads / 5);
  tally.print("q/k norm + rope", "heads", seed);
}

TEST(QkNormRopeSearch, DetectionTable) {
  const std::uint64_t seed = test::seed(33);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t heads = 60 * test::scale();
  for (const DType dtype : {DType::bf16, DType::fp16, DType::fp32}) {
    for (std::size_t fault = 0; fault + 1 < kFaults.size(); ++fault) {
      std::int64_t changed = 0, seen = 0;
      for (std::int64_t i = 0; i < heads; ++i) {
        const std::int64_t count = std::int64_t{64} << random.below(3);
        const auto row_class = static_cast<RowClass>(random.below(test::kOrdinaryRowClasses));
        Subject subject;
        do {
          subject = random_subject(random, count, row_class);
        } while (subject.rule.activation != dtype);
        const float root = subject.honest_root(random.pick(kSummationOrders), 0, random);
        const std::vector<float> wrong = faulty(subject, root, static_cast<int>(fault), random);
        if (subject.bytes(wrong) == subject.bytes(subject.plain(root))) continue;
        ++changed;
        seen += subject.judge().judge(subject.bytes(subject.x), subject.bytes(wrong), false).conforms ? 0 : 1;
      }
      fmt::print("| q/k norm + rope | {} | {} | {} / {} |\n", name_of(dtype), kFaults[fault], seen, changed);
      if (fault == 0 || fault == 5) {
        EXPECT_GT(2 * seen, changed) << kFaults[fault];
      }
    }
  }
}

TEST(QkNormRopeSearch, CanonicalRootIsAdmissible) {
  const std::uint64_t seed = test::seed(34);
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 300; ++i) {
    const Subject subject = random_subject(random, random.log_between(1, 300), RowClass::centred);
    QkNormRopeJudge judge = subject.judge();
    const auto x = subject.bytes(subject.x);
    const float root = judge.canonical_root(x);
    const auto out = judge.outputs(x, root);
    ASSERT_EQ(out, subject.bytes(subject.plain(root))) << "seed " << seed << " trial " << i;
    ASSERT_TRUE(judge.judge(x, out).conforms) << "seed " << seed << " trial " << i;
  }
}

TEST(QkNormRopeSearch, RefusesImpossibleSizes) {
  const StandardFloatEnvironment environment;
  EXPECT_THROW(QkNormRopeJudge({}, 0, 0, {}), std::invalid_argument);
  EXPECT_THROW(QkNormRopeJudge({}, 8, 3, {}), std::invalid_argument);
  EXPECT_THROW(QkNormRopeJudge({}, 8, 10, {}), std::invalid_argument);
  QkNormRopeRule rounded;
  rounded.rounds_steps = true;
  rounded.first = RopeContraction::cosine;
  EXPECT_THROW(QkNormRopeJudge(rounded, 8, 8, {}), std::invalid_argument);
  QkNormRopeJudge judge({}, 8, 8, {});
  EXPECT_THROW(judge.set_rotation({}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace normproof::oracle::box_search
