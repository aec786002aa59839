// Stands in for NVIDIA's cuda_bf16.h: __nv_bfloat16, its pair and their arithmetic.
// Written from NVIDIA's documentation.
#ifndef NORMPROOF_CUDA_HEADERS_CUDA_BF16_H
#define NORMPROOF_CUDA_HEADERS_CUDA_BF16_H

#include <cuda_fp16.h>

#define NORMPROOF_HALF __nv_bfloat16
#define NORMPROOF_HALF2 __nv_bfloat162
#define NORMPROOF_HALF_RAW __nv_bfloat16_raw
#define NORMPROOF_HALF2_RAW __nv_bfloat162_raw
#define NORMPROOF_OTHER_HALF const __half&
#define NORMPROOF_HALF_FORMAT kBf16
#define NORMPROOF_HALF_NAMED(before, after) before##bfloat16##after
#define NORMPROOF_HALF_PAIR_OF_ONE __bfloat162bfloat162
#ifdef __CUDA_NO_BFLOAT16_CONVERSIONS__
#define NORMPROOF_HALF_NO_CONVERSIONS
#endif
#ifdef __CUDA_NO_BFLOAT16_OPERATORS__
#define NORMPROOF_HALF_NO_OPERATORS
#endif
#if defined(__CUDA_NO_BFLOAT162_OPERATORS__) || defined(__CUDA_NO_BFLOAT16_OPERATORS__)
#define NORMPROOF_HALF2_NO_OPERATORS
#endif

#include "kernels/host/half_everything.h"

inline __half::__half(const __nv_bfloat16& value) : x(bits_of(normproof::host::to_double(value))) {}
inline __nv_bfloat16::__nv_bfloat16(const __half& value) : x(bits_of(normproof::host::to_double(value))) {}

using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;

#define CUDART_INF_BF16 __ushort_as_bfloat16(static_cast<unsigned short>(0x7F80U))
#define CUDART_NAN_BF16 __ushort_as_bfloat16(static_cast<unsigned short>(0x7FFFU))
#define CUDART_MIN_DENORM_BF16 __ushort_as_bfloat16(static_cast<unsigned short>(0x0001U))
#define CUDART_MAX_NORMAL_BF16 __ushort_as_bfloat16(static_cast<unsigned short>(0x7F7FU))
#define CUDART_NEG_ZERO_BF16 __ushort_as_bfloat16(static_cast<unsigned short>(0x8000U))
#define CUDART_ZERO_BF16 __ushort_as_bfloat16(static_cast<unsigned short>(0x0000U))
#define CUDART_ONE_BF16 __ushort_as_bfloat16(static_cast<unsigned short>(0x3F80U))

#endif
