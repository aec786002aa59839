// The judge with a known order: predicts every bit of an honest kernel of that order, and sees faults that
// some other order could hide.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <memory>

#include "corpus/random.h"
#include "oracle/canonical_judge.h"
#include "oracle/explain.h"
#include "oracle/known_sum.h"
#include "oracle/row_kernels.h"
#include "oracle/witness_judge.h"
#include "properties/order/families.h"
#include "properties/order/target_box.h"
#include "properties/order/test/boxes.h"

namespace normproof::order {
namespace {

struct Fault {
  float epsilon_factor = 1;
  std::int32_t hidden_off = 0;  // added to the divisor
};

// Rows of one kind of values, and what a kernel of that order gives of them.
struct Rows {
  Case test_case;
  CaseTensors tensors;
  Outputs outputs;
};

double draw_value(Random& random, int kind) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(random.below(1u << 20)) * 0x1p-20;
  if (kind == 1) return std::exp(2 * sum);                         // heavy tails
  if (kind == 2) return random.below(2) != 0 ? 1.25 : -1.25;       // equal sizes
  if (kind == 3) return random.below(97) == 0 ? 1000 * sum : sum;  // outliers
  return sum;
}

Rows make_rows(const SumTree& tree, DType dtype, std::int64_t count, std::uint32_t epsilon_bits,
               Random& random, const Fault& fault = {}) {
  CallShape shape;
  shape.dtype = dtype;
  shape.hidden_size = tree.leaves;
  shape.rows = count;
  Rows rows{case_of(shape, epsilon_bits), {}, {}};
  const auto elements = static_cast<std::size_t>(count * tree.leaves);
  rows.tensors[Role::input].resize(elements * size_of(dtype));
  rows.outputs[Role::out].resize(elements * size_of(dtype));
  const oracle::StandardFloatEnvironment environment;
  std::vector<float> x(static_cast<std::size_t>(tree.leaves));
  std::vector<double> scratch;
  for (std::int64_t row = 0; row < count; ++row) {
    for (std::int32_t j = 0; j < tree.leaves; ++j) {
      const std::uint32_t bits = bits_of(dtype, draw_value(random, static_cast<int>(row % 4)));
      store_bits(rows.tensors[Role::input], dtype, row * tree.leaves + j, bits);
      x[static_cast<std::size_t>(j)] = static_cast<float>(number_of(dtype, bits));
    }
    const auto sum = static_cast<float>(sum_of_squares(tree, x, scratch));
    const float m = sum / static_cast<float>(tree.leaves + fault.hidden_off) +
                    std::bit_cast<float>(epsilon_bits) * fault.epsilon_factor;
    const auto r = static_cast<float>(1 / std::sqrt(static_cast<double>(m)));
    for (std::int32_t j = 0; j < tree.leaves; ++j) {
      const float y = x[static_cast<std::size_t>(j)] * r;
      store_bits(rows.outputs[Role::out], dtype, row * tree.leaves + j,
                 bits_of(dtype, static_cast<double>(y)));
    }
  }
  return rows;
}

oracle::Policy policy_with(const SumTree& tree, int ulp = 0) {
  oracle::Policy policy;
  policy.inverse_root.order = std::make_shared<const SumTree>(tree);
  policy.inverse_root.ulp_bound = ulp;
  return policy;
}

std::int64_t refuted(const Rows& rows, const oracle::Policy& policy) {
  const auto verdict = oracle::judge_witness(rows.test_case, rows.tensors, rows.outputs, policy);
  return verdict.rounding_violations + verdict.scale_violations;
}

constexpr std::uint32_t kEpsilon1e5 = 0x3727c5ac;

SumTree all_fused(const SumTree& tree) {
  std::vector<std::uint8_t> fused(static_cast<std::size_t>(tree.leaves), 0);
  for (const SumTree::Node& node : tree.nodes)
    if (tree.is_leaf(node.second)) fused[static_cast<std::size_t>(node.second)] = 1;
  return oracle::make_tree(tree.leaves, tree.nodes, fused);
}

TEST(JudgeByOrder, PredictsEveryBitOfHonestKernels) {
  Random random(21);
  for (const DType dtype : kActivationDTypes) {
    for (const std::int32_t hidden : {1, 2, 3, 64, 100, 1024}) {
      for (SumTree tree : {serial(hidden), numpy_pairwise(hidden), random_tree(hidden, 4)}) {
        if (dtype == DType::fp32) tree = all_fused(tree);
        const Rows rows = make_rows(tree, dtype, 40, kEpsilon1e5, random);
        EXPECT_EQ(refuted(rows, policy_with(tree)), 0) << name_of(dtype) << " H " << hidden;
        // The canonical judge takes the order too.
        const Outputs expected = oracle::expected_outputs(rows.test_case, rows.tensors, policy_with(tree));
        EXPECT_EQ(expected[Role::out], rows.outputs[Role::out]);
        EXPECT_TRUE(oracle::judge_canonical(rows.test_case, rows.tensors, rows.outputs, policy_with(tree))
                        .conforms());
      }
    }
  }
}

// One epsilon that leaves two ulp of one row's mean: every order that gives another sum is refuted at once.
TEST(JudgeByOrder, MagnifiedRowsSeeAnotherOrder) {
  Random random(5);
  const SumTree tree = canonical(1024, 8), other = serial(1024);
  std::int64_t wrong = 0;
  for (int trial = 0; trial < 40; ++trial) {
    Random same(random.next());
    Rows rows = make_rows(tree, DType::bf16, 1, kEpsilon1e5, same);
    std::vector<float> x;
    for (std::int32_t j = 0; j < tree.leaves; ++j)
      x.push_back(
          static_cast<float>(number_of(DType::bf16, load_bits(rows.tensors[Role::input], DType::bf16, j))));
    std::vector<double> scratch;
    float mean = static_cast<float>(sum_of_squares(tree, x, scratch)) / 1024;
    for (int i = 0; i < 2; ++i) mean = std::nextafter(mean, 0.0f);
    // The same values with that epsilon.
    rows.test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(-mean);
    rows.outputs = oracle::expected_outputs(rows.test_case, rows.tensors, policy_with(tree));
    EXPECT_EQ(refuted(rows, policy_with(tree)), 0);
    wrong += refuted(rows, policy_with(other));
    EXPECT_EQ(refuted(rows, oracle::Policy{}), 0);  // some order gives it
  }
  EXPECT_GE(wrong, 20);
}

TEST(JudgeByOrder, SeesFaultsThatSomeOrderCouldHide) {
  Random random(8);
  const std::int32_t hidden = 4096;
  const SumTree tree = all_fused(serial(hidden));
  const Fault divisor{1, -1}, epsilon{2, 0};
  for (const Fault& fault : {divisor, epsilon}) {
    const Rows rows = make_rows(tree, DType::fp32, 24, kEpsilon1e5, random, fault);
    // Any order sees rows of equal sizes, one in four, whose sum is the same in
    // every order, and some heavy tails.
    const std::int64_t by_any = refuted(rows, oracle::Policy{});
    EXPECT_LE(by_any, 12);
    EXPECT_GE(refuted(rows, policy_with(tree)), by_any + 6);
  }
  // Another order than the certified one.
  const Rows rows = make_rows(all_fused(pairwise(hidden)), DType::fp32, 24, kEpsilon1e5, random);
  EXPECT_EQ(refuted(rows, oracle::Policy{}), 0);
  EXPECT_GE(refuted(rows, policy_with(tree)), 16);
}

// A certificate by a known order is checked in exact arithmetic (judge_witness confirms it).
TEST(JudgeByOrder, CertificatesHold) {
  Random random(2);
  const SumTree tree = all_fused(numpy_pairwise(257));
  const Rows rows = make_rows(tree, DType::fp32, 12, kEpsilon1e5, random, {1, -1});
  oracle::WitnessOptions options;
  options.confirm = true;
  const auto verdict =
      oracle::judge_witness(rows.test_case, rows.tensors, rows.outputs, policy_with(tree), options);
  ASSERT_FALSE(verdict.first_violations.empty());
  for (const auto& certificate : verdict.first_violations)
    EXPECT_EQ(certificate.admissible.interval.low, certificate.admissible.interval.high);
}

// Where it is not known how the order treats a square, every order is admitted.
TEST(JudgeByOrder, IsSilentWhereTheOrderDoesNotSayTheSum) {
  const oracle::StandardFloatEnvironment environment;
  const SumTree tree = serial(3);
  CallShape shape;
  shape.hidden_size = 3;
  shape.rows = 1;
  Case test_case = case_of(shape, kEpsilon1e5);
  std::vector<double> scratch;
  const auto sum_of = [&](const oracle::Policy& policy, DType dtype, std::vector<float> row) {
    test_case.dtype = dtype;
    return oracle::known_sum(oracle::formula_of(test_case, policy), row, scratch);
  };
  EXPECT_TRUE(sum_of(policy_with(tree), DType::bf16, {1, 2, 3}));
  EXPECT_FALSE(sum_of(policy_with(tree), DType::bf16, {1, 2, 0x1p-70f}));  // a square that underflows
  EXPECT_FALSE(
      sum_of(policy_with(tree), DType::bf16, {1, 2, 1.0001f}));  // of an unrounded sum with a residual
  EXPECT_TRUE(sum_of(policy_with(tree), DType::fp32, {1, 2, 1.0001f}));
  EXPECT_FALSE(sum_of(policy_with(serial(4)), DType::fp32, {1, 2, 3}));
  oracle::Policy policy = policy_with(tree);
  policy.inverse_root.flush_to_zero = true;
  EXPECT_TRUE(sum_of(policy, DType::fp32, {1, 2, 3}));
  EXPECT_FALSE(sum_of(policy, DType::fp32, {1, 2, 0x1p-70f}));
  policy = policy_with(tree);
  policy.variance = oracle::VariancePolicy::kahan;
  EXPECT_FALSE(sum_of(policy, DType::fp32, {1, 2, 3}));
  EXPECT_NE(oracle::objection_to_order(tree, policy), "");
}

}  // namespace
}  // namespace normproof::order
