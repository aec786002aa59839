// The fast path's loops for x86-64 processors with AVX2, FMA and F16C. CMake
// gives this file alone those flags.
#include "oracle/row_kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

namespace normproof::oracle {
#include "oracle/row_kernels.inc"
}

namespace normproof::oracle {

extern const RowKernels kAvx2RowKernels;
constexpr RowKernels kTable = make_row_kernels("avx2");
const RowKernels kAvx2RowKernels = kTable;

}  // namespace normproof::oracle

#endif
