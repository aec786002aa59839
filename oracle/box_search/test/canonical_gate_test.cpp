// The canonical gate beside exp in fp64, and some of its bits.
#include "oracle/box_search/canonical_gate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "corpus/dtype.h"
#include "oracle/box_search/line.h"
#include "oracle/formats.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle::box_search {
namespace {

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
