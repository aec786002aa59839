// The judge of dx: honest kernels of all kinds conform; on small rows its verdict is that of trying every
// pair of the window; which faults it sees is measured. NORMPROOF_TEST_SCALE=N makes N times as many rows,
// NORMPROOF_TEST_SEED=N others.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "oracle/box_search/canonical_order.h"
#include "oracle/box_search/norm_gradient.h"
#include "oracle/box_search/norm_gradient_window.h"
#include "oracle/box_search/test/enumeration_tally.h"
#include "oracle/box_search/test/honest_sums.h"
#include "oracle/box_search/test/random_rows.h"

namespace normproof::oracle::box_search {
namespace {

using test::random_row;
using test::RowClass;

// A row with everything that a kernel is given. The formulas are written here once more, plainly.
struct Subject {
  NormGradientRule rule;
  std::vector<float> dy, x, weight, added;
  float mean = 0, root = 0;

  std::size_t size() const { return x.size(); }
  float factor(std::size_t j) const { return rule.weight_plus_one ? 1 + weight[j] : weight[j]; }
  float normalized(std::size_t j) const { return (rule.centred ? x[j] - mean : x[j]) * root; }

  // z of the header, for one element.
  float difference(std::size_t j, float c1, float c2) const {
    const float n = rule.of_sums ? static_cast<float>(size()) : 1.0f;
    const float w = n * factor(j), xh = normalized(j);
    const bool correction = rule.contraction == GradientContraction::correction;
    const bool gradient = rule.contraction == GradientContraction::gradient;
    const float wdy = dy[j] * w;
    if (!rule.centred || rule.order == GradientOrder::correction_first) {
      const float first = correction ? std::fma(-xh, c1, wdy)
                          : gradient ? std::fma(dy[j], w, -(xh * c1))
                                     : wdy - xh * c1;
      return rule.centred ? first - c2 : first;
    }
    if (rule.order == GradientOrder::mean_first) {
      const float first = gradient ? std::fma(dy[j], w, -c2) : wdy - c2;
      return correction ? std::fma(-xh, c1, first) : first - xh * c1;
    }
    const float both = correction ? std::fma(xh, c1, c2) : xh * c1 + c2;
    return gradient ? std::fma(dy[j], w, -both) : wdy - both;
  }
  std::vector<float> plain(float c1, float c2) const {
    std::vector<float> dx;
    for (std::size_t j = 0; j < size(); ++j) {
      const float scale = rule.of_sums ? 1.0f / static_cast<float>(size()) * root : root;
      float value = difference(j, c1, c2) * scale;
      if (rule.added == AddedGradient::before_rounding) value += added[j];
      dx.push_back(value);
    }
    test::round_to_format(dx, rule.activation);
    if (rule.added == AddedGradient::after_rounding) {
      for (std::size_t j = 0; j < size(); ++j) dx[j] += added[j];
      test::round_to_format(dx, rule.activation);
    }
    return dx;
  }

  // c1 and c2 as a kernel has them.
  std::pair<float, float> honest(SummationOrder order, Random& random) const {
    std::vector<float> xh, wdy, ones(size(), 1.0f), terms;
    const auto association = random.below(3);
    for (std::size_t j = 0; j < size(); ++j) {
      xh.push_back(normalized(j));
      wdy.push_back(dy[j] * factor(j));
      const float centred = rule.centred ? x[j] - mean : x[j];
      terms.push_back(association == 0 ? ((dy[j] * factor(j)) * centred) * root
                                       : (dy[j] * xh[j]) * factor(j));
    }
    const float s1 =
        association == 2 ? test::sum_of_products(xh, wdy, order, random) : test::sum_of(terms, order, random);
    const float s2 = random.chance(1, 2) ? test::sum_of(wdy, order, random)
                                         : test::sum_of_products(dy, weights(), order, random);
    if (rule.of_sums) return {s1, rule.centred ? s2 : 0};
    const bool multiplies = random.chance(1, 2);
    return {test::mean_of_sum(s1, size(), multiplies),
            rule.centred ? test::mean_of_sum(s2, size(), multiplies) : 0};
  }
  std::vector<float> weights() const {
    std::vector<float> result;
    for (std::size_t j = 0; j < size(); ++j) result.push_back(factor(j));
    return result;
  }

  std::vector<std::byte> bytes(const std::vector<float>& values) const {
    return test::packed(values, rule.activation);
  }
};

// The packed operands of a subject, and the judge that reads them.
struct Judged {
  explicit Judged(const Subject& subject)
      : dy(subject.bytes(subject.dy)),
        x(subject.bytes(subject.x)),
        added(subject.rule.added == AddedGradient::none ? std::vector<std::byte>()
                                                        : subject.bytes(subject.added)),
        judge(subject.rule, static_cast<std::int64_t>(subject.size()),
              subject.rule.weight ? test::packed(subject.weight, *subject.rule.weight)
                                  : std::vector<std::byte>()),
        operands{dy, x, added, subject.mean, subject.root} {}
  std::vector<std::byte> dy, x, added;
  NormGradientJudge judge;
  GradientOperands operands;
};

Subject random_subject(Random& random, std::int64_t count, RowClass row_class) {
  Subject subject;
  NormGradientRule& rule = subject.rule;
  rule.activation = random.pick(std::array{DType::bf16, DType::fp16, DType::fp32});
  rule.centred = random.chance(1, 2);
  rule.contraction = static_cast<GradientContraction>(random.below(3));
  rule.order = static_cast<GradientOrder>(random.below(3));
  rule.of_sums = random.chance(1, 3);
  rule.added = static_cast<AddedGradient>(random.below(3));
  rule.weight_plus_one = random.chance(1, 8);
  if (random.chance(3, 4)) rule.weight = random.chance(1, 2) ? rule.activation : DType::fp32;
  subject.x = random_row(random, rule.activation, count, row_class);
  subject.dy = random_row(
      random, rule.activation, count,
      random.chance(1, 12) ? static_cast<RowClass>(random.below(test::kRowClasses)) : RowClass::centred);
  subject.added = random_row(random, rule.activation, count, RowClass::centred);
  const auto n = static_cast<std::size_t>(count);
  subject.weight.assign(n, rule.weight_plus_one ? 0.0f : 1.0f);
  if (rule.weight) subject.weight = test::random_weight(random, *rule.weight, count);
  const test::MeanAndVariance honest =
      test::honest_statistics(subject.x, Statistics::two_pass, random.pick(kSummationOrders), random);
  subject.mean = rule.centred ? honest.mean : 0.0f;
  const float square = rule.centred ? honest.variance : honest.variance + honest.mean * honest.mean;
  subject.root = test::inverse_root_off_by(square, std::bit_cast<std::uint32_t>(1e-5f), 0);
  return subject;
}

std::string text_of(const Subject& subject, RowClass row_class) {
  const NormGradientRule& rule = subject.rule;
  return fmt::format("{} H={} centred={} contraction={} order={} of_sums={} added={} weight={} class={}",
                     name_of(rule.activation), subject.size(), rule.centred, name_of(rule.contraction),
                     name_of(rule.order), rule.of_sums, static_cast<int>(rule.added),
                     rule.weight ? name_of(*rule.weight) : "none", static_cast<int>(row_class));
}

TEST(NormGradientSearch, HonestRowsConform) {
  const std::uint64_t seed = test::seed(21);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 4000 * test::scale();
  std::int64_t most_boxes = 0, elements = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t count = random.log_between(1, random.chance(1, 20) ? 8192 : 512);
    const auto row_class = static_cast<RowClass>(random.below(test::kRowClasses));
    const Subject subject = random_subject(random, count, row_class);
    const SummationOrder order = random.pick(kSummationOrders);
    const auto [c1, c2] = subject.honest(order, random);
    Judged judged(subject);
    const std::vector<float> dx = subject.plain(c1, c2);
    const RowVerdict verdict = judged.judge.judge(judged.operands, subject.bytes(dx));
    ASSERT_TRUE(verdict.conforms) << "seed " << seed << " row " << i << ": " << text_of(subject, row_class)
                                  << " order " << name_of(order) << " c1 " << c1 << " c2 " << c2;
    if (random.chance(1, 40)) judged.judge.require_exact(verdict);
    most_boxes = std::max(most_boxes, verdict.boxes);
    elements += count;
  }
  fmt::print("dx, honest: {} rows, {} elements, 0 refused, at most {} boxes (seed {})\n", rows, elements,
             most_boxes, seed);
}

bool explained(const Subject& subject, const std::vector<Box>& window, const std::vector<float>& got) {
  for (const Box& box : window) {
    for (Position p = box.first.low; p <= box.first.high; ++p) {
      for (Position q = box.second.low; q <= box.second.high; ++q) {
        const std::vector<float> dx = subject.plain(number_at(p), number_at(q));
        bool all = true;
        for (std::size_t j = 0; j < dx.size() && all; ++j) all = position_of(dx[j]) == position_of(got[j]);
        if (all) return true;
      }
    }
  }
  return false;
}

std::vector<float> faulty(const Subject& subject, float c1, float c2, int fault, Random& random) {
  Subject other = subject;
  std::vector<float> dx = subject.plain(c1, c2);
  const auto replace_second_half = [&](const std::vector<float>& by) {
    const auto half = static_cast<std::ptrdiff_t>(dx.size() / 2);
    std::copy(by.begin() + half, by.end(), dx.begin() + half);
    return dx;
  };
  switch (fault) {
    case 0: {
      const Format& format = format_of(subject.rule.activation);
      float& value = dx[random.below(dx.size())];
      const std::uint64_t bits = round_bits(format, decode(DType::fp32, std::bit_cast<std::uint32_t>(value)));
      const Value next = decode(format, next_up(format, bits));
      value = next.is_nan() ? NAN : static_cast<float>(to_double(next));
      return dx;
    }
    case 1:
      return replace_second_half(subject.plain(std::nextafter(c1, INFINITY), c2));
    case 2:
      return subject.plain(0, c2);
    case 3:
      other.rule.contraction = static_cast<GradientContraction>(
          (static_cast<int>(subject.rule.contraction) + 1 + random.below(2)) % 3);
      return other.plain(c1, c2);
    case 4:
      for (float& value : other.dy) value *= 1 + 0x1p-9f;  // wdy off by its rounding to bf16, about
      return other.plain(c1, c2);
    case 5:
      if (other.rule.added == AddedGradient::none) return dx;
      other.rule.added = other.rule.added == AddedGradient::before_rounding ? AddedGradient::after_rounding
                                                                            : AddedGradient::before_rounding;
      return other.plain(c1, c2);
    default:
      return subject.plain(number_at(position_of(c1) + static_cast<Position>(random.between(-40, 40))),
                           subject.rule.centred
                               ? number_at(position_of(c2) + static_cast<Position>(random.between(-40, 40)))
                               : c2);
  }
}
constexpr std::array<const char*, 7> kFaults = {"one element one number up",
                                                "half the row with the next c1",
                                                "c1 dropped",
                                                "another contraction",
                                                "dy off by 2^-9",
                                                "added before for after rounding",
                                                "c1 and c2 off by up to 40"};

TEST(NormGradientSearch, AgreesWithEnumeration) {
  const std::uint64_t seed = test::seed(22);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 1500 * test::scale();
  test::EnumerationTally tally;
  while (tally.judged() < rows) {
    const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(16));
    const auto row_class = test::mostly_ordinary(random);
    Subject subject = random_subject(random, count, row_class);
    if (random.chance(1, 2)) subject.rule.sum_depth = 4;
    const auto [c1, c2] = subject.honest(random.pick(kSummationOrders), random);
    const std::vector<float> dx =
        faulty(subject, c1, c2, static_cast<int>(random.below(kFaults.size())), random);
    Judged judged(subject);
    const RowVerdict verdict = judged.judge.judge(judged.operands, subject.bytes(dx));
    tally.look_at(verdict);
    if (test::points_of(verdict.window) > 4000) continue;
    ASSERT_EQ(verdict.conforms, explained(subject, verdict.window, dx))
        << "seed " << seed << ": " << text_of(subject, row_class);
    tally.add_agreed(verdict);
    if (random.chance(1, 20)) judged.judge.require_exact(verdict);
  }
  EXPECT_GT(tally.refuted(), rows / 5);
  tally.print("dx", "rows", seed);
}

TEST(NormGradientSearch, DetectionTable) {
  const std::uint64_t seed = test::seed(23);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 60 * test::scale();
  for (const DType dtype : {DType::bf16, DType::fp16, DType::fp32}) {
    for (std::size_t fault = 0; fault + 1 < kFaults.size(); ++fault) {
      std::int64_t changed = 0, seen = 0;
      for (std::int64_t i = 0; i < rows; ++i) {
        const std::int64_t count = random.log_between(16, 1024);
        const auto row_class = static_cast<RowClass>(random.below(test::kOrdinaryRowClasses));
        Subject subject;
        do {
          subject = random_subject(random, count, row_class);
        } while (subject.rule.activation != dtype);
        const auto [c1, c2] = subject.honest(random.pick(kSummationOrders), random);
        const std::vector<float> right = subject.plain(c1, c2);
        const std::vector<float> wrong = faulty(subject, c1, c2, static_cast<int>(fault), random);
        if (subject.bytes(right) == subject.bytes(wrong)) continue;
        ++changed;
        Judged judged(subject);
        seen += judged.judge.judge(judged.operands, subject.bytes(wrong), false).conforms ? 0 : 1;
      }
      fmt::print("| dx | {} | {} | {} / {} |\n", name_of(dtype), kFaults[fault], seen, changed);
      if (dtype == DType::fp32 && changed > 0) {
        EXPECT_GT(2 * seen, changed) << kFaults[fault];
      }
    }
  }
}

// The canonical c1 and c2 by exact arithmetic, one rounding at a time; rows made with them conform to the
// depth of the canonical order.
TEST(NormGradientSearch, CanonicalUnknownsAreExact) {
  const std::uint64_t seed = test::seed(28);
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 60; ++i) {
    const std::int64_t count = random.log_between(1, 3000);
    Subject subject =
        random_subject(random, count, static_cast<RowClass>(random.below(test::kOrdinaryRowClasses)));
    subject.rule.sum_depth = count / 1024 + 8 + 10;  // a lane's additions and the butterfly's
    const auto exact = [](float value) { return ExactNumbers::from_float(value); };
    const auto add = [](const Value& a, const Value& b) { return ExactNumbers::add(a, b); };
    const auto weighted = [&](std::int64_t j) {
      const auto at = static_cast<std::size_t>(j);
      return ExactNumbers::multiply(exact(subject.dy[at]), exact(subject.factor(at)));
    };
    const Value divisor = Value::integer(subject.rule.of_sums ? 1 : count);
    const auto divided = [&](const Value& sum) { return ExactNumbers::fl(quotient(sum, divisor)); };
    const DType dtype = subject.rule.activation;
    const Value c1 = divided(canonical_sum<Value>(
        count, dtype,
        [&](const Value& sum, std::int64_t j) {
          return ExactNumbers::fused(exact(subject.normalized(static_cast<std::size_t>(j))), weighted(j),
                                     sum);
        },
        add));
    const Value c2 = divided(canonical_sum<Value>(
        count, dtype, [&](const Value& sum, std::int64_t j) { return add(sum, weighted(j)); }, add));
    Judged judged(subject);
    const NormGradientJudge::Canonical unknowns = judged.judge.canonical_unknowns(judged.operands);
    ASSERT_EQ(position_of(unknowns.c1), position_of(c1)) << "seed " << seed << " row " << i;
    if (subject.rule.centred) {
      ASSERT_EQ(position_of(unknowns.c2), position_of(c2)) << "seed " << seed << " row " << i;
    }
    const auto dx = judged.judge.outputs(judged.operands, unknowns.c1, unknowns.c2);
    ASSERT_TRUE(judged.judge.judge(judged.operands, dx).conforms) << "seed " << seed << " row " << i;
  }
}

}  // namespace
}  // namespace normproof::oracle::box_search
