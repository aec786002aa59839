// The operations against the reference: every dtype, weight and output format, on both paths, on short
// and long rows, on special values.
#include <cmath>

#include "norm_case.h"

namespace normproof::kernels {
namespace {

class Operations : public testing::TestWithParam<std::tuple<DType, bool, Output>> {
 protected:
  void for_each_combination(NormCase test_case, const std::function<void(const NormCase&)>& visit) {
    test_case.dtype = std::get<0>(GetParam());
    test_case.adds_residual = std::get<1>(GetParam());
    kernels::for_each_combination(test_case, std::get<2>(GetParam()), visit);
  }
};

TEST_P(Operations, GiveTheContractsBitsOnRowsOfAnyLength) {
  for (const std::int64_t hidden : {1, 2, 7, 8, 9, 16, 33, 64, 128, 200, 256, 264, 1000, 1024, 4104}) {
    NormCase test_case;
    test_case.sizes = {hidden < 100 ? 37 : 3, hidden};
    for_each_combination(test_case, [](const NormCase& each) { expect_reference_bits(each); });
    if (HasFailure()) return;
  }
}

TEST_P(Operations, GiveTheSameBitsOnTheScalarPathAndUnalignedTensors) {
  for (const std::int64_t hidden : {8, 64, 264, 1032}) {
    NormCase test_case;
    test_case.sizes = {5, hidden};
    test_case.offset = 1;
    for_each_combination(test_case, [](const NormCase& each) {
      EXPECT_EQ(expect_reference_bits(each).path, Path::scalar) << each.text();
      NormCase aligned = each;
      aligned.offset = 0;
      EXPECT_EQ(expect_reference_bits(aligned).path, Path::vectorized) << each.text();
      aligned.launch.path = Path::scalar;
      EXPECT_EQ(expect_reference_bits(aligned).path, Path::scalar) << each.text();
    });
    if (HasFailure()) return;
  }
}

TEST_P(Operations, GiveTheContractsBitsOnSpecialValues) {
  for (const std::int64_t hidden : {1, 4, 24, 72}) {
    NormCase test_case;
    test_case.sizes = {64, hidden};
    test_case.special_one_in = 8;
    test_case.seed = 1000;
    for_each_combination(test_case, [](const NormCase& each) { expect_reference_bits(each); });
    if (HasFailure()) return;
  }
}

TEST_P(Operations, GiveTheContractsBitsOverTheWholeRangeOfNumbers) {
  NormCase test_case;
  test_case.sizes = {200, 24};
  test_case.binades = 280;
  test_case.seed = 2000;
  for_each_combination(test_case, [](const NormCase& each) { expect_reference_bits(each); });
}

TEST_P(Operations, TakeAnyEpsilon) {
  for (const float epsilon : {0.0f, -0.0f, -1e-3f, -1e30f, 1e-45f, 1e30f, INFINITY, -INFINITY, NAN}) {
    NormCase test_case;
    test_case.sizes = {16, 8};
    test_case.epsilon = epsilon;
    test_case.special_one_in = 4;
    for_each_combination(test_case, [](const NormCase& each) { expect_reference_bits(each); });
    if (HasFailure()) return;
  }
}

TEST_P(Operations, HonourRowStrides) {
  NormCase test_case;
  test_case.sizes = {6, 40};
  test_case.input_strides = {41};
  test_case.residual_strides = {48};
  test_case.out_strides = {64};
  for_each_combination(test_case, [](const NormCase& each) {
    expect_reference_bits(each);
    NormCase aligned = each;
    aligned.input_strides = {56};
    EXPECT_EQ(expect_reference_bits(aligned).path, Path::vectorized) << each.text();
  });
}

INSTANTIATE_TEST_SUITE_P(All, Operations,
                         testing::Combine(testing::ValuesIn(kActivations), testing::Bool(),
                                          testing::ValuesIn(kOutputs)));

TEST(Quantization, TakesAnyScale) {
  for (const DType dtype : kActivations) {
    for (const bool adds_residual : {false, true}) {
      for (const float scale : {0.0f, -0.0f, -0.5f, 1e-45f, 1e-3f, 100.0f, 3e38f, INFINITY, -INFINITY, NAN}) {
        NormCase test_case;
        test_case.dtype = dtype;
        test_case.adds_residual = adds_residual;
        test_case.sizes = {16, 24};
        test_case.scale = scale;
        test_case.special_one_in = 10;
        for_each_combination(test_case, Output::quantized,
                             [](const NormCase& each) { expect_reference_bits(each); });
        if (HasFailure()) return;
      }
    }
  }
}

TEST(RmsNorm, HonoursEveryLeadingStride) {
  const std::vector<std::vector<std::int64_t>> inputs = {{2 * 3 * 24, 24, 48}, {24, 500, 110}, {96, 32, 700}};
  for (const auto& strides : inputs) {
    for (const DType dtype : kActivations) {
      NormCase test_case;
      test_case.dtype = dtype;
      test_case.weight_dtype = dtype;
      test_case.sizes = {3, 2, 4, 24};
      test_case.input_strides = strides;
      test_case.out_strides = {1000, 400, 30};
      expect_reference_bits(test_case);
      test_case.out_strides = {24, 500, 110};
      expect_reference_bits(test_case);
    }
  }
}

TEST(RmsNorm, HonoursTheStridesOfRankThree) {
  NormCase test_case;
  test_case.sizes = {5, 3, 16};
  test_case.input_strides = {16, 80};  // transposed
  expect_reference_bits(test_case);
  test_case.out_strides = {48, 16};
  expect_reference_bits(test_case);
}

TEST(RmsNorm, WritesOverItsInput) {
  for (const std::int64_t hidden : {8, 264, 4096, 16384}) {
    for (const Path path : {Path::vectorized, Path::scalar}) {
      NormCase test_case;
      test_case.weight_dtype = DType::bf16;
      test_case.sizes = {2, hidden};
      test_case.in_place = true;
      test_case.launch.path = path;
      expect_reference_bits(test_case);
    }
  }
}

}  // namespace
}  // namespace normproof::kernels
