// Which lists of steps are formulas, and what is said of those that are none.
#include "oracle/norm_steps.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace normproof::oracle {
namespace {

std::string objection_to(Operation operation, const std::function<void(OperationSpec&)>& change) {
  OperationSpec spec = spec_of(operation);
  change(spec);
  try {
    require_formula(spec);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

testing::AssertionResult contains(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << '"' << text << "\" does not say " << part;
}

TEST(NormStepsTable, EveryOperationIsAFormulaWithLoops) {
  for (const OperationSpec& spec : operation_specs()) {
    EXPECT_NO_THROW(require_formula(spec)) << spec.name;
    EXPECT_TRUE(has_loops(NormSteps(spec.steps))) << spec.name;
  }
}

TEST(NormStepsTable, RefusesListsThatAreNoFormula) {
  using enum NormStep;
  const auto with_steps = [](std::span<const NormStep> steps) {
    return objection_to(Operation::fused_add_rms_norm_static_fp8_quant,
                        [steps](OperationSpec& spec) { spec.steps = steps; });
  };
  const std::array late_sum = {normalize, add_residual, quantize};
  EXPECT_TRUE(contains(with_steps(late_sum), "static_fp8_quant: the order of its steps"));
  const std::array no_norm = {add_residual, quantize};
  EXPECT_TRUE(contains(with_steps(no_norm), "the number of its steps"));
  const std::array two_norms = {add_residual, normalize, normalize, quantize};
  EXPECT_TRUE(contains(with_steps(two_norms), "the number of its steps"));
  const std::array two_codes = {add_residual, normalize, quantize, quantize_by_row};
  EXPECT_TRUE(contains(with_steps(two_codes), "the number of its steps"));
  const std::array<NormStep, 9> many = {normalize};
  EXPECT_TRUE(contains(with_steps(many), "9 steps; at most 8"));
}

// A tensor or number that no step has would be judged as if it were not there.
TEST(NormStepsTable, RefusesATensorOrNumberOfNoStep) {
  using enum NormStep;
  const std::array norm_alone = {normalize};
  const auto shortened = [&](OperationSpec& spec) { spec.steps = norm_alone; };
  EXPECT_TRUE(contains(objection_to(Operation::fused_add_rms_norm, shortened),
                       "fused_add_rms_norm: none of its steps has the tensor residual"));
  EXPECT_TRUE(contains(objection_to(Operation::rms_norm_dynamic_quant, shortened),
                       "none of its steps has the tensor scales"));
  const std::array numbers = {Parameter::epsilon, Parameter::scale};
  EXPECT_TRUE(
      contains(objection_to(Operation::rms_norm, [&](OperationSpec& spec) { spec.parameters = numbers; }),
               "none of its steps has the number scale"));
}

TEST(NormStepsTable, LoopsAreFoundByTheWholeList) {
  using enum NormStep;
  EXPECT_TRUE(has_loops({add_residual, normalize, quantize_by_row}));
  EXPECT_FALSE(has_loops({normalize, add_residual}));
  EXPECT_FALSE(has_loops({add_residual}));
  EXPECT_FALSE(has_loops({add_residual, add_residual, normalize}));
  EXPECT_FALSE(has_loops({normalize, normalize}));
  EXPECT_FALSE(has_loops({normalize, quantize, quantize_by_row}));
}

}  // namespace
}  // namespace normproof::oracle
