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
  int32_t shape; /* what was launched */
  int32_t threads;
  int32_t dependent;
} normproof_measure_result;

NORMPROOF_EXPORT normproof_device_status normproof_measure(const normproof_measure_request* request,
                                                           normproof_measure_result* result,
                                                           normproof_message message);

#ifdef __cplusplus
}
#endif

#endif
