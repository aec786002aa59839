// The table of operations, and what is asked of it.
#include "corpus/operation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "corpus/case.h"

namespace normproof {
namespace {

TEST(Operations, NamesReadBackAndDiffer) {
  std::set<std::string_view> names;
  for (const OperationSpec& spec : operation_specs()) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    EXPECT_EQ(operation_from_name(spec.name), spec.operation);
    EXPECT_EQ(name_of(spec.operation), spec.name);
  }
  EXPECT_EQ(names.size(), all_operations().size());
  EXPECT_EQ(operation_from_name("rms_norm_"), std::nullopt);
  EXPECT_THROW(spec_of(static_cast<Operation>(200)), std::invalid_argument);
}

TEST(Operations, AStepBringsItsTensorsAndParameters) {
  for (const Operation operation : all_operations()) {
    EXPECT_TRUE(!adds_residual(operation) || has(operation, Role::residual)) << name_of(operation);
    EXPECT_EQ(adds_residual(operation), has(operation, Role::residual_out)) << name_of(operation);
    const bool by_given_scale = has(operation, NormStep::quantize);
    EXPECT_EQ(by_given_scale, has(operation, Parameter::scale)) << name_of(operation);
    EXPECT_EQ(by_given_scale, has(operation, Role::scale)) << name_of(operation);
    EXPECT_EQ(quantizes_by_row(operation), is_output(operation, Role::scales)) << name_of(operation);
    EXPECT_EQ(by_given_scale || quantizes_by_row(operation), quantizes(operation)) << name_of(operation);
    EXPECT_TRUE(is_output(operation, Role::out) && is_data(operation, Role::input)) << name_of(operation);
    EXPECT_FALSE(is_data(operation, Role::scale)) << name_of(operation);
  }
}

// Without its first or last step an operation has the same steps but that one.
TEST(Operations, ShorterOnesLackOneStep) {
  for (const OperationSpec& spec : operation_specs()) {
    const auto steps = spec.steps;
    if (spec.without_first_step) {
      const auto shorter = spec_of(*spec.without_first_step).steps;
      EXPECT_TRUE(std::ranges::equal(shorter, steps.subspan(1))) << spec.name;
    }
    if (spec.without_last_step) {
      const auto shorter = spec_of(*spec.without_last_step).steps;
      EXPECT_TRUE(std::ranges::equal(shorter, steps.first(steps.size() - 1))) << spec.name;
    }
    EXPECT_EQ(spec.without_first_step.has_value(), steps.front() != NormStep::normalize) << spec.name;
    EXPECT_EQ(spec.without_last_step.has_value(), steps.back() != NormStep::normalize) << spec.name;
  }
}

TEST(Operations, WhereAnOutputLies) {
  Case test_case;
  EXPECT_EQ(test_case.memory_of(Role::out), Role::out);
  test_case.in_place = true;
  EXPECT_EQ(test_case.memory_of(Role::out), Role::input);
  test_case = {};
  test_case.operation = Operation::fused_add_rms_norm;
  EXPECT_EQ(test_case.memory_of(Role::out), Role::input);
  EXPECT_EQ(test_case.memory_of(Role::residual_out), Role::residual);
  test_case.operation = Operation::fused_add_rms_norm_static_fp8_quant;
  test_case.in_place = true;  // not a choice of this operation
  EXPECT_EQ(test_case.memory_of(Role::out), Role::out);
  EXPECT_EQ(test_case.memory_of(Role::input), Role::input);
}

TEST(Operations, AnotherOperationKeepsOnlyWhatItHas) {
  Case test_case;
  test_case.operation = Operation::fused_add_rms_norm_static_fp8_quant;
  test_case.quantized_dtype = DType::fp8_e5m2;
  test_case.bits_of(Parameter::scale) = 0x40000000;
  test_case[Role::residual].data.bytes.resize(4);
  test_case[Role::residual].layout.offset = 1;
  test_case[Role::out].layout.offset = 2;
  Case same = test_case;
  keep_what_it_has(same);
  EXPECT_EQ(same, test_case);
  test_case.operation = Operation::fused_add_rms_norm;
  test_case.in_place = true;
  keep_what_it_has(test_case);
  EXPECT_FALSE(test_case.quantized_dtype || test_case.in_place);
  EXPECT_EQ(test_case.bits_of(Parameter::scale), Case{}.bits_of(Parameter::scale));
  EXPECT_EQ(test_case[Role::out].layout, TensorLayout{});  // it writes over its input
  EXPECT_EQ(test_case[Role::residual].layout.offset, 1);
  test_case.operation = Operation::rms_norm;
  keep_what_it_has(test_case);
  EXPECT_EQ(test_case, Case{});
}

}  // namespace
}  // namespace normproof
