// The shapes that LayerNorm is compiled in. Those that can be are folded (layer_norm_registers.cuh).
#pragma once

#include "kernels/family/shape_list.h"

namespace normproof::kernels {

// In bf16, with weight and bias in bf16.
using LayerNormShapes =
    ShapeList<ShapeKind::part_1_early, ShapeKind::warp_2_early, ShapeKind::warp_4_early,
              ShapeKind::warp_4_full, ShapeKind::block_1_full_early, ShapeKind::block_2_full_early,
              ShapeKind::block_2_early_evict_last, ShapeKind::block_4_early, ShapeKind::block_4_full_early,
              ShapeKind::block_4_full_evict_last, ShapeKind::block_4x2_evict_last,
              ShapeKind::block_4x2_full_evict_last, ShapeKind::block_2x4_evict_last,
              ShapeKind::cluster_1_early, ShapeKind::cluster_1_full_early, ShapeKind::cluster_1x2_early,
              ShapeKind::cluster_1x2_full_early>;
// The one that is also there as it is: for many full rows whose warps are no power of two.
inline constexpr ShapeKind kUnfoldedShape = ShapeKind::block_4_full_evict_last;

// In fp16 and fp32, with weight and bias in the same.
using LayerNormFewShapes =
    ShapeList<ShapeKind::part_1_early, ShapeKind::warp_4_early, ShapeKind::block_4_early,
              ShapeKind::block_4x2_evict_last, ShapeKind::block_2x4_evict_last, ShapeKind::cluster_1x2_early>;

// In bf16, with any other weight and bias.
using OtherLayerNormShapes = ShapeList<ShapeKind::part_1_early, ShapeKind::warp_4_early,
                                       ShapeKind::block_4_early, ShapeKind::block_4x2_evict_last>;

// From bf16 to codes.
using QuantizingLayerNormShapes =
    ShapeList<ShapeKind::part_1_early, ShapeKind::warp_4_early, ShapeKind::block_4_early,
              ShapeKind::block_4_full_evict_last, ShapeKind::block_4_full_roomy_evict_last,
              ShapeKind::block_7_full_evict_last, ShapeKind::block_4x2_evict_last, ShapeKind::cluster_1_early,
              ShapeKind::cluster_1x2_early>;

}  // namespace normproof::kernels
