// Chooses among the kernels of one activation dtype that scale each row, and thereby compiles them.
#pragma once

#include <type_traits>

#include "kernels/compiled.h"
#include "kernels/instances.h"
#include "kernels/norm_kernel.cuh"
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#include "kernels/register_kernel.cuh"
#endif

namespace normproof::kernels {

template <typename T, typename W, bool kAddsResidual, bool kVectorized, class Shape, ShapeKind kKind>
KernelFunction row_scaling_instance() {
  if constexpr (is_compiled(kKind, kCombination<T, W, kAddsResidual> + (kVectorized ? 1 : 0)))
    return &row_scaling_kernel<Variant<T, W, true, kAddsResidual, kVectorized, Shape, true>>;
  return nullptr;
}

template <typename T, typename W, bool kAddsResidual>
KernelFunction find_row_scaling_shape(const Selection& selection) {
  constexpr int kRowScalingSlots = 4;
  const bool vectorized = selection.vectorized;
  switch (selection.shape) {
    case ShapeKind::within_warp:
      return vectorized ? row_scaling_instance<T, W, kAddsResidual, true, Shape<false, 1, true>,
                                               ShapeKind::within_warp>()
                        : row_scaling_instance<T, W, kAddsResidual, false, Shape<false, 1, true>,
                                               ShapeKind::within_warp>();
    case ShapeKind::cached_1:
      return vectorized ? row_scaling_instance<T, W, kAddsResidual, true, Shape<true, 1, true>,
                                               ShapeKind::cached_1>()
                        : nullptr;
    case ShapeKind::cached_2:
      return vectorized ? row_scaling_instance<T, W, kAddsResidual, true, Shape<true, 2, true>,
                                               ShapeKind::cached_2>()
                        : nullptr;
    case ShapeKind::cached_4:
      return vectorized ? row_scaling_instance<T, W, kAddsResidual, true, Shape<true, 4, true>,
                                               ShapeKind::cached_4>()
                        : nullptr;
    case ShapeKind::two_pass:
      return vectorized ? row_scaling_instance<T, W, kAddsResidual, true,
                                               Shape<true, kRowScalingSlots, false>, ShapeKind::two_pass>()
                        : row_scaling_instance<T, W, kAddsResidual, false,
                                               Shape<true, kRowScalingSlots, false>, ShapeKind::two_pass>();
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#define NORMPROOF_SHAPE(name, ...)                                                                           \
  case ShapeKind::name:                                                                                      \
    if constexpr (is_compiled(ShapeKind::name, kCombination<T, W, kAddsResidual>)) {                         \
      if (vectorized)                                                                                        \
        return &register_kernel<Variant<T, W, true, kAddsResidual, true, RegisterShape<__VA_ARGS__>, true>>; \
    }                                                                                                        \
    break;
#define NORMPROOF_FURTHER_SHAPE(...)
#include "kernels/register_shapes.inc"
#undef NORMPROOF_SHAPE
#endif
    default:
      break;
  }
  return nullptr;
}

template <typename T, typename W>
KernelFunction find_row_scaling_addition(const Selection& selection) {
  return selection.adds_residual ? find_row_scaling_shape<T, W, true>(selection)
                                 : find_row_scaling_shape<T, W, false>(selection);
}

template <typename T>
KernelFunction find_row_scaling_kernel(const Selection& selection) {
  switch (selection.weight) {
    case WeightKind::none:
      return find_row_scaling_addition<T, NoWeight>(selection);
    case WeightKind::same_as_activation:
      return find_row_scaling_addition<T, T>(selection);
    case WeightKind::fp32:
      if constexpr (!std::is_same_v<T, float>) return find_row_scaling_addition<T, float>(selection);
      break;
  }
  return nullptr;
}

}  // namespace normproof::kernels
