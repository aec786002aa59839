// Stands in for NVIDIA's cuda_fp16.h: __half, its pair and their arithmetic.
// Written from NVIDIA's documentation.
#ifndef NORMPROOF_CUDA_HEADERS_CUDA_FP16_H
#define NORMPROOF_CUDA_HEADERS_CUDA_FP16_H

#include <cuda_runtime.h>

#include "kernels/host/small_floats.h"

#ifndef __CUDA_ALIGN__
#define __CUDA_ALIGN__(bytes) __align__(bytes)
#endif

struct __half;
struct __nv_bfloat16;

#define NORMPROOF_HALF __half
#define NORMPROOF_HALF2 __half2
#define NORMPROOF_HALF_RAW __half_raw
#if defined(NORMPROOF_HIP) && (defined(__clang__) || __GNUC__ >= 13)
#define NORMPROOF_HALF_RAW_HAS_DATA
#endif
#define NORMPROOF_HALF2_RAW __half2_raw
#define NORMPROOF_OTHER_HALF const __nv_bfloat16&
#define NORMPROOF_HALF_FORMAT kFp16
#define NORMPROOF_HALF_NAMED(before, after) before##half##after
#define NORMPROOF_HALF_PAIR_OF_ONE __half2half2
#ifdef __CUDA_NO_HALF_CONVERSIONS__
#define NORMPROOF_HALF_NO_CONVERSIONS
#endif
#ifdef __CUDA_NO_HALF_OPERATORS__
#define NORMPROOF_HALF_NO_OPERATORS
#endif
#if defined(__CUDA_NO_HALF2_OPERATORS__) || defined(__CUDA_NO_HALF_OPERATORS__)
#define NORMPROOF_HALF2_NO_OPERATORS
#endif

#include "kernels/host/half_everything.h"

using half = __half;
using half2 = __half2;
using nv_half = __half;
using nv_half2 = __half2;
using __nv_half = __half;
using __nv_half2 = __half2;
using __nv_half_raw = __half_raw;
using __nv_half2_raw = __half2_raw;

#define CUDART_INF_FP16 __ushort_as_half(static_cast<unsigned short>(0x7C00U))
#define CUDART_NAN_FP16 __ushort_as_half(static_cast<unsigned short>(0x7FFFU))
#define CUDART_MIN_DENORM_FP16 __ushort_as_half(static_cast<unsigned short>(0x0001U))
#define CUDART_MAX_NORMAL_FP16 __ushort_as_half(static_cast<unsigned short>(0x7BFFU))
#define CUDART_NEG_ZERO_FP16 __ushort_as_half(static_cast<unsigned short>(0x8000U))
#define CUDART_ZERO_FP16 __ushort_as_half(static_cast<unsigned short>(0x0000U))
#define CUDART_ONE_FP16 __ushort_as_half(static_cast<unsigned short>(0x3C00U))

#endif
