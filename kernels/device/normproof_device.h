/* What a program that must not depend on the CUDA runtime needs from a device besides the kernels: memory,
 * copies, waiting. Exported by kernels_cuda; a library without a GPU can stand in for it in tests. All
 * functions use the default stream and return NORMPROOF_DEVICE_OK or write a message. After
 * NORMPROOF_DEVICE_FAILED the process must end: an error of a kernel, such as an illegal address, spoils
 * every later call. */
#ifndef NORMPROOF_DEVICE_H
#define NORMPROOF_DEVICE_H

#include "kernels/normproof_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum normproof_device_status {
  NORMPROOF_DEVICE_OK = 0,
  NORMPROOF_DEVICE_ABSENT = 1, /* no driver, a driver too old, or no device */
  NORMPROOF_DEVICE_OUT_OF_MEMORY = 2,
  NORMPROOF_DEVICE_FAILED = 3
} normproof_device_status;

typedef struct normproof_device_info {
  char name[128];  /* "NVIDIA H200" */
  char driver[64]; /* "580.159.04", or the CUDA version that the driver supports where that cannot be read */
  int32_t multiprocessors;
  int32_t l2_bytes;
  int64_t memory_bytes;
  int64_t free_bytes;
} normproof_device_info;

/* A piece of a sparse range: `bytes` bytes from `offset` on exist. */
typedef struct normproof_device_extent {
  uint64_t offset;
  uint64_t bytes;
} normproof_device_extent;

/* Must succeed before any other function here is called. */
NORMPROOF_EXPORT normproof_device_status normproof_device_open(normproof_device_info* info,
                                                               normproof_message message);

NORMPROOF_EXPORT normproof_device_status normproof_device_allocate(size_t bytes, void** address,
                                                                   normproof_message message);
NORMPROOF_EXPORT normproof_device_status normproof_device_release(void* address, normproof_message message);

/* Reserves `bytes` of addresses, of which only what the extents touch is backed by memory; an access
 * elsewhere faults. */
NORMPROOF_EXPORT normproof_device_status normproof_device_map_sparse(uint64_t bytes,
                                                                     const normproof_device_extent* extents,
                                                                     size_t extent_count, void** address,
                                                                     normproof_message message);
NORMPROOF_EXPORT normproof_device_status normproof_device_unmap_sparse(void* address,
                                                                       normproof_message message);

/* Pins host memory, so that copies run at full speed. */
NORMPROOF_EXPORT normproof_device_status normproof_device_pin(void* host, size_t bytes,
                                                              normproof_message message);

/* Enqueued in order with the kernels of the default stream. */
NORMPROOF_EXPORT normproof_device_status normproof_device_copy_in(void* device, const void* host,
                                                                  size_t bytes, normproof_message message);
NORMPROOF_EXPORT normproof_device_status normproof_device_copy_out(void* host, const void* device,
                                                                   size_t bytes, normproof_message message);
/* Waits for all that was enqueued and reports what went wrong in it. */
NORMPROOF_EXPORT normproof_device_status normproof_device_synchronize(normproof_message message);

/* Has what is enqueued on the stream that it gives recorded in a graph instead of carried out, until the end.
 * Waits first for all that was enqueued. */
NORMPROOF_EXPORT normproof_device_status normproof_device_begin_graph(normproof_stream* stream,
                                                                      normproof_message message);
/* Gives the graph, or null and a message where something was called that cannot be recorded. */
NORMPROOF_EXPORT normproof_device_status normproof_device_end_graph(void** graph, normproof_message message);
/* Carries the graph out once, after all that was enqueued, and destroys it. */
NORMPROOF_EXPORT normproof_device_status normproof_device_replay_graph(void* graph,
                                                                       normproof_message message);

/* For benchmarks and tests: the calling thread's later calls use shape number `shape` with `threads` threads
 * (0: the shape's own number) wherever it fits the call, instead of the table's choice; a negative shape
 * means the table again. */
NORMPROOF_EXPORT void normproof_force_configuration(int32_t shape, int32_t threads, int32_t dependent);
/* The name of a shape, null beyond the last. */
NORMPROOF_EXPORT const char* normproof_shape_name(int32_t shape);
/* The shape of the calling thread's last launch, and whether it was a dependent one. */
NORMPROOF_EXPORT int32_t normproof_last_shape(int32_t* dependent);

#ifdef __cplusplus
}
#endif

#endif
