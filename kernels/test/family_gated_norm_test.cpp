// The GPU's gated RMSNorm for rows in registers, run on the CPU: in every shape the bits of the kernel of any
// row, which the judged tests hold against the oracle.
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "family_call.h"
#include "kernels/family/gated_norm_registers.cuh"
#include "kernels/family/gated_norm_shapes.h"
#include "kernels/launch_kernel.h"
#include "kernels/quick_operands.h"
#include "test_tensor.h"

namespace normproof::kernels {
namespace {

// What a shape is called with, where it takes the row. On the CPU a cluster is one block.
template <class Shape>
std::optional<Grid> grid_for(const RowShape& shape, std::int64_t rows) {
  constexpr ShapeLimits kLimits = limits_of<Shape>();
  if (Shape::kTeam == Team::part_of_warp) {
    if (!kLimits.holds_in_part_of_warp(shape.chunks, shape.row_threads_log2)) return {};
    const std::int64_t rows_per_block = 64 >> shape.row_threads_log2;
    return Grid{(rows - 1) / rows_per_block + 1, 64};
  }
  const int warps = kLimits.warps_for(shape.groups);
  if (warps > 32 || !kLimits.holds(shape.chunks, warps)) return {};
  return Grid{rows, warps * kWarpThreads};
}

template <typename T, bool kLikeX>
void expect_bits_in_every_shape(DType dtype, std::optional<DType> weight_dtype, bool in_place,
                                int special_one_in = 0) {
  std::set<ShapeKind> taken;
  unsigned seed = 1;
  for (const std::int64_t chunks : {2, 16, 100, 256, 1040}) {
    const std::int64_t hidden = chunks * kChunkElements<T>, rows = chunks <= 16 ? 11 : 1;
    TestTensor x(dtype, {rows, hidden}), z(dtype, {rows, hidden}), out(dtype, {rows, hidden});
    TestTensor weight(weight_dtype.value_or(dtype), {hidden});
    x.fill(Draw(dtype, ++seed, 6, special_one_in));
    z.fill(Draw(dtype, ++seed, 14, special_one_in));
    weight.fill(Draw(weight.tensor().dtype, ++seed, 3, 0));
    FamilyCall call{"gated_rms_norm",
                    {{"x", x.tensor()}, {"gate", z.tensor()}, {"out", out.tensor()}},
                    {{"epsilon", 1e-6f}},
                    {}};
    if (weight_dtype) call.tensors.push_back({"weight", weight.tensor()});
    const Status status = call.run();
    ASSERT_TRUE(status.ok()) << status.message;

    GatedNormArguments arguments;
    arguments.rows = {rows, 1, rows};
    arguments.shape = row_shape(hidden, sizeof(T));
    arguments.epsilon = 1e-6f;
    arguments.inverse_hidden = quick_inverse_hidden(hidden, arguments.epsilon);
    arguments.gate = z.tensor().data;
    if (weight_dtype)
      arguments.weight = {weight.tensor().data, kLikeX ? AffineKind::like_x : AffineKind::fp32};
    arguments.x_strides.inner = arguments.gate_strides.inner = arguments.out_strides.inner = hidden;
    for (const ShapeKind kind : GatedNormShapes::kAll) {
      GatedNormShapes::find(kind, [&]<class Shape>() {
        const auto grid = grid_for<Shape>(arguments.shape, rows);
        if (!grid) return;
        taken.insert(kind);
        TestTensor own(dtype, {rows, hidden}), other(dtype, {rows, hidden});
        for (std::int64_t row = 0; row < rows; ++row) own.set_row(row, x.row(row));
        TestTensor& result = in_place ? own : other;
        arguments.x = own.tensor().data;
        arguments.out = result.tensor().data;
        ASSERT_TRUE(
            launch_kernel(&gated_norm_register_kernel<T, Shape, kLikeX>, arguments, *grid, nullptr).ok());
        for (std::int64_t row = 0; row < rows; ++row)
          for (std::int64_t i = 0; i < hidden; ++i)
            ASSERT_TRUE(reference::same(dtype, result.row(row)[i], out.row(row)[i]))
                << chunks << " chunks, row " << row;
      });
      ASSERT_FALSE(testing::Test::HasFailure()) << "shape " << static_cast<int>(kind);
    }
  }
  EXPECT_EQ(taken.size(), std::size(GatedNormShapes::kAll));
}

TEST(GatedNormInRegisters, GivesTheBitsOfTheKernelOfAnyRow) {
  expect_bits_in_every_shape<Bf16, true>(DType::bf16, DType::bf16, false);
  expect_bits_in_every_shape<Fp16, false>(DType::fp16, DType::fp32, true);
}

TEST(GatedNormInRegisters, FollowsSpecialNumbers) {
  expect_bits_in_every_shape<float, false>(DType::fp32, std::nullopt, false, 3000);
}

}  // namespace
}  // namespace normproof::kernels
