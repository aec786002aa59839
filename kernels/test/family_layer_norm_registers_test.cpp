// The GPU's LayerNorm for rows in registers, run on the CPU: the reference's bits in every shape.
#include "kernels/family/layer_norm_registers.cuh"

#include <bit>
#include <set>

#include "kernels/family/layer_norm_arguments.h"
#include "kernels/family/layer_norm_shapes.h"
#include "kernels/launch_kernel.h"
#include "kernels/quick_operands.h"
#include "layer_norm_case.h"

namespace normproof::kernels {
namespace {

LayerNormArguments arguments_of(const LayerNormCase& test_case, const LayerNormTensors& tensors) {
  LayerNormArguments arguments;
  const std::int64_t rows = tensors.x.rows(), hidden = tensors.x.hidden();
  arguments.rows = {rows, 1, rows};
  arguments.shape = row_shape(hidden, reference::size_of(test_case.dtype));
  const auto place = [](const TestTensor& tensor, auto& data, RowStrides& strides) {
    data = tensor.tensor().data;
    strides.inner = tensor.tensor().strides[0];
  };
  place(tensors.x, arguments.x, arguments.x_strides);
  place(tensors.result(test_case), arguments.out, arguments.out_strides);
  if (test_case.adds_residual) {
    place(tensors.residual, arguments.residual, arguments.residual_strides);
    place(tensors.sum(test_case), arguments.residual_out, arguments.residual_out_strides);
  }
  const auto affine = [&](const TestTensor& tensor, const std::optional<DType>& of) {
    if (!of) return Affine{};
    return Affine{tensor.tensor().data, *of == test_case.dtype ? AffineKind::like_x : AffineKind::fp32};
  };
  arguments.weight = affine(tensors.weight, test_case.weight);
  arguments.bias = affine(tensors.bias, test_case.bias);
  const auto statistic = [](const TestTensor& tensor, const std::optional<DType>& of) {
    if (!of) return RowStatistic{};
    return RowStatistic{tensor.tensor().data, {0, 0, tensor.tensor().strides[0]}, *of == DType::fp32};
  };
  arguments.mean = statistic(tensors.mean, test_case.mean);
  arguments.rstd = statistic(tensors.rstd, test_case.rstd);
  arguments.has_statistics = arguments.mean.data != nullptr || arguments.rstd.data != nullptr;
  arguments.epsilon = test_case.epsilon;
  arguments.inverse_hidden = quick_inverse_hidden(hidden, arguments.epsilon);
  return arguments;
}

// What a shape is called with, where it takes the row. On the CPU a cluster is one block.
template <class Shape, bool kFolded>
std::optional<Grid> grid_for(const RowShape& shape, std::int64_t rows) {
  constexpr ShapeLimits kLimits = limits_of<Shape>();
  int warps = Shape::kBlockPerRow ? kLimits.warps_for(shape.groups) : 1;
  if (kFolded) {
    warps = static_cast<int>(std::bit_ceil(static_cast<unsigned>(warps)));
    if (warps > kMostFoldedWarps) return {};
    if (Shape::kFull && !std::has_single_bit(static_cast<std::uint64_t>(shape.chunks))) return {};
  }
  if (Shape::kTeam == Team::part_of_warp
          ? !kLimits.holds_in_part_of_warp(shape.chunks, shape.row_threads_log2)
          : warps > 32 || !kLimits.holds(shape.chunks, warps))
    return {};
  if (Shape::kBlockPerRow) return Grid{rows, warps * kWarpThreads};
  const int rows_per_block = Shape::kTeam == Team::warp ? 2 : (64 * Shape::kSlots) >> shape.row_threads_log2;
  return Grid{(rows - 1) / rows_per_block + 1, 64};
}

// The length of the row in chunks; each gets a number of its own.
constexpr std::int64_t kChunks[] = {2, 16, 64, 100, 128, 256, 640, 896, 1024, 2048};

template <typename T, bool kAddsResidual, bool kLikeX>
void expect_bits_in_every_shape(LayerNormCase test_case) {
  std::set<ShapeKind> taken;
  test_case.adds_residual = kAddsResidual;
  for (const std::int64_t chunks : kChunks) {
    const std::int64_t hidden = chunks * kChunkElements<T>;
    test_case.sizes = {chunks <= 64 ? 11 : 2, hidden};
    ++test_case.seed;
    for (const ShapeKind kind : LayerNormShapes::kAll) {
      LayerNormShapes::find(kind, [&]<class Shape>() {
        const auto expect_bits = [&]<bool kFolded>() {
          const auto grid = grid_for<Shape, kFolded>(row_shape(hidden, sizeof(T)), test_case.sizes[0]);
          if (!grid) return;
          taken.insert(kind);
          expect_layer_norm_bits(test_case, [&](const LayerNormTensors& tensors, const FamilyCall&) {
            return launch_kernel(&layer_norm_register_kernel<T, kAddsResidual, Shape, kLikeX, kFolded>,
                                 arguments_of(test_case, tensors), *grid, nullptr);
          });
        };
        if constexpr (kCanFold<Shape>) expect_bits.template operator()<true>();
        if constexpr (!kCanFold<Shape> || std::is_same_v<Shape, ShapeOf<kUnfoldedShape>::type>)
          expect_bits.template operator()<false>();
      });
      ASSERT_FALSE(testing::Test::HasFailure()) << "shape " << static_cast<int>(kind);
    }
  }
  EXPECT_EQ(taken.size(), std::size(LayerNormShapes::kAll));
}

TEST(LayerNormInRegisters, GivesTheReferencesBits) {
  LayerNormCase test_case;
  test_case.weight = test_case.bias = DType::bf16;
  test_case.mean = DType::bf16;
  test_case.rstd = DType::fp32;
  expect_bits_in_every_shape<Bf16, false, true>(test_case);
}

TEST(LayerNormInRegisters, GivesTheReferencesBitsWithAResidualAndOtherWeights) {
  LayerNormCase test_case;
  test_case.dtype = DType::fp16;
  test_case.weight = DType::fp32;
  test_case.shift = 2;
  test_case.in_place = true;
  expect_bits_in_every_shape<Fp16, true, false>(test_case);
}

// Sums for which there is no short way to the mean and the root, and rows that are constant.
TEST(LayerNormInRegisters, GivesTheReferencesBitsFarFromOne) {
  LayerNormCase test_case;
  test_case.dtype = test_case.weight.emplace(DType::fp32);
  test_case.mean = test_case.rstd = DType::fp32;
  test_case.binades = 250;
  expect_bits_in_every_shape<float, false, false>(test_case);
  test_case.binades = 10;
  test_case.special_one_in = 3000;  // sums that are infinite, and not NaN
  expect_bits_in_every_shape<float, false, false>(test_case);
}

// Codes, with and without a scale that is given, against the general kernel.
TEST(LayerNormInRegisters, QuantizesAsTheGeneralKernel) {
  LayerNormCase test_case;
  test_case.weight = test_case.bias = DType::bf16;
  test_case.rstd = DType::fp32;
  test_case.adds_residual = true;
  std::set<ShapeKind> taken;
  const float given = 0.037f;
  for (const std::int64_t chunks : kChunks) {
    test_case.sizes = {chunks <= 64 ? 11 : 2, chunks * 8};
    test_case.special_one_in = chunks == 640 ? 2000 : 0;
    ++test_case.seed;
    for (const CodeFormat format : {CodeFormat::e4m3fn, CodeFormat::e5m2, CodeFormat::int8}) {
      const DType dtype =
          format == CodeFormat::int8 ? DType::int8 : static_cast<DType>(3 + static_cast<int>(format));
      const float* scale = format != CodeFormat::int8 && chunks % 3 != 0 ? &given : nullptr;
      const LayerNormTensors tensors(test_case);
      TestTensor wanted(DType::fp8_e4m3fn, test_case.sizes), scales(DType::fp32, {test_case.sizes[0], 1});
      FamilyCall call = tensors.call(test_case);
      call.operation += scale != nullptr ? "_static_fp8_quant" : "_dynamic_quant";
      call.at("out") = wanted.tensor();
      call.at("out").dtype = dtype;
      Tensor one = scales.tensor();
      one.data = const_cast<float*>(&given);
      one.rank = one.sizes[0] = one.strides[0] = 1;
      call.tensors.push_back(scale != nullptr ? NamedTensor{"scale", one}
                                              : NamedTensor{"scales", scales.tensor()});
      const Status status = call.run();
      ASSERT_TRUE(status.ok()) << status.message;
      for (const ShapeKind kind : QuantizingLayerNormShapes::kAll) {
        QuantizingLayerNormShapes::find(kind, [&]<class Shape>() {
          const auto expect_codes = [&]<bool kFolded>() {
            const auto grid = grid_for<Shape, kFolded>(row_shape(chunks * 8, 2), test_case.sizes[0]);
            if (!grid) return;
            taken.insert(kind);
            TestTensor out(DType::fp8_e4m3fn, test_case.sizes), own(DType::fp32, {test_case.sizes[0], 1});
            LayerNormArguments arguments = arguments_of(test_case, tensors);
            arguments.out = out.tensor().data;
            arguments.codes = format;
            arguments.range = range_of(format);
            arguments.least_scale = least_scale_of(format);
            arguments.scale = scale;
            arguments.scales = {own.tensor().data, {0, 0, 1}, true};
            ASSERT_TRUE(launch_kernel(&layer_norm_register_kernel<Bf16, true, Shape, true, kFolded, true>,
                                      arguments, *grid, nullptr)
                            .ok());
            for (std::int64_t row = 0; row < out.rows(); ++row) {
              EXPECT_EQ(out.row(row), wanted.row(row)) << chunks << " chunks, row " << row;
              if (scale == nullptr) {
                EXPECT_TRUE(reference::same(DType::fp32, own.row(row)[0], scales.row(row)[0])) << row;
              }
            }
          };
          if constexpr (kCanFold<Shape>) expect_codes.template operator()<true>();
          if constexpr (!kCanFold<Shape> || std::is_same_v<Shape, ShapeOf<kUnfoldedShape>::type>)
            expect_codes.template operator()<false>();
        });
        ASSERT_FALSE(HasFailure()) << "shape " << static_cast<int>(kind) << ", format "
                                   << static_cast<int>(format);
      }
    }
  }
  EXPECT_EQ(taken.size(), std::size(QuantizingLayerNormShapes::kAll));
}

}  // namespace
}  // namespace normproof::kernels
