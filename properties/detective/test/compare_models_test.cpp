// Two dumps of a model: what differs in a norm is told from what it only passes on.
#include "properties/detective/compare_models.h"

#include <gtest/gtest.h>

#include "oracle/canonical_judge.h"
#include "oracle/row_kernels.h"
#include "properties/detective/discriminate.h"

namespace normproof {
namespace {

constexpr std::int64_t kRows = 8;

// A norm's call by a policy, on inputs drawn from a seed.
ModuleCall norm(const std::string& module, const std::string& policy, std::uint64_t seed = 1) {
  ModuleCall call{module, {}, {}, {}};
  Case& test_case = call.dump.test_case;
  test_case =
      discriminating_case({Operation::rms_norm, DType::bf16, DType::bf16, std::nullopt, kRows, 128}, seed);
  test_case.outputs =
      oracle::expected_outputs(test_case, materialize(test_case), oracle::parse_policy(policy));
  for (std::int64_t row = 0; row < kRows; ++row) call.places.push_back({0, row});
  return call;
}

ComparedNorm compared(const ModuleCall& one, const ModuleCall& other) {
  return compare_models({one}, {other}).norms.at(0);
}

TEST(CompareModels, PoliciesAreToldApart) {
  const ComparedNorm found = compared(norm("a", "native"), norm("a", "weight=fp32"));
  EXPECT_EQ(found.difference, NormDifference::policy);
  EXPECT_EQ(found.same_inputs, kRows);
  EXPECT_EQ(found.sides[1].policy->weight, oracle::parse_policy("weight=fp32").weight);
  EXPECT_EQ(compared(norm("a", "native"), norm("a", "native")).difference, NormDifference::none);
}

TEST(CompareModels, OtherInputsAlonePassOn) {
  ModuleCall other = norm("a", "native");
  Case& test_case = other.dump.test_case;
  store_bits(test_case[Role::input].data.bytes, DType::bf16, 200, 0x4049);
  test_case.outputs.reset();
  test_case.outputs = oracle::expected_outputs(test_case, materialize(test_case), {});
  const ModelComparison found = compare_models({norm("a", "native")}, {other});
  EXPECT_EQ(found.norms[0].difference, NormDifference::passed_on);
  EXPECT_EQ(found.norms[0].same_inputs, kRows - 1);
  EXPECT_TRUE(found.same_arithmetic());
  EXPECT_EQ(found.first_other_inputs, 0u);
}

TEST(CompareModels, OneWrongElementIsABug) {
  ModuleCall other = norm("a", "native");
  std::vector<std::byte>& out = (*other.dump.test_case.outputs)[Role::out];
  const std::int64_t element = 5 * 128 + 7;
  store_bits(out, DType::bf16, element, load_bits(out, DType::bf16, element) ^ 8);
  const ComparedNorm found = compared(norm("a", "native"), other);
  EXPECT_EQ(found.difference, NormDifference::bug);
  ASSERT_TRUE(found.element);
  EXPECT_EQ(found.element->place, (RowPlace{0, 5}));
  EXPECT_EQ(found.element->column, 7);
  EXPECT_TRUE(found.sides[0].policy && !found.sides[1].policy);
}

TEST(CompareModels, TheFirstWithTheSameInputsIsGuilty) {
  // Of norms that all differ, the first has other inputs, the second the same.
  const ModelDump one = {norm("a", "native", 1), norm("b", "native", 2), norm("c", "native", 3)};
  ModelDump other = {norm("a", "weight=fp32", 1), norm("b", "weight=fp32", 2),
                     norm("only here", "native", 3)};
  for (std::int64_t row = 0; row < kRows; ++row)
    store_bits(other[0].dump.test_case[Role::input].data.bytes, DType::bf16, 128 * row, 0x3f80);
  Case& changed = other[0].dump.test_case;
  changed.outputs.reset();
  changed.outputs =
      oracle::expected_outputs(changed, materialize(changed), oracle::parse_policy("weight=fp32"));
  const ModelComparison found = compare_models(one, other, 2);
  ASSERT_EQ(found.norms.size(), 2u);
  EXPECT_EQ(found.norms[0].difference, NormDifference::policy);
  EXPECT_EQ(found.norms[0].same_inputs, 0);
  EXPECT_EQ(found.first, 1u);
  EXPECT_EQ(found.not_compared,
            (std::vector<std::string>{"c: in the first dump only", "only here: in the second dump only"}));
}

TEST(CompareModels, ParametersAndDigests) {
  ModuleCall other = norm("a", "native");
  other.dump.test_case.bits_of(Parameter::epsilon) = 0x3727c5ac;
  EXPECT_EQ(compared(norm("a", "native"), other).difference, NormDifference::epsilon);
  other = norm("a", "native");
  store_bits(other.dump.test_case[Role::weight].data.bytes, DType::bf16, 3, 0x4049);
  EXPECT_EQ(compared(norm("a", "native"), other).difference, NormDifference::weight);
  ModuleCall one = norm("a", "native");
  other = one;
  one.digests = {{1, 2}};
  other.digests = {{1, 3}};
  EXPECT_EQ(compared(one, other).difference, NormDifference::unseen);
  other.digests = {{4, 3}};
  EXPECT_EQ(compared(one, other).difference, NormDifference::none);
  EXPECT_TRUE(compared(one, other).other_inputs);
  other.places.assign(other.places.size(), {});
  for (std::size_t row = 0; row < other.places.size(); ++row)
    other.places[row] = {1, static_cast<std::int64_t>(row)};
  EXPECT_EQ(compare_models({one}, {other}).not_compared.at(0), "a: no row is in both dumps");
}

}  // namespace
}  // namespace normproof
