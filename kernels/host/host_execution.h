/* host_execution.h: the second symbol of a plug-in whose CUDA threads run on the CPU.
 * normproof_add_cuda_host_target() puts it into every library; who calls the library uses it to choose,
 * before a call, how the threads are scheduled. */
#ifndef NORMPROOF_HOST_EXECUTION_H
#define NORMPROOF_HOST_EXECUTION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NORMPROOF_HOST_EXECUTION_VERSION 1u

typedef struct normproof_host_execution {
  uint32_t version; /* NORMPROOF_HOST_EXECUTION_VERSION */
  /* How the calling OS thread's launches resume the threads of a block: order 0 forward, 1 reverse, 2 random
   * priorities drawn from seed, which then also chooses the bits of approximate functions such as rsqrtf. */
  void (*begin_call)(int32_t order, uint64_t seed);
  /* Whether a launch went wrong since begin_call, even if nobody asked; why goes to message, which has room
   * for `capacity` bytes, a terminating NUL included. */
  int32_t (*end_call)(char* message, size_t capacity);
} normproof_host_execution;

__attribute__((visibility("default"))) const normproof_host_execution* normproof_host_execution_of_plugin(
    void);

#ifdef __cplusplus
}
#endif

#endif
