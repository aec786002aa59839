// What ptx_test.cpp calls: kernels with inline PTX.
#pragma once

#include "vocabulary.h"

// rsqrt, rcp, ex2, lg2 of 4, 4, 3, 8; fma of 2, 3, 4; 1/3 rounded up minus rounded down.
VOCABULARY Outcome ptx_arithmetic(bool draw);
// Pairs: bf16x2 of two floats, its high half; fma.rn.bf16x2; f16 of 1e6 saturated; e4m3x2 of 1000 and 0.5.
VOCABULARY Outcome ptx_conversions();
// Sum over a warp by shfl.sync.bfly, redux.sync of the lanes, the vote of the odd ones, the lane by %laneid.
VOCABULARY Outcome ptx_of_the_warp();
// A row of floats through ld.global.nc.v4, shared memory by 32-bit addresses, bar.sync, cp.async and st with
// hints.
VOCABULARY Outcome ptx_memory(int offset);
// Predicates, registers of its own, named operands, immediates.
VOCABULARY Outcome ptx_predicates();
// An operand that there is not.
VOCABULARY Outcome ptx_that_is_wrong();
// A loop, two branches, and an end before the end, in 8 threads: three numbers of each.
VOCABULARY Outcome ptx_branches();
VOCABULARY Outcome ptx_endless(bool nowhere);
// Half of a block waits for what the other wrote at a barrier of 128 threads, at which that one arrives with so many;
// under the thread order of the seed.
VOCABULARY Outcome ptx_named_barriers(bool with_barrier, int threads, unsigned seed = 1);
// Exchanges and compare-and-swaps of 16 bytes.
VOCABULARY Outcome wide_atomics();
