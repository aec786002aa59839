/* The C interface of the production kernels: what an engine, a Python binding or a plug-in calls.
 * The same interface is exported by the host build (CUDA threads run as fibers on the CPU) and by the CUDA
 * build. All pointers are device pointers in the CUDA build and ordinary pointers in the host build. Every
 * function checks its arguments before anything is written, and enqueues its work on `stream` (ignored by the
 * host build). */
#ifndef NORMPROOF_KERNELS_H
#define NORMPROOF_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NORMPROOF_EXPORT __attribute__((visibility("default")))
#else
#define NORMPROOF_EXPORT
#endif

typedef enum normproof_status {
  NORMPROOF_OK = 0,
  NORMPROOF_NULL_POINTER = 1,
  NORMPROOF_INVALID_RANK = 2,
  NORMPROOF_INVALID_SIZE = 3,   /* negative size, hidden size 0, or shapes that do not agree */
  NORMPROOF_INVALID_STRIDE = 4, /* rows that overlap, or a last dimension that is not contiguous */
  NORMPROOF_SIZE_OVERFLOW = 5,  /* the tensor's extent in bytes does not fit in 63 bits */
  NORMPROOF_UNSUPPORTED_DTYPE = 6,
  NORMPROOF_MISALIGNED_POINTER = 7, /* not a multiple of the element size, or of 16 bytes where the vectorized
                                       path is demanded (strides too) */
  NORMPROOF_OVERLAP = 8, /* an output shares memory with another tensor, or is so interleaved with it that
                            this cannot be told in 10,000 steps */
  NORMPROOF_INVALID_LAUNCH = 9,
  NORMPROOF_LAUNCH_FAILED =
      10, /* the CUDA runtime, or the host execution (divergent barrier), reported an error */
  NORMPROOF_UNKNOWN_NAME = 11 /* an operation, tensor or number that a call by name cannot have */
} normproof_status;

typedef enum normproof_dtype {
  NORMPROOF_FP32 = 0,
  NORMPROOF_FP16 = 1,
  NORMPROOF_BF16 = 2,
  NORMPROOF_FP8_E4M3FN = 3,
  NORMPROOF_FP8_E5M2 = 4,
  NORMPROOF_FP8_E4M3FNUZ = 5,
  NORMPROOF_FP8_E5M2FNUZ = 6,
  NORMPROOF_INT8 = 7, /* these two in calls by name alone */
  NORMPROOF_UINT8 = 8 /* bytes that are something else: two e2m1 numbers, or a scale in e8m0 */
} normproof_dtype;

/* A strided tensor of rank 1 (weights) to 4. sizes and strides count elements; the last stride must be 1. */
typedef struct normproof_tensor {
  void* data;
  normproof_dtype dtype;
  int32_t rank;
  int64_t sizes[4];
  int64_t strides[4];
} normproof_tensor;

typedef enum normproof_path {
  NORMPROOF_PATH_AUTOMATIC = 0,
  NORMPROOF_PATH_VECTORIZED = 1,
  NORMPROOF_PATH_SCALAR = 2
} normproof_path;

/* How to launch. No choice changes a bit of the result. NULL where a function takes one means all automatic.
 */
typedef struct normproof_launch {
  normproof_path path;
  int32_t threads_per_block; /* 0: automatic; else a multiple of 32 from 32 to 1024 */
} normproof_launch;

/* What was launched; filled where the caller passes one. path is never automatic unless there was no work. */
typedef struct normproof_launch_report {
  normproof_path path;
  int32_t threads_per_block;
  int32_t rows_per_block;
  int64_t blocks;
} normproof_launch_report;

/* cudaStream_t in the CUDA build. */
typedef void* normproof_stream;

/* Where a call's message goes; NULL data means nowhere. Always NUL-terminated; empty after success. */
typedef struct normproof_message {
  char* data;
  size_t capacity;
} normproof_message;

/* out = rms_norm(input, weight, epsilon). Rank 2 to 4, equal shapes. weight may be NULL (absent), or of rank
 * 1 and size H with the dtype of input or fp32. out may be the very same tensor as input (same data and
 * strides). */
NORMPROOF_EXPORT normproof_status normproof_rms_norm(const normproof_tensor* out,
                                                     const normproof_tensor* input,
                                                     const normproof_tensor* weight, float epsilon,
                                                     const normproof_launch* launch, normproof_stream stream,
                                                     normproof_launch_report* report,
                                                     normproof_message message);

/* In place: s = round(input + residual); residual = s; input = rms_norm(s, weight, epsilon). Rank 2. */
NORMPROOF_EXPORT normproof_status normproof_fused_add_rms_norm(
    const normproof_tensor* input, const normproof_tensor* residual, const normproof_tensor* weight,
    float epsilon, const normproof_launch* launch, normproof_stream stream, normproof_launch_report* report,
    normproof_message message);

/* out (fp8) = quantize(rms_norm(input, weight, epsilon), *scale). Rank 2. scale points to one fp32.
 *
 * quantize(y, scale) = round(clamp(fl(y * fl(1 / scale)), -max, max)) with max the largest finite number of
 * out's dtype: 448, 57344, 240, 57344. The scale lies in the kernel's memory, so its value is not refused;
 * whatever it is, the formula is carried out as IEEE 754 says: scale +-0:        1 / scale is infinite: +-max
 * with the sign of y / scale, and NaN where y is 0 or NaN; |scale| <= 2^-128: the same, because 1 / scale
 * overflows; scale negative:   the signs of out are the opposite of y's; scale infinite:   1 / scale is a
 * zero: zeros, and NaN where y is infinite or NaN; scale NaN:        NaN throughout. An infinite y becomes
 * +-max for every other scale, NaN stays NaN, and the fnuz dtypes have no negative zero. */
NORMPROOF_EXPORT normproof_status normproof_rms_norm_static_fp8_quant(
    const normproof_tensor* out, const normproof_tensor* input, const normproof_tensor* weight,
    const float* scale, float epsilon, const normproof_launch* launch, normproof_stream stream,
    normproof_launch_report* report, normproof_message message);

/* s = round(input + residual); residual = s; out (fp8) = quantize(rms_norm(s, weight, epsilon), *scale).
 * Rank 2. input is not modified. */
NORMPROOF_EXPORT normproof_status normproof_fused_add_rms_norm_static_fp8_quant(
    const normproof_tensor* out, const normproof_tensor* input, const normproof_tensor* residual,
    const normproof_tensor* weight, const float* scale, float epsilon, const normproof_launch* launch,
    normproof_stream stream, normproof_launch_report* report, normproof_message message);

/* scales[row] = s = fl(a / max) with a the largest |y| of the row, y = rms_norm(input, weight, epsilon), and
 * max the largest finite number of out's dtype; s is at least fl(1 / (512 max)), and NaN where y has a NaN.
 * out (fp8) = quantize(y, s). Rank 2; scales is fp32 and has the shape [rows, 1]. out may be int8: max is
 * then 127, s at least 2^-23, the codes end at -128 and 127, and NaN becomes 0. scale_ub points to one fp32,
 * which a is at most; null: no such bound. */
NORMPROOF_EXPORT normproof_status normproof_rms_norm_dynamic_quant(
    const normproof_tensor* out, const normproof_tensor* scales, const normproof_tensor* input,
    const normproof_tensor* weight, const float* scale_ub, float epsilon, const normproof_launch* launch,
    normproof_stream stream, normproof_launch_report* report, normproof_message message);

/* s = round(input + residual); residual = s; out and scales as above, of rms_norm(s, weight, epsilon).
 * Rank 2. input is not modified. */
NORMPROOF_EXPORT normproof_status normproof_fused_add_rms_norm_dynamic_quant(
    const normproof_tensor* out, const normproof_tensor* scales, const normproof_tensor* input,
    const normproof_tensor* residual, const normproof_tensor* weight, const float* scale_ub, float epsilon,
    const normproof_launch* launch, normproof_stream stream, normproof_launch_report* report,
    normproof_message message);

/* A tensor or number of a call by name. */
typedef struct normproof_named_tensor {
  const char* role; /* "x", "out" ... */
  normproof_tensor tensor;
} normproof_named_tensor;
typedef struct normproof_named_number {
  const char* name; /* "epsilon" */
  float value;
} normproof_named_number;

/* A call of an operation by its name: those of the norm family beside rms_norm, such as "layer_norm". Tensors
 * and numbers are those of oracle/judged/README.md; what may be left out there may be left out here. The
 * arithmetic is that of the policy "native". qk_norm_rope has a further number "interleaved": 1 where pairs
 * are (2i, 2i + 1). */
typedef struct normproof_named_call {
  const char* operation;
  const normproof_named_tensor* tensors;
  size_t tensor_count;
  const normproof_named_number* numbers;
  size_t number_count;
} normproof_named_call;
NORMPROOF_EXPORT normproof_status normproof_run(const normproof_named_call* call,
                                                const normproof_launch* launch, normproof_stream stream,
                                                normproof_launch_report* report, normproof_message message);

/* The names that normproof_run takes, ended by NULL. */
NORMPROOF_EXPORT const char* const* normproof_named_operations(void);

/* Host build only: the order in which the calling OS thread's later launches resume the threads of a block.
 * order 0 forward, 1 reverse, 2 random priorities drawn from seed. The CUDA build ignores it. */
NORMPROOF_EXPORT void normproof_set_thread_order(int32_t order, uint64_t seed);

/* "host" or "cuda". */
NORMPROOF_EXPORT const char* normproof_kernels_backend(void);

#ifdef __cplusplus
}
#endif

#endif
