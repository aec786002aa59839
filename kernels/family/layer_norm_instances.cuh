// Chooses among the LayerNorm kernels of one dtype, and thereby compiles them.
#pragma once

#include "kernels/family/layer_norm.h"
#include "kernels/family/layer_norm_kernel.cuh"

namespace normproof::kernels {

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
inline constexpr int kLayerNormSlots = 4;
#else
// More slots mean fewer shuffles, which is what a fiber's time goes into.
inline constexpr int kLayerNormSlots = 8;
#endif

template <typename T, bool kVectorized>
LayerNormKernel find_general_layer_norm(ShapeKind shape) {
  if (shape == ShapeKind::within_warp) return &layer_norm_kernel<T, kVectorized, false, 1>;
  return &layer_norm_kernel<T, kVectorized, true, kLayerNormSlots>;
}

template <typename T>
LayerNormKernel find_layer_norm(const LayerNormSelection& selection) {
  return selection.vectorized ? find_general_layer_norm<T, true>(selection.shape)
                              : find_general_layer_norm<T, false>(selection.shape);
}

}  // namespace normproof::kernels
