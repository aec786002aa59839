// The GPU's kernels for rows in registers, run on the CPU: the bits of the general kernel in every shape.
#include "kernels/register_kernel.cuh"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <string>

#include "kernels/arguments.h"
#include "kernels/launch.h"
#include "norm_case.h"

namespace normproof::kernels {
namespace {

// What a shape is called with, read off the template. On the CPU a cluster is one block.
template <class Shape>
Configuration configuration_of(const Problem& problem) {
  const NormArguments& arguments = problem.arguments;
  Configuration configuration;
  const int warps = limits_of<Shape>().warps_for(arguments.groups);
  configuration.threads_per_block = Shape::kBlockPerRow ? warps * kWarpThreads : 64;
  if (Shape::kTeam == Team::part_of_warp)
    configuration.rows_per_block = (64 * Shape::kSlots) >> arguments.row_threads_log2;
  if (Shape::kTeam == Team::warp) configuration.rows_per_block = 2;
  configuration.blocks = (arguments.rows - 1) / configuration.rows_per_block + 1;
  return configuration;
}

template <class Shape>
bool fits(const NormArguments& arguments) {
  const ShapeLimits limits = limits_of<Shape>();
  if (Shape::kTeam == Team::part_of_warp)
    return limits.holds_in_part_of_warp(arguments.chunks, arguments.row_threads_log2);
  const int warps = Shape::kBlockPerRow ? limits.warps_for(arguments.groups) : 1;
  return warps <= 32 && limits.holds(arguments.chunks, warps);
}

Call call_of(const NormCase& test_case, const NormTensors& tensors) {
  Call call;
  call.input = &tensors.input.tensor();
  call.residual = test_case.adds_residual ? &tensors.residual.tensor() : nullptr;
  call.out = test_case.adds_residual && !test_case.quantized ? call.input : &tensors.out.tensor();
  call.weight = test_case.weight_dtype ? &tensors.weight.tensor() : nullptr;
  call.scale = test_case.quantized && !test_case.scales_rows ? &tensors.scale : nullptr;
  call.scales = test_case.scales_rows ? &tensors.scales.tensor() : nullptr;
  call.quantizes = test_case.quantized.has_value();
  call.epsilon = test_case.epsilon;
  return call;
}

// How many rows of check_all_shapes() each shape took.
std::map<std::string, int>& rows_taken() {
  static std::map<std::string, int> taken;
  return taken;
}

template <typename T, typename W, Output kOutput, bool kAdds, class Shape>
void expect_the_general_kernels_bits(const char* name, const NormCase& test_case) {
  NormTensors general(test_case), tensors(test_case);
  ASSERT_TRUE(call(test_case, general).ok());
  Problem problem;
  const Call description = call_of(test_case, tensors);
  ASSERT_TRUE(check(description, problem).ok());
  ASSERT_TRUE(problem.vectorized);
  problem.arguments.inverse_hidden = quick_inverse_hidden(problem.arguments);
  if (!fits<Shape>(problem.arguments)) return;
  ++rows_taken()[name];
  constexpr bool kQuantizes = kOutput != Output::activation,
                 kScalesRows = kOutput == Output::quantized_by_row;
  const Status status = launch(&register_kernel<Variant<T, W, kQuantizes, kAdds, true, Shape, kScalesRows>>,
                               problem.arguments, configuration_of<Shape>(problem), nullptr);
  ASSERT_TRUE(status.ok()) << name << ": " << status.message;
  const auto expect_equal = [&](const char* tensor, const TestTensor& wanted, const TestTensor& got) {
    for (std::int64_t row = 0; row < wanted.rows(); ++row)
      ASSERT_EQ(wanted.row(row), got.row(row)) << name << ", " << tensor << ", row " << row << "\n"
                                               << test_case.text();
  };
  expect_equal("input", general.input, tensors.input);
  expect_equal("residual", general.residual, tensors.residual);
  expect_equal("out", general.out, tensors.out);
  if (kScalesRows) expect_equal("scales", general.scales, tensors.scales);
}

template <typename T, typename W, Output kOutput, bool kAdds>
void check_all_shapes(NormCase test_case) {
  test_case.scales_rows = kOutput == Output::quantized_by_row;
  test_case.adds_residual = kAdds;
  test_case.binades = std::max(test_case.binades, 10);
  rows_taken().clear();
  for (const std::int64_t hidden : {16, 128, 256, 512, 1024, 1040, 2048, 5120, 7168, 8192, 16384}) {
    test_case.sizes = {hidden <= 512 ? 11 : 2, hidden};
    ++test_case.seed;
#define NORMPROOF_SHAPE(name, ...) \
  expect_the_general_kernels_bits<T, W, kOutput, kAdds, RegisterShape<__VA_ARGS__>>(#name, test_case);
#define NORMPROOF_FURTHER_SHAPE(...)                   \
  if constexpr (kOutput != Output::quantized_by_row) { \
    NORMPROOF_SHAPE(__VA_ARGS__)                       \
  }
#include "kernels/register_shapes.inc"
#undef NORMPROOF_SHAPE
    if (testing::Test::HasFailure()) return;
  }
#define NORMPROOF_SHAPE(name, ...) EXPECT_GT(rows_taken()[#name], 0) << #name << " took no row";
#define NORMPROOF_FURTHER_SHAPE(...) \
  if constexpr (kOutput != Output::quantized_by_row) NORMPROOF_SHAPE(__VA_ARGS__)
#include "kernels/register_shapes.inc"
#undef NORMPROOF_SHAPE
}

TEST(RegisterKernel, GivesTheGeneralKernelsBits) {
  NormCase test_case;
  test_case.weight_dtype = DType::bf16;
  check_all_shapes<Bf16, Bf16, Output::activation, false>(test_case);
}

TEST(RegisterKernel, GivesTheGeneralKernelsBitsWithAResidualAndAWiderWeight) {
  NormCase test_case;
  test_case.dtype = DType::fp16;
  test_case.weight_dtype = DType::fp32;
  check_all_shapes<Fp16, float, Output::activation, true>(test_case);
}

TEST(RegisterKernel, GivesTheGeneralKernelsBitsWithAResidualQuantized) {
  NormCase test_case;
  test_case.weight_dtype = DType::bf16;
  test_case.quantized = DType::fp8_e4m3fn;
  check_all_shapes<Bf16, Bf16, Output::quantized, true>(test_case);
}

TEST(RegisterKernel, GivesTheGeneralKernelsBitsInFp32QuantizedWithoutAWeight) {
  NormCase test_case;
  test_case.dtype = DType::fp32;
  test_case.quantized = DType::fp8_e5m2;
  check_all_shapes<float, NoWeight, Output::quantized, false>(test_case);
}

TEST(RegisterKernel, GivesTheGeneralKernelsBitsWithAScaleForEachRow) {
  NormCase test_case;
  test_case.weight_dtype = DType::bf16;
  test_case.quantized = DType::fp8_e4m3fn;
  check_all_shapes<Bf16, Bf16, Output::quantized_by_row, true>(test_case);
  test_case.binades = 180;  // infinite rows
  check_all_shapes<Bf16, Bf16, Output::quantized_by_row, true>(test_case);
}

// Sums and epsilons for which there is no short way to the root.
TEST(RegisterKernel, GivesTheGeneralKernelsBitsFarFromOne) {
  NormCase test_case;
  test_case.weight_dtype = DType::bf16;
  test_case.quantized = DType::fp8_e4m3fn;
  test_case.binades = 180;  // infinite sums
  check_all_shapes<Bf16, Bf16, Output::quantized, false>(test_case);
  test_case.binades = 10;
  test_case.epsilon = 1e30f;
  check_all_shapes<Bf16, Bf16, Output::quantized, false>(test_case);
}

}  // namespace
}  // namespace normproof::kernels
