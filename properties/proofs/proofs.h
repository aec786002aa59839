/* Exhaustive proofs of the kernels' elementary operations against integer arithmetic: the C interface of one
 * source that is compiled for the CPU (linked into the program) and for the device (libproofs_cuda.so). An
 * input is a number from 0 to normproof_proof_inputs() - 1; inputs are taken in blocks of 8. */
#ifndef NORMPROOF_PROOFS_H
#define NORMPROOF_PROOFS_H

#include "kernels/device/normproof_device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct normproof_proof_result {
  uint64_t inputs; /* compared */
  uint64_t mismatches;
  uint64_t first_mismatch; /* the smallest input of one; got and wanted are its bits */
  uint32_t got;
  uint32_t wanted;
  uint64_t hash; /* of all inputs and the kernels' results; does not depend on the order, so parts add up */
} normproof_proof_result;

NORMPROOF_EXPORT int32_t normproof_proof_count(void);
NORMPROOF_EXPORT const char* normproof_proof_name(int32_t proof);
NORMPROOF_EXPORT const char* normproof_proof_sentence(int32_t proof);
NORMPROOF_EXPORT uint64_t normproof_proof_inputs(int32_t proof);

/* Compares the blocks of 8 inputs first_block, first_block + stride, ..., `blocks` of them, on `threads`
 * threads where there is no device. */
NORMPROOF_EXPORT normproof_device_status normproof_prove(int32_t proof, uint64_t first_block, uint64_t blocks,
                                                         uint64_t stride, int32_t threads,
                                                         normproof_proof_result* result,
                                                         normproof_message message);

#ifdef __cplusplus
}
#endif

#endif
