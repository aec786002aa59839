// Chooses among the norm kernels of one activation dtype and kind of output, and thereby compiles them.
#pragma once

#include <type_traits>

#include "kernels/compiled.h"
#include "kernels/instances.h"
#include "kernels/norm_kernel.cuh"
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#include "kernels/register_kernel.cuh"
#endif

namespace normproof::kernels {

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
inline constexpr int kTwoPassSlots = 4;
#else
// More slots mean fewer shuffles, which is what a fiber's time goes into.
inline constexpr int kTwoPassSlots = 8;
#endif

// The kernel that works chunk by chunk, if the build has it.
template <class V, ShapeKind kKind>
KernelFunction chunk_kernel() {
  constexpr int kNumber =
      kCombination<typename V::T, typename V::W, V::kAddsResidual> + (V::kVectorized ? 1 : 0);
  if constexpr (is_compiled(kKind, kNumber)) return &norm_kernel<V>;
  return nullptr;
}

template <typename T, typename W, bool kQuantizes, bool kAddsResidual>
KernelFunction find_shape(const Selection& selection) {
  if (!selection.vectorized) {
    if (selection.shape == ShapeKind::within_warp)
      return chunk_kernel<Variant<T, W, kQuantizes, kAddsResidual, false, Shape<false, 1, true>>,
                          ShapeKind::within_warp>();
    if (selection.shape == ShapeKind::two_pass)
      return chunk_kernel<Variant<T, W, kQuantizes, kAddsResidual, false, Shape<true, kTwoPassSlots, false>>,
                          ShapeKind::two_pass>();
    return nullptr;
  }
  switch (selection.shape) {
    case ShapeKind::within_warp:
      return chunk_kernel<Variant<T, W, kQuantizes, kAddsResidual, true, Shape<false, 1, true>>,
                          ShapeKind::within_warp>();
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#define NORMPROOF_SHAPE(name, ...)                                                                         \
  case ShapeKind::name:                                                                                    \
    if constexpr (is_compiled(ShapeKind::name, kCombination<T, W, kAddsResidual>))                         \
      return &register_kernel<Variant<T, W, kQuantizes, kAddsResidual, true, RegisterShape<__VA_ARGS__>>>; \
    break;
#include "kernels/register_shapes.inc"
#undef NORMPROOF_SHAPE
    case ShapeKind::cached_1:
    case ShapeKind::cached_2:
    case ShapeKind::cached_4:
      return nullptr;
#else
    case ShapeKind::cached_1:
      return &norm_kernel<Variant<T, W, kQuantizes, kAddsResidual, true, Shape<true, 1, true>>>;
    case ShapeKind::cached_2:
      return &norm_kernel<Variant<T, W, kQuantizes, kAddsResidual, true, Shape<true, 2, true>>>;
    case ShapeKind::cached_4:
      return &norm_kernel<Variant<T, W, kQuantizes, kAddsResidual, true, Shape<true, 4, true>>>;
#endif
    case ShapeKind::two_pass:
      return chunk_kernel<Variant<T, W, kQuantizes, kAddsResidual, true, Shape<true, kTwoPassSlots, false>>,
                          ShapeKind::two_pass>();
    default:
      break;
  }
  return nullptr;
}

template <typename T, typename W, bool kQuantizes>
KernelFunction find_addition(const Selection& selection) {
  return selection.adds_residual ? find_shape<T, W, kQuantizes, true>(selection)
                                 : find_shape<T, W, kQuantizes, false>(selection);
}

template <typename T, bool kQuantizes>
KernelFunction find_kernel(const Selection& selection) {
  switch (selection.weight) {
    case WeightKind::none:
      return find_addition<T, NoWeight, kQuantizes>(selection);
    case WeightKind::same_as_activation:
      return find_addition<T, T, kQuantizes>(selection);
    case WeightKind::fp32:
      if constexpr (!std::is_same_v<T, float>) return find_addition<T, float, kQuantizes>(selection);
      break;
  }
  return nullptr;
}

}  // namespace normproof::kernels
