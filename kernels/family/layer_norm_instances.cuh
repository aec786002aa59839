// Chooses among the LayerNorm kernels of one dtype, and thereby compiles them.
#pragma once

#include <type_traits>

#include "kernels/compiled.h"
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
  // Of the chunk kernels too, a sampled build (compiled.h) has some.
  constexpr int kNumber = kCombination<T, T, kQuantizes> + 3 * (kVectorized ? 1 : 0);
  if (shape == ShapeKind::within_warp) {
    if constexpr (is_compiled<6>(ShapeKind::within_warp, kNumber))
      return &layer_norm_kernel<T, kVectorized, kQuantizes, false, 1>;
  } else if constexpr (is_compiled<6>(ShapeKind::two_pass, kNumber)) {
    return &layer_norm_kernel<T, kVectorized, kQuantizes, true, kLayerNormSlots>;
  }
  return nullptr;
}

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
template <typename T, bool kAddsResidual>
LayerNormKernel find_layer_norm_in_registers(const LayerNormSelection& selection) {
  constexpr bool kManyShapes = std::is_same_v<T, Bf16>;
  using Shapes = std::conditional_t<kManyShapes, LayerNormShapes, LayerNormFewShapes>;
  constexpr int kNumber = kCombination<T, T, kAddsResidual>;
  LayerNormKernel found = nullptr;
  if (selection.quantizes) {
    if constexpr (kManyShapes) {
      if (!selection.like_x) return nullptr;
      if (!selection.folded)
        return &layer_norm_register_kernel<T, kAddsResidual, ShapeOf<kUnfoldedShape>::type, true, false,
                                           true>;
      QuantizingLayerNormShapes::find_compiled<2, kNumber>(selection.shape, [&]<class Shape>() {
        found = &layer_norm_register_kernel<T, kAddsResidual, Shape, true, kCanFold<Shape>, true>;
      });
    }
  } else if (!selection.like_x) {
    if constexpr (kManyShapes) {
      OtherLayerNormShapes::find_compiled<2, kNumber>(selection.shape, [&]<class Shape>() {
        found = &layer_norm_register_kernel<T, kAddsResidual, Shape, false, kCanFold<Shape>>;
      });
    }
  } else if (!selection.folded && selection.shape == kUnfoldedShape) {
    if constexpr (kManyShapes)
      found = &layer_norm_register_kernel<T, kAddsResidual, ShapeOf<kUnfoldedShape>::type, true, false>;
  } else {
    Shapes::template find_compiled<2, kNumber>(selection.shape, [&]<class Shape>() {
      found = &layer_norm_register_kernel<T, kAddsResidual, Shape, true, kCanFold<Shape>>;
    });
  }
  return found;
}
#endif

template <typename T>
LayerNormKernel find_layer_norm(const LayerNormSelection& selection) {
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  if (selection.shape > ShapeKind::two_pass)
    return selection.adds_residual ? find_layer_norm_in_registers<T, true>(selection)
                                   : find_layer_norm_in_registers<T, false>(selection);
#endif
  if (selection.quantizes)
    return selection.vectorized ? find_general_layer_norm<T, true, true>(selection.shape)
                                : find_general_layer_norm<T, false, true>(selection.shape);
  return selection.vectorized ? find_general_layer_norm<T, true, false>(selection.shape)
                              : find_general_layer_norm<T, false, false>(selection.shape);
}

}  // namespace normproof::kernels
