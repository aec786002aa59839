// Limits of calls: what is outside is named, and what was drawn gets inside.
#include "corpus/call_limits.h"

#include <gtest/gtest.h>

#include "corpus/generate.h"
#include "corpus/random.h"

namespace normproof {
namespace {

CallLimits draw_limits(Random& random) {
  CallLimits limits;
  if (random.chance(1, 2)) limits.hidden_multiple = random.between(1, 40);
  if (random.chance(1, 4))
    limits.greatest_hidden = std::max<std::int64_t>(limits.hidden_multiple, 1) * random.between(1, 9);
  if (random.chance(1, 2)) limits.greatest_rank = random.between(2, 4);
  if (random.chance(1, 4)) limits.least_rows = random.between(1, 5);
  if (random.chance(1, 4)) limits.greatest_rows = 5 + random.between(0, 9);
  if (random.chance(1, 2)) limits.alignment = std::int64_t{1} << random.between(0, 8);
  limits.contiguous = random.chance(1, 8) && limits.alignment == 0;
  limits.not_in_place = random.chance(1, 2);
  limits.epsilon_is_set = random.chance(1, 4);
  limits.epsilon = 1e-5f;
  return limits;
}

TEST(CallLimits, RandomCasesLieInside) {
  Random random(5);
  for (int i = 0; i < 20000; ++i) {
    CaseLimits limits;
    limits.max_hidden = 200;
    limits.calls = draw_limits(random);
    const Case test_case = random_case(random, limits);
    ASSERT_EQ(what_is_outside(limits.calls, test_case), "") << i;
    ASSERT_TRUE(validate(test_case).empty()) << i << ": " << validate(test_case).front();
    Case again = test_case;
    fit_to(limits.calls, again);
    ASSERT_EQ(again, test_case) << "what lies inside is not changed";
  }
}

// As a fuzzer's cases are, which are fitted to a target after they have been read.
TEST(CallLimits, ListedValuesFollowTheShape) {
  Random random(7);
  int cut = 0;
  for (int i = 0; i < 4000; ++i) {
    CaseLimits limits;
    limits.max_hidden = 60;
    Case test_case = random_case(random, limits);
    const CaseTensors tensors = materialize(test_case);
    for (const Role role : kRoles)
      if (test_case.has_data(role)) test_case[role].data = {tensors[role], {}};
    const CallLimits calls = draw_limits(random);
    const Case before = test_case;
    fit_to(calls, test_case);
    give_values(test_case);
    ASSERT_EQ(what_is_outside(calls, test_case), "") << i;
    ASSERT_TRUE(validate(test_case).empty()) << i << ": " << validate(test_case).front();
    if (test_case.rows() == 0 || before.rows() == 0) continue;
    const std::int64_t columns = std::min(test_case.hidden_size(), before.hidden_size());
    for (std::int64_t column = 0; column < columns; ++column) {
      ASSERT_EQ(load_bits(test_case[Role::input].data.bytes, test_case.dtype, column),
                load_bits(before[Role::input].data.bytes, before.dtype, column));
    }
    cut += test_case.shape != before.shape;
  }
  EXPECT_GT(cut, 1000);
}

TEST(CallLimits, WithoutLimitsNothingChanges) {
  Random random(6);
  for (int i = 0; i < 1000; ++i) {
    const Case test_case = random_case(random);
    Case fitted = test_case;
    fit_to({}, fitted);
    EXPECT_EQ(fitted, test_case);
    EXPECT_EQ(what_is_outside({}, test_case), "");
  }
}

TEST(CallLimits, WhatIsOutsideIsNamed) {
  Case test_case;
  test_case.shape = {2, 3, 20};
  const auto outside = [&](const CallLimits& limits) { return what_is_outside(limits, test_case); };
  EXPECT_EQ(outside({.hidden_multiple = 8}), "hidden sizes that are no multiple of 8");
  EXPECT_EQ(outside({.greatest_hidden = 19}), "hidden sizes above 19");
  EXPECT_EQ(outside({.greatest_rank = 2}), "more than 2 dimensions");
  EXPECT_EQ(outside({.least_rows = 7}), "fewer than 7 rows");
  EXPECT_EQ(outside({.greatest_rows = 5}), "more than 5 rows");
  EXPECT_EQ(outside({.alignment = 16}), "addresses and rows that are not aligned to 16 bytes");
  EXPECT_EQ(outside({.alignment = 8}), "");
  test_case[Role::out].layout.offset = 1;
  EXPECT_EQ(outside({.alignment = 8}), "addresses and rows that are not aligned to 8 bytes");
  test_case[Role::out].layout = {{60, 20}, 0};
  EXPECT_EQ(outside({.contiguous = true}), "rows with gaps");
  test_case.in_place = true;
  test_case[Role::out].layout = {};
  EXPECT_EQ(outside({.not_in_place = true}), "calls in place");
  EXPECT_EQ(outside({.epsilon_is_set = true, .epsilon = 1e-5f}), "an epsilon that is not its own");
  EXPECT_EQ(outside({.epsilon_is_set = true, .epsilon = 1e-6f}), "");
}

}  // namespace
}  // namespace normproof
