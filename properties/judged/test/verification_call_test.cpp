// Calls that verify makes of every row of the table: valid, within the limits, kept by files, and conforming
// where a target computes what the canonical order gives; what a target does not write is seen.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "oracle/judged/call_files.h"
#include "oracle/row_kernels.h"
#include "properties/judged/ask_policies.h"
#include "properties/judged/call_evaluation.h"
#include "properties/judged/cases.h"
#include "properties/judged/test/canonical_target.h"
#include "properties/targets/named_call.h"

namespace normproof::judging {
namespace {

using oracle::judged::Extent;
using oracle::judged::JudgedOperation;
using oracle::judged::Part;
using oracle::judged::Tensor;
using Spec = oracle::judged::TensorSpec;

constexpr std::int64_t kCalls = 44;

template <class Visit>
void for_each_call(auto&& target, const Visit& visit) {
  for (const Combination& combination : combinations_of(target)) {
    for (std::int64_t index = 0; index < kCalls; ++index) {
      if (index == chosen_sizes() - 1) continue;  // very many rows
      if (const auto call = verification_call(combination, 5, index)) visit(combination, *call);
    }
  }
}

TEST(VerificationCalls, ConformWhereATargetDoesAsTheCanonicalOrder) {
  CanonicalTarget target;
  std::set<std::string_view> operations;
  std::int64_t long_calls = 0;
  for_each_call(target, [&](const Combination& combination, const Call& call) {
    const std::int64_t elements = call.at("x").elements();
    if (elements > 1 << 13) return;  // long to judge without optimization
    if (elements > 1 << 10 && ++long_calls % 5 != 0) return;
    const Call held = without_contents(call);
    require_valid(held, true);
    EXPECT_EQ(NamedCall::what_does_not_fit(call), "");
    const Policy policy = parse_policy(*call.operation, "native");
    const CallEvaluation evaluation = evaluate_call(target, call, policy, {1, 1, false});
    EXPECT_EQ(evaluation.outcome, CallEvaluation::Outcome::conforms)
        << to_string(combination) << "\n"
        << describe(call, evaluation) << call_to_json(held, {});
    operations.insert(call.operation->name);
  });
  EXPECT_EQ(operations.size(), target.judged_operations().size());
}

TEST(VerificationCalls, AreKeptByFiles) {
  for_each_call(CanonicalTarget(), [&](const Combination&, const Call& call) {
    const Call held = without_contents(call);
    if (held.at("x").elements() > 512) return;
    const Call read = oracle::judged::call_from_json(call_to_json(held, {}), {}, true).call;
    EXPECT_EQ(read.places, held.places);
    EXPECT_EQ(read.thread_order, held.thread_order);
    for (const auto& [name, tensor] : held.tensors) {
      EXPECT_EQ(read.at(name).shape, tensor.shape);
      EXPECT_EQ(read.at(name).bytes, tensor.bytes);
    }
  });
}

TEST(VerificationCalls, LieWithinTheLimits) {
  CanonicalTarget target;
  target.limits = {.hidden_multiple = 8,
                   .greatest_hidden = 200,
                   .greatest_rank = 3,
                   .least_rows = 2,
                   .greatest_rows = 50,
                   .alignment = 16,
                   .contiguous = true,
                   .not_in_place = true,
                   .epsilon_is_set = true,
                   .epsilon = 1e-5f};
  std::int64_t calls = 0;
  for_each_call(target, [&](const Combination&, const Call& call) {
    ++calls;
    EXPECT_EQ(call.hidden_size() % 8, 0);
    EXPECT_LE(call.hidden_size(), 200);
    EXPECT_TRUE(call.rows() >= 2 && call.rows() <= 50) << call.rows();
    for (const auto& [name, place] : call.places) {
      EXPECT_EQ(place.offset * static_cast<std::int64_t>(size_of(call.at(name).dtype)) % 16, 0);
      EXPECT_EQ(place.gap, 0);
      EXPECT_FALSE(place.in_place);
    }
  });
  EXPECT_GT(calls, 500);
}

// Of all calls of an operation: the layouts that scales had, and what no call looked at.
struct Seen {
  std::set<std::string> layouts;
  std::set<std::string, std::less<>> blind;
  std::int64_t bounded = 0;
};
Seen seen_of(CanonicalTarget& target, std::string_view operation) {
  Seen seen;
  bool is_first = true;
  for (const Combination& combination :
       combinations_of(target, oracle::judged::find_judged_operation(operation), DType::bf16)) {
    for (std::int64_t index = 0; index < kCalls; ++index) {
      const auto call = verification_call(combination, 5, index);
      if (!call || call->at("x").elements() > 1 << 10) continue;
      if (call->operation->block_layouts != nullptr)
        seen.layouts.emplace(call->operation->block_layouts(*call, combination.policy).present);
      seen.bounded += call->has("scale_ub") ? 1 : 0;
      const auto blind =
          evaluate_call(target, *call, combination.policy, {1, 1, false}).judgement.not_looked_at;
      if (std::exchange(is_first, false)) seen.blind = {blind.begin(), blind.end()};
      std::erase_if(seen.blind,
                    [&](const std::string& each) { return std::ranges::count(blind, each) == 0; });
    }
  }
  return seen;
}

TEST(VerificationCalls, HaveBoundsAndLayoutsOfScalesWhereTheTargetTakesThem) {
  CanonicalTarget target;
  const std::map<std::string_view, std::size_t> layouts = {{"rms_norm_block_quant", 3},
                                                           {"rms_norm_mx_quant", 4},
                                                           {"fused_add_rms_norm_nvfp4_quant", 4},
                                                           {"layer_norm_dynamic_quant", 0}};
  for (const auto& [operation, count] : layouts) {
    target.takes_everything = true;
    Seen seen = seen_of(target, operation);
    EXPECT_EQ(seen.layouts.size(), count) << operation;
    for (const std::string& blind : seen.blind)
      EXPECT_TRUE(!blind.starts_with("scale") && blind.find("given") == std::string::npos) << blind;
    const auto* bound = find_tensor(*oracle::judged::find_judged_operation(operation), "scale_ub");
    EXPECT_EQ(seen.bounded > 10, bound != nullptr) << operation << ' ' << seen.bounded;
    EXPECT_FALSE(seen.blind.contains("blocks of other sizes than 64 and 128")) << operation;
    EXPECT_FALSE(seen.blind.contains("views of scales by columns, of strides [1, n]")) << operation;
    target.takes_everything = false;
    seen = seen_of(target, operation);
    EXPECT_EQ(seen.bounded, 0) << operation;
    EXPECT_EQ(seen.blind.contains("blocks of other sizes than 64 and 128"),
              operation == "rms_norm_block_quant");
    EXPECT_EQ(seen.blind.contains("scale_ub, which was not given"), bound != nullptr) << operation;
    EXPECT_EQ(seen.layouts.size(), std::min<std::size_t>(count, 1)) << operation;
    for (const auto* each : {"scales by columns", "scales by columns that are padded (TMA)"})
      EXPECT_EQ(seen.blind.contains(each), count != 0) << operation << ' ' << each;
    EXPECT_EQ(seen.blind.contains("scales in tiles of 128 x 4"), count == 4) << operation;
    EXPECT_EQ(seen.blind.contains("views of scales by columns, of strides [1, n]"), count != 0) << operation;
  }
}

TEST(VerificationCalls, HaveWeightsOfSeveralRowsWhereTheTargetTakesThem) {
  const std::string blind = "weights and biases of several rows";
  for (const bool takes : {true, false}) {
    CanonicalTarget target;
    target.takes_everything = takes;
    EXPECT_EQ(seen_of(target, "layer_norm").blind.contains(blind), !takes);
    EXPECT_EQ(seen_of(target, "gated_rms_norm").blind.contains(blind), !takes);
    EXPECT_FALSE(seen_of(target, "grouped_rms_norm").blind.contains(blind));
    EXPECT_FALSE(seen_of(target, "rms_norm_backward").blind.contains(blind));
  }
}

// And then a kernel that computes others is seen.
TEST(VerificationCalls, HaveNoStatisticsWhereTheTargetTakesThat) {
  const std::string blind = "calls without the statistics, which the kernel then computes";
  CanonicalTarget target;
  for (const char* name : {"rms_norm_backward", "layer_norm_backward"}) {
    target.takes_everything = false;
    EXPECT_TRUE(seen_of(target, name).blind.contains(blind)) << name;
    target.takes_everything = true;
    EXPECT_FALSE(seen_of(target, name).blind.contains(blind)) << name;
    std::int64_t calls = 0, seen = 0;
    for (const Combination& combination :
         combinations_of(target, oracle::judged::find_judged_operation(name), DType::bf16)) {
      for (std::int64_t index = 0; index < kCalls; ++index) {
        const auto call = verification_call(combination, 5, index);
        if (!call || call->has("rstd") || call->at("x").elements() > 1 << 10) continue;
        EXPECT_FALSE(call->has("mean"));
        ++calls;
        SpoiledTarget wrong;
        wrong.before = [](Call& read) { read.epsilon = std::bit_cast<std::uint32_t>(0.01f); };
        const CallEvaluation evaluation = evaluate_call(wrong, *call, combination.policy, {1, 1, false});
        seen += evaluation.outcome == CallEvaluation::Outcome::wrong_bits ? 1 : 0;
      }
    }
    EXPECT_GT(calls, 15) << name;
    EXPECT_GT(seen, calls / 4) << name << " of " << calls;  // others have rows far larger than it
  }
}

// A kernel that always computes the statistics, and declines calls that have them.
class ComputingTarget final : public CanonicalTarget {
 public:
  JudgedRun run_judged(const Call& asked, std::byte fill) override {
    if (asked.has("rstd")) return {RunResult::Status::not_taken, "it computes them itself"};
    return CanonicalTarget::run_judged(asked, fill);
  }
  bool says_what_it_takes() const override { return false; }
};

TEST(TellingCalls, HaveNoStatisticsWhereTheTargetDeclinesAllOthers) {
  CanonicalTarget both;
  ComputingTarget computing;
  for (const auto& [target, is_given] : {std::pair<JudgedTarget*, bool>(&both, true), {&computing, false}}) {
    const auto combinations =
        combinations_of(*target, oracle::judged::find_judged_operation("rms_norm_backward"), DType::fp32);
    ASSERT_EQ(combinations.size(), 2u);
    const auto answer = ask_policies(*target, combinations.front(), combinations.front().policy, 1);
    ASSERT_TRUE(answer);
    EXPECT_TRUE(answer->followed()) << to_text(answer->found);
    EXPECT_EQ(std::ranges::count(answer->left, combinations.front().policy), 1);
    EXPECT_EQ(answer->call.has("rstd"), is_given);
    EXPECT_EQ(answer->asked.statistics == GivenStatistics::never, !is_given);
  }
}

// Rows beside each other and in groups; with the weights of another row no call conforms.
TEST(VerificationCalls, HaveAnotherWeightForEachRow) {
  std::int64_t by_rows = 0, by_groups = 0, seen = 0, tried = 0;
  CanonicalTarget target;
  for (const char* operation : {"grouped_rms_norm", "layer_norm"}) {
    for (const Combination& combination :
         combinations_of(target, oracle::judged::find_judged_operation(operation), DType::bf16)) {
      for (std::int64_t index = 0; index < kCalls; ++index) {
        const auto call = verification_call(combination, 5, index);
        const std::int64_t elements = call ? call->at("x").elements() : 0;
        if (elements == 0 || elements > 1 << 10 || !call->has_several_rows("weight")) continue;
        const Tensor& weight = call->at("weight");
        (weight.elements() == elements ? by_rows : by_groups) += 1;
        std::vector<std::byte> rotated = weight.bytes;
        const auto row = static_cast<std::ptrdiff_t>(size_of(weight.dtype)) * call->hidden_size();
        std::ranges::rotate(rotated, rotated.end() - row);
        if (rotated == weight.bytes) continue;
        SpoiledTarget wrong;
        wrong.before = [&](Call& read) { read.tensors.at("weight").bytes = rotated; };
        const CallEvaluation evaluation = evaluate_call(wrong, *call, combination.policy, {1, 1, false});
        seen += evaluation.outcome == CallEvaluation::Outcome::wrong_bits ? 1 : 0;
        ++tried;
      }
    }
  }
  EXPECT_GT(by_rows, 20);
  EXPECT_GT(by_groups, 5);
  EXPECT_GT(seen, tried * 8 / 10) << tried;
}

TEST(VerificationCalls, SeeWhatWasNotWrittenWhateverItHoldsByChance) {
  CanonicalTarget target;
  const auto* operation = oracle::judged::find_judged_operation("layer_norm_backward");
  target.unwritten = "dweight";
  std::int64_t seen = 0;
  for_each_call(target, [&](const Combination&, const Call& call) {
    if (call.operation != operation || !call.has("dweight")) return;
    const JudgedRun run = run_and_see_all_written(target, call, parse_policy(*call.operation, "native"));
    ASSERT_EQ(run.memory_violations.size(), 1u);
    EXPECT_TRUE(run.memory_violations.front().starts_with("dweight: ")) << run.memory_violations.front();
    ++seen;
  });
  EXPECT_GT(seen, 20);
  // An output that is what lay there: written all the same.
  target.unwritten = {};
  const Call drawn = without_outputs(*verification_call(combinations_of(target, operation).front(), 5, 1));
  Call call = slice_of_rows(drawn, std::array<std::int64_t, 1>{0});
  std::ranges::fill(call.tensors.at("dy").bytes, kCanary);
  call.tensors["dbias"] = {call.dtype(), {call.hidden_size()}, {}};
  call.places.clear();
  EXPECT_TRUE(run_and_see_all_written(target, call, parse_policy(*call.operation, "native"))
                  .memory_violations.empty());
}

}  // namespace
}  // namespace normproof::judging
