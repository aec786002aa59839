// The tally: what was covered, and what was not.
#include "properties/judging/tally.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace normproof {
namespace {

Evaluation evaluation_with(KernelPath path, std::int64_t rows) {
  Evaluation evaluation;
  evaluation.run.path = path;
  evaluation.verdict.rows = rows;
  evaluation.verdict.elements = 10 * rows;
  evaluation.verdict.special_rows = 1;
  return evaluation;
}

TEST(Tally, CombinationsOfAllOperations) {
  // bf16 and fp16 have three weights, fp32 has two; two paths; four of the
  // operations quantize to four dtypes.
  EXPECT_EQ(all_combinations().size(), (3u + 3u + 2u) * 2u * (2u + 2u * 4u + 2u * 5u));
  EXPECT_EQ(all_combinations(Operation::rms_norm, DType::fp32).size(), 4u);
}

TEST(Tally, CountsWhereItBelongs) {
  Tally tally;
  Case test_case;
  test_case.operation = Operation::fused_add_rms_norm;
  test_case.dtype = DType::fp16;
  tally.add(test_case, evaluation_with(KernelPath::scalar, 3));
  EXPECT_EQ(tally.total().rows, 3);
  EXPECT_EQ(tally.of(Operation::fused_add_rms_norm, DType::fp16).elements, 30);
  EXPECT_EQ(tally.of(Operation::fused_add_rms_norm, DType::bf16).cases, 0);
  EXPECT_EQ(tally.of(Operation::rms_norm, DType::fp16).cases, 0);
  EXPECT_EQ(tally.of({{Operation::fused_add_rms_norm, DType::fp16, {}, {}}, KernelPath::scalar}).special_rows,
            1);
  EXPECT_EQ(tally.of({{Operation::fused_add_rms_norm, DType::fp16, {}, {}}, KernelPath::vectorized}).cases,
            0);
}

TEST(Tally, NamesWhatWasNotReached) {
  const auto wanted = all_combinations(Operation::rms_norm, DType::fp32);
  Tally tally;
  Case test_case;
  test_case.dtype = DType::fp32;
  EXPECT_EQ(tally.uncovered(wanted), wanted);
  tally.add(test_case, evaluation_with(KernelPath::vectorized, 1));
  tally.add(test_case, evaluation_with(KernelPath::scalar, 0));  // no row: nothing was compared
  const auto missing = tally.uncovered(wanted);
  EXPECT_EQ(missing.size(), wanted.size() - 1);
  EXPECT_EQ(std::ranges::count(missing,
                               Combination{{Operation::rms_norm, DType::fp32, {}, {}}, KernelPath::scalar}),
            1);
}

TEST(Tally, AddsUp) {
  Tally one, two;
  Case test_case;
  one.add(test_case, evaluation_with(KernelPath::scalar, 1));
  Evaluation wrong = evaluation_with(KernelPath::scalar, 2);
  wrong.outcome = Evaluation::Outcome::wrong_bits;
  wrong.verdict.mismatches = 5;
  two.add(test_case, wrong);
  one += two;
  EXPECT_EQ(one.total().cases, 2);
  EXPECT_EQ(one.total().rows, 3);
  EXPECT_EQ(one.total().violations, 1);
  EXPECT_EQ(one.total().mismatches, 5);
}

}  // namespace
}  // namespace normproof
