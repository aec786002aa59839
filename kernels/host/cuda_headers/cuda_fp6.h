// Stands in for NVIDIA's cuda_fp6.h: the OCP formats e2m3 and e3m2. Written from NVIDIA's documentation.
#ifndef NORMPROOF_CUDA_HEADERS_CUDA_FP6_H
#define NORMPROOF_CUDA_HEADERS_CUDA_FP6_H

#include "kernels/host/tiny_floats.h"

using __nv_fp6_storage_t = unsigned char;
using __nv_fp6x2_storage_t = unsigned short;
using __nv_fp6x4_storage_t = unsigned int;
enum __nv_fp6_interpretation_t { __NV_E2M3, __NV_E3M2 };

#define NORMPROOF_FORMAT \
  (interpretation == __NV_E2M3 ? normproof::host::kTinyE2m3 : normproof::host::kTinyE3m2)
#define NORMPROOF_OPTIONS __nv_fp6_interpretation_t interpretation, cudaRoundMode mode
#define NORMPROOF_CONVERT(of, value) \
  normproof::host::of##to_tiny(value, NORMPROOF_FORMAT, true, normproof::host::rounding_of(mode))
NORMPROOF_TINY_CONVERSIONS(fp6, 8, NORMPROOF_OPTIONS, NORMPROOF_CONVERT, NORMPROOF_FORMAT,
                           __nv_fp6_interpretation_t)
#undef NORMPROOF_FORMAT
#undef NORMPROOF_OPTIONS
#undef NORMPROOF_CONVERT
NORMPROOF_TINY_TYPES(__nv_fp6, e2m3, kTinyE2m3, unsigned short, unsigned int)
NORMPROOF_TINY_TYPES(__nv_fp6, e3m2, kTinyE3m2, unsigned short, unsigned int)

#endif
