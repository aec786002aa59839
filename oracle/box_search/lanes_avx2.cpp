// The loops over blocks for x86-64 processors with AVX2 and FMA. CMake gives this file alone those flags.
#include "oracle/box_search/lane_kernels.h"

#if defined(__AVX2__) && defined(__FMA__)

namespace normproof::oracle::box_search {
#include "oracle/box_search/lanes.inc"

extern const LaneKernels kAvx2LaneKernels;
constexpr LaneKernels kTable = make_lane_kernels();
const LaneKernels kAvx2LaneKernels = kTable;

}  // namespace normproof::oracle::box_search

#endif
