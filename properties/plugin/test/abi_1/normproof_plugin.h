/* As it was in version 1 of the interface: libraries that were built with it go on running.
 *
 * normproof_plugin.h: how a norm kernel from anywhere is judged. Export one function from a shared library,
 *
 *     NORMPROOF_PLUGIN_EXPORT const normproof_plugin_info* normproof_plugin(void);
 *
 * and run `normproof verify --target ./libmine.so`. `normproof new-target mine` writes an example to start
 * from. What is called when, and how it is judged, is in properties/plugin/README.md. */
#ifndef NORMPROOF_PLUGIN_H
#define NORMPROOF_PLUGIN_H

#include <dlpack/dlpack.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NORMPROOF_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define NORMPROOF_PLUGIN_EXPORT
#endif

/* The version of this header. It changes whenever anything below does. */
#define NORMPROOF_PLUGIN_ABI 1u

/* What a function returns. A call that is not taken is neither right nor wrong: it is counted, and the reason
 * is printed. It must have written nothing. */
typedef enum normproof_plugin_status {
  NORMPROOF_PLUGIN_OK = 0,
  NORMPROOF_PLUGIN_NOT_TAKEN = 1, /* this kernel is not made for it: a stride, a size, an alignment */
  NORMPROOF_PLUGIN_FAILED = 2     /* the call went wrong; this is a finding */
} normproof_plugin_status;

/* What comes with every call. */
typedef struct normproof_plugin_call {
  void* stream;            /* cudaStream_t for the work; NULL: the default stream, or host memory */
  char* message;           /* where the reason goes if the call is not taken or fails; empty before */
  size_t message_capacity; /* bytes, the terminating NUL included */
} normproof_plugin_call;

/* Tensors. Strides count elements and are always given; the last one is 1; byte_offset is 0. Addresses are
 * multiples of the element size and of nothing else. dtype is {kDLBfloat, 16, 1}, {kDLFloat, 16, 1},
 * {kDLFloat, 32, 1}, or {one of these codes, 8, 1}, which are those of DLPack 1.1: */
enum {
  NORMPROOF_DL_FLOAT8_E4M3FN = 10,
  NORMPROOF_DL_FLOAT8_E4M3FNUZ = 11,
  NORMPROOF_DL_FLOAT8_E5M2 = 12,
  NORMPROOF_DL_FLOAT8_E5M2FNUZ = 13
};

/* What a plug-in takes, as bits: activations, weights, and the dtypes that it quantizes to. */
enum {
  NORMPROOF_TAKES_BF16 = 1 << 0, /* activations: the dtype of input and residual */
  NORMPROOF_TAKES_FP16 = 1 << 1,
  NORMPROOF_TAKES_FP32 = 1 << 2,
  NORMPROOF_TAKES_NO_WEIGHT = 1 << 3,   /* the weight is NULL */
  NORMPROOF_TAKES_SAME_WEIGHT = 1 << 4, /* a weight of the activations' dtype */
  NORMPROOF_TAKES_FP32_WEIGHT = 1 << 5, /* a fp32 weight, whatever the activations are */
  NORMPROOF_TAKES_E4M3FN = 1 << 6,
  NORMPROOF_TAKES_E5M2 = 1 << 7,
  NORMPROOF_TAKES_E4M3FNUZ = 1 << 8,
  NORMPROOF_TAKES_E5M2FNUZ = 1 << 9
};

typedef struct normproof_plugin_info {
  uint32_t abi_version; /* NORMPROOF_PLUGIN_ABI */
  uint32_t takes;       /* NORMPROOF_TAKES_... */
  const char* name;     /* for reports: "mine 2.1" */
  DLDeviceType memory;  /* of all tensors and of scale: kDLCPU or kDLCUDA */

  /* The operations, NULL where there is none. Each returns a normproof_plugin_status. `weight` is NULL or has
   * the one dimension H; all others have the same shape [..., H], which may hold no rows. */

  /* out = rms_norm(input, weight, epsilon). 2 to 4 dimensions. out may be the very same memory as input. */
  int32_t (*rms_norm)(const DLTensor* out, const DLTensor* input, const DLTensor* weight, float epsilon,
                      const normproof_plugin_call* call);

  /* In place: residual = input + residual; input = rms_norm(residual, weight, epsilon). 2 dimensions. */
  int32_t (*fused_add_rms_norm)(const DLTensor* input, const DLTensor* residual, const DLTensor* weight,
                                float epsilon, const normproof_plugin_call* call);

  /* out (fp8) = quantize(rms_norm(input, weight, epsilon) / *scale). 2 dimensions. */
  int32_t (*rms_norm_static_fp8_quant)(const DLTensor* out, const DLTensor* input, const DLTensor* weight,
                                       const float* scale, float epsilon, const normproof_plugin_call* call);

  /* residual = input + residual; out (fp8) = quantize(rms_norm(residual, weight, epsilon) / *scale).
   * 2 dimensions. input stays as it is. */
  int32_t (*fused_add_rms_norm_static_fp8_quant)(const DLTensor* out, const DLTensor* input,
                                                 const DLTensor* residual, const DLTensor* weight,
                                                 const float* scale, float epsilon,
                                                 const normproof_plugin_call* call);
} normproof_plugin_info;

/* The one symbol that a plug-in exports. What it returns must live as long as the library. */
NORMPROOF_PLUGIN_EXPORT const normproof_plugin_info* normproof_plugin(void);

#ifdef __cplusplus
}
#endif

#endif
