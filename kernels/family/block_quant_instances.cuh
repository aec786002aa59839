// Chooses among the kernels of one activation dtype that hold rows in registers and quantize them block by
// block, and thereby compiles them. For GPUs only.
#pragma once

#include "kernels/compiled.h"
#include "kernels/family/block_quant.h"
#include "kernels/family/block_quant_registers.cuh"
#include "kernels/family/block_quant_ring.cuh"

namespace normproof::kernels {

// The weight has the dtype of the activation.
template <typename T, bool kAddsResidual, BlockCodes kCodes>
BlockQuantKernel find_block_quant_shape(BlockQuantShape shape) {
  constexpr int kCombinationOfCodes = kCombination<T, T, kAddsResidual> + 2 * static_cast<int>(kCodes);
  switch (shape) {
#define NORMPROOF_BLOCK_SHAPE(name, ...)                                                       \
  case BlockQuantShape::name:                                                                  \
    if constexpr (is_compiled<6>(BlockQuantShape::name, kCombinationOfCodes))                  \
      return &register_block_kernel<                                                           \
          Variant<T, T, true, kAddsResidual, true, RegisterShape<__VA_ARGS__>, true>, kCodes>; \
    break;
#define NORMPROOF_RING_BLOCK_SHAPE(name, ...)                                                                \
  case BlockQuantShape::name:                                                                                \
    if constexpr (std::is_same_v<T, Bf16> && !kAddsResidual && kCodes == BlockCodes::e2m1_by_global &&       \
                  is_compiled<6>(BlockQuantShape::name, kCombinationOfCodes))                                \
      return &ring_block_kernel<Variant<T, T, true, false, true, RegisterShape<__VA_ARGS__>, true>, kCodes>; \
    break;
#if defined(NORMPROOF_FEW_BLOCK_SHAPES)
#define NORMPROOF_FURTHER_BLOCK_SHAPE(...)
#endif
#include "kernels/family/block_quant_shapes.inc"
#undef NORMPROOF_BLOCK_SHAPE
    default:
      break;
  }
  return nullptr;
}

template <typename T, bool kAddsResidual>
BlockQuantKernel find_block_quant_codes(const BlockQuantSelection& selection) {
  if (selection.codes != CodeFormat::e2m1)
    return find_block_quant_shape<T, kAddsResidual, BlockCodes::fp8>(selection.shape);
  if (selection.rule == BlockScaleRule::global)
    return find_block_quant_shape<T, kAddsResidual, BlockCodes::e2m1_by_global>(selection.shape);
  return find_block_quant_shape<T, kAddsResidual, BlockCodes::e2m1_by_power>(selection.shape);
}

template <typename T>
BlockQuantKernel find_block_quant(const BlockQuantSelection& selection) {
  return selection.adds_residual ? find_block_quant_codes<T, true>(selection)
                                 : find_block_quant_codes<T, false>(selection);
}

}  // namespace normproof::kernels
