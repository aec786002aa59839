// The kernels that quantize block by block: which are compiled, and how a call's shape is chosen.
#pragma once

#include <cstdint>

#include "kernels/family/block_quant_arguments.h"
#include "kernels/rms_norm.h"

namespace normproof::kernels {

struct Grid;

// The shapes of block_quant_shapes.inc.
enum class BlockQuantShape : std::int32_t {
#define NORMPROOF_BLOCK_SHAPE(name, ...) name,
#include "kernels/family/block_quant_shapes.inc"
#undef NORMPROOF_BLOCK_SHAPE
  general  // of block_quant_kernel.cuh
};

using BlockQuantKernel = void (*)(BlockQuantArguments);

BlockQuantKernel general_block_quant_kernel(DType dtype, bool vectorized);

Status launch_block_quant(BlockQuantKernel kernel, const BlockQuantArguments& arguments, const Grid& grid,
                          Stream stream);

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
// What is fixed when a kernel of rows in registers is compiled. Null where there is none.
struct BlockQuantSelection {
  BlockQuantShape shape = BlockQuantShape::general;
  bool adds_residual = false;
  CodeFormat codes = CodeFormat::e4m3fn;
  BlockScaleRule rule = BlockScaleRule::quotient;
};
BlockQuantKernel bf16_block_quant_kernel(const BlockQuantSelection& selection);
BlockQuantKernel fp16_block_quant_kernel(const BlockQuantSelection& selection);
BlockQuantKernel fp32_block_quant_kernel(const BlockQuantSelection& selection);

// For benchmarks: the shape that the calling thread's later calls take wherever it fits, and its threads, 0
// for its own number. Null: the usual choice.
struct ForcedBlockQuantShape {
  BlockQuantShape shape = BlockQuantShape::general;
  int threads = 0;
};
void force_block_quant_shape(const ForcedBlockQuantShape* shape);
// Whether the shape, which must be compiled for the dtype and the codes, takes rows of so many chunks.
bool holds_rows(const ForcedBlockQuantShape& shape, DType dtype, const BlockQuantArguments& arguments);
// That of the calling thread's last call.
BlockQuantShape last_block_quant_shape();
#endif

}  // namespace normproof::kernels
