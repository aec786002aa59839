// The table of judged operations: every row is complete, policies are read and written alike, files keep a
// call, what the canonical order gives conforms under every policy, and one bit more does not; slices;
// smaller calls.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "corpus/case.h"
#include "corpus/case_json.h"
#include "corpus/safetensors.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/cases.h"
#include "properties/judged/identify.h"
#include "properties/judged/judge.h"

namespace normproof::judging {
namespace {

using oracle::judged::judged_operations;
using oracle::judged::JudgedOperation;
using oracle::judged::Need;
using oracle::judged::TensorSpec;

CaseDemand demand_of(const JudgedOperation& operation, DType dtype) {
  CaseDemand demand;
  demand.operation = &operation;
  demand.dtype = dtype;
  demand.weight = demand.bias = dtype;
  demand.max_hidden = 128;
  return demand;
}

std::vector<std::string> outputs_of(const JudgedOperation& operation) {
  std::vector<std::string> outputs;
  for (const TensorSpec& spec : operation.tensors) {
    if (spec.direction == Direction::out && spec.need != Need::optional) outputs.emplace_back(spec.name);
  }
  return outputs;
}

// Cases of all operations and dtypes with outputs of `policy`.
template <typename Visit>
void for_each_case(int cases, const Visit& visit) {
  for (const JudgedOperation* operation : judged_operations()) {
    for (const DType dtype : kActivationDTypes) {
      for (int index = 0; index < cases; ++index) visit(random_call(demand_of(*operation, dtype), 7, index));
    }
  }
}

TEST(JudgedOperations, RowsAreComplete) {
  std::set<std::string_view> names;
  for (const JudgedOperation* operation : judged_operations()) {
    EXPECT_TRUE(names.insert(operation->name).second) << operation->name;
    EXPECT_FALSE(operation_from_name(operation->name)) << operation->name;
    EXPECT_EQ(oracle::judged::find_judged_operation(operation->name), operation);
    EXPECT_FALSE(operation->sentence.empty());
    EXPECT_NE(find_tensor(*operation, "x"), nullptr);
    EXPECT_FALSE(outputs_of(*operation).empty());
    for (const auto& axis : operation->axes) {
      EXPECT_GE(axis.values.size(), 2u) << axis.name;
      if (axis.tensor.empty()) continue;
      EXPECT_NE(find_tensor(*operation, axis.tensor), nullptr) << axis.name;
    }
  }
}

TEST(JudgedOperations, ThoseThatAddSayWhatTheyDoToTheSum) {
  for (const JudgedOperation* operation : judged_operations()) {
    SCOPED_TRACE(operation->name);
    ASSERT_EQ(operation->of_sum != nullptr, find_tensor(*operation, "residual") != nullptr);
    if (operation->of_sum != nullptr) {
      EXPECT_EQ(operation->name, "fused_add_" + std::string(operation->of_sum().name));
    }
  }
}

TEST(JudgedOperations, PoliciesAreReadAsTheyAreWritten) {
  for (const JudgedOperation* operation : judged_operations()) {
    const Policy native = parse_policy(*operation, "native");
    EXPECT_EQ(to_string(native), "native");
    for (const auto& named : operation->policies) {
      const Policy policy = parse_policy(*operation, named.name);
      EXPECT_EQ(parse_policy(*operation, to_string(policy)), policy) << named.name;
      EXPECT_TRUE(named.name.ends_with(operation->name)) << named.name;
    }
    const Call call = random_call(demand_of(*operation, DType::bf16), 1, 1);
    const std::vector<Policy> all = all_policies(call, native);
    std::set<std::string> texts;
    for (const Policy& policy : all) {
      EXPECT_TRUE(texts.insert(to_string(policy)).second) << to_string(policy);
      EXPECT_EQ(parse_policy(*operation, to_string(policy)), policy);
    }
    EXPECT_GE(all.size(), 12u) << operation->name;
    EXPECT_EQ(parse_policy(*operation, "sum_depth=12").bound("sum_depth"), 12);
    for (const char* wrong :
         {"", "nativ", "sum_depth=x", "sum_depth=-1", "weight=bf16", "weight=fp32,weight=fp32",
          "weight=fp32,", "weight=fp32,native", "flush_to_zero=on"})
      EXPECT_THROW(parse_policy(*operation, wrong), std::invalid_argument) << operation->name << " " << wrong;
  }
  EXPECT_THROW(parse_policy(*oracle::judged::find_judged_operation("qk_norm_rope"),
                            "rotation=activation,first_contraction=sine"),
               std::invalid_argument);
}

TEST(JudgedOperations, CanonicalOutputsConformUnderEveryPolicyAndOneBitMoreDoesNot) {
  constexpr std::int64_t kEvery = 11;  // of the policies; shares no factor with the numbers of values
  std::int64_t refused = 0, tried = 0;
  for_each_case(6, [&](const Call& inputs) {
    const JudgedOperation& operation = *inputs.operation;
    for (const Policy& policy : all_policies(inputs, parse_policy(operation, "native"))) {
      if (++tried % kEvery != 0) continue;
      Call call = with_canonical_outputs(inputs, policy, outputs_of(operation));
      const Judgement right = judge(call, policy, {2, 1});
      ASSERT_TRUE(right.conforms()) << subject_of(call) << " " << to_string(policy) << "\n"
                                    << to_text(right, policy);
      oracle::judged::Tensor& output = call.tensors.find(outputs_of(operation).front())->second;
      if (output.elements() == 0) continue;
      const std::int64_t at = tried % output.elements();
      store_bits(output.bytes, output.dtype, at, load_bits(output.bytes, output.dtype, at) ^ 4u);
      const Judgement wrong = judge(call, policy, {1, 1});
      if (wrong.conforms()) continue;
      ++refused;
      EXPECT_FALSE(wrong.first_violations.at(0).text().empty());
    }
  });
  EXPECT_GT(refused, tried / kEvery * 6 / 10) << tried;
}

// What an axis says is done: its values differ in some output of fp32 or bf16 cases.
TEST(JudgedOperations, EveryValueOfAnAxisChangesSomeOutput) {
  for (const JudgedOperation* operation : judged_operations()) {
    if (operation->fill != nullptr) continue;  // coarse outputs: oracle/blocks/test
    const Policy native = parse_policy(*operation, "native");
    for (std::size_t axis = 0; axis < operation->axes.size(); ++axis) {
      if (operation->axes[axis].of_statistics) continue;
      const auto& one = operation->axes[axis];
      for (std::size_t value = 1; value < std::min(one.combined, one.values.size()); ++value) {
        if (one.applies != nullptr) continue;  // of special outputs
        Policy other = native;
        other.values[axis] = value;
        int differing = 0;
        for (const DType dtype : {DType::fp32, DType::bf16}) {
          for (int index = 0; index < 20; ++index) {
            CaseDemand demand = demand_of(*operation, dtype);
            if (index % 2 == 1) demand.weight = DType::fp32;  // in T, some values say the same
            Call call = random_call(demand, 9, index);
            if (find_tensor(*operation, "dresidual") != nullptr) call.tensors["dresidual"] = call.at("dy");
            const auto outputs = outputs_of(*operation);
            const Call first = with_canonical_outputs(call, native, outputs);
            const Call second = with_canonical_outputs(call, other, outputs);
            differing += std::ranges::any_of(outputs, [&](const std::string& name) {
              return first.at(name).bytes != second.at(name).bytes;
            });
          }
        }
        EXPECT_GT(differing, 0) << operation->name << " " << to_string(other);
      }
    }
  }
}

TEST(JudgedOperations, FilesKeepACall) {
  const std::filesystem::path dump = std::filesystem::temp_directory_path() /
                                     ("normproof-judged-test-" + std::to_string(::getpid()) + ".safetensors");
  for_each_case(2, [&](const Call& inputs) {
    const Policy policy = parse_policy(*inputs.operation, "native");
    const Call call = with_canonical_outputs(inputs, policy, outputs_of(*inputs.operation));
    write_call_dump(dump, call, "native");
    const auto told = oracle::judged::read_call_if_judged(dump, {}, true);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->call.operation, call.operation);
    for (const auto& stored : {*told, oracle::judged::read_call(dump, {}, true),
                               oracle::judged::call_from_json(call_to_json(call, "native"), {}, true)}) {
      EXPECT_EQ(stored.policy, "native");
      EXPECT_EQ(stored.call.epsilon, takes_epsilon(call) ? call.epsilon : 0u);
      ASSERT_EQ(stored.call.tensors.size(), call.tensors.size());
      for (const auto& [name, tensor] : call.tensors) {
        EXPECT_EQ(stored.call.at(name).bytes, tensor.bytes) << name;
        EXPECT_EQ(stored.call.at(name).shape, tensor.shape) << name;
      }
    }
  });
  std::filesystem::remove(dump);
}

TEST(JudgedOperations, WrongDocumentsAreRefusedByPath) {
  const JudgedOperation& operation = *oracle::judged::find_judged_operation("layer_norm");
  const Policy policy = parse_policy(operation, "native");
  const Call call = with_canonical_outputs(random_call(demand_of(operation, DType::bf16), 7, 1), policy,
                                           outputs_of(operation));
  const std::string text = call_to_json(call, {});
  const auto refused = [&](std::string_view from, std::string_view to, std::string_view message) {
    std::string wrong = text;
    const std::size_t at = wrong.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    wrong.replace(at, from.size(), to);
    try {
      oracle::judged::call_from_json(wrong, {}, true);
      ADD_FAILURE() << wrong;
    } catch (const CaseError& error) {
      EXPECT_NE(std::string_view(error.what()).find(message), std::string_view::npos) << error.what();
    }
  };
  refused("\"normproof_call\": 1", "\"normproof_call\": 2", "$.normproof_call");
  refused("\"op\": \"layer_norm\"", "\"op\": \"layernorm\"", "$.op: expected one of layer_norm");
  refused("\"epsilon\": \"", "\"epsilon\": \"x", "$.epsilon");
  refused("\"weight\":", "\"weigth\":", "$.tensors.weigth: layer_norm has none");
  refused("\"dtype\": \"bf16\"", "\"dtype\": \"bf17\"", "dtype");
  refused("\"bits\": [\n      \"", "\"bits\": [\n      \"g", "hexadecimal");
  refused("\"shape\": [", "\"shape\": [2, ", "elements, got");
  refused("\"out\":", "\"mean\":", "out");
  const auto with = [&](const std::string& member, std::string_view message) {
    refused("\"tensors\":", member + ", \"tensors\":", message);
  };
  with(R"("places": {"y": {"gap": 1}})", "y: a place, but the operation has no such tensor");
  with(R"("places": {"x": {"gap": -1}})", "$.places.x.gap: a number of elements");
  with(R"("places": {"x": {"offset": 1000}})", "its offset is 0 to 127");
  with(R"("places": {"x": {"in_place": true}})", "may lie in the memory of an input");
  with(R"("places": {"out": {"in_place": true, "gap": 1}})", "it lies where the input lies");
  with(R"("places": {"out": {"in_place": "yes"}})", "$.places.out.in_place: true or false");
  with(R"("places": {"out": {"by_columns": true}})", "by columns, and it is no output [rows, blocks]");
  with(R"("places": {"out": {"stride": 1}})", "$.places.out.stride: unknown key");
  with(R"("thread_order": -1)", "$.thread_order");
}

// Found by judged_call_fuzzer: no maximum gives a negative scale, and nothing is made of its factor.
TEST(JudgedOperations, NegativeScalesAreRefused) {
  for (const std::string_view name :
       {"rms_norm_nvfp4_quant", "rms_norm_block_quant", "layer_norm_dynamic_quant"}) {
    const JudgedOperation& operation = *oracle::judged::find_judged_operation(name);
    for (const std::string_view text : {"native", "scaling=inverse_of_product,reciprocals=approximate"}) {
      if (name != "rms_norm_nvfp4_quant" && text != "native") continue;
      const Policy policy = parse_policy(operation, text);
      Call call = with_canonical_outputs(random_call(demand_of(operation, DType::bf16), 3, 2), policy,
                                         outputs_of(operation));
      std::vector<std::byte>& scales = call.tensors.at("scales").bytes;
      ASSERT_FALSE(scales.empty());
      scales[size_of(call.at("scales").dtype) - 1] ^= std::byte{0x80};
      EXPECT_FALSE(judge(call, policy).conforms()) << name;
    }
  }
}

TEST(JudgedOperations, ViolationsAreCutToTheirRowOrColumn) {
  for (const JudgedOperation* operation : judged_operations()) {
    CaseDemand demand = demand_of(*operation, DType::bf16);
    demand.finite = true;
    const Policy policy = parse_policy(*operation, "native");
    for (const std::string& output : outputs_of(*operation)) {
      Call call = random_call(demand, 11, 0);
      for (int index = 1; call.rows() < 3; ++index) call = random_call(demand, 11, index);
      call = with_canonical_outputs(std::move(call), policy, outputs_of(*operation));
      oracle::judged::Tensor& tensor = call.tensors.find(output)->second;
      const std::int64_t last = tensor.elements() - 1;
      store_bits(
          tensor.bytes, tensor.dtype, last,
          load_bits(tensor.bytes, tensor.dtype, last) ^ (size_of(tensor.dtype) == 1 ? 0x84u : 0x8400u));
      const Judgement judgement = judge(call, policy, {2, 8});
      ASSERT_EQ(judgement.first_violations.size(), 1u) << output << "\n" << to_text(judgement, policy);
      EXPECT_EQ(judgement.first_violations[0].tensor, output);
      const Call part = violating_part(call, judgement.first_violations[0], policy);
      require_valid(part, true);
      EXPECT_LT(part.at("x").elements(), call.at("x").elements());
      EXPECT_FALSE(judge(part, policy).conforms()) << output;
    }
  }
}

TEST(JudgedOperations, FailingCallsBecomeSmall) {
  for (const JudgedOperation* operation : judged_operations()) {
    CaseDemand demand = demand_of(*operation, DType::fp32);
    demand.finite = true;
    Call call = random_call(demand, 3, 0);
    for (int index = 1; call.rows() < 4 || call.hidden_size() < 16; ++index)
      call = random_call(demand, 3, index);
    const Policy policy = parse_policy(*operation, "native");
    const auto has_a_large_x = [](const Call& candidate) {
      const auto& x = candidate.at("x");
      for (std::int64_t i = 0; i < x.elements(); ++i)
        if ((load_bits(x.bytes, x.dtype, i) & 0x7fffffffu) >= 0x3f000000u) return true;
      return false;
    };
    ASSERT_TRUE(has_a_large_x(call)) << operation->name;
    const Call smallest = minimized(call, policy, has_a_large_x, 5);
    require_valid(smallest, false);
    EXPECT_TRUE(has_a_large_x(smallest));
    EXPECT_LE(smallest.at("x").elements(), 2) << subject_of(smallest);
    // Whatever fails, it ends.
    const auto begin = std::chrono::steady_clock::now();
    minimized(call, policy, [](const Call& candidate) { return candidate.hidden_size() >= 8; }, 60);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)) << operation->name;
  }
}

TEST(JudgedOperations, IdentificationFindsThePolicy) {
  for (const JudgedOperation* operation : judged_operations()) {
    CaseDemand demand = demand_of(*operation, DType::fp32);
    demand.finite = true;
    Call inputs = random_call(demand, 5, 0);
    for (int index = 1; inputs.rows() < 4 || inputs.hidden_size() < 32; ++index)
      inputs = random_call(demand, 5, index);
    const Policy native = parse_policy(*operation, "native");
    const std::vector<Policy> policies = all_policies(inputs, native);
    for (std::size_t i = 0; i < policies.size(); i += policies.size() / 5) {
      const Call call = with_canonical_outputs(inputs, policies[i], outputs_of(*operation));
      const Identification found = identify(call, native, 64, 2);
      EXPECT_NE(std::ranges::find(found.survivors, policies[i]), found.survivors.end())
          << subject_of(call) << " " << to_string(policies[i]) << "\n"
          << to_text(found);
    }
  }
}

}  // namespace
}  // namespace normproof::judging
