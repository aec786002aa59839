// The loops over blocks for any processor, and the choice of the instruction set at run time.
#include "oracle/box_search/lane_kernels.h"
#include "oracle/row_kernels.h"

namespace normproof::oracle::box_search {
#include "oracle/box_search/lanes.inc"

namespace {
constexpr LaneKernels kBaselineLaneKernels = make_lane_kernels();
}  // namespace

#if defined(NORMPROOF_ORACLE_AVX2)
extern const LaneKernels kAvx2LaneKernels;
#endif

const LaneKernels& baseline_lane_kernels() { return kBaselineLaneKernels; }

const LaneKernels& lane_kernels() {
#if defined(NORMPROOF_ORACLE_AVX2)
  if (avx2_row_kernels() != nullptr) return kAvx2LaneKernels;
#endif
  return kBaselineLaneKernels;
}

}  // namespace normproof::oracle::box_search
