// Limits of kernels that are made here, learnt back.
#include "properties/targets/learned_limits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "oracle/exact.h"
#include "oracle/formats.h"

namespace normproof {
namespace {

// Takes what `why_not` gives no reason against; computes with an epsilon of its own where it has one.
class LimitedTarget final : public Target {
 public:
  std::function<std::string(const Case&)> why_not = [](const Case&) { return std::string(); };
  CallLimits declared;
  double epsilon = 0;
  bool writes_outside = false;
  std::int64_t calls = 0;

  const std::string& name() const override { return name_; }
  bool is_foreign() const override { return true; }
  CallLimits limits_of(Operation) const override { return declared; }
  RunResult run(const Case& test_case, const CaseTensors& tensors) override {
    ++calls;
    RunResult result;
    EXPECT_EQ(what_is_outside(declared, test_case), "") << "a call outside of what is declared";
    if (std::string why = why_not(test_case); !why.empty()) {
      if (writes_outside) {
        result.memory_violations.push_back(why);
        return result;
      }
      result.status = RunResult::Status::failed;
      result.message = std::move(why);
      return result;
    }
    const DType dtype = test_case.output_dtype();
    result.outputs[Role::out].resize(static_cast<std::size_t>(test_case.elements()) * size_of(dtype));
    const double added = epsilon != 0 ? epsilon : test_case.value_of(Parameter::epsilon);
    for (std::int64_t i = 0; i < test_case.elements(); ++i) {
      const double x = oracle::to_double(
          oracle::decode(test_case.dtype, load_bits(tensors[Role::input], test_case.dtype, i)));
      const float y = static_cast<float>(x / std::sqrt(x * x + added));
      store_bits(result.outputs[Role::out], dtype, i, std::bit_cast<std::uint32_t>(y));
    }
    return result;
  }

 private:
  std::string name_ = "limited";
};

Case of(DType dtype = DType::fp32) {
  Case like;
  like.dtype = dtype;
  return like;
}
bool says(const LearnedLimits& learned, const std::string& part) {
  return std::ranges::any_of(learned.lines,
                             [&](const std::string& line) { return line.find(part) != std::string::npos; });
}
std::string all_lines(const LearnedLimits& learned) {
  std::string text;
  for (const std::string& line : learned.lines) text += line + "\n";
  return text;
}

TEST(LearnedLimits, NothingOfAKernelThatTakesEverything) {
  LimitedTarget target;
  const LearnedLimits learned = learn_limits(target, of(), 60);
  EXPECT_EQ(all_lines(learned), "");
  EXPECT_EQ(learned.limits, CallLimits{});
  EXPECT_EQ(learned.calls, target.calls);
  EXPECT_FALSE(learned.stopped_early);
}

TEST(LearnedLimits, MultiplesAndTheGreatestHiddenSize) {
  for (const std::int64_t multiple : {2, 8, 64, 256}) {
    for (const std::int64_t greatest : {0, 1024, 8192}) {
      LimitedTarget target;
      target.why_not = [&](const Case& call) {
        const bool takes =
            call.hidden_size() % multiple == 0 && (greatest == 0 || call.hidden_size() <= greatest);
        return std::string(takes ? "" : "a size\nand more");
      };
      const LearnedLimits learned = learn_limits(target, of(), 60);
      EXPECT_EQ(learned.limits.hidden_multiple, multiple) << all_lines(learned);
      EXPECT_EQ(learned.limits.greatest_hidden, greatest) << all_lines(learned);
      EXPECT_TRUE(says(learned, "multiples of " + std::to_string(multiple) + " only")) << all_lines(learned);
      EXPECT_TRUE(says(learned, "refused 1, ")) << all_lines(learned);
      EXPECT_TRUE(says(learned, "(a size)")) << all_lines(learned);
      EXPECT_EQ(learned.lines.size(), 1u) << all_lines(learned);
    }
  }
}

TEST(LearnedLimits, SizesWithoutARule) {
  LimitedTarget target;
  target.why_not = [](const Case& call) {
    const std::int64_t hidden = call.hidden_size();
    return std::string(
        hidden >= 64 && hidden <= 1024 && (hidden & (hidden - 1)) == 0 ? "" : "only 64/128/256/512/1024");
  };
  const LearnedLimits learned = learn_limits(target, of(), 60);
  EXPECT_TRUE(says(learned, "that were tried (64, 128, 256, 512 and 1 other)")) << all_lines(learned);
  // What is suggested holds of what was tried.
  Case call = of();
  call.shape = {2, 128};
  EXPECT_EQ(what_is_outside(learned.limits, call), "") << all_lines(learned);
  call.shape = {2, 100};
  EXPECT_NE(what_is_outside(learned.limits, call), "") << all_lines(learned);
}

TEST(LearnedLimits, LayoutsRowsAndPlaces) {
  LimitedTarget target;
  const auto learned_of = [&](std::function<std::string(const Case&)> why_not) {
    target.why_not = std::move(why_not);
    return learn_limits(target, of(), 60);
  };
  const auto if_true = [](bool refused) {
    return std::string(refused ? "no, in block (0,0,0), thread (1,0,0)" : "");
  };
  LearnedLimits learned = learned_of([&](const Case& call) { return if_true(call.rows() == 0); });
  EXPECT_EQ(limits_text(learned.limits), ".least_rows = 1");
  EXPECT_EQ(all_lines(learned), "no rows: refused (no)\n");
  learned = learned_of([&](const Case& call) { return if_true(!call[Role::out].layout.strides.empty()); });
  EXPECT_EQ(limits_text(learned.limits), ".contiguous = true");
  learned = learned_of([&](const Case& call) { return if_true(call[Role::input].layout.offset % 4 != 0); });
  EXPECT_EQ(limits_text(learned.limits), ".alignment = 16") << "four floats";
  EXPECT_TRUE(says(learned, "multiples of 16 bytes only"));
  learned = learned_of([&](const Case& call) { return if_true(call.in_place); });
  EXPECT_EQ(limits_text(learned.limits), ".not_in_place = true");
  learned = learned_of([&](const Case& call) { return if_true(call.shape.size() > 2); });
  EXPECT_EQ(limits_text(learned.limits), ".greatest_rank = 2");
}

TEST(LearnedLimits, WritesOutsideAreNoCallsThatAreTaken) {
  LimitedTarget target;
  target.writes_outside = true;
  target.why_not = [](const Case& call) {
    return std::string(call.hidden_size() % 8 != 0 ? "byte 3 was overwritten" : "");
  };
  const LearnedLimits learned = learn_limits(target, of(), 60);
  EXPECT_EQ(learned.limits.hidden_multiple, 8);
  EXPECT_TRUE(says(learned, "byte 3 was overwritten"));
}

TEST(LearnedLimits, AnEpsilonOfItsOwn) {
  for (const double own : {1e-5, 1e-6, 1e-3}) {
    LimitedTarget target;
    target.epsilon = own;
    const LearnedLimits learned = learn_limits(target, of(), 60);
    EXPECT_TRUE(learned.limits.epsilon_is_set) << all_lines(learned);
    EXPECT_EQ(learned.limits.epsilon, static_cast<float>(own)) << all_lines(learned);
    EXPECT_TRUE(says(learned, "whatever the call says"));
  }
  LimitedTarget odd;
  odd.epsilon = 0.0123;
  const LearnedLimits learned = learn_limits(odd, of(), 60);
  EXPECT_FALSE(learned.limits.epsilon_is_set);
  EXPECT_TRUE(says(learned, "it seems to be 0.0123")) << all_lines(learned);
}

TEST(LearnedLimits, WhatIsDeclaredIsNotAskedAgain) {
  LimitedTarget target;
  target.declared = {
      .hidden_multiple = 8, .least_rows = 1, .contiguous = true, .epsilon_is_set = true, .epsilon = 1e-5f};
  target.epsilon = 1e-5;
  target.why_not = [](const Case& call) { return std::string(call.hidden_size() > 2048 ? "too long" : ""); };
  const LearnedLimits learned = learn_limits(target, of(), 60);
  EXPECT_EQ(limits_text(learned.limits), ".greatest_hidden = 2048") << all_lines(learned);
  EXPECT_EQ(all_lines(learned).find("refused 2056"), std::string("hidden sizes: up to 2048; ").size())
      << all_lines(learned);
}

TEST(LearnedLimits, AKernelThatTakesNothingAndOneThatIsSlow) {
  LimitedTarget target;
  target.why_not = [](const Case&) { return std::string("never"); };
  EXPECT_EQ(all_lines(learn_limits(target, of(), 60)),
            "none of the calls that were tried was taken (never)\n");
  const LearnedLimits learned = learn_limits(target, of(), 0);
  EXPECT_TRUE(learned.stopped_early);
  EXPECT_EQ(learned.calls, 0);
  EXPECT_EQ(all_lines(learned), "");
}

}  // namespace
}  // namespace normproof
