// What hip_test.cpp calls: HIP sources, in waves of 64 lanes or of 32.
#pragma once

#include "vocabulary.h"

// One wave: the lanes' numbers summed by shuffles from warpSize / 2 on, and by shuffles from 16 on.
VOCABULARY Outcome wave_sums();
// Of `threads` threads: how many lanes a ballot has, whether lane 40 is in it, and the same cut to 32 bits.
VOCABULARY Outcome ballots(int threads);
// Lanes below 10 shuffle in a branch, the others in the other, then all; and in a loop that some leave early.
VOCABULARY Outcome branches();
VOCABULARY Outcome reads_from_the_other_branch();
// Shuffles in segments of 32 lanes, and with a mask of 32 bits.
VOCABULARY Outcome segments();
VOCABULARY Outcome mask_of_32_bits();
// By hipLaunchKernelGGL, with dynamic shared memory and a template: the block's sum by hipCUB and by a tile.
VOCABULARY Outcome block_sums(int threads);
VOCABULARY Outcome device_properties();
// 448, 240, -0, infinity and 1.0625 as fp8 with one zero, by type and by function; a bf16 sum.
VOCABULARY Outcome small_numbers();
VOCABULARY Outcome compiler_functions();
