// Every outcome of evaluating a case, with targets that bring it about.
#include "properties/judging/evaluate.h"

#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <vector>

#include "corpus/generate.h"
#include "properties/targets/guarded_tensor.h"
#include "properties/targets/kernel_target.h"
#include "properties/test/wrong_target.h"

namespace normproof {
namespace {

using Outcome = Evaluation::Outcome;

Case ones(std::int64_t rows, std::int64_t hidden) {
  Case test_case;
  test_case.shape = {rows, hidden};
  if (rows > 0) test_case[Role::input].data.recipe = Recipe{"ones", 0};
  return test_case;
}

// Demands what its layout forbids.
Case forbidden() {
  Case test_case = ones(1, 8);
  test_case[Role::input].layout.offset = 1;
  test_case.launch.path = KernelPath::vectorized;
  return test_case;
}

Evaluation with(const Case& test_case, std::function<void(RunResult&)> change) {
  WrongTarget target([&](Target& right, const Case& how, const CaseTensors& tensors) {
    RunResult result = right.run(how, tensors);
    change(result);
    return result;
  });
  return evaluate(test_case, target);
}

TEST(Evaluate, Conforms) {
  const auto target = make_target("host");
  const Evaluation evaluation = evaluate(ones(2, 3), *target);
  EXPECT_EQ(evaluation.outcome, Outcome::conforms) << describe(ones(2, 3), evaluation);
  EXPECT_FALSE(evaluation.violates());
  EXPECT_EQ(evaluation.verdict.elements, 6);
  EXPECT_EQ(evaluation.run.path, KernelPath::scalar);
}

TEST(Evaluate, RefusedAsDemanded) {
  const auto target = make_target("host");
  const Evaluation evaluation = evaluate(forbidden(), *target);
  EXPECT_EQ(evaluation.outcome, Outcome::refused_as_demanded);
  EXPECT_FALSE(evaluation.violates());
  EXPECT_FALSE(evaluation.run.message.empty());
}

TEST(Evaluate, WrongBits) {
  const Case test_case = ones(2, 3);
  const Evaluation evaluation =
      with(test_case, [](RunResult& result) { result.outputs[Role::out][2] ^= std::byte{1}; });
  EXPECT_EQ(evaluation.outcome, Outcome::wrong_bits);
  EXPECT_EQ(evaluation.verdict.mismatches, 1);
  const std::string text = describe(test_case, evaluation);
  EXPECT_NE(text.find("out[row 0, column 1]"), std::string::npos) << text;
  EXPECT_NE(text.find("1 ulp apart"), std::string::npos) << text;
  EXPECT_EQ(text.find("not written"), std::string::npos) << text;
}

// Of two elements that no r explains together, the one that is wrong is shown. Both columns in turn are
// rounded the wrong way, at ties of bf16.
TEST(Evaluate, ShowsTheElementThatIsWrong) {
  Case test_case = ones(1, 2);
  const auto bits = [](std::uint32_t first, std::uint32_t second) {
    TensorData data{std::vector<std::byte>(4), {}};
    store_bits(data.bytes, DType::bf16, 0, first);
    store_bits(data.bytes, DType::bf16, 1, second);
    return data;
  };
  for (const bool swapped : {false, true}) {
    test_case[Role::input].data = swapped ? bits(0x3fce, 0x3f06) : bits(0x3f06, 0x3fce);
    test_case[Role::weight].data = swapped ? bits(0x3f80, 0x3ffc) : bits(0x3ffc, 0x3f80);
    test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(1e-6F);
    for (std::int64_t column = 0; column < 2; ++column) {
      WrongTarget target([&](Target& right, const Case& how, const CaseTensors& given) {
        RunResult result = right.run(how, given);
        std::vector<std::byte>& out = result.outputs[Role::out];
        store_bits(out, DType::bf16, column, load_bits(out, DType::bf16, column) + 1);
        return result;
      });
      target.judge_by({.canonical = false, .policy = {}});
      const Evaluation evaluation = evaluate(test_case, target);
      ASSERT_TRUE(evaluation.violates());
      ASSERT_EQ(evaluation.certificates.size(), 1U);
      ASSERT_TRUE(evaluation.first_wrong_element());
      EXPECT_EQ(evaluation.first_wrong_element()->second, column) << describe(test_case, evaluation);
    }
  }
}

TEST(Evaluate, MemoryViolationOfARightResult) {
  const Evaluation evaluation =
      with(ones(1, 3), [](RunResult& result) { result.memory_violations.push_back("out: byte 6"); });
  EXPECT_EQ(evaluation.outcome, Outcome::memory);
  EXPECT_TRUE(evaluation.violates());
  EXPECT_NE(describe(ones(1, 3), evaluation).find("out: byte 6"), std::string::npos);
}

TEST(Evaluate, ARefusalThatWrote) {
  const Evaluation evaluation =
      with(forbidden(), [](RunResult& result) { result.memory_violations.push_back("out: byte 0"); });
  EXPECT_EQ(evaluation.outcome, Outcome::memory);
}

TEST(Evaluate, RefusedValid) {
  const Evaluation evaluation = with(ones(1, 3), [](RunResult& result) {
    result.status = RunResult::Status::refused;
    result.message = "hidden: 3";
  });
  EXPECT_EQ(evaluation.outcome, Outcome::refused_valid);
  EXPECT_TRUE(evaluation.violates());
  EXPECT_NE(describe(ones(1, 3), evaluation).find("hidden: 3"), std::string::npos);
}

TEST(Evaluate, AcceptedInvalid) {
  Case allowed = forbidden();
  allowed.launch.path = KernelPath::automatic;
  WrongTarget target(
      [&](Target& right, const Case&, const CaseTensors& tensors) { return right.run(allowed, tensors); });
  const Evaluation evaluation = evaluate(forbidden(), target);
  EXPECT_EQ(evaluation.outcome, Outcome::accepted_invalid);
  EXPECT_TRUE(evaluation.violates());
}

TEST(Evaluate, Failed) {
  const Evaluation evaluation =
      with(ones(1, 3), [](RunResult& result) { result.status = RunResult::Status::failed; });
  EXPECT_EQ(evaluation.outcome, Outcome::failed);
  EXPECT_TRUE(evaluation.violates());
}

TEST(Evaluate, EveryOutcomeHasItsName) {
  EXPECT_EQ(name_of(Outcome::conforms), "conforms");
  EXPECT_EQ(name_of(Outcome::accepted_invalid), "carried out an invalid call");
}

// --- Targets on real memory ---

std::unique_ptr<Target> with_rms_norm(decltype(KernelFunctions::rms_norm) rms_norm) {
  KernelFunctions functions = linked_kernels();
  functions.rms_norm = rms_norm;
  return make_kernel_target("wrong", functions);
}

TEST(KernelTarget, SeesThatAnInputWasModified) {
  const auto target =
      with_rms_norm([](const normproof_tensor* out, const normproof_tensor* input,
                       const normproof_tensor* weight, float epsilon, const normproof_launch* launch,
                       normproof_stream stream, normproof_launch_report* report, normproof_message message) {
        const normproof_status status =
            normproof_rms_norm(out, input, weight, epsilon, launch, stream, report, message);
        static_cast<std::byte*>(input->data)[0] ^= std::byte{1};
        return status;
      });
  EXPECT_EQ(evaluate(ones(2, 3), *target).outcome, Outcome::memory);
}

TEST(KernelTarget, SeesThatTheOutputWasNotWritten) {
  const auto target =
      with_rms_norm([](const normproof_tensor*, const normproof_tensor*, const normproof_tensor*, float,
                       const normproof_launch*, normproof_stream, normproof_launch_report*,
                       normproof_message) { return NORMPROOF_OK; });
  const Evaluation evaluation = evaluate(ones(2, 3), *target);
  EXPECT_EQ(evaluation.outcome, Outcome::wrong_bits);
  const std::string text = describe(ones(2, 3), evaluation);
  EXPECT_NE(text.find("out: 6 of 6 elements not written: 0xa5a5 is"), std::string::npos) << text;
}

// A code may well be what the memory is filled with.
TEST(Evaluate, ACodeIsNotCalledUnwritten) {
  Case test_case = ones(1, 2);
  test_case.operation = operation_of({NormStep::normalize, NormStep::quantize});
  test_case.quantized_dtype = DType::fp8_e4m3fn;
  const Evaluation evaluation =
      with(test_case, [](RunResult& result) { result.outputs[Role::out][1] = kCanary; });
  EXPECT_EQ(evaluation.outcome, Outcome::wrong_bits);
  const std::string text = describe(test_case, evaluation);
  EXPECT_NE(text.find("0xa5"), std::string::npos) << text;
  EXPECT_EQ(text.find("not written"), std::string::npos) << text;
}

TEST(KernelTarget, KnowsItsFunctions) {
  const auto target = make_target("host");
  ASSERT_NE(functions_of(*target), nullptr);
  EXPECT_EQ(functions_of(*target)->rms_norm, &normproof_rms_norm);
  const WrongTarget other(
      [](Target& right, const Case& how, const CaseTensors& tensors) { return right.run(how, tensors); });
  EXPECT_EQ(functions_of(other), nullptr);
}

TEST(Targets, UnknownNamesAreErrorsThatSayWhatThereIs) {
  try {
    make_target("gpu0");
    FAIL();
  } catch (const TargetError& error) {
    EXPECT_NE(std::string(error.what()).find("gpu0"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("host"), std::string::npos) << error.what();
  }
  EXPECT_THROW(make_target("mutant:B0-nothing"), TargetError);
  EXPECT_THROW(load_kernels("/nowhere/libnothing.so"), TargetError);
}

}  // namespace
}  // namespace normproof
