// The shapes of register_shapes.inc that LayerNorm is compiled in.
#pragma once

#include "kernels/family/shape_list.h"

namespace normproof::kernels {

// In fp16 and fp32.
using LayerNormFewShapes =
    ShapeList<ShapeKind::part_1_early, ShapeKind::warp_2_early, ShapeKind::warp_4_early,
              ShapeKind::block_2_early, ShapeKind::block_4_early, ShapeKind::block_4_tight_evict_last,
              ShapeKind::block_2x2_tight_evict_last, ShapeKind::block_2x4_evict_last,
              ShapeKind::cluster_1x2_early>;

// To codes.
using QuantizingLayerNormShapes =
    ShapeList<ShapeKind::part_1_early, ShapeKind::warp_2_early, ShapeKind::warp_4_early,
              ShapeKind::block_2_early, ShapeKind::block_4_early, ShapeKind::block_4_full,
              ShapeKind::block_4x2_evict_last, ShapeKind::cluster_1x2_early>;

// In bf16: these too.
using LayerNormShapes =
    ShapeList<ShapeKind::part_1_early, ShapeKind::warp_2_early, ShapeKind::warp_4_early,
              ShapeKind::warp_4_full_early, ShapeKind::block_1_early, ShapeKind::block_1_middle,
              ShapeKind::block_2_early, ShapeKind::block_2_early_evict_last, ShapeKind::block_4_early,
              ShapeKind::block_4_middle, ShapeKind::block_4_tight_evict_last, ShapeKind::block_2x2_tight,
              ShapeKind::block_2x2_early_evict_last, ShapeKind::block_2x2_tight_evict_last,
              ShapeKind::block_4x2_middle, ShapeKind::block_2x4_evict_last, ShapeKind::block_1_full_early,
              ShapeKind::block_2_full_early, ShapeKind::block_4_full_early, ShapeKind::block_4_full_middle,
              ShapeKind::block_4_full, ShapeKind::block_2x2_full_early, ShapeKind::cluster_1_early,
              ShapeKind::cluster_1x2_early, ShapeKind::cluster_1_full_early,
              ShapeKind::cluster_1x2_full_early, ShapeKind::warp_4_full, ShapeKind::block_4_full_evict_last,
              ShapeKind::block_4x2_evict_last, ShapeKind::block_4x2_full_evict_last,
              ShapeKind::block_2x2_full_evict_last>;

}  // namespace normproof::kernels
