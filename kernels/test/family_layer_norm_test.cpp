// layer_norm and fused_add_layer_norm against plain loops, on every path and with every number of threads:
// none of them changes a bit.
#include "layer_norm_case.h"

namespace normproof::kernels {
namespace {

void expect_bits(const LayerNormCase& test_case) {
  expect_layer_norm_bits(test_case,
                         [](const LayerNormTensors&, const FamilyCall& call) { return call.run(); });
}

// Every dtype with every kind of weight, bias and statistics, in turn.
template <class Visit>
void for_each_kind(const Visit& visit) {
  unsigned seed = 1;
  for (const DType dtype : {DType::bf16, DType::fp16, DType::fp32}) {
    const std::optional<DType> kinds[] = {std::nullopt, dtype, DType::fp32};
    for (int i = 0; i < 9; ++i) {
      LayerNormCase test_case;
      test_case.dtype = dtype;
      test_case.weight = kinds[i % 3];
      test_case.bias = kinds[i / 3];
      test_case.mean = kinds[(i + 1) % 3];
      test_case.rstd = kinds[(i + 2 * (i / 3)) % 3];
      test_case.seed = seed++;
      test_case.shift = i % 2 == 0 ? 0.0f : 3.0f;
      test_case.adds_residual = i % 4 > 1;
      visit(test_case);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(LayerNorm, GivesTheReferencesBitsForRowsOfAllLengths) {
  for_each_kind([](LayerNormCase test_case) {
    for (const std::int64_t hidden : {1, 7, 8, 33, 128, 250, 1000, 1024, 5000}) {
      test_case.sizes = {hidden < 300 ? 9 : 2, hidden};
      test_case.in_place = hidden % 2 == 0;
      expect_bits(test_case);
      if (testing::Test::HasFailure()) return;
    }
  });
}

TEST(LayerNorm, GivesTheSameBitsWhateverTheLaunch) {
  for_each_kind([](LayerNormCase test_case) {
    test_case.adds_residual = test_case.seed % 2 == 0;
    for (const std::int64_t hidden : {40, 2056, 8200}) {
      test_case.sizes = {hidden < 100 ? 40 : 5, hidden};
      for (const int threads : {64, 256, 1024}) {
        if (threads == 1024 && test_case.seed % 9 != 0) continue;  // many fibers
        test_case.launch = {threads == 256 ? Path::scalar : Path::vectorized, threads};
        set_thread_order(2, test_case.seed);
        expect_bits(test_case);
        set_thread_order(0, 0);
      }
      if (testing::Test::HasFailure() || test_case.seed % 3 != 0) return;
    }
  });
}

TEST(LayerNorm, TakesRowsOfAnyStridesAndAlignment) {
  for_each_kind([](LayerNormCase test_case) {
    test_case.sizes = {2, 3, 2, 24};
    test_case.x_strides = {1000, 200, 30, 1};
    test_case.out_strides = {48, 96, 24, 1};
    test_case.offset = 3;
    expect_bits(test_case);
    test_case.in_place = true;
    expect_bits(test_case);
  });
}

TEST(LayerNorm, FollowsSpecialNumbersAndConstantRows) {
  for_each_kind([](LayerNormCase test_case) {
    test_case.sizes = {12, 96};
    test_case.special_one_in = 40;
    expect_bits(test_case);
    test_case.special_one_in = 0;
    test_case.binades = 240;  // sums that overflow, deviations that vanish
    expect_bits(test_case);
    test_case.binades = 1;
    test_case.shift = 1e4f;
    test_case.epsilon = 0;
    expect_bits(test_case);
    test_case.epsilon = -1;
    expect_bits(test_case);
  });
}

TEST(LayerNorm, RefusesWhatItCannotDo) {
  LayerNormCase test_case;
  test_case.weight = test_case.bias = DType::bf16;
  test_case.mean = DType::fp32;
  test_case.adds_residual = true;
  test_case.sizes = {3, 16};
  const LayerNormTensors tensors(test_case);
  const auto refusal_of = [&](const auto& spoil) {
    FamilyCall call = tensors.call(test_case);
    spoil(call);
    return call.run();
  };
  const auto expect = [&](StatusCode code, const char* message, const auto& spoil) {
    const Status status = refusal_of(spoil);
    EXPECT_EQ(status.code, code);
    EXPECT_NE(status.message.find(message), std::string::npos) << status.message;
  };
  EXPECT_TRUE(refusal_of([](FamilyCall&) {}).ok());
  expect(StatusCode::unsupported_dtype, "bias: dtype is fp16",
         [](FamilyCall& call) { call.at("bias").dtype = DType::fp16; });
  expect(StatusCode::unsupported_dtype, "residual_out: dtype is fp32",
         [](FamilyCall& call) { call.at("residual_out").dtype = DType::fp32; });
  expect(StatusCode::invalid_size, "weight: sizes[0] is 15",
         [](FamilyCall& call) { call.at("weight").sizes[0] = 15; });
  expect(StatusCode::invalid_size, "mean: sizes[0] is 2",
         [](FamilyCall& call) { call.at("mean").sizes[0] = 2; });
  expect(StatusCode::overlap, "out: ", [](FamilyCall& call) { call.at("out") = call.at("residual"); });
  expect(StatusCode::overlap,
         "residual_out: ", [](FamilyCall& call) { call.at("residual_out") = call.at("x"); });
  expect(StatusCode::unknown_name, "'gate'",
         [](FamilyCall& call) { call.tensors.push_back({"gate", call.at("x")}); });
  expect(StatusCode::null_pointer,
         "residual: ", [](FamilyCall& call) { call.tensors.erase(call.tensors.begin() + 2); });
  expect(StatusCode::unknown_name, "'residual'", [](FamilyCall& call) { call.operation = "layer_norm"; });
}

// Each row, or each of a few, with weights of its own gives what it gives alone; sizes that do not fit are
// refused.
TEST(LayerNorm, TakesWeightsOfSeveralRows) {
  LayerNormCase test_case;
  test_case.weight = test_case.bias = DType::bf16;
  test_case.sizes = {2, 3, 16};
  const LayerNormTensors tensors(test_case), alone(test_case);
  TestTensor weights(DType::bf16, {3, 16});
  FamilyCall call = tensors.call(test_case), single = alone.call(test_case);
  for (std::int64_t row = 0; row < 3; ++row) {
    std::vector<std::uint32_t> bits;
    for (int i = 0; i < 16; ++i)
      bits.push_back(reference::round(DType::bf16, static_cast<float>(row + 1) + static_cast<float>(i) / 8));
    weights.set_row(row, bits);
  }
  call.at("weight") = weights.tensor();
  ASSERT_TRUE(call.run().ok());
  for (std::int64_t row = 0; row < 6; ++row) {
    const auto of_row = [&](Tensor tensor, std::int64_t at) {
      tensor.data = static_cast<char*>(tensor.data) + at * 16 * 2;
      return Tensor{tensor.data, tensor.dtype, 2, {1, 16}, {16, 1}};
    };
    FamilyCall part = single;
    for (const char* role : {"x", "out"}) part.at(role) = of_row(single.at(role), row);
    part.at("weight") = {static_cast<char*>(weights.tensor().data) + row % 3 * 32, DType::bf16, 1, {16}, {1}};
    ASSERT_TRUE(part.run().ok());
    EXPECT_EQ(std::memcmp(of_row(call.at("out"), row).data, part.at("out").data, 32), 0) << row;
  }
  call.at("weight").sizes[0] = 2;
  const Status status = call.run();
  EXPECT_EQ(status.code, StatusCode::invalid_size);
  EXPECT_EQ(status.message, "weight: sizes[0] is 2, must be 3 as sizes[1] of x");
}

TEST(LayerNorm, HasNothingToDoWithoutRows) {
  LayerNormCase test_case;
  test_case.sizes = {3, 16};
  const LayerNormTensors tensors(test_case);
  FamilyCall call = tensors.call(test_case);
  for (NamedTensor& each : call.tensors) each.tensor.sizes[0] = 0;
  LaunchReport report;
  EXPECT_TRUE(call.run(&report).ok());
  EXPECT_EQ(report.blocks, 0);
}

}  // namespace
}  // namespace normproof::kernels
