// One call of any of the operations with its tensors, and its comparison
// with the reference, bit for bit.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <sstream>

#include "test_tensor.h"

namespace normproof::kernels {

inline constexpr DType kActivations[] = {DType::bf16, DType::fp16, DType::fp32};
inline constexpr DType kQuantized[] = {DType::fp8_e4m3fn, DType::fp8_e5m2, DType::fp8_e4m3fnuz,
                                       DType::fp8_e5m2fnuz};

// How `out` is stored: as it is, quantized by a scale that is given, or by one that each row gets.
enum class Output { activation, quantized, quantized_by_row };
inline void PrintTo(Output output, std::ostream* stream) {
  constexpr const char* kNames[] = {"activation", "quantized", "quantized_by_row"};
  *stream << kNames[static_cast<int>(output)];
}
inline constexpr Output kOutputs[] = {Output::activation, Output::quantized, Output::quantized_by_row};

struct NormCase {
  DType dtype = DType::bf16;
  std::optional<DType> weight_dtype;
  std::optional<DType> quantized;
  bool scales_rows = false;  // where it quantizes
  bool adds_residual = false;
  bool in_place = false;  // rms_norm only
  std::vector<std::int64_t> sizes = {1, 8};
  std::vector<std::int64_t> input_strides, residual_strides, out_strides;
  std::int64_t offset = 0;
  float epsilon = 1e-6f;
  float scale = 0.37f;
  std::optional<float> scale_ub;  // where it scales rows
  unsigned seed = 1;
  int binades = 6;
  int special_one_in = 0;
  Launch launch;

  std::string text() const {
    std::ostringstream text;
    text << "dtype " << shown(dtype) << ", weight " << (weight_dtype ? shown(*weight_dtype) : "none")
         << ", quantized " << (quantized ? shown(*quantized) : "no") << ", scales rows " << scales_rows
         << ", adds " << adds_residual << ", in place " << in_place << ", offset " << offset << ", path "
         << static_cast<int>(launch.path) << ", threads " << launch.threads_per_block << ", epsilon "
         << epsilon << ", scale " << scale << ", scale_ub " << scale_ub.value_or(0) << ", sizes";
    for (const std::int64_t size : sizes) text << ' ' << size;
    return text.str();
  }
};

// Calls visit with every weight of the case's dtype and, if the case is to quantize, every output format, of
// rows with scales of their own with an upper bound every other time; stops at the first failure.
inline void for_each_combination(NormCase test_case, Output output_kind,
                                 const std::function<void(const NormCase&)>& visit) {
  std::vector<std::optional<DType>> weights = {std::nullopt, test_case.dtype};
  if (test_case.dtype != DType::fp32) weights.emplace_back(DType::fp32);
  std::vector<std::optional<DType>> outputs = {std::nullopt};
  if (output_kind != Output::activation) outputs.assign(std::begin(kQuantized), std::end(kQuantized));
  if (output_kind == Output::quantized_by_row) outputs.emplace_back(DType::int8);
  for (const auto& weight : weights) {
    for (const auto& output : outputs) {
      test_case.weight_dtype = weight;
      test_case.quantized = output;
      test_case.scales_rows = output_kind == Output::quantized_by_row;
      ++test_case.seed;
      test_case.scale_ub.reset();
      if (test_case.scales_rows && test_case.seed % 2 == 0) test_case.scale_ub = 1.5f;
      visit(test_case);
      if (testing::Test::HasFailure()) return;
    }
  }
}

// The tensors of a case, filled.
struct NormTensors {
  explicit NormTensors(const NormCase& test_case)
      : input(test_case.dtype, test_case.sizes, test_case.input_strides, test_case.offset),
        residual(test_case.dtype, test_case.sizes, test_case.residual_strides, test_case.offset),
        out(test_case.quantized.value_or(test_case.dtype), test_case.sizes, test_case.out_strides,
            test_case.offset),
        weight(test_case.weight_dtype.value_or(DType::fp32), {test_case.sizes.back()}, {}, test_case.offset),
        scales(DType::fp32, one_for_each_row(test_case.sizes), {}, 0),
        scale(test_case.scale),
        scale_ub(test_case.scale_ub) {
    const auto fill = [&](TestTensor& tensor, unsigned salt) {
      tensor.fill(Draw(tensor.tensor().dtype, test_case.seed * 16 + salt, test_case.binades,
                       test_case.special_one_in));
    };
    fill(input, 0);
    fill(residual, 1);
    weight.fill(Draw(weight.tensor().dtype, test_case.seed * 16 + 2, 3, test_case.special_one_in));
  }
  static std::vector<std::int64_t> one_for_each_row(std::vector<std::int64_t> sizes) {
    sizes.back() = 1;
    return sizes;
  }

  TestTensor input, residual, out, weight, scales;
  float scale;
  std::optional<float> scale_ub;
};

inline Status call(const NormCase& test_case, const NormTensors& tensors, LaunchReport* report = nullptr) {
  const Tensor* weight = test_case.weight_dtype ? &tensors.weight.tensor() : nullptr;
  const Tensor& input = tensors.input.tensor();
  const Tensor& out = test_case.in_place ? input : tensors.out.tensor();
  const float* scale_ub = tensors.scale_ub ? &*tensors.scale_ub : nullptr;
  const Launch& launch = test_case.launch;
  if (test_case.scales_rows && test_case.adds_residual)
    return fused_add_rms_norm_dynamic_quant(out, tensors.scales.tensor(), input, tensors.residual.tensor(),
                                            weight, scale_ub, test_case.epsilon, launch, nullptr, report);
  if (test_case.scales_rows)
    return rms_norm_dynamic_quant(out, tensors.scales.tensor(), input, weight, scale_ub, test_case.epsilon,
                                  launch, nullptr, report);
  if (test_case.quantized && test_case.adds_residual)
    return fused_add_rms_norm_static_fp8_quant(out, input, tensors.residual.tensor(), weight, &tensors.scale,
                                               test_case.epsilon, launch, nullptr, report);
  if (test_case.quantized)
    return rms_norm_static_fp8_quant(out, input, weight, &tensors.scale, test_case.epsilon, launch, nullptr,
                                     report);
  if (test_case.adds_residual)
    return fused_add_rms_norm(input, tensors.residual.tensor(), weight, test_case.epsilon, launch, nullptr,
                              report);
  return rms_norm(out, input, weight, test_case.epsilon, launch, nullptr, report);
}

// Runs the case and compares every element with the reference, and every other byte with what it was before.
inline LaunchReport expect_reference_bits(const NormCase& test_case) {
  NormTensors tensors(test_case);
  const bool writes_input = test_case.in_place || (test_case.adds_residual && !test_case.quantized);
  std::vector<reference::Result> wanted;
  for (std::int64_t row = 0; row < tensors.input.rows(); ++row) {
    reference::Row reference_row;
    reference_row.dtype = test_case.dtype;
    reference_row.input = tensors.input.row(row);
    if (test_case.adds_residual) reference_row.residual = tensors.residual.row(row);
    if (test_case.weight_dtype) {
      reference_row.weight = tensors.weight.row(0);
      reference_row.weight_dtype = *test_case.weight_dtype;
    }
    reference_row.quantized = test_case.quantized;
    if (!test_case.scales_rows) reference_row.scale = test_case.scale;
    reference_row.scale_ub = test_case.scale_ub;
    reference_row.epsilon = test_case.epsilon;
    wanted.push_back(reference::evaluate(reference_row));
  }
  const auto surroundings = [&] {
    return std::vector{tensors.input.surroundings(), tensors.residual.surroundings(),
                       tensors.out.surroundings(), tensors.weight.surroundings(),
                       tensors.scales.surroundings()};
  };
  const auto surroundings_before = surroundings();
  const auto input_before = tensors.input.storage();
  const auto weight_before = tensors.weight.storage();

  LaunchReport report;
  const Status status = call(test_case, tensors, &report);
  EXPECT_TRUE(status.ok()) << status.message << '\n' << test_case.text();
  if (!status.ok()) return report;

  const auto expect_row = [&](const char* name, const TestTensor& tensor, std::int64_t row,
                              const std::vector<std::uint32_t>& values) {
    const auto got = tensor.row(row);
    for (std::size_t j = 0; j < values.size(); ++j) {
      if (reference::same(tensor.tensor().dtype, got[j], values[j])) continue;
      ADD_FAILURE() << name << "[" << row << "][" << j << "] is 0x" << std::hex << got[j] << ", not 0x"
                    << values[j] << std::dec << "\n"
                    << test_case.text();
      return;
    }
  };
  for (std::int64_t row = 0; row < tensors.input.rows(); ++row) {
    const auto& result = wanted[static_cast<std::size_t>(row)];
    expect_row("out", writes_input ? tensors.input : tensors.out, row, result.out);
    if (test_case.adds_residual) expect_row("residual", tensors.residual, row, result.residual);
    if (test_case.scales_rows) expect_row("scales", tensors.scales, row, {result.scale});
  }
  EXPECT_EQ(surroundings(), surroundings_before) << "written between or beside rows\n" << test_case.text();
  if (!writes_input) {
    EXPECT_EQ(tensors.input.storage(), input_before) << test_case.text();
  }
  EXPECT_EQ(tensors.weight.storage(), weight_before) << test_case.text();
  return report;
}

}  // namespace normproof::kernels
