// The cuda target and its worker, with the stand-in device: results, faults and what is said of them.
#include "properties/targets/cuda_target.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <set>
#include <thread>
#include <vector>

#include "corpus/generate.h"
#include "properties/judged/verification_call.h"
#include "properties/judging/evaluate.h"
#include "properties/judging/verification_case.h"
#include "properties/targets/compared_target.h"
#include "properties/targets/kernel_target.h"
#include "properties/targets/stop_request.h"

namespace normproof {
namespace {

using Outcome = Evaluation::Outcome;

WorkerSettings stand_in() {
  WorkerSettings settings;
  settings.program = NORMPROOF_WORKER;
  settings.library = NORMPROOF_STAND_IN;
  settings.patience = std::chrono::seconds(30);
  return settings;
}

Case ones(std::int64_t rows, std::int64_t hidden) {
  Case test_case;
  test_case.name = "ones";
  test_case.shape = {rows, hidden};
  test_case[Role::input].data.recipe = Recipe{"ones", 1};
  return test_case;
}

// Sets an environment variable that workers started from now on see, for one test.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Environment() { unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

class Fault : public Environment {
 public:
  explicit Fault(const std::string& fault) : Environment("NORMPROOF_STAND_IN_FAULT", fault + ":24") {}
};

TEST(CudaTarget, GivesTheResultsOfTheKernelsForEveryCombination) {
  const auto target = make_compared_target(make_cuda_target(stand_in()), make_target("host"));
  const auto combinations = all_combinations();
  for (std::int64_t index = 0; index < static_cast<std::int64_t>(combinations.size()) * 2; ++index) {
    const Case test_case = verification_case(7, index, combinations);
    const Evaluation evaluation = evaluate(test_case, *target);
    ASSERT_FALSE(evaluation.violates()) << describe(test_case, evaluation);
  }
  EXPECT_NE(target->closing_words().find("0 cases differ"), std::string::npos) << target->closing_words();
}

// Judged operations: calls by name, from several threads, so that several go in one round.
TEST(CudaTarget, GivesTheResultsOfTheKernelsForCallsByName) {
  const auto target = make_compared_target(make_cuda_target(stand_in()), make_target("host"));
  JudgedTarget& judged = *target->judged_target();
  const auto combinations = judging::combinations_of(judged);
  std::set<std::string_view> operations;
  for (const auto& each : combinations) operations.insert(each.operation->name);
  EXPECT_EQ(operations.size(), make_target("host")->judged_target()->judged_operations().size());
  std::atomic<std::size_t> next{0}, completed{0}, not_taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (std::size_t index = next++; index < 4 * combinations.size(); index = next++) {
        const judging::Combination& combination = combinations[index % combinations.size()];
        const auto call =
            judging::verification_call(combination, 5, static_cast<std::int64_t>(3 + index % 17));
        const JudgedRun run = judged.run_judged(*call, kCanary);
        EXPECT_EQ(run.disagreement, "") << judging::to_string(combination);
        EXPECT_EQ(run.memory_violations, std::vector<std::string>()) << judging::to_string(combination);
        completed += run.status == RunResult::Status::completed ? 1 : 0;
        not_taken += run.status == RunResult::Status::not_taken ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(completed + not_taken, 4 * combinations.size());
  EXPECT_GT(completed, 3 * combinations.size());
  EXPECT_NE(target->closing_words().find("0 calls differ"), std::string::npos) << target->closing_words();
}

// A tensor beyond the pinned part of the memory that is shared with the worker.
TEST(CudaTarget, TakesATensorThatReachesAcrossTheEndOfPinnedMemory) {
  const auto target = make_cuda_target(stand_in());
  Case test_case;
  test_case.shape = {1100, 16384};
  test_case.dtype = DType::fp32;
  test_case[Role::input].data.recipe = Recipe{"ones", 0};
  const RunResult result = target->run(test_case, materialize(test_case));
  ASSERT_EQ(result.status, RunResult::Status::completed) << result.message;
  EXPECT_EQ(load_bits(result.outputs[Role::out], DType::fp32, test_case.elements() - 1), 0x3f7ffff8u);
}

TEST(CudaTarget, ServesManyThreadsAtOnceInSharedRounds) {
  const auto target = make_cuda_target(stand_in());
  const auto combinations = all_combinations();
  std::atomic<std::int64_t> next{0}, violations{0}, elements{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      for (std::int64_t index = next++; index < 600; index = next++) {
        const Evaluation evaluation = evaluate(verification_case(11, index, combinations), *target);
        violations += evaluation.violates() ? 1 : 0;
        elements += evaluation.verdict.elements;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(violations, 0);
  EXPECT_GT(elements, 100000);
}

TEST(CudaTarget, CarriesOutStridesOfBillionsOfElements) {
  const auto target = make_cuda_target(stand_in());
  Case test_case = ones(3, 24);
  test_case[Role::input].layout.strides = {std::int64_t{1} << 31};
  test_case[Role::out].layout.strides = {(std::int64_t{1} << 32) + 24};
  const Evaluation evaluation = evaluate(test_case, *target);
  EXPECT_EQ(evaluation.outcome, Outcome::conforms) << describe(test_case, evaluation);
  EXPECT_EQ(evaluation.verdict.elements, 72);
}

TEST(CudaTarget, CarriesOutACaseLargerThanThePinnedMemory) {
  const auto target = make_cuda_target(stand_in());
  const Case test_case = ones(64, 1 << 18);  // 32 MiB in, 32 MiB out
  EXPECT_EQ(evaluate(test_case, *target).outcome, Outcome::conforms);
}

TEST(CudaTarget, RefusesWhatTheKernelsRefuse) {
  const auto target = make_cuda_target(stand_in());
  Case test_case = ones(2, 23);
  test_case.launch.path = KernelPath::vectorized;
  const Evaluation evaluation = evaluate(test_case, *target);
  EXPECT_EQ(evaluation.outcome, Outcome::refused_as_demanded);
  EXPECT_NE(evaluation.run.message.find("hidden size 23"), std::string::npos) << evaluation.run.message;
}

struct FaultCase {
  const char* fault;
  Outcome outcome;
  const char* message;  // contained in what is said
};

void PrintTo(const FaultCase& fault_case, std::ostream* stream) { *stream << fault_case.fault; }

class CudaTargetFaults : public testing::TestWithParam<FaultCase> {};

TEST_P(CudaTargetFaults, BecomeAVerdictForTheirCaseAndTheRunGoesOn) {
  const Fault fault(GetParam().fault);
  WorkerSettings settings = stand_in();
  if (std::string(GetParam().fault) == "hang") settings.patience = std::chrono::milliseconds(300);
  const auto target = make_cuda_target(settings);
  for (const std::int64_t hidden : {23, 24, 25}) {
    const Case test_case = ones(2, hidden);
    const Evaluation evaluation = evaluate(test_case, *target);
    const std::string text = describe(test_case, evaluation);
    EXPECT_EQ(evaluation.outcome, hidden == 24 ? GetParam().outcome : Outcome::conforms) << text;
    if (hidden == 24) {
      EXPECT_NE(text.find(GetParam().message), std::string::npos) << text;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CudaTargetFaults,
                         testing::Values(FaultCase{"crash", Outcome::failed, "signal 11"},
                                         FaultCase{"exit", Outcome::failed, "status 9"},
                                         FaultCase{"hang", Outcome::failed, "no answer within 0.3 s"},
                                         FaultCase{"illegal-address", Outcome::failed,
                                                   "illegal memory access"},
                                         FaultCase{"wrong-bits", Outcome::wrong_bits, "out[row 0, column 0]"},
                                         FaultCase{"stray-write", Outcome::memory, "out: byte -1"},
                                         FaultCase{"input-written", Outcome::memory, "input was modified"}),
                         [](const auto& tested) {
                           std::string name = tested.param.fault;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(CudaTarget, DoesNotWaitForACallThatHangsWhereTheRunIsToStop) {
  const Fault fault("hang");
  const auto target = make_cuda_target(stand_in());
  ASSERT_EQ(evaluate(ones(2, 23), *target).outcome, Outcome::conforms);
  std::thread stop([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop_signal = SIGTERM;
  });
  const auto begin = std::chrono::steady_clock::now();
  const Evaluation evaluation = evaluate(ones(2, 24), *target);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));  // of a patience of 30
  stop.join();
  stop_signal = 0;
  EXPECT_EQ(evaluation.outcome, Outcome::not_taken) << describe(ones(2, 24), evaluation);
}

TEST(CudaTarget, BlamesOnlyTheGuiltyCaseOfASharedRound) {
  const Fault fault("crash");
  const auto target = make_cuda_target(stand_in());
  std::atomic<std::int64_t> failed{0}, conforming{0}, next{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (std::int64_t index = next++; index < 64; index = next++) {
        const Outcome outcome = evaluate(ones(2, index % 16 == 5 ? 24 : 40), *target).outcome;
        failed += outcome == Outcome::failed ? 1 : 0;
        conforming += outcome == Outcome::conforms ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 4);
  EXPECT_EQ(conforming, 60);
}

std::string error_of(const WorkerSettings& settings) {
  try {
    make_cuda_target(settings);
  } catch (const TargetError& error) {
    return error.what();
  }
  return "no error";
}

TEST(CudaTarget, SaysWhyItCannotBeHad) {
  WorkerSettings settings = stand_in();
  settings.library = "/nowhere/libkernels_cuda.so";
  EXPECT_NE(error_of(settings).find("/nowhere/libkernels_cuda.so"), std::string::npos) << error_of(settings);
  settings.library = NORMPROOF_WORKER;  // a file, but no such library
  EXPECT_NE(error_of(settings).find("normproof-worker"), std::string::npos) << error_of(settings);
  settings = stand_in();
  settings.program = "/nowhere/normproof-worker";
  EXPECT_NE(error_of(settings).find("cannot start the worker /nowhere"), std::string::npos)
      << error_of(settings);
  {
    const Environment absent("NORMPROOF_STAND_IN_DEVICE", "absent");
    EXPECT_NE(error_of(stand_in()).find("no usable NVIDIA GPU"), std::string::npos) << error_of(stand_in());
  }
  const Environment full("NORMPROOF_STAND_IN_DEVICE", "full");
  EXPECT_NE(error_of(stand_in()).find("too little memory"), std::string::npos) << error_of(stand_in());
}

TEST(CudaTarget, RefusesSpoiledCallsWithoutTouchingTheDevice) {
  const auto target = make_cuda_target(stand_in());
  auto& callable = dynamic_cast<CallableTarget&>(*target);
  const Case test_case = ones(2, 24);
  const CaseTensors tensors = materialize(test_case);
  GuardedCall::Memory memory;
  GuardedCall call(test_case, tensors, memory);
  call.argument(Role::input) = nullptr;
  EXPECT_EQ(callable.invoke(call), NORMPROOF_NULL_POINTER);
  EXPECT_TRUE(call.message().starts_with("input: ")) << call.message();
  // Carried out, it would read where only this process has memory.
  GuardedCall accepted(test_case, tensors, memory);
  EXPECT_EQ(callable.invoke(accepted), NORMPROOF_LAUNCH_FAILED);
}

Evaluation replayed_in_a_graph(Target& target) {
  Case test_case = ones(2, 24);
  test_case.launch.in_graph = true;
  return evaluate(test_case, target);
}

TEST(CudaTarget, ReplaysAGraphOnTheDataOfTheCase) {
  const auto target = make_cuda_target(stand_in());
  const Evaluation evaluation = replayed_in_a_graph(*target);
  EXPECT_EQ(evaluation.outcome, Outcome::conforms) << evaluation.run.message;
  EXPECT_EQ(evaluation.run.outputs, evaluate(ones(2, 24), *target).run.outputs);
}

TEST(CudaTarget, AGraphShowsWhatACallDoesNot) {
  for (const char* name : {"default-stream", "epsilon-of-the-recording"}) {
    const Fault fault(name);
    const auto target = make_cuda_target(stand_in());
    EXPECT_EQ(evaluate(ones(2, 24), *target).outcome, Outcome::conforms) << name;
    EXPECT_EQ(replayed_in_a_graph(*target).outcome, Outcome::wrong_bits) << name;
  }
  const Fault fault("waits");
  const auto target = make_cuda_target(stand_in());
  const Evaluation evaluation = replayed_in_a_graph(*target);
  EXPECT_EQ(evaluation.outcome, Outcome::failed);
  EXPECT_NE(evaluation.run.message.find("cannot be recorded"), std::string::npos) << evaluation.run.message;
  EXPECT_EQ(evaluate(ones(2, 24), *target).outcome, Outcome::conforms);
}

TEST(HostTarget, TakesNoCallInAGraph) {
  EXPECT_EQ(replayed_in_a_graph(*make_target("host")).outcome, Outcome::not_taken);
}

TEST(ComparedTarget, NamesTheFirstElementThatDiffers) {
  const Fault fault("wrong-bits");
  const auto target = make_compared_target(make_target("host"), make_cuda_target(stand_in()));
  const Evaluation evaluation = evaluate(ones(2, 24), *target);
  EXPECT_EQ(evaluation.outcome, Outcome::disagrees);
  EXPECT_EQ(evaluation.run.disagreement, "out[row 0, column 0]: 0x3f80 on host, 0x3f81 on cuda");
  EXPECT_NE(target->closing_words().find("1 cases differ"), std::string::npos) << target->closing_words();
}

TEST(Cuda, VerifiesOnAGpu) {
  std::unique_ptr<Target> target;
  try {
    target = make_target("cuda+host");
  } catch (const TargetError& error) {
    GTEST_SKIP() << error.what();
  }
  const auto combinations = all_combinations();
  for (std::int64_t index = 0; index < 640; ++index) {
    const Case test_case = verification_case(3, index, combinations);
    const Evaluation evaluation = evaluate(test_case, *target);
    ASSERT_FALSE(evaluation.violates()) << describe(test_case, evaluation);
  }
}

TEST(Cuda, SurvivesAnIllegalAddress) {
  std::unique_ptr<Target> target;
  try {
    target = make_target("cuda");
  } catch (const TargetError& error) {
    GTEST_SKIP() << error.what();
  }
  auto& callable = dynamic_cast<CallableTarget&>(*target);
  const Case test_case = ones(2, 24);
  const CaseTensors tensors = materialize(test_case);
  GuardedCall::Memory memory;
  GuardedCall call(test_case, tensors, memory);
  // Passed on as they are, the pointers lead nowhere on the device.
  EXPECT_EQ(callable.invoke(call), NORMPROOF_LAUNCH_FAILED);
  EXPECT_NE(call.message().find("illegal"), std::string::npos) << call.message();
  EXPECT_EQ(evaluate(test_case, *target).outcome, Outcome::conforms);
  EXPECT_NE(target->closing_words().find("restarted 1 times"), std::string::npos) << target->closing_words();
}

}  // namespace
}  // namespace normproof
