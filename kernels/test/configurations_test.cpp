// The GPU's choice of a configuration, without a GPU: rows of any length stay in registers, and full rows get
// shapes made for them.
#include "kernels/configurations.h"

#include <gtest/gtest.h>

#include <string_view>

#include "kernels/compiled.h"
#include "kernels/register_shape.h"
#include "norm_case.h"

namespace normproof::kernels {
namespace {

double speed = 0;
bool clusters = true;

}  // namespace

// As launch.cu finds them out.
double memory_speed() { return speed; }
bool supports_clusters() { return clusters; }

namespace {

constexpr double kH100 = 3.35e12, kH200 = 4.9e12;
constexpr std::int64_t kLongest = 16384;  // elements of a row that was measured

// A call that check() accepts; its tensors are never touched.
Problem problem_of(DType dtype, std::int64_t rows, std::int64_t hidden, bool adds, Output output) {
  const bool quantizes = output != Output::activation, scales_rows = output == Output::quantized_by_row;
  const auto tensor_at = [&](std::uintptr_t address, DType of) {
    Tensor tensor;
    tensor.data = reinterpret_cast<void*>(address << 40);  // NOLINT(performance-no-int-to-ptr): far apart
    tensor.dtype = of;
    tensor.rank = 2;
    tensor.sizes = {rows, hidden};
    tensor.strides = {hidden, 1};
    return tensor;
  };
  const Tensor input = tensor_at(1, dtype), residual = tensor_at(2, dtype),
               out = tensor_at(3, quantizes ? DType::fp8_e4m3fn : dtype);
  Tensor weight = tensor_at(4, dtype);
  weight.rank = 1;
  weight.sizes = {hidden};
  weight.strides = {1};
  Tensor scales = tensor_at(5, DType::fp32);
  scales.sizes[1] = scales.strides[0] = 1;
  const float scale = 1;
  Call call;
  call.input = &input;
  call.residual = adds ? &residual : nullptr;
  call.out = adds && !quantizes ? &input : &out;
  call.weight = &weight;
  call.scale = quantizes && !scales_rows ? &scale : nullptr;
  call.scales = scales_rows ? &scales : nullptr;
  call.quantizes = quantizes;
  Problem problem;
  const Status status = check(call, problem);
  EXPECT_TRUE(status.ok()) << status.message;
  return problem;
}

std::string_view chosen_shape(const Problem& problem) {
  return shape_names()[static_cast<int>(choose_configuration(problem, 0).shape)];
}

// Calls visit(problem, text) for every operation, dtype and GPU.
template <class Visit>
void for_each_problem(std::int64_t rows, std::int64_t hidden, const Visit& visit) {
  for (const double each_speed : {kH100, kH200}) {
    speed = each_speed;
    for (const DType dtype : {DType::bf16, DType::fp16, DType::fp32}) {
      for (const bool adds : {false, true}) {
        for (const Output output : kOutputs) {
          const Problem problem = problem_of(dtype, rows, hidden, adds, output);
          visit(problem, testing::Message() << rows << " x " << hidden << ", dtype " << shown(dtype)
                                            << ", adds " << adds << ", output " << static_cast<int>(output)
                                            << ", " << each_speed << " bytes per second");
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

constexpr std::int64_t kRows[] = {1, 16, 100, 512, 1024, 5000, 8192, 262144};

TEST(SampledDeviceCode, HasEachShapeAndEachCombination) {
  const int combinations[] = {
      kCombination<Bf16, void, false>, kCombination<Bf16, void, true>,   kCombination<Bf16, Bf16, false>,
      kCombination<Bf16, Bf16, true>,  kCombination<Bf16, float, false>, kCombination<Bf16, float, true>,
      kCombination<Fp16, void, false>, kCombination<Fp16, void, true>,   kCombination<Fp16, Fp16, false>,
      kCombination<Fp16, Fp16, true>,  kCombination<Fp16, float, false>, kCombination<Fp16, float, true>};
  constexpr int kShapes = 40;  // more than there are combinations
  for (int shape = 0; shape < kShapes; ++shape) {
    int found = 0;
    for (const int combination : combinations) found += in_sample(shape, combination) ? 1 : 0;
    EXPECT_EQ(found, 1) << "shape " << shape;
  }
  for (const int combination : combinations) {
    int found = 0;
    for (int shape = 0; shape < kShapes; ++shape) found += in_sample(shape, combination) ? 1 : 0;
    EXPECT_GE(found, 3) << "combination " << combination;
  }
}

TEST(Configurations, AlignedRowsOfAnyLengthStayInRegisters) {
  for (std::int64_t hidden = 8; hidden <= kLongest; hidden += hidden < 1024 ? 8 : 136) {
    for (const std::int64_t rows : kRows) {
      for_each_problem(rows, hidden, [](const Problem& problem, const testing::Message& text) {
        const std::string_view shape = chosen_shape(problem);
        EXPECT_TRUE(shape != "two_pass" && shape != "within_warp") << text << ": " << shape;
      });
      if (HasFailure()) return;
    }
  }
}

// The chunks for which all threads of a row together have a place.
std::int64_t places(const ShapeLimits& shape, const Configuration& configuration) {
  const int threads = configuration.threads_per_block * configuration.blocks_per_row;
  const int lanes = threads * shape.slots / configuration.rows_per_block;
  return std::int64_t{lanes} * shape.rounds;
}

TEST(Configurations, ShapesForFullRowsGetNoOthers) {
  int full = 0;
  for (const std::int64_t hidden :
       {64, 128, 192, 512, 640, 1024, 2048, 2880, 4096, 4104, 5120, 7168, 8192, 16320, 16384}) {
    for (const std::int64_t rows : kRows) {
      for_each_problem(rows, hidden, [&](const Problem& problem, const testing::Message& text) {
        const Configuration configuration = choose_configuration(problem, 0);
        const ShapeLimits* shape = register_shape(configuration.shape);
        if (shape == nullptr || !shape->full) return;
        ++full;
        EXPECT_EQ(problem.arguments.chunks, places(*shape, configuration)) << text;
      });
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(full, 0);
}

TEST(Configurations, WithoutClustersThereAreNone) {
  clusters = false;
  for_each_problem(1, kLongest, [](const Problem& problem, const testing::Message& text) {
    EXPECT_FALSE(chosen_shape(problem).starts_with("cluster")) << text;
  });
  clusters = true;
}

TEST(Configurations, WhatIsNotAlignedGetsAGeneralShape) {
  for_each_problem(3, 4097, [](const Problem& problem, const testing::Message& text) {
    EXPECT_EQ(chosen_shape(problem), "two_pass") << text;
  });
}

TEST(Configurations, Int8AndUpperBoundsGetAGeneralShape) {
  for (const bool is_int8 : {false, true}) {
    Problem problem = problem_of(DType::bf16, 3, 256, false, Output::quantized_by_row);
    const float bound = 1;
    problem.arguments.scale_ub = is_int8 ? nullptr : &bound;
    if (is_int8) problem.arguments.codes = CodeFormat::int8;
    EXPECT_EQ(chosen_shape(problem), "within_warp") << is_int8;
  }
}

}  // namespace
}  // namespace normproof::kernels
