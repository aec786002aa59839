// How the gradients of a call are computed.
#pragma once

#include <cstdint>

#include "kernels/family/norm_gradient_arguments.h"
#include "kernels/family/rows.h"

namespace normproof::kernels {

enum class GradientKernels : std::int32_t {
  general,     // rows, columns and the sums of units, each by a kernel of its own
  one_slot,    // rows through shared memory; a thread has one chunk of a row,
  two_slots,   // two
  two_rounds,  // or one of each half of the lanes' two chunks, on a cluster of two blocks
  group,       // a group of rows, or a row alone, in the registers of a cluster; a thread has a chunk of each
};

struct GradientChoice {
  GradientKernels kernels = GradientKernels::general;
  int threads = 0;              // of a block
  int unit_rows_log2 = 0;       // NormGradientArguments
  int stages = 0;               // of the ring
  int blocks_of_processor = 0;  // of a multiprocessor at the same time; they walk through all units
  bool evicts_last = false;     // NormGradientArguments
  int workspace_steps = 0;      // of the ring's tree over groups, whose sums wait outside shared memory
};

// The same in the way that is given; it must fit. Null: the usual choice.
Status run_norm_backward(const NamedCall& call, NormBackwardOperation operation, const GradientChoice* forced,
                         Stream stream, LaunchReport* report);

// The kernel that has a group of rows in registers, or a row alone.
using GradientKernel = void (*)(NormGradientArguments);
GradientKernel find_group_gradient(DType dtype, bool centred, bool one_row);

}  // namespace normproof::kernels
