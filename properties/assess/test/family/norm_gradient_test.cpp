// The judge of dx against the plain kernel in the canonical order.
#include "properties/assess/family/norm_gradient.h"

#include <gtest/gtest.h>

#include "oracle/box_search/canonical_order.h"

namespace normproof::assess::family {
namespace {

using oracle::StandardFloatEnvironment;
using oracle::Value;
using oracle::box_search::canonical_sum;
using oracle::box_search::ExactNumbers;

// The canonical c1 and c2 by exact arithmetic, one rounding at a time; rows made with them conform to the
// depth of the canonical order.
TEST(NormGradientSearch, CanonicalUnknownsAreExact) {
  const std::uint64_t seed = 28;
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 60; ++i) {
    const std::int64_t count = random.log_between(1, 3000);
    GradientSubject subject = random_gradient(random, {}, count, ordinary_class(random));
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
    JudgedGradient judged(subject);
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
}  // namespace normproof::assess::family
