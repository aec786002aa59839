// Calls one after the other on one target: which of them is found wrong, and what is compared.
#include "properties/sequence_run.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <utility>

#include "properties/test/wrong_target.h"

namespace normproof {
namespace {

// Somebody else's kernel, whose order of summation is its own; `spoil` gets
// the number of the call, from 1 on.
class CountingTarget final : public Target {
 public:
  using Spoil = std::function<void(int call, const Case&, RunResult&)>;
  explicit CountingTarget(Spoil spoil) : spoil_(std::move(spoil)) {}
  const std::string& name() const override { return name_; }
  bool is_foreign() const override { return true; }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    RunResult result = right_->run(test_case, tensors);
    spoil_(++calls_, test_case, result);
    return result;
  }

 private:
  std::string name_ = "counting";
  std::unique_ptr<Target> right_ = make_target("host");
  Spoil spoil_;
  int calls_ = 0;
};

Case one_number(std::int64_t rows) {
  Case call;
  call.dtype = DType::fp32;
  call.shape = {rows, 1};
  call[Role::input].data.recipe = {"ones", 1};
  return call;
}

// Moves the first output by so many numbers. By one, an r that is one number off explains it.
void move_first(RunResult& result, std::uint32_t numbers) {
  store_bits(result.outputs[Role::out], DType::fp32, 0,
             load_bits(result.outputs[Role::out], DType::fp32, 0) + numbers);
}

TEST(SequenceRun, MakesEveryCallAsOftenAsItSays) {
  int calls = 0;
  CountingTarget target([&](int, const Case&, RunResult&) { ++calls; });
  const SequenceRun run = run_sequence({{one_number(1), one_number(3)}, 5, true}, target);
  EXPECT_FALSE(run.violates) << run.message;
  EXPECT_EQ(run.calls, 10);
  EXPECT_EQ(calls, 10);
}

TEST(SequenceRun, EndsAtTheCallThatViolates) {
  CountingTarget target([](int call, const Case&, RunResult& result) {
    if (call == 7) move_first(result, 1000);
  });
  const SequenceRun run = run_sequence({{one_number(1)}, 64, false}, target);
  EXPECT_TRUE(run.violates);
  EXPECT_EQ(run.calls, 7);
  EXPECT_TRUE(run.message.starts_with("call 7 of 64: ")) << run.message;
}

TEST(SequenceRun, BitsThatDifferAreAViolationOnlyWhereTheyMustBeTheSame) {
  const auto other_bits_from_call_4 = [](int call, const Case&, RunResult& result) {
    if (call >= 4) move_first(result, 1);
  };
  CountingTarget free(other_bits_from_call_4), bound(other_bits_from_call_4);
  EXPECT_FALSE(run_sequence({{one_number(2)}, 8, false}, free).violates);
  const SequenceRun run = run_sequence({{one_number(2)}, 8, true}, bound);
  EXPECT_TRUE(run.violates);
  EXPECT_EQ(run.calls, 4);
  EXPECT_NE(run.message.find("the bits must be the same and are not"), std::string::npos) << run.message;
}

// The rows that both have are compared, whichever call has more.
TEST(SequenceRun, ComparesTheRowsThatAllHave) {
  const auto other_bits_in_batches = [](int, const Case& test_case, RunResult& result) {
    if (test_case.rows() > 1) move_first(result, 1);
  };
  for (const bool batch_first : {false, true}) {
    CountingTarget target(other_bits_in_batches);
    std::vector<Case> calls = {one_number(1), one_number(4)};
    if (batch_first) std::swap(calls[0], calls[1]);
    EXPECT_EQ(run_sequence({calls, 1, true}, target).calls, 2);
  }
}

TEST(SequenceRun, WhatIsNotTakenIsCountedAndNotCompared) {
  CountingTarget target([](int call, const Case&, RunResult& result) {
    if (call % 2 == 0) {
      result = {};
      result.status = RunResult::Status::not_taken;
    }
  });
  const SequenceRun run = run_sequence({{one_number(1)}, 6, true}, target);
  EXPECT_FALSE(run.violates) << run.message;
  EXPECT_EQ(run.calls, 6);
  EXPECT_EQ(run.not_taken, 3);
}

}  // namespace
}  // namespace normproof
