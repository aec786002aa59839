/* Times the kernels of kernels_cuda on a GPU; exported by libbench_cuda.so. Every figure is a median over
 * replays of a CUDA graph of many launches, and comes with a device-to-device copy of the same number of
 * bytes, measured likewise. */
#ifndef NORMPROOF_BENCH_MEASURE_H
#define NORMPROOF_BENCH_MEASURE_H

#include "kernels/device/normproof_device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What one call is given; null: the operation has no such tensor. */
typedef struct normproof_measured_tensors {
  const normproof_tensor *out, *scales, *input, *residual, *weight;
  const float* scale;
} normproof_measured_tensors;

/* What the numbers of a tensor are, in fp32, fp16 or bf16. */
typedef enum normproof_measured_values {
  NORMPROOF_VALUES_NONE = 0,      /* an output; or whatever lies there */
  NORMPROOF_VALUES_NORMAL = 1,    /* of deviation 1 */
  NORMPROOF_VALUES_UNIT = 2,      /* from -1 to 1 */
  NORMPROOF_VALUES_NEAR_ZERO = 3, /* within a few 64ths */
  NORMPROOF_VALUES_NEAR_ONE = 4   /* within a 64th, never below 0 */
} normproof_measured_values;

/* A tensor of a call by name, packed. */
typedef struct normproof_measured_tensor {
  const char* role;
  normproof_dtype dtype;
  int32_t rank;
  int64_t sizes[4];
  normproof_measured_values values;
  int32_t is_weight;   /* 1: all calls have the same */
  int32_t in_place_of; /* the place of the tensor before it whose memory it has; negative: its own */
} normproof_measured_tensor;

typedef struct normproof_measured_call {
  const char* operation; /* of normproof_named_operations */
  const normproof_measured_tensor* tensors;
  size_t tensor_count;
  const normproof_named_number* numbers;
  size_t number_count;
} normproof_measured_call;

/* Enqueues the operation of a request on the stream, other than by the kernels of kernels_cuda. Returns 0, or
 * writes why not. */
typedef int32_t (*normproof_measured_function)(void* context, const normproof_measured_tensors* tensors,
                                               void* stream, normproof_message message);

typedef struct normproof_measure_request {
  int32_t adds_residual;
  int32_t quantizes;   /* to e4m3fn */
  int32_t scales_rows; /* each row by a scale of its own; only where it quantizes */
  normproof_dtype dtype;
  int64_t rows;
  int64_t hidden;
  int32_t cold;  /* 1: buffers rotate through several times the L2 cache; 0: it holds them all */
  int32_t copy;  /* 1: measure the limits, too: the copy, and the operation's reads and writes alone */
  int32_t shape; /* of a forced configuration, negative: the table's choice */
  int32_t threads;
  int32_t dependent;
  int32_t replays;                      /* of which the median is taken; 0: nine */
  int32_t interrupted;                  /* 1: another kernel runs before every replay, and a graph before */
  int32_t hot_sets;                     /* of tensors that launches go through in turn where not cold; 0: one,
                                           or several places where they are small */
  normproof_measured_function function; /* what is measured; null: the kernels of kernels_cuda */
  void* context;                        /* for the function */
} normproof_measure_request;

typedef struct normproof_measure_result {
  double kernel_us;
  double copy_us;         /* 0 unless asked for */
  double traffic_us;      /* likewise: a kernel that reads and writes the same places and computes nothing */
  double kernel_least_us; /* the fastest and slowest replay */
  double kernel_most_us;
  int32_t shape; /* what was launched; negative: of a call by name, whose shapes have no numbers */
  int32_t threads;
  int32_t dependent;
} normproof_measure_result;

NORMPROOF_EXPORT normproof_device_status normproof_measure(const normproof_measure_request* request,
                                                           normproof_measure_result* result,
                                                           normproof_message message);

/* The same of a call by name: of the request how it is measured counts (cold, copy, replays, interrupted,
 * hot_sets), not what. The bytes that must move are those of all its tensors; where one lies in place of
 * another, these are read and written. The reads and writes alone are not measured. */
NORMPROOF_EXPORT normproof_device_status normproof_measure_named(const normproof_measure_request* request,
                                                                 const normproof_measured_call* call,
                                                                 normproof_measure_result* result,
                                                                 normproof_message message);

#ifdef __cplusplus
}
#endif

#endif
