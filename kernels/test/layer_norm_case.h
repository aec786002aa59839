// One call of layer_norm or fused_add_layer_norm with its tensors, and its comparison, bit for bit, with a
// second implementation: plain loops over rows.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <sstream>

#include "family_call.h"
#include "test_tensor.h"

namespace normproof::kernels {

struct LayerNormCase {
  DType dtype = DType::bf16;
  std::optional<DType> weight, bias, mean, rstd;
  bool adds_residual = false;
  bool in_place = false;
  std::vector<std::int64_t> sizes = {1, 8};
  std::vector<std::int64_t> x_strides, out_strides;
  std::int64_t offset = 0;
  float epsilon = 1e-5f;
  float shift = 0;  // added to every element of x, once it is drawn
  unsigned seed = 1;
  int binades = 6;
  int special_one_in = 0;
  Launch launch;

  std::string text() const {
    std::ostringstream text;
    const auto name = [](const std::optional<DType>& of) { return of ? shown(*of) : "none"; };
    text << "dtype " << shown(dtype) << ", weight " << name(weight) << ", bias " << name(bias) << ", mean "
         << name(mean) << ", rstd " << name(rstd) << ", adds " << adds_residual << ", in place " << in_place
         << ", offset " << offset << ", path " << static_cast<int>(launch.path) << ", threads "
         << launch.threads_per_block << ", epsilon " << epsilon << ", sizes";
    for (const std::int64_t size : sizes) text << ' ' << size;
    return text.str();
  }
};

// The tensors of a case, filled.
struct LayerNormTensors {
  explicit LayerNormTensors(const LayerNormCase& test_case)
      : x(test_case.dtype, test_case.sizes, test_case.x_strides, test_case.offset),
        residual(test_case.dtype, test_case.sizes, test_case.x_strides, test_case.offset),
        out(test_case.dtype, test_case.sizes, test_case.out_strides, test_case.offset),
        residual_out(test_case.dtype, test_case.sizes, test_case.out_strides, test_case.offset),
        weight(test_case.weight.value_or(DType::fp32), {test_case.sizes.back()}, {}, test_case.offset),
        bias(test_case.bias.value_or(DType::fp32), {test_case.sizes.back()}, {}, test_case.offset),
        mean(test_case.mean.value_or(DType::fp32), one_for_each_row(test_case.sizes)),
        rstd(test_case.rstd.value_or(DType::fp32), one_for_each_row(test_case.sizes)) {
    unsigned salt = test_case.seed * 16;
    for (TestTensor* tensor : {&x, &residual, &weight, &bias}) {
      const DType dtype = tensor->tensor().dtype;
      Draw draw(dtype, salt++, tensor == &weight || tensor == &bias ? 3 : test_case.binades,
                test_case.special_one_in);
      tensor->fill([&] {
        const std::uint32_t bits = draw();
        if (tensor != &x || test_case.shift == 0) return bits;
        return reference::round(dtype, reference::to_float(dtype, bits) + test_case.shift);
      });
    }
  }
  static std::vector<std::int64_t> one_for_each_row(std::vector<std::int64_t> sizes) {
    sizes.back() = 1;
    return sizes;
  }

  FamilyCall call(const LayerNormCase& test_case) const {
    FamilyCall call{test_case.adds_residual ? "fused_add_layer_norm" : "layer_norm",
                    {{"x", x.tensor()}},
                    {{"epsilon", test_case.epsilon}},
                    test_case.launch};
    call.tensors.push_back({"out", test_case.in_place ? x.tensor() : out.tensor()});
    if (test_case.adds_residual) {
      call.tensors.push_back({"residual", residual.tensor()});
      call.tensors.push_back({"residual_out", sum(test_case).tensor()});
    }
    if (test_case.weight) call.tensors.push_back({"weight", weight.tensor()});
    if (test_case.bias) call.tensors.push_back({"bias", bias.tensor()});
    if (test_case.mean) call.tensors.push_back({"mean", mean.tensor()});
    if (test_case.rstd) call.tensors.push_back({"rstd", rstd.tensor()});
    return call;
  }
  const TestTensor& result(const LayerNormCase& test_case) const { return test_case.in_place ? x : out; }
  const TestTensor& sum(const LayerNormCase& test_case) const {
    return test_case.in_place ? residual : residual_out;
  }

  TestTensor x, residual, out, residual_out, weight, bias, mean, rstd;
};

struct LayerNormRow {
  std::vector<std::uint32_t> sum, out;
  float mean = 0, rstd = 0;
};

inline LayerNormRow layer_norm_reference(const LayerNormCase& test_case, const LayerNormTensors& tensors,
                                         std::int64_t row) {
  const DType dtype = test_case.dtype;
  LayerNormRow result;
  result.sum = tensors.x.row(row);
  if (test_case.adds_residual) {
    const auto residual = tensors.residual.row(row);
    for (std::size_t j = 0; j < residual.size(); ++j)
      result.sum[j] = reference::round(
          dtype, reference::to_float(dtype, result.sum[j]) + reference::to_float(dtype, residual[j]));
  }
  const std::size_t count = result.sum.size();
  const auto hidden = static_cast<float>(count);
  const auto x = [&](std::size_t j) { return reference::to_float(dtype, result.sum[j]); };
  result.mean =
      reference::canonical_sum(dtype, count, [&](float sum, std::size_t j) { return sum + x(j); }) / hidden;
  const float squares = reference::canonical_sum(dtype, count, [&](float sum, std::size_t j) {
    const float deviation = x(j) - result.mean;
    return std::fma(deviation, deviation, sum);
  });
  const float shifted = squares / hidden + test_case.epsilon;
  result.rstd = static_cast<float>(1 / std::sqrt(static_cast<long double>(shifted)));
  const auto affine = [&](const TestTensor& tensor, const std::optional<DType>& of, float absent) {
    std::vector<float> values(count, absent);
    if (of)
      std::ranges::transform(tensor.row(0), values.begin(),
                             [&](std::uint32_t bits) { return reference::to_float(*of, bits); });
    return values;
  };
  const auto weight = affine(tensors.weight, test_case.weight, 1.0f),
             bias = affine(tensors.bias, test_case.bias, -0.0f);
  for (std::size_t j = 0; j < count; ++j) {
    const float normalized = (x(j) - result.mean) * result.rstd;
    result.out.push_back(reference::round(dtype, std::fma(normalized, weight[j], bias[j])));
  }
  return result;
}

// That a run of the case has left the reference's bits, and all other bytes as they were. `run` gets tensors
// and their call, and says how it went.
template <class Run>
void expect_layer_norm_bits(const LayerNormCase& test_case, const Run& run) {
  LayerNormTensors tensors(test_case);
  std::vector<LayerNormRow> wanted;
  for (std::int64_t row = 0; row < tensors.x.rows(); ++row)
    wanted.push_back(layer_norm_reference(test_case, tensors, row));
  const auto surroundings = [&] {
    return std::vector{tensors.x.surroundings(),    tensors.residual.surroundings(),
                       tensors.out.surroundings(),  tensors.residual_out.surroundings(),
                       tensors.mean.surroundings(), tensors.rstd.surroundings()};
  };
  const auto before = surroundings();
  const auto x_before = tensors.x.storage(), residual_before = tensors.residual.storage();
  const FamilyCall call = tensors.call(test_case);
  const Status status = run(tensors, call);
  ASSERT_TRUE(status.ok()) << status.message << '\n' << test_case.text();
  const auto expect_row = [&](const char* name, const TestTensor& tensor, std::int64_t row,
                              const std::vector<std::uint32_t>& values) {
    const auto got = tensor.row(row);
    for (std::size_t j = 0; j < values.size(); ++j)
      ASSERT_TRUE(reference::same(tensor.tensor().dtype, got[j], values[j]))
          << name << "[" << row << "][" << j << "] is 0x" << std::hex << got[j] << ", not 0x" << values[j]
          << std::dec << "\n"
          << test_case.text();
  };
  for (std::int64_t row = 0; row < tensors.x.rows() && !testing::Test::HasFailure(); ++row) {
    const LayerNormRow& result = wanted[static_cast<std::size_t>(row)];
    expect_row("out", tensors.result(test_case), row, result.out);
    if (test_case.adds_residual) expect_row("residual_out", tensors.sum(test_case), row, result.sum);
    if (test_case.mean)
      expect_row("mean", tensors.mean, row, {reference::round(*test_case.mean, result.mean)});
    if (test_case.rstd)
      expect_row("rstd", tensors.rstd, row, {reference::round(*test_case.rstd, result.rstd)});
  }
  EXPECT_EQ(surroundings(), before) << "written between or beside rows\n" << test_case.text();
  if (test_case.in_place) return;
  EXPECT_EQ(tensors.x.storage(), x_before) << test_case.text();
  EXPECT_EQ(tensors.residual.storage(), residual_before) << test_case.text();
}

}  // namespace normproof::kernels
