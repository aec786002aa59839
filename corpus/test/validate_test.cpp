// Every rule of a well-formed case: what breaks it, and the message.
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "corpus/case.h"
#include "corpus/limits.h"
#include "corpus/test/example_cases.h"

namespace normproof {
namespace {

using Change = std::function<void(Case&)>;

struct Refusal {
  Operation operation;
  Change change;
  std::string message;
};

constexpr Operation kNorm = Operation::rms_norm;
constexpr Operation kAdd = Operation::fused_add_rms_norm;
constexpr Operation kQuantize = Operation::rms_norm_static_fp8_quant;
constexpr std::int64_t kHuge = std::int64_t{1} << 62;

const std::vector<Refusal>& refusals() {
  static const std::vector<Refusal> kRefusals = {
      {kNorm, [](Case& c) { c.name = "two words"; },
       R"($.name: only letters, digits and - _ . +, got "two words")"},
      {kNorm, [](Case& c) { c.name.assign(129, 'a'); }, "$.name: at most 128 bytes, got 129"},
      {kNorm, [](Case& c) { c.description = "\xc0\x80"; }, R"($.description: not UTF-8: "\xc0\x80")"},
      {kNorm, [](Case& c) { c.description.assign(4097, 'a'); },
       "$.description: at most 4096 bytes, got 4097"},
      {kNorm, [](Case& c) { c.operation = static_cast<Operation>(9); },
       "$.operation: no operation has number 9"},
      {kNorm, [](Case& c) { c.dtype = DType::fp8_e5m2; },
       "$.dtype: an activation dtype is bf16, fp16 or fp32, got fp8_e5m2"},
      {kNorm, [](Case& c) { c.weight_dtype = DType::fp16; },
       "$.weight_dtype: the dtype of the activation (bf16) or fp32, got fp16"},
      {kNorm, [](Case& c) { c.quantized_dtype = DType::fp8_e5m2; },
       "$.quantized_dtype: rms_norm does not quantize, got fp8_e5m2"},
      {kQuantize, [](Case& c) { c.quantized_dtype.reset(); },
       "$.quantized_dtype: rms_norm_static_fp8_quant needs one, got none"},
      {kQuantize, [](Case& c) { c.quantized_dtype = DType::bf16; },
       "$.quantized_dtype: an fp8 dtype, got bf16"},
      {kNorm, [](Case& c) { c.bits_of(Parameter::scale) = 0x40000000; },
       "$.scale: rms_norm has no scale, got bits 0x40000000"},
      {kNorm, [](Case& c) { c.shape = {}; }, "$.shape: rank 2 to 4 for rms_norm, got rank 0"},
      {kNorm, [](Case& c) { c.shape = {6}; }, "$.shape: rank 2 to 4 for rms_norm, got rank 1"},
      {kNorm, [](Case& c) { c.shape = {1, 1, 1, 2, 3}; }, "$.shape: rank 2 to 4 for rms_norm, got rank 5"},
      {kAdd, [](Case& c) { c.shape = {1, 2, 3}; }, "$.shape: rank 2 for fused_add_rms_norm, got rank 3"},
      {kNorm, [](Case& c) { c.shape = {-2, 3}; }, "$.shape[0]: a size is at least 0, got -2"},
      {kNorm, [](Case& c) { c.shape = {2, 0}; }, "$.shape[1]: the hidden size is 1 to 1048576, got 0"},
      {kNorm, [](Case& c) { c.shape = {2, 1048577}; },
       "$.shape[1]: the hidden size is 1 to 1048576, got 1048577"},
      {kNorm, [](Case& c) { c.shape = {65537, 4096}; }, "$.shape: at most 268435456 elements, got 268439552"},
      {kNorm, [](Case& c) { c.shape = {kHuge, kHuge, 3}; },
       "$.shape: at most 268435456 elements, got 2^63 or more"},
      {kNorm, [](Case& c) { c[Role::input].layout.strides = {3, 3}; },
       "$.layout.input.strides: one stride per leading dimension (1), got 2"},
      {kNorm, [](Case& c) { c[Role::input].layout.strides = {2}; },
       "$.layout.input.strides[0]: rows overlap: each step must clear 3 elements, got 2"},
      {kNorm, [](Case& c) { c[Role::out].layout.strides = {-8}; },
       "$.layout.output.strides[0]: a stride is at least 1 element, got -8"},
      {kNorm, [](Case& c) { c.shape = {2, 1, 3}, c[Role::input].layout.strides = {8, 0}; },
       "$.layout.input.strides[1]: a stride is at least 1 element, got 0"},
      {kNorm, [](Case& c) { c.shape = {2, 2, 3}, c[Role::input].layout.strides = {5, 3}; },
       "$.layout.input.strides[0]: rows overlap: each step must clear 6 elements, got 5"},
      {kNorm, [](Case& c) { c.shape = {2, 2, 3}, c[Role::input].layout.strides = {3, 5}; },
       "$.layout.input.strides[1]: rows overlap: each step must clear 6 elements, got 5"},
      {kNorm, [](Case& c) { c[Role::input].layout.strides = {kHuge}; },
       "$.layout.input.strides[0]: the tensor's extent in bytes must fit in 63 bits, got stride "
       "4611686018427387904 for size 2"},
      {kNorm, [](Case& c) { c.shape[0] = 3, c[Role::input].layout.strides = {kHuge}; },
       "$.layout.input.strides[0]: the tensor's extent in bytes must fit in 63 bits, got stride "
       "4611686018427387904 for size 3"},
      {kNorm, [](Case& c) { c[Role::input].layout.offset = 128; },
       "$.layout.input.offset: 0 to 127 elements, got 128"},
      {kAdd, [](Case& c) { c[Role::residual].layout.offset = -1; },
       "$.layout.residual.offset: 0 to 127 elements, got -1"},
      {kNorm, [](Case& c) { c[Role::weight].layout.offset = 999; },
       "$.layout.weight.offset: 0 to 127 elements, got 999"},
      {kNorm,
       [](Case& c) { c.weight_dtype.reset(), c[Role::weight].data = {}, c[Role::weight].layout.offset = 1; },
       "$.layout.weight: the case has no weight_dtype, got offset 1"},
      {kNorm, [](Case& c) { c[Role::residual].layout.offset = 1; },
       "$.layout.residual: rms_norm has no residual, got offset 1"},
      {kAdd, [](Case& c) { c[Role::out].layout.strides = {3}; },
       "$.layout.output: out is written over input and has its layout, got strides"},
      {kNorm, [](Case& c) { c.in_place = true, c[Role::out].layout.offset = 2; },
       "$.layout.output: out is written over input and has its layout, got offset 2"},
      {kQuantize, [](Case& c) { c.in_place = true; },
       "$.layout.in_place: rms_norm_static_fp8_quant leaves no choice, got true"},
      {kNorm, [](Case& c) { c.schedule.order = static_cast<ThreadOrder>(7); },
       "$.schedule.order: no order has number 7"},
      {kNorm, [](Case& c) { c.schedule.seed = 5; }, "$.schedule.seed: only the random order has one, got 5"},
      {kNorm, [](Case& c) { c.launch.path = static_cast<KernelPath>(7); },
       "$.launch.path: no path has number 7"},
      {kNorm, [](Case& c) { c.launch.threads_per_block = 48; },
       "$.launch.threads_per_block: 0, or a multiple of 32 up to 1024, got 48"},
      {kNorm, [](Case& c) { c.launch.threads_per_block = 1056; },
       "$.launch.threads_per_block: 0, or a multiple of 32 up to 1024, got 1056"},
      {kNorm, [](Case& c) { c.launch.threads_per_block = -32; },
       "$.launch.threads_per_block: 0, or a multiple of 32 up to 1024, got -32"},
      {kNorm, [](Case& c) { c[Role::input].data = {}; }, "$.input: bits or a recipe, got neither"},
      {kNorm, [](Case& c) { c[Role::input].data.bytes.pop_back(); }, "$.input: 12 bytes, got 11"},
      {kNorm, [](Case& c) { c[Role::input].data.recipe = {"zeros", 0}; },
       "$.input: either bits or a recipe, got both"},
      {kNorm, [](Case& c) { c[Role::input].data = {{}, Recipe{"gaussian", 0}}; },
       R"($.input.recipe.class: unknown class "gaussian")"},
      {kNorm, [](Case& c) { c.shape[0] = 0; }, "$.input: the tensor is empty and has no data, got some"},
      {kNorm, [](Case& c) { c.shape[0] = 0, c[Role::input].data = {{}, Recipe{"zeros", 0}}; },
       "$.input: the tensor is empty and has no data, got some"},
      {kAdd, [](Case& c) { c[Role::residual].data = {}; }, "$.residual: bits or a recipe, got neither"},
      {kNorm, [](Case& c) { c[Role::residual].data = c[Role::input].data; },
       "$.residual: rms_norm has no residual, got data"},
      {kNorm, [](Case& c) { c.weight_dtype.reset(); }, "$.weight: the case has no weight_dtype, got data"},
      {kNorm, [](Case& c) { c[Role::weight].data = {}; }, "$.weight: bits or a recipe, got neither"},
      {kNorm, [](Case& c) { c.weight_dtype = DType::fp32; }, "$.weight: 12 bytes, got 6"},
      {kNorm, [](Case& c) { c.outputs.emplace(); }, "$.outputs.out: 12 bytes, got 0"},
      {kQuantize, [](Case& c) { c.outputs = Outputs{{Role::out, std::vector<std::byte>(12)}}; },
       "$.outputs.out: 6 bytes, got 12"},
      {kAdd, [](Case& c) { c.outputs = Outputs{{Role::out, std::vector<std::byte>(12)}}; },
       "$.outputs.residual_out: 12 bytes, got 0"},
      {kNorm,
       [](Case& c) {
         c.outputs = Outputs{{Role::out, std::vector<std::byte>(12)},
                             {Role::residual_out, std::vector<std::byte>(12)}};
       },
       "$.outputs.residual_out: rms_norm has no residual_out, got 12 bytes"},
  };
  return kRefusals;
}

TEST(Validate, RefusesWithPathRuleAndValue) {
  for (const Refusal& refusal : refusals()) {
    Case test_case = example_case(refusal.operation);
    ASSERT_EQ(validate(test_case), std::vector<std::string>{});
    refusal.change(test_case);
    const auto reasons = validate(test_case);
    ASSERT_FALSE(reasons.empty()) << refusal.message;
    EXPECT_EQ(reasons.front(), refusal.message);
  }
}

TEST(Validate, ReportsEveryFaultAtOnce) {
  Case test_case = example_case();
  test_case.launch.threads_per_block = 1;
  test_case.schedule.seed = 1;
  test_case[Role::input].layout.offset = -1;
  EXPECT_EQ(validate(test_case).size(), 3u);
}

TEST(Validate, AcceptsWhatTheOperationsTake) {
  for (const Operation operation : all_operations()) {
    for (const DType dtype : kActivationDTypes) {
      Case test_case = example_case(operation, dtype);
      EXPECT_EQ(validate(test_case), std::vector<std::string>{});
      test_case.weight_dtype = DType::fp32;
      test_case[Role::weight].data = counting_data(DType::fp32, 3);
      EXPECT_EQ(validate(test_case), std::vector<std::string>{});
      test_case.weight_dtype.reset();
      test_case[Role::weight].data = {};
      EXPECT_EQ(validate(test_case), std::vector<std::string>{});
    }
  }
}

TEST(Validate, AcceptsUnusualLayouts) {
  const std::vector<Change> changes = {
      [](Case& c) { c[Role::input].layout.strides = {std::int64_t{1} << 31}; },
      [](Case& c) { c[Role::input].layout.strides = {std::int64_t{1} << 61}; },
      [](Case& c) { c[Role::input].layout = {{3}, 127}; },
      [](Case& c) {
        c.shape = {2, 1, 3}, c[Role::input].layout.strides = {3, 1};
      },  // a single step may have any stride
      [](Case& c) {
        c.shape = {1, 2, 1, 3},
        c[Role::input].layout.strides = {1, 3, std::numeric_limits<std::int64_t>::max()};
      },
      [](Case& c) { c.shape = {2, 1, 1, 3}, c.in_place = true, c[Role::input].layout.strides = {4, 1, 1}; },
      [](Case& c) { c.shape = {1, 2, 3}, c[Role::out].layout.strides = {6, 3}; },
      [](Case& c) { c.shape = {0, 3}, c[Role::input].data = {}; },
      [](Case& c) { c.shape = {0, kHuge, 3}, c[Role::input].data = {}; },
      [](Case& c) { c.launch.threads_per_block = 1024; },
      [](Case& c) { c.schedule = {ThreadOrder::random, std::numeric_limits<std::uint64_t>::max()}; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Case test_case = example_case();
    changes[i](test_case);
    EXPECT_EQ(validate(test_case), std::vector<std::string>{}) << "change " << i;
  }
  // Two dimensions exchanged: the outer one steps by less than the inner one.
  Case transposed = example_case();
  transposed.shape = {2, 3, 1};
  transposed[Role::weight].data = counting_data(DType::bf16, 1);
  transposed[Role::input].layout.strides = {1, 2};
  EXPECT_EQ(validate(transposed), std::vector<std::string>{});
}

TEST(Validate, LargeRecipesCostNothing) {
  Case test_case = example_case();
  test_case.shape = {kMaximumElements / kMaximumHiddenSize, kMaximumHiddenSize};
  test_case[Role::input].data = {{}, Recipe{"normal", 1}};
  test_case[Role::weight].data = {{}, Recipe{"ones", 1}};
  EXPECT_EQ(validate(test_case), std::vector<std::string>{});
}

}  // namespace
}  // namespace normproof
