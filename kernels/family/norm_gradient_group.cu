// Chooses among the kernels of norm_gradient_group.cuh, and thereby compiles them.
#include "kernels/family/norm_gradient.h"
#include "kernels/family/norm_gradient_group.cuh"

namespace normproof::kernels {
namespace {

template <typename T, bool kCentred>
GradientKernel find(bool one_row) {
  if (one_row) return &group_gradient_kernel<GroupVariant<T, kCentred, 1>>;
  return &group_gradient_kernel<GroupVariant<T, kCentred, kGroupRows>>;
}

template <typename T>
GradientKernel find(bool centred, bool one_row) {
  return centred ? find<T, true>(one_row) : find<T, false>(one_row);
}

}  // namespace

GradientKernel find_group_gradient(DType dtype, bool centred, bool one_row) {
  switch (dtype) {
    case DType::bf16:
      return find<Bf16>(centred, one_row);
    case DType::fp16:
      return find<Fp16>(centred, one_row);
    default:
      return find<float>(centred, one_row);
  }
}

}  // namespace normproof::kernels
