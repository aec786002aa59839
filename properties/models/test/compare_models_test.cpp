// Two dumps of a model: what differs in a norm is told from what it only passes on.
#include "properties/models/compare_models.h"

#include <gtest/gtest.h>

#include <array>
#include <utility>

#include "corpus/random.h"
#include "oracle/canonical_judge.h"
#include "oracle/row_kernels.h"
#include "properties/detective/discriminate.h"
#include "properties/judged/cases.h"
#include "properties/judged/judge.h"

namespace normproof {
namespace {

constexpr std::int64_t kRows = 8;

Case& case_of(ModuleCall& call) { return std::get<Dump>(call.call).test_case; }

// A norm's call by a policy, on inputs drawn from a seed.
ModuleCall norm(const std::string& module, const std::string& policy, std::uint64_t seed = 1) {
  ModuleCall call{module, Dump{}, {}, {}};
  Case& test_case = case_of(call);
  test_case =
      discriminating_case({{Operation::rms_norm, DType::bf16, DType::bf16, std::nullopt}, kRows, 128}, seed);
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
  EXPECT_EQ(found.sides[1].policy, "weight=fp32");
  EXPECT_EQ(compared(norm("a", "native"), norm("a", "native")).difference, NormDifference::none);
}

TEST(CompareModels, OtherInputsAlonePassOn) {
  ModuleCall other = norm("a", "native");
  Case& test_case = case_of(other);
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
  std::vector<std::byte>& out = (*case_of(other).outputs)[Role::out];
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
    store_bits(case_of(other[0])[Role::input].data.bytes, DType::bf16, 128 * row, 0x3f80);
  Case& changed = case_of(other[0]);
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
  case_of(other).bits_of(Parameter::epsilon) = 0x3727c5ac;
  EXPECT_EQ(compared(norm("a", "native"), other).difference, NormDifference::epsilon);
  other = norm("a", "native");
  store_bits(case_of(other)[Role::weight].data.bytes, DType::bf16, 3, 0x4049);
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

// A LayerNorm's call with the outputs of a policy in the canonical order.
ModuleCall layer_norm(const std::string& policy, std::uint64_t seed = 1) {
  judging::CaseDemand demand;
  demand.operation = oracle::judged::find_judged_operation("layer_norm");
  demand.dtype = DType::bf16;
  demand.weight = demand.bias = DType::bf16;
  demand.max_rows = demand.least_rows = kRows;
  demand.max_hidden = demand.hidden_multiple = 128;
  demand.finite = true;
  const std::array<std::string, 1> outputs = {"out"};
  oracle::judged::Call call = judging::without_outputs(judging::random_call(demand, seed, 0));
  // Rows of usual numbers: of random ones some tell no policy from another.
  Random random(seed);
  for (oracle::judged::Tensor* tensor : {&call.tensors["x"], &call.tensors["weight"], &call.tensors["bias"]})
    for (std::int64_t element = 0; element < tensor->elements(); ++element)
      store_bits(tensor->bytes, DType::bf16, element,
                 0x3f00 + static_cast<std::uint32_t>(random.next() % 256));
  call = judging::with_canonical_outputs(std::move(call), parse_policy(*demand.operation, policy), outputs);
  ModuleCall result{"ln", oracle::judged::StoredCall{std::move(call), policy}, {}, {}};
  for (std::int64_t row = 0; row < kRows; ++row) result.places.push_back({0, row});
  return result;
}
oracle::judged::Call& call_of(ModuleCall& call) {
  return std::get<oracle::judged::StoredCall>(call.call).call;
}

TEST(CompareModels, LayerNormsAreToldApart) {
  const ModuleCall usual = layer_norm("native");
  EXPECT_EQ(compared(usual, layer_norm("native")).difference, NormDifference::none);
  const ComparedNorm policy = compared(usual, layer_norm("affine=activation"));
  EXPECT_EQ(policy.difference, NormDifference::policy) << to_text(policy);
  EXPECT_EQ(policy.sides[1].policy, "affine=activation");
  EXPECT_EQ(policy.same_inputs, kRows);
  EXPECT_EQ(policy.element->tensor, "out");

  ModuleCall wrong = layer_norm("native");
  std::vector<std::byte>& out = call_of(wrong).tensors["out"].bytes;
  store_bits(out, DType::bf16, 5 * 128 + 7, load_bits(out, DType::bf16, 5 * 128 + 7) ^ 8);
  const ComparedNorm bug = compared(usual, wrong);
  EXPECT_EQ(bug.difference, NormDifference::bug) << to_text(bug);
  EXPECT_EQ(bug.element->place, (RowPlace{0, 5}));
  EXPECT_EQ(bug.element->column, 7);

  const ComparedNorm passed = compared(usual, layer_norm("native", 2));
  EXPECT_EQ(passed.difference, NormDifference::weight);
}

TEST(CompareModels, LayerNormsPassOnAndHaveParameters) {
  const ModuleCall usual = layer_norm("native");
  const std::array<std::string, 1> outputs = {"out"};
  ModuleCall other = layer_norm("native");
  store_bits(call_of(other).tensors["x"].bytes, DType::bf16, 200, 0x4049);
  call_of(other) = judging::with_canonical_outputs(
      judging::without_outputs(call_of(other)), parse_policy(*call_of(other).operation, "native"), outputs);
  const ComparedNorm passed = compared(usual, other);
  EXPECT_EQ(passed.difference, NormDifference::passed_on) << to_text(passed);
  EXPECT_EQ(passed.same_inputs, kRows - 1);

  other = layer_norm("native");
  call_of(other).epsilon += 1;
  EXPECT_EQ(compared(usual, other).difference, NormDifference::epsilon);
  other = layer_norm("native");
  store_bits(call_of(other).tensors["bias"].bytes, DType::bf16, 3, 0x4049);
  EXPECT_EQ(compared(usual, other).difference, NormDifference::weight);
  EXPECT_NE(compared(usual, other).text.find("bias"), std::string::npos);
  other = layer_norm("native");
  call_of(other).tensors.erase("bias");
  EXPECT_EQ(compared(usual, other).difference, NormDifference::call);
  EXPECT_EQ(compared(usual, norm("ln", "native")).difference, NormDifference::call);
}

}  // namespace
}  // namespace normproof
