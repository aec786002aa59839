// Stands in for NVIDIA's cuda_fp4.h: the OCP format e2m1. Written from NVIDIA's documentation.
#ifndef NORMPROOF_CUDA_HEADERS_CUDA_FP4_H
#define NORMPROOF_CUDA_HEADERS_CUDA_FP4_H

#include "kernels/host/tiny_floats.h"

using __nv_fp4_storage_t = unsigned char;
using __nv_fp4x2_storage_t = unsigned char;
using __nv_fp4x4_storage_t = unsigned short;
enum __nv_fp4_interpretation_t { __NV_E2M1 };

#define NORMPROOF_FORMAT (static_cast<void>(interpretation), normproof::host::kTinyE2m1)
#define NORMPROOF_OPTIONS __nv_fp4_interpretation_t interpretation, cudaRoundMode mode
#define NORMPROOF_CONVERT(of, value) \
  normproof::host::of##to_tiny(value, NORMPROOF_FORMAT, true, normproof::host::rounding_of(mode))
NORMPROOF_TINY_CONVERSIONS(fp4, 4, NORMPROOF_OPTIONS, NORMPROOF_CONVERT, NORMPROOF_FORMAT,
                           __nv_fp4_interpretation_t)
#undef NORMPROOF_FORMAT
#undef NORMPROOF_OPTIONS
#undef NORMPROOF_CONVERT
NORMPROOF_TINY_TYPES(__nv_fp4, e2m1, kTinyE2m1, unsigned char, unsigned short)

#endif
