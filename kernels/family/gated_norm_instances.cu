// Chooses among the kernels of the gated RMSNorm, and thereby compiles them.
#include <type_traits>

#include "kernels/family/gated_norm.h"
#include "kernels/family/gated_norm_kernel.cuh"
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#include "kernels/family/gated_norm_registers.cuh"
#include "kernels/family/gated_norm_shapes.h"
#endif

namespace normproof::kernels {
namespace {

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
constexpr int kRowSlots = 4;

template <typename T>
GatedNormKernel find_in_registers(const GatedNormSelection& selection) {
  constexpr bool kManyShapes = std::is_same_v<T, Bf16>;
  GatedNormKernel found = nullptr;
  if (selection.like_x) {
    std::conditional_t<kManyShapes, GatedNormShapes, GatedNormFewShapes>::find(
        selection.shape, [&]<class Shape>() { found = &gated_norm_register_kernel<T, Shape, true>; });
  } else if constexpr (kManyShapes) {
    GatedNormFewShapes::find(selection.shape,
                             [&]<class Shape>() { found = &gated_norm_register_kernel<T, Shape, false>; });
  }
  return found;
}
#else
// More slots mean fewer shuffles, which is what a fiber's time goes into.
constexpr int kRowSlots = 8;
#endif

template <typename T, bool kVectorized>
GatedNormKernel find_general(ShapeKind shape) {
  if (shape == ShapeKind::within_warp) return &gated_norm_kernel<T, kVectorized, false, 1>;
  return &gated_norm_kernel<T, kVectorized, true, kRowSlots>;
}

template <typename T>
GatedNormKernel find(const GatedNormSelection& selection) {
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  if (selection.shape > ShapeKind::two_pass) return find_in_registers<T>(selection);
#endif
  return selection.vectorized ? find_general<T, true>(selection.shape)
                              : find_general<T, false>(selection.shape);
}

}  // namespace

GatedNormKernel find_gated_norm(DType dtype, const GatedNormSelection& selection) {
  switch (dtype) {
    case DType::bf16:
      return find<Bf16>(selection);
    case DType::fp16:
      return find<Fp16>(selection);
    default:
      return find<float>(selection);
  }
}

}  // namespace normproof::kernels
