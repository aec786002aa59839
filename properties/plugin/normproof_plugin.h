/* normproof_plugin.h: how a norm kernel from anywhere is judged. Export one function from a shared library,
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
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NORMPROOF_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define NORMPROOF_PLUGIN_EXPORT
#endif

/* The version of this interface. Structures may get new members at their ends, operations, roles and
 * parameters new names: that needs no new version and no new build. Libraries of version 1 run as well. */
#define NORMPROOF_PLUGIN_ABI 2u

/* What an operation returns. A call that is not taken is neither right nor wrong: it is counted, and the
 * reason is printed. It must have written nothing. */
typedef enum normproof_plugin_status {
  NORMPROOF_PLUGIN_OK = 0,
  NORMPROOF_PLUGIN_NOT_TAKEN = 1, /* this kernel is not made for it: a stride, a size, an alignment */
  NORMPROOF_PLUGIN_FAILED = 2     /* the call went wrong; this is a finding */
} normproof_plugin_status;

/* A tensor by what it is to the operation. Strides count elements and are always given; the last one is 1;
 * byte_offset is 0. Addresses are multiples of the element size and of nothing else. dtype is
 * {kDLBfloat, 16, 1}, {kDLFloat, 16, 1}, {kDLFloat, 32, 1}, or {one of these codes, 8, 1}, which are those of
 * DLPack 1.1: */
enum {
  NORMPROOF_DL_FLOAT8_E4M3FN = 10,
  NORMPROOF_DL_FLOAT8_E4M3FNUZ = 11,
  NORMPROOF_DL_FLOAT8_E5M2 = 12,
  NORMPROOF_DL_FLOAT8_E5M2FNUZ = 13
};
typedef struct normproof_plugin_argument {
  const char* role; /* "input", "out" ... */
  const DLTensor* tensor;
} normproof_plugin_argument;

/* A number of the call. */
typedef struct normproof_plugin_parameter {
  const char* name; /* "epsilon" ... */
  float value;
} normproof_plugin_parameter;

typedef struct normproof_plugin_call {
  size_t struct_size;      /* bytes of this structure as the program knows it */
  void* stream;            /* cudaStream_t for the work; NULL: the default stream, or host memory */
  char* message;           /* where the reason goes if the call is not taken or fails; empty before */
  size_t message_capacity; /* bytes, the terminating NUL included */
  const normproof_plugin_argument* arguments;
  size_t argument_count;
  const normproof_plugin_parameter* parameters;
  size_t parameter_count;
} normproof_plugin_call;

/* The tensor of a role; NULL where the call has none, as a weight that is left out. */
static inline const DLTensor* normproof_tensor_of(const normproof_plugin_call* call, const char* role) {
  size_t i;
  for (i = 0; i < call->argument_count; ++i)
    if (strcmp(call->arguments[i].role, role) == 0) return call->arguments[i].tensor;
  return NULL;
}

/* The value of a parameter; 0 where the call has none of that name. */
static inline float normproof_parameter_of(const normproof_plugin_call* call, const char* name) {
  size_t i;
  for (i = 0; i < call->parameter_count; ++i)
    if (strcmp(call->parameters[i].name, name) == 0) return call->parameters[i].value;
  return 0.0f;
}

/* Which calls an operation is made for. Zero: any. A call inside must be taken; none outside is made. */
typedef struct normproof_plugin_limits {
  size_t struct_size;      /* sizeof(normproof_plugin_limits) */
  int64_t hidden_multiple; /* the hidden size is a multiple of it */
  int64_t greatest_hidden;
  int64_t greatest_rank;
  int64_t least_rows;
  int64_t greatest_rows;
  int64_t alignment;      /* bytes: of every address, and of the distance of rows */
  int32_t contiguous;     /* not 0: rows without gaps */
  int32_t not_in_place;   /* not 0: where a case may choose, the output has memory of its own */
  int32_t epsilon_is_set; /* not 0: the kernel has one epsilon, whatever the call says */
  float epsilon;
} normproof_plugin_limits;

/* The operations, by name. Each tensor has the same shape [..., H], which may hold no rows, but the weight,
 * [H], which may be left out, the scale, [1], and the scales, [..., 1]. 2 dimensions, and up to 4 for
 * rms_norm.
 *
 * rms_norm: out = rms_norm(input, weight, epsilon). `out` may be the very same memory as `input`.
 *
 * fused_add_rms_norm: residual_out = input + residual; out = rms_norm(residual_out, weight, epsilon). `out`
 * is the memory of `input`, `residual_out` that of `residual`.
 *
 * rms_norm_static_fp8_quant: out (fp8) = quantize(rms_norm(input, weight, epsilon) / *scale).
 *
 * fused_add_rms_norm_static_fp8_quant: residual_out = input + residual, the memory of `residual`;
 * out (fp8) = quantize(rms_norm(residual_out, weight, epsilon) / *scale). `input` stays as it is.
 *
 * rms_norm_dynamic_quant: y = rms_norm(input, weight, epsilon); scales (fp32) = the scale that each row gets
 * from its largest |y|; out (fp8, or int8 where `takes` has NORMPROOF_TAKES_ROW_INT8) = quantize(y / scales).
 * Where `takes` has NORMPROOF_TAKES_ROW_SCALE_UB, some calls have a tensor scale_ub, fp32, [1]: the upper
 * bound of the largest |y|.
 *
 * fused_add_rms_norm_dynamic_quant: residual_out = input + residual, the memory of `residual`; out and scales
 * as above, of rms_norm(residual_out, weight, epsilon). `input` stays as it is.
 *
 * Roles are named as here, parameters too.
 *
 * Judged operations, layer_norm and the like, may be listed as well: they are judged in any order of
 * summation. Their tensors and shapes are those of oracle/judged/README.md, for instance
 *
 * layer_norm: out = layer_norm(x, weight, bias, epsilon); mean and rstd (fp32, [..., 1]) = the statistics of
 * each row, where the call asks for them. `out` may be the very same memory as `x`. */
typedef struct normproof_plugin_operation {
  size_t struct_size; /* sizeof(normproof_plugin_operation) */
  const char* name;
  int32_t (*run)(const normproof_plugin_call* call); /* returns a normproof_plugin_status */
  const normproof_plugin_limits* limits;             /* NULL: what it is made for it says call by call */
} normproof_plugin_operation;

/* What a plug-in takes, as bits: activations, weights, and the dtypes that it quantizes to. */
enum {
  NORMPROOF_TAKES_BF16 = 1 << 0, /* activations: the dtype of input and residual */
  NORMPROOF_TAKES_FP16 = 1 << 1,
  NORMPROOF_TAKES_FP32 = 1 << 2,
  NORMPROOF_TAKES_NO_WEIGHT = 1 << 3,   /* there is no weight */
  NORMPROOF_TAKES_SAME_WEIGHT = 1 << 4, /* a weight of the activations' dtype */
  NORMPROOF_TAKES_FP32_WEIGHT = 1 << 5, /* a fp32 weight, whatever the activations are */
  NORMPROOF_TAKES_E4M3FN = 1 << 6,
  NORMPROOF_TAKES_E5M2 = 1 << 7,
  NORMPROOF_TAKES_E4M3FNUZ = 1 << 8,
  NORMPROOF_TAKES_E5M2FNUZ = 1 << 9,
  NORMPROOF_TAKES_INT8 = 1 << 10,          /* of judged operations that quantize, as is (see ROW_INT8) */
  NORMPROOF_TAKES_E2M1 = 1 << 11,          /* two in a byte */
  NORMPROOF_TAKES_SCALE_UB = 1 << 12,      /* of judged operations that have it: scale_ub is given, or not */
  NORMPROOF_TAKES_SCALE_LAYOUTS = 1 << 13, /* scales lie, and blocks are long, as the shape of scales says */
  NORMPROOF_TAKES_WEIGHT_ROWS = 1 << 14,   /* weights and biases of several rows, where they may have them */
  NORMPROOF_TAKES_NO_STATISTICS = 1 << 15, /* gradients also without rstd and mean, by epsilon */
  NORMPROOF_TAKES_SCALE_VIEWS = 1 << 16,   /* scales [rows, blocks] also of strides [1, n], n >= rows */
  NORMPROOF_TAKES_ROW_INT8 = 1 << 17,      /* int8 of rms_norm_dynamic_quant and its fused add */
  /* of the same: scale_ub is given, or not. Some operation or codes may have none: a call with one is not
   * taken where its function says so, whatever the limits are. */
  NORMPROOF_TAKES_ROW_SCALE_UB = 1 << 18
};

typedef struct normproof_plugin_info {
  uint32_t abi_version;                                /* NORMPROOF_PLUGIN_ABI */
  uint32_t takes;                                      /* NORMPROOF_TAKES_... */
  const char* name;                                    /* for reports: "mine 2.1" */
  DLDeviceType memory;                                 /* of all tensors: kDLCPU or kDLCUDA */
  size_t struct_size;                                  /* sizeof(normproof_plugin_info) */
  const normproof_plugin_operation* const* operations; /* NULL after the last */
} normproof_plugin_info;

/* The one symbol that a plug-in exports. What it returns must live as long as the library. */
NORMPROOF_PLUGIN_EXPORT const normproof_plugin_info* normproof_plugin(void);

#ifdef __cplusplus
}
#endif

#endif
