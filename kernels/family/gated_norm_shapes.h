// The shapes that the gated RMSNorm is compiled in.
#pragma once

#include "kernels/family/shape_list.h"

namespace normproof::kernels {

// In bf16, with a weight in bf16.
using GatedNormShapes =
    ShapeList<ShapeKind::part_1_early, ShapeKind::block_1_early, ShapeKind::block_2_early,
              ShapeKind::block_4_early, ShapeKind::block_4_full_evict_last, ShapeKind::block_4x2_evict_last,
              ShapeKind::cluster_1_early, ShapeKind::cluster_1x2_early>;
// In fp16 and fp32 with the weight in the same, and in bf16 with any other.
using GatedNormFewShapes = ShapeList<ShapeKind::part_1_early, ShapeKind::block_1_early,
                                     ShapeKind::block_4_early, ShapeKind::block_4x2_evict_last>;

}  // namespace normproof::kernels
