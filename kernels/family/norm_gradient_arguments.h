// What the kernels of a norm's gradients are told, by value.
#pragma once

#include <cstdint>

#include "kernels/family/affine.cuh"
#include "kernels/family/layer_norm_arguments.h"
#include "kernels/family/row_numbers.h"
#include "kernels/norm_arguments.h"
#include "kernels/row_shape.h"

namespace normproof::kernels {

// Rows that are added one after the other to a sum over rows, from +0 on. Neighbouring groups of them are
// added in pairs, neighbouring sums of these as well, and so on; an odd last one stays as it is.
inline constexpr int kGroupRowsLog2 = 3;
inline constexpr int kGroupRows = 1 << kGroupRowsLog2;

template <typename Pointer>
struct RowsOf {
  Pointer data = nullptr;  // null where the call has no such tensor
  RowStrides strides;
};

struct NormGradientArguments {
  LeadingDimensions rows;
  RowShape shape;

  RowsOf<const void*> dy;
  RowsOf<const void*> x;
  RowsOf<const void*> dresidual;  // added to dx
  RowsOf<void*> dx;               // may be `dy`
  Affine weight;
  RowStatistic mean;  // LayerNorm's
  RowStatistic rstd;

  // The sums over the rows of each unit, [units, hidden]: of dy * xh and of dy.
  struct Sums {
    void* data = nullptr;  // null where nobody asks
    bool in_t = false;     // rounded to T; otherwise fp32
  };
  Sums weight_sums;
  Sums bias_sums;
  // A unit has 2 to this many rows, whole groups where it has a sum; the last one may have fewer.
  int unit_rows_log2 = 0;

  // Of the kernel that streams rows through shared memory.
  int stages = 0;            // rows that are there or on their way
  bool evicts_last = false;  // Eviction::last of register_shape.h
  float inverse_hidden = 0;  // fl(1 / fl(H))
  int shared_steps = 0;      // sums of groups wait in shared memory for so many steps of the tree, ...
  float* waiting = nullptr;  // ... and here for those above: of each block or cluster, by step and sum, H
};

// The sums of units, which are added up to the gradient of the weight, or of the bias.
struct UnitSums {
  const float* sums = nullptr;
  NormGradientArguments::Sums out;
};

struct JoinArguments {
  UnitSums of[2];
  std::int64_t units = 0;
  std::int64_t hidden = 0;
  // The units that a thread adds are 2 to this many in a row; there are up to kJoinRuns runs.
  int run_log2 = 0;
  bool discards = false;  // the sums, once they are read; a block's columns are whole lines of the cache then
};

}  // namespace normproof::kernels
