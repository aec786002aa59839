// Chooses among the LayerNorm kernels of one dtype, and thereby compiles them.
#pragma once

#include <type_traits>

#include "kernels/family/layer_norm.h"
#include "kernels/family/layer_norm_kernel.cuh"
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#include "kernels/family/layer_norm_registers.cuh"
#include "kernels/family/layer_norm_shapes.h"
#endif

namespace normproof::kernels {

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
inline constexpr int kLayerNormSlots = 4;
#else
// More slots mean fewer shuffles, which is what a fiber's time goes into.
inline constexpr int kLayerNormSlots = 8;
#endif

template <typename T, bool kVectorized, bool kQuantizes>
LayerNormKernel find_general_layer_norm(ShapeKind shape) {
  if (shape == ShapeKind::within_warp) return &layer_norm_kernel<T, kVectorized, kQuantizes, false, 1>;
  return &layer_norm_kernel<T, kVectorized, kQuantizes, true, kLayerNormSlots>;
}

template <typename T, bool kAddsResidual>
LayerNormKernel find_layer_norm_in_registers([[maybe_unused]] ShapeKind shape, [[maybe_unused]] bool folded) {
  LayerNormKernel found = nullptr;
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  using Shapes = std::conditional_t<std::is_same_v<T, Bf16>, LayerNormShapes, LayerNormFewShapes>;
  Shapes::find(shape, [&]<class Shape>() {
    if constexpr (kCanFold<Shape>) {
      if (folded) found = &layer_norm_register_kernel<T, kAddsResidual, Shape, true>;
    }
    if constexpr (Shape::kTeam != Team::warp || !kCanFold<Shape>) {
      if (!folded) found = &layer_norm_register_kernel<T, kAddsResidual, Shape>;
    }
  });
#endif
  return found;
}

// To codes in bf16 alone.
template <typename T, bool kAddsResidual>
LayerNormKernel find_quantizing_layer_norm([[maybe_unused]] ShapeKind shape) {
  LayerNormKernel found = nullptr;
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  if constexpr (std::is_same_v<T, Bf16>) {
    QuantizingLayerNormShapes::find(shape, [&]<class Shape>() {
      found = &layer_norm_register_kernel<T, kAddsResidual, Shape, false, true>;
    });
  }
#endif
  return found;
}

template <typename T>
LayerNormKernel find_layer_norm(const LayerNormSelection& selection) {
  const bool in_registers = selection.shape > ShapeKind::two_pass;
  if (in_registers && selection.quantizes)
    return selection.adds_residual ? find_quantizing_layer_norm<T, true>(selection.shape)
                                   : find_quantizing_layer_norm<T, false>(selection.shape);
  if (in_registers && selection.adds_residual)
    return find_layer_norm_in_registers<T, true>(selection.shape, selection.folded);
  if (in_registers) return find_layer_norm_in_registers<T, false>(selection.shape, selection.folded);
  if (selection.quantizes)
    return selection.vectorized ? find_general_layer_norm<T, true, true>(selection.shape)
                                : find_general_layer_norm<T, false, true>(selection.shape);
  return selection.vectorized ? find_general_layer_norm<T, true, false>(selection.shape)
                              : find_general_layer_norm<T, false, false>(selection.shape);
}

}  // namespace normproof::kernels
