// The fast path's loops for any processor, and the choice of the instruction set at run time.
#include "oracle/row_kernels.h"

#include <cfenv>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace normproof::oracle {
#include "oracle/row_kernels.inc"
}

namespace normproof::oracle {
namespace {

constexpr RowKernels kBaselineRowKernels = make_row_kernels("baseline");

}  // namespace

#if defined(NORMPROOF_ORACLE_AVX2)
extern const RowKernels kAvx2RowKernels;
#endif

const RowKernels& baseline_row_kernels() { return kBaselineRowKernels; }

const RowKernels* avx2_row_kernels() {
#if defined(NORMPROOF_ORACLE_AVX2)
  static const bool supported =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  return supported ? &kAvx2RowKernels : nullptr;
#else
  return nullptr;
#endif
}

const RowKernels& row_kernels() {
  const RowKernels* avx2 = avx2_row_kernels();
  return avx2 != nullptr ? *avx2 : kBaselineRowKernels;
}

// The rounding mode twice: the C library, which reads and prints decimals, asks the x87 unit for it.
StandardFloatEnvironment::StandardFloatEnvironment() : rounding_(std::fegetround()) {
#if defined(__SSE2__)
  control_ = _mm_getcsr();
#endif
  std::fesetround(FE_TONEAREST);
#if defined(__SSE2__)
  _mm_setcsr(0x1f80);  // exceptions masked, round to nearest, neither flush-to-zero nor denormals-are-zero
#endif
}
StandardFloatEnvironment::~StandardFloatEnvironment() {
  std::fesetround(rounding_);
#if defined(__SSE2__)
  _mm_setcsr(control_);
#endif
}

}  // namespace normproof::oracle
