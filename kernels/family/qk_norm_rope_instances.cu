// Chooses among the kernels of q/k norm and rotary embedding, and thereby compiles them.
#include "kernels/family/qk_norm_rope.h"
#include "kernels/family/qk_norm_rope_kernel.cuh"
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#include "kernels/family/qk_norm_rope_registers.cuh"
#endif

namespace normproof::kernels {
namespace {

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
template <typename T, Pairing kPairing, bool kLikeX>
QkNormRopeKernel find_by_heads(int heads) {
  if (heads == 1) return &qk_norm_rope_register_kernel<T, kPairing, 1, kLikeX>;
  return &qk_norm_rope_register_kernel<T, kPairing, kHeadsOfUnit, kLikeX>;
}

template <typename T, Pairing kPairing>
QkNormRopeKernel find_by_weight(const QkNormRopeSelection& selection) {
  return selection.weight_like_x ? find_by_heads<T, kPairing, true>(selection.heads)
                                 : find_by_heads<T, kPairing, false>(selection.heads);
}

template <typename T>
QkNormRopeKernel find_in_registers(const QkNormRopeSelection& selection) {
  switch (selection.pairing) {
    case Pairing::own_chunks:
      return find_by_weight<T, Pairing::own_chunks>(selection);
    case Pairing::other_chunk:
      return find_by_weight<T, Pairing::other_chunk>(selection);
    default:
      return find_by_weight<T, Pairing::same_chunk>(selection);
  }
}
#endif

template <typename T>
QkNormRopeKernel find(const QkNormRopeSelection& selection) {
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  if (selection.in_registers) return find_in_registers<T>(selection);
#endif
  if (selection.block_per_row) return &qk_norm_rope_kernel<T, true, 1>;
  return &qk_norm_rope_kernel<T, false, 1>;
}

}  // namespace

QkNormRopeKernel find_qk_norm_rope(const QkNormRopeSelection& selection) {
  switch (selection.dtype) {
    case DType::bf16:
      return find<Bf16>(selection);
    case DType::fp16:
      return find<Fp16>(selection);
    default:
      return find<float>(selection);
  }
}

}  // namespace normproof::kernels
