// The binary form: any bytes are a valid case, and a case survives the way there and back.
#include "corpus/case_bytes.h"

#include <gtest/gtest.h>

#include <set>

#include "corpus/random.h"

namespace normproof {
namespace {

CaseLimits draw_limits(Random& random) {
  CaseLimits limits;
  limits.max_rows = random.between(0, 6);
  limits.max_hidden = random.log_between(1, 100);
  limits.max_padding = random.between(0, 64);
  if (random.chance(1, 4)) limits.max_elements = random.between(1, 200);
  if (random.chance(1, 4)) limits.operation = random.pick(all_operations());
  if (random.chance(1, 4)) limits.dtype = random.pick(kActivationDTypes);
  if (random.chance(1, 4)) limits.weight = random.pick(kWeightKinds);
  if (random.chance(1, 4)) limits.quantized_dtype = random.pick(kQuantizedDTypes);
  limits.path = random.pick(std::array{KernelPath::automatic, KernelPath::vectorized, KernelPath::scalar});
  limits.giant_strides = random.chance(1, 4);
  limits.allow_refused = random.chance(1, 2);
  limits.max_threads_per_block = 32 * static_cast<int>(random.between(0, 32));
  limits.int8 = random.chance(1, 2);
  limits.scale_ub = random.chance(1, 2);
  return limits;
}

TEST(CaseBytes, KeepEveryCaseWithinTheLimits) {
  Random random(1);
  for (int i = 0; i < 50000; ++i) {
    const CaseLimits limits = draw_limits(random);
    const Case test_case = random_case(random, limits);
    const auto bytes = case_to_bytes(test_case);
    ASSERT_TRUE(bytes.has_value());
    ASSERT_GE(bytes->size(), kCaseHeaderBytes);
    ASSERT_EQ(case_from_bytes(*bytes, limits), test_case) << i;
  }
}

TEST(CaseBytes, LeaveOutWhatIsForPeople) {
  Random random(2);
  Case test_case = random_case(random);
  const auto bytes = case_to_bytes(test_case);
  test_case.name = "name";
  test_case.description = "description";
  test_case.outputs.emplace();
  for (const Role role : kRoles)
    if (test_case.has_output(role)) (*test_case.outputs)[role].resize(test_case.bytes_of(role));
  ASSERT_TRUE(validate(test_case).empty());
  EXPECT_EQ(case_to_bytes(test_case), bytes);
}

TEST(CaseBytes, AnyBytesAreAValidCaseWithinTheLimits) {
  Random random(3);
  std::set<Operation> operations;
  std::set<std::int64_t> hidden;
  int strided = 0;
  for (int i = 0; i < 100000; ++i) {
    const CaseLimits limits = draw_limits(random);
    std::vector<std::uint8_t> bytes(random.below(400));
    // Small and huge bytes are as common as any.
    const std::uint64_t bound = random.pick(std::array{2, 16, 256});
    for (std::uint8_t& byte : bytes) {
      byte = random.chance(1, 16) ? 0xff : static_cast<std::uint8_t>(random.below(bound));
    }
    const Case test_case = case_from_bytes(bytes, limits);
    const std::vector<std::string> reasons = validate(test_case);
    ASSERT_TRUE(reasons.empty()) << i << ": " << reasons.front();
    ASSERT_TRUE(within(test_case, limits)) << i;
    ASSERT_EQ(case_from_bytes(case_to_bytes(test_case).value(), limits), test_case) << i;
    operations.insert(test_case.operation);
    hidden.insert(test_case.hidden_size());
    strided += test_case[Role::input].layout.strides.empty() ? 0 : 1;
  }
  EXPECT_EQ(operations.size(), all_operations().size());
  EXPECT_GT(hidden.size(), 90u);
  EXPECT_GT(strided, 20000);
}

TEST(CaseBytes, NothingAtAllIsOneRowOfOneZero) {
  const Case test_case = case_from_bytes({}, CaseLimits{});
  EXPECT_EQ(test_case.shape, (std::vector<std::int64_t>{1, 1}));
  EXPECT_EQ(test_case[Role::input].data.bytes, std::vector<std::byte>(2));
  EXPECT_EQ(test_case.bits_of(Parameter::epsilon), 0u);
}

// Where the fields of version 1 lie, in which old corpora are written.
TEST(CaseBytes, VersionOneIsReadAsBefore) {
  std::vector<std::uint8_t> bytes(144);
  bytes[0] = 3;  // fused_add_rms_norm_static_fp8_quant
  bytes[1] = 2;  // fp32
  bytes[2] = 1;  // weight of the activation's dtype
  bytes[3] = 1;  // e5m2
  bytes[5] = 4;  // residual strided
  bytes[6] = 2;  // random order
  bytes[7] = 2;  // scalar
  bytes[8] = 3;  // 96 threads
  bytes[9] = 5;
  bytes[10] = 6;
  bytes[11] = 7;
  bytes[12] = 9;
  bytes[13] = 128;  // the first class
  bytes[15] = 130;
  bytes[16] = 0xab;
  bytes[20] = 0xcd;
  bytes[24] = 0x11;
  bytes[32] = 0x22;
  bytes[48] = 0x33;
  bytes[56] = 3;  // two rows
  bytes[68] = 4;  // five columns
  bytes[96] = 8;  // residual stride
  bytes.push_back(0x44);
  const Case test_case = case_from_bytes(bytes, CaseLimits{});
  EXPECT_EQ(test_case.operation, Operation::fused_add_rms_norm_static_fp8_quant);
  EXPECT_EQ(test_case.dtype, DType::fp32);
  EXPECT_EQ(test_case.weight_dtype, DType::fp32);
  EXPECT_EQ(test_case.quantized_dtype, DType::fp8_e5m2);
  EXPECT_TRUE(test_case[Role::input].layout.strides.empty());
  EXPECT_EQ(test_case[Role::residual].layout.strides, std::vector<std::int64_t>{8});
  EXPECT_EQ(test_case.schedule, (Schedule{ThreadOrder::random, 0x11}));
  EXPECT_EQ(test_case.launch, (LaunchChoice{KernelPath::scalar, 96}));
  EXPECT_EQ(test_case[Role::input].layout.offset, 5);
  EXPECT_EQ(test_case[Role::residual].layout.offset, 6);
  EXPECT_EQ(test_case[Role::out].layout.offset, 7);
  EXPECT_EQ(test_case[Role::weight].layout.offset, 9);
  EXPECT_EQ(test_case[Role::input].data.recipe, (Recipe{"normal", 0x22}));
  EXPECT_EQ(test_case[Role::weight].data.recipe, (Recipe{"model_weights", 0x33}));
  EXPECT_EQ(test_case.bits_of(Parameter::epsilon), 0xabu);
  EXPECT_EQ(test_case.bits_of(Parameter::scale), 0xcdu);
  EXPECT_EQ(test_case.shape, (std::vector<std::int64_t>{2, 5}));
  EXPECT_EQ(load_bits(test_case[Role::residual].data.bytes, DType::fp32, 0), 0x44u);
}

// Where the fields of the documented header lie.
TEST(CaseBytes, HaveAHeaderOfFixedFields) {
  std::vector<std::uint8_t> bytes(kCaseHeaderBytes);
  bytes[0] = kBinaryVersion;
  bytes[1] = kRoles.size();
  bytes[2] = kParameters.size();
  bytes[3] = 3;      // fused_add_rms_norm_static_fp8_quant
  bytes[4] = 2;      // fp32
  bytes[5] = 1;      // weight of the activation's dtype
  bytes[6] = 1;      // e5m2
  bytes[9] = 2;      // random order
  bytes[10] = 2;     // scalar
  bytes[11] = 3;     // 96 threads
  bytes[12] = 0x11;  // schedule seed
  bytes[20] = 3;     // two rows
  bytes[32] = 4;     // five columns
  bytes[36] = 0xab;  // epsilon
  bytes[40] = 0xcd;  // scale
  const std::size_t input = 36 + 4 * kParameters.size(), residual = input + 35, out = residual + 35,
                    weight = out + 2 * 35;
  bytes[input] = 5;
  bytes[input + 2] = 128;  // the first class
  bytes[input + 3] = 0x22;
  bytes[residual] = 6;
  bytes[residual + 1] = 1;   // strided
  bytes[residual + 11] = 8;  // its first stride
  bytes[out] = 7;
  bytes[weight] = 9;
  bytes[weight + 2] = 130;
  bytes[weight + 3] = 0x33;
  bytes.push_back(0x44);
  const Case test_case = case_from_bytes(bytes, CaseLimits{});
  EXPECT_EQ(test_case.operation, Operation::fused_add_rms_norm_static_fp8_quant);
  EXPECT_EQ(test_case.dtype, DType::fp32);
  EXPECT_EQ(test_case.quantized_dtype, DType::fp8_e5m2);
  EXPECT_EQ(test_case.shape, (std::vector<std::int64_t>{2, 5}));
  EXPECT_EQ(test_case.schedule, (Schedule{ThreadOrder::random, 0x11}));
  EXPECT_EQ(test_case.launch, (LaunchChoice{KernelPath::scalar, 96}));
  EXPECT_EQ(test_case[Role::input].layout, (TensorLayout{{}, 5}));
  EXPECT_EQ(test_case[Role::residual].layout, (TensorLayout{{8}, 6}));
  EXPECT_EQ(test_case[Role::out].layout, (TensorLayout{{}, 7}));
  EXPECT_EQ(test_case[Role::weight].layout, (TensorLayout{{}, 9}));
  EXPECT_EQ(test_case[Role::input].data.recipe, (Recipe{"normal", 0x22}));
  EXPECT_EQ(test_case[Role::weight].data.recipe, (Recipe{"model_weights", 0x33}));
  EXPECT_EQ(test_case.bits_of(Parameter::epsilon), 0xabu);
  EXPECT_EQ(test_case.bits_of(Parameter::scale), 0xcdu);
  EXPECT_EQ(load_bits(test_case[Role::residual].data.bytes, DType::fp32, 0), 0x44u);
}

// What a program with fewer roles and parameters wrote.
TEST(CaseBytes, RolesThatAreNotDescribedAreEmpty) {
  std::vector<std::uint8_t> bytes(36 + 4 + 35);
  bytes[0] = kBinaryVersion;
  bytes[1] = 1;  // input
  bytes[2] = 1;  // epsilon
  bytes[3] = 2;  // rms_norm_static_fp8_quant
  bytes[36] = 0xab;
  bytes.push_back(0x80);
  bytes.push_back(0x3f);
  const Case test_case = case_from_bytes(bytes, CaseLimits{});
  EXPECT_EQ(load_bits(test_case[Role::input].data.bytes, DType::bf16, 0), 0x3f80u);
  EXPECT_EQ(test_case.bits_of(Parameter::epsilon), 0xabu);
  EXPECT_EQ(test_case.bits_of(Parameter::scale), spec_of(Parameter::scale).usual_bits);
}

TEST(CaseBytes, RefuseWhatIsTooLargeOrNotValid) {
  Case test_case;
  test_case.shape = {1024, 1024};
  test_case[Role::input].data.bytes.resize(2 * 1024 * 1024);
  ASSERT_TRUE(validate(test_case).empty());
  EXPECT_EQ(case_to_bytes(test_case), std::nullopt);
  test_case[Role::input].data = {{}, Recipe{"normal", 1}};
  EXPECT_TRUE(case_to_bytes(test_case).has_value());
  test_case.shape = {1024, 0};
  EXPECT_EQ(case_to_bytes(test_case), std::nullopt);
}

}  // namespace
}  // namespace normproof
