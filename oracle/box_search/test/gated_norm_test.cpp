// The judge of gated norms: honest kernels conform, with exp and division in fp32; on small rows its verdict
// is that of trying every r of the window and every gate, with formulas that are written here once more.
// NORMPROOF_TEST_SCALE=N makes N times as many rows, NORMPROOF_TEST_SEED=N others.
#include "oracle/box_search/gated_norm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "oracle/box_search/canonical_gate.h"
#include "oracle/box_search/test/honest_sums.h"
#include "oracle/box_search/test/random_rows.h"

namespace normproof::oracle::box_search {
namespace {

struct Subject {
  GatedNormRule rule;
  std::vector<float> x, z, weight;

  std::int64_t count() const { return static_cast<std::int64_t>(x.size()); }
  float to_t(float value) const {
    std::vector<float> one = {value};
    test::round_to_format(one, rule.activation);
    return one[0];
  }
  float operand(std::size_t j, float g) const {
    if (!rule.gate_first) return x[j];
    return rule.rounds_between ? to_t(x[j] * g) : x[j] * g;
  }
  float output(std::size_t j, float g, float root) const {
    float n = operand(j, g) * root;
    if (rule.rounds_normalized) n = to_t(n);
    n = n * (rule.weight_plus_one ? 1 + weight[j] : weight[j]);
    if (rule.gate_first) return to_t(n);
    return to_t((rule.rounds_between ? to_t(n) : n) * g);
  }
  GatedNormJudge judge() const {
    return {rule, count(), rule.weight ? test::packed(weight, *rule.weight) : std::vector<std::byte>()};
  }
  std::vector<std::byte> packed(const std::vector<float>& values) const {
    return test::packed(values, rule.activation);
  }
};

// As kernels compute it.
float plain_gate(float z, bool sigmoid) {
  const float below = 1 + std::exp(-z);
  return sigmoid ? 1 / below : z / below;
}

Subject random_subject(Random& random, std::int64_t count, test::RowClass row_class) {
  Subject subject;
  GatedNormRule& rule = subject.rule;
  rule.activation = random.pick(std::array{DType::bf16, DType::fp16, DType::fp32});
  rule.sigmoid = random.chance(1, 2);
  rule.gate_first = random.chance(1, 2);
  rule.rounds_gate = random.chance(1, 3);
  rule.rounds_between = random.chance(1, 3);
  rule.rounds_normalized = random.chance(1, 4);
  rule.weight_plus_one = random.chance(1, 8);
  rule.epsilon = std::bit_cast<std::uint32_t>(random.pick(std::array{1e-5f, 1e-6f, 0.0f}));
  if (random.chance(1, 2)) rule.weight = random.chance(1, 2) ? rule.activation : DType::fp32;
  subject.x = test::random_row(random, rule.activation, count, row_class);
  subject.z = test::random_row(random, rule.activation, count,
                               static_cast<test::RowClass>(random.below(test::kRowClasses)));
  subject.weight.assign(static_cast<std::size_t>(count), rule.weight_plus_one ? 0.0f : 1.0f);
  if (rule.weight) subject.weight = test::random_weight(random, *rule.weight, count);
  return subject;
}

struct Honest {
  std::vector<float> gates;
  float root;
};
Honest honest_of(const Subject& subject, Random& random, int off) {
  Honest honest;
  std::vector<float> operands;
  for (std::size_t j = 0; j < subject.x.size(); ++j) {
    const float gate = plain_gate(subject.z[j], subject.rule.sigmoid);
    honest.gates.push_back(subject.rule.rounds_gate ? subject.to_t(gate) : gate);
    operands.push_back(subject.operand(j, honest.gates.back()));
  }
  const float sum = test::sum_of_products(operands, operands, random.pick(kSummationOrders), random);
  const auto n = static_cast<float>(subject.count());
  const float mean = random.chance(1, 2) ? sum / n : sum * (1 / n);
  honest.root = test::inverse_root_off_by(mean, subject.rule.epsilon, off);
  return honest;
}
std::vector<float> outputs_of(const Subject& subject, const Honest& honest) {
  std::vector<float> out;
  for (std::size_t j = 0; j < subject.x.size(); ++j)
    out.push_back(subject.output(j, honest.gates[j], honest.root));
  return out;
}

TEST(GatedNormSearch, HonestRowsConform) {
  const std::uint64_t seed = test::seed(21);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 1200 * test::scale();
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t count = random.log_between(1, 256);
    const Subject subject =
        random_subject(random, count, static_cast<test::RowClass>(random.below(test::kRowClasses)));
    const Honest honest = honest_of(subject, random, static_cast<int>(random.between(-2, 2)));
    GatedNormJudge judge = subject.judge();
    const RowVerdict verdict = judge.judge(subject.packed(subject.x), subject.packed(subject.z),
                                           subject.packed(outputs_of(subject, honest)), true);
    static constexpr std::array<std::string_view, 1> kNames = {"r"};
    ASSERT_TRUE(verdict.conforms) << "seed " << seed << " row " << i << ", H " << count << ", "
                                  << name_of(subject.rule.activation) << ", sigmoid " << subject.rule.sigmoid
                                  << ", gate first " << subject.rule.gate_first << ", r " << honest.root
                                  << ": " << to_text(verdict, kNames);
  }
  fmt::print("gated norm, honest: {} rows, 0 refused (seed {})\n", rows, seed);
}

// Of all numbers in 16 bits, and of fp32 numbers that lie everywhere, against exp of the library in fp64.
TEST(CanonicalGate, IsNextToTheExactOne) {
  const StandardFloatEnvironment environment;
  for (const bool sigmoid : {false, true}) {
    Position worst = 0;
    const auto look_at = [&](float z) {
      const float gate = canonical_gate(z, sigmoid);
      if (std::isnan(z)) {
        EXPECT_TRUE(std::isnan(gate));
        return;
      }
      const double s = 1 / (1 + std::exp(-static_cast<double>(z)));
      const double limit = z > 0 ? INFINITY : -0.0;
      const double exact = sigmoid ? s : std::isinf(z) ? limit : z * s;
      const auto nearest = static_cast<float>(exact);
      if (gate == nearest || (z < -89 && gate == 0)) return;
      const Position distance = std::abs(order_of(gate) - order_of(nearest));
      worst = std::max(worst, distance);
      ASSERT_LE(distance, kCanonicalGateError) << z << " " << gate << " for " << nearest;
    };
    for (const DType dtype : {DType::bf16, DType::fp16})
      for (std::uint32_t bits = 0; bits < 1 << 16; ++bits)
        look_at(static_cast<float>(to_double(decode(dtype, bits))));
    for (std::uint64_t bits = 0; bits < std::uint64_t{1} << 32; bits += 4093)
      look_at(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    fmt::print("canonical gate, sigmoid {}: at most {} numbers from the nearest\n", sigmoid, worst);
  }
}

TEST(CanonicalGate, HasTheseBits) {
  const StandardFloatEnvironment environment;
  EXPECT_EQ(canonical_gate(0.0f, false), 0.0f);
  EXPECT_TRUE(std::signbit(canonical_gate(-0.0f, false)));
  EXPECT_TRUE(std::signbit(canonical_gate(-INFINITY, false)));
  EXPECT_EQ(canonical_gate(-INFINITY, false), 0.0f);
  EXPECT_EQ(canonical_gate(INFINITY, false), INFINITY);
  EXPECT_EQ(canonical_gate(INFINITY, true), 1.0f);
  EXPECT_EQ(canonical_gate(-0.0f, true), 0.5f);
  EXPECT_EQ(canonical_gate(-89.0f, false), -0x1.0dd2fp-122f);
  EXPECT_EQ(canonical_gate(-89.5f, false), 0.0f);
}

bool explained(const Subject& subject, const std::vector<Box>& window, const std::vector<float>& got) {
  for (const Box& box : window) {
    for (Position r = box.first.low; r <= box.first.high; ++r) {
      bool all = true;
      for (std::size_t j = 0; j < got.size() && all; ++j) {
        const std::vector<float> gates = gates_of(subject.z[j], subject.rule);
        all = std::ranges::any_of(gates, [&](float gate) {
          return position_of(subject.output(j, gate, number_at(r))) == position_of(got[j]);
        });
      }
      if (all) return true;
    }
  }
  return false;
}

TEST(GatedNormSearch, AgreesWithEnumeration) {
  const std::uint64_t seed = test::seed(22);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 600 * test::scale();
  std::int64_t decided = 0, refuted = 0, tried = 0;
  while (decided < rows && ++tried < 100 * rows) {
    const Subject subject = random_subject(random, 1 + static_cast<std::int64_t>(random.below(12)),
                                           test::mostly_ordinary(random));
    Honest honest = honest_of(subject, random, static_cast<int>(random.between(-3, 3)));
    std::vector<float> out = outputs_of(subject, honest);
    const auto at = static_cast<std::size_t>(random.below(out.size()));
    switch (random.below(4)) {
      case 0:
        out[at] = subject.to_t(out[at] * 1.01f);
        break;
      case 1:
        out[at] = subject.output(at, number_at(position_of(honest.gates[at]) + 9), honest.root);
        break;
      case 2:
        out[at] = subject.output(at, honest.gates[at], honest.root * 1.0005f);
        break;
      default:
        break;
    }
    GatedNormJudge judge = subject.judge();
    const RowVerdict verdict =
        judge.judge(subject.packed(subject.x), subject.packed(subject.z), subject.packed(out), true);
    if (test::points_of(verdict.window) > 2000) continue;
    ASSERT_EQ(verdict.conforms, explained(subject, verdict.window, out)) << "seed " << seed;
    ++decided;
    refuted += verdict.conforms ? 0 : 1;
    if (!verdict.conforms && random.chance(1, 4)) judge.require_exact(verdict);
  }
  EXPECT_GT(refuted, rows / 8);
  fmt::print("gated norm, faulty: {} rows, {} refuted, 0 differ from enumeration (seed {})\n", decided,
             refuted, seed);
}

}  // namespace
}  // namespace normproof::oracle::box_search
