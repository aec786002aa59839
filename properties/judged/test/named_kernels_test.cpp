// Our own kernels as targets of judged operations: what they say counts as what, which combinations are made,
// and the judge of every bit.
#include "properties/targets/named_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "properties/judged/call_evaluation.h"
#include "properties/judged/canonical.h"
#include "properties/judged/cases.h"
#include "properties/judged/relation_calls.h"
#include "properties/judged/test/canonical_target.h"
#include "properties/targets/compared_target.h"
#include "properties/targets/kernel_target.h"

namespace normproof::judging {
namespace {

using oracle::judged::find_judged_operation;
using Outcome = CallEvaluation::Outcome;

// What a kernel in place of ours was called with, and what it is to do.
struct Kernel {
  normproof_status status = NORMPROOF_OK;
  const char* message = "";
  bool refuses_fp16 = false;
  bool writes_behind = false;
  bool spoils_a_bit = false;
  std::string operation{};
  std::array<std::int64_t, 2> order{};
};
Kernel kernel;  // of the running test

normproof_status say(normproof_message message, const char* text, normproof_status status) {
  std::snprintf(message.data, message.capacity, "%s", text);
  return status;
}

normproof_status run(const normproof_named_call* call, const normproof_launch* launch,
                     normproof_stream stream, normproof_launch_report* report, normproof_message message) {
  kernel.operation = call->operation;
  if (kernel.status != NORMPROOF_OK) return say(message, kernel.message, kernel.status);
  const normproof_tensor *x = nullptr, *out = nullptr;
  for (std::size_t i = 0; i < call->tensor_count; ++i) {
    if (std::string_view(call->tensors[i].role) == "x") x = &call->tensors[i].tensor;
    if (std::string_view(call->tensors[i].role) == "out") out = &call->tensors[i].tensor;
  }
  if (kernel.refuses_fp16 && x->dtype == NORMPROOF_FP16)
    return say(message, "x: dtype is fp16", NORMPROOF_UNSUPPORTED_DTYPE);
  const normproof_status status = normproof_run(call, launch, stream, report, message);
  auto* bytes = static_cast<std::byte*>(out->data);
  if (kernel.writes_behind) bytes[-1] = std::byte{1};
  if (kernel.spoils_a_bit) bytes[0] ^= std::byte{1};
  return status;
}
const char* const* names() {
  static const std::array<const char*, 3> kNames = {"no_such_operation", "layer_norm", nullptr};
  return kNames.data();
}
void set_thread_order(std::int32_t order, std::uint64_t seed) {
  kernel.order = {order, static_cast<std::int64_t>(seed)};
}

std::unique_ptr<Target> target_of(const Kernel& wanted) {
  kernel = wanted;
  KernelFunctions functions = linked_kernels();
  functions.run = &run;
  functions.named_operations = &names;
  functions.set_thread_order = &set_thread_order;
  return make_kernel_target("mine", functions);
}

Combination layer_norm_of(DType dtype) {
  const auto* operation = find_judged_operation("layer_norm");
  return {operation, dtype, dtype, {}, {}, parse_policy(*operation, "native")};
}
CallEvaluation evaluated(Target& target, const Call& call) {
  return evaluate_call(*target.judged_target(), call, parse_policy(*call.operation, "native"));
}
Call ordinary_call() { return *telling_call(layer_norm_of(DType::bf16), 1); }

TEST(NamedKernels, HaveTheOperationsOfTheTableThatTheyName) {
  const auto target = target_of({});
  const std::vector<const oracle::judged::JudgedOperation*> wanted = {find_judged_operation("layer_norm")};
  EXPECT_EQ(target->judged_target()->judged_operations(), wanted);
  const Call other = *telling_call({find_judged_operation("gated_rms_norm"),
                                    DType::bf16,
                                    DType::bf16,
                                    {},
                                    {},
                                    parse_policy(*find_judged_operation("gated_rms_norm"), "native")},
                                   1);
  const JudgedRun run = target->judged_target()->run_judged(other, kCanary);
  EXPECT_EQ(run.status, RunResult::Status::not_taken);
  EXPECT_EQ(run.message, "it has no kernel for gated_rms_norm");
  KernelFunctions none = linked_kernels();
  none.run = nullptr;  // a library from before there were calls by name
  EXPECT_EQ(make_kernel_target("old", none)->judged_target(), nullptr);
}

TEST(NamedKernels, ConformAndRunInTheThreadOrderOfTheCall) {
  const auto target = target_of({});
  for (const std::uint64_t order : {0, 1, 77}) {
    Call call = ordinary_call();
    call.thread_order = order;
    const CallEvaluation evaluation = evaluated(*target, call);
    EXPECT_EQ(evaluation.outcome, Outcome::conforms) << describe(call, evaluation);
    EXPECT_TRUE(evaluation.judgement.canonical);
    EXPECT_EQ(kernel.operation, "layer_norm");
    EXPECT_EQ(kernel.order[0], order < 2 ? static_cast<std::int64_t>(order) : 2);
    EXPECT_EQ(kernel.order[1], static_cast<std::int64_t>(order));
  }
}

TEST(NamedKernels, WhatTheySayIsTakenAsItIs) {
  const auto outcome_of = [](const Kernel& wanted) {
    const auto target = target_of(wanted);
    return evaluated(*target, ordinary_call());
  };
  for (const normproof_status status :
       {NORMPROOF_UNSUPPORTED_DTYPE, NORMPROOF_UNKNOWN_NAME, NORMPROOF_NULL_POINTER}) {
    const CallEvaluation evaluation = outcome_of({status, "not made for it"});
    EXPECT_EQ(evaluation.outcome, Outcome::not_taken) << status;
    EXPECT_EQ(evaluation.run.message, "not made for it");
  }
  const CallEvaluation refused = outcome_of({NORMPROOF_INVALID_STRIDE, "x: strides[0] is 7"});
  EXPECT_EQ(refused.outcome, Outcome::failed);
  EXPECT_EQ(refused.run.message, "it refuses a valid call: x: strides[0] is 7");
  EXPECT_EQ(outcome_of({NORMPROOF_LAUNCH_FAILED, "divergent"}).run.message, "divergent");
  EXPECT_EQ(outcome_of({.writes_behind = true}).outcome, Outcome::memory);
}

TEST(NamedKernels, WhatTheyTakeShowsWhenTheyAreCalled) {
  const auto target = target_of({.refuses_fp16 = true});
  std::vector<Declined> declined;
  const auto combinations = combinations_of(*target->judged_target(), nullptr, {}, &declined);
  EXPECT_EQ(combinations.size(), 5u);  // bf16: no weight, bf16, fp32; fp32: none, fp32
  EXPECT_TRUE(std::ranges::none_of(combinations, [](const auto& each) { return each.dtype == DType::fp16; }));
  ASSERT_EQ(declined.size(), 3u);
  EXPECT_EQ(declined.front().reason, "x: dtype is fp16");
}

TEST(NamedKernels, OneWrongBitIsAViolation) {
  const auto target = target_of({.spoils_a_bit = true});
  const CallEvaluation evaluation = evaluated(*target, ordinary_call());
  EXPECT_EQ(evaluation.outcome, Outcome::wrong_bits);
  EXPECT_FALSE(evaluation.judgement.first_violations.empty());
}

TEST(NamedKernels, TheirBitsAreComparedWithThoseOfAnotherTarget) {
  const auto both = make_compared_target(target_of({.spoils_a_bit = true}), make_target("host"));
  const JudgedRun run = both->judged_target()->run_judged(ordinary_call(), kCanary);
  EXPECT_EQ(run.disagreement.substr(0, 14), "out[element 0]") << run.disagreement;
  EXPECT_TRUE(both->judged_target()->is_canonical());
  both->judge_by({false, {}});
  EXPECT_FALSE(both->judged_target()->is_canonical());
}

// What an honest kernel gives that sums in another order: that of the columns moved around.
Call in_another_order(Call call, const Policy& policy) {
  const std::int64_t columns = call.hidden_size(), distance = columns / 2 - 1;
  const Call moved = as_canonical(with_columns_rotated(call, distance), policy);
  oracle::judged::Tensor& out = call.tensors.at("out");
  for (std::int64_t i = 0; i < out.elements(); ++i)
    store_bits(out.bytes, out.dtype, i,
               load_bits(moved.at("out").bytes, out.dtype, i / columns * columns + (i + distance) % columns));
  for (const char* statistic : {"mean", "rstd"})
    if (moved.has(statistic)) call.tensors.insert_or_assign(statistic, moved.at(statistic));
  return call;
}

TEST(CanonicalJudge, AnotherOrderConformsInASearchButHasNotTheCanonicalBits) {
  const Policy policy = parse_policy(*find_judged_operation("layer_norm"), "native");
  bool seen = false;
  for (std::int64_t index = 0; index < 60 && !seen; ++index) {
    const auto asked = telling_call(layer_norm_of(DType::fp32), 3, index);
    const Call call = in_another_order(without_contents(*asked), policy);
    const Judgement searched = judge(call, policy, {1, 1, false});
    ASSERT_TRUE(searched.conforms()) << to_text(searched, policy);
    const Judgement judgement =
        judge(call, policy, {.threads = 1, .listed = 1, .doubts = false, .canonical = true});
    if (judgement.conforms()) continue;
    seen = true;
    const std::string text = judgement.first_violations.front().text();
    for (const char* part :
         {"canonical violation in row ", "not the canonical bits: ", "; the canonical order gives "})
      EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_NE(to_text(judgement, policy).find("canonical judge"), std::string::npos);
  }
  EXPECT_TRUE(seen);
}

// Found by named_kernels_fuzzer: of norms that quantize they came out in the usual dtype.
TEST(CanonicalJudge, KeepsTheDtypesOfTheCall) {
  struct Asked {
    const char *operation, *tensor;
    DType dtype;
  };
  for (const Asked& asked : {Asked{"layer_norm", "mean", DType::bf16},
                             {"layer_norm_dynamic_quant", "mean", DType::bf16},
                             {"fused_add_layer_norm_static_fp8_quant", "rstd", DType::bf16},
                             {"rms_norm_nvfp4_quant", "scales", DType::uint8}}) {
    CaseDemand demand;
    demand.operation = find_judged_operation(asked.operation);
    const Policy policy = parse_policy(*demand.operation, "native");
    Call call = asking_for_all(random_call(demand, 1, 0), policy);
    call.tensors.find(asked.tensor)->second.dtype = asked.dtype;
    const Call canonical = as_canonical(call, policy);
    EXPECT_EQ(canonical.at(asked.tensor).dtype, asked.dtype) << asked.operation;
    EXPECT_TRUE(compare_with_canonical(canonical, policy, 1).conforms()) << asked.operation;
  }
}

TEST(CanonicalJudge, SeesOneWrongBitInEveryOutput) {
  for (const auto* operation : oracle::judged::judged_operations()) {
    CanonicalTarget target;
    const Combination combination = combinations_of(target, operation, DType::bf16).front();
    const Call call = asking_for_all(without_contents(*telling_call(combination, 1)), combination.policy);
    const Call right = as_canonical(without_contents(call), combination.policy);
    EXPECT_TRUE(compare_with_canonical(right, combination.policy, 8).conforms()) << operation->name;
    for (const auto& spec : operation->tensors) {
      if (spec.direction != Direction::out || !right.has(spec.name)) continue;
      Call wrong = right;
      wrong.tensors.find(spec.name)->second.bytes.front() ^= std::byte{1};
      const Judgement judgement = compare_with_canonical(wrong, combination.policy, 8);
      EXPECT_EQ(judgement.units() - judgement.conforming(), 1) << operation->name << " " << spec.name;
      ASSERT_EQ(judgement.first_violations.size(), 1u);
      EXPECT_EQ(judgement.first_violations.front().tensor, spec.name);
    }
  }
}

}  // namespace
}  // namespace normproof::judging
