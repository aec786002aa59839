// What assembly_test.cpp calls: HIP sources with AMD's inline assembly and the compiler's functions.
#pragma once

#include "vocabulary.h"

// bf16 of fp32 numbers, which lie in the first `count` of the result behind: by the asm of Composable Kernel.
VOCABULARY Outcome bf16_by_assembly(const std::vector<float>& values);
// fp8 of one zero by asm and by the compiler's function, clamped before and not; and back.
VOCABULARY Outcome fp8_of(const std::vector<float>& values);
// rcp, rsq, sqrt, exp, log of a value by asm; with drawn results or the nearest.
VOCABULARY Outcome approximate_by_assembly(float value, bool draw);
// Sums of a wave by data-parallel moves: by asm, by update_dpp, and by moves and permutations.
VOCABULARY Outcome wave_sums_by_moves();
// Lane by lane: row_shr:1 with bound_ctrl and without, row_bcast:15 for rows 1 and 3, swizzle, permute, quad_perm.
VOCABULARY Outcome moves();
VOCABULARY Outcome moves_in_a_branch();
VOCABULARY Outcome packed_numbers();
VOCABULARY Outcome words_by_assembly();
// Loads and stores by asm and by buffers, which have 10 elements.
VOCABULARY Outcome memory_by_assembly();
VOCABULARY Outcome buffers();
// Instructions that nobody knows: not reached, or reached.
VOCABULARY Outcome unknown_assembly(bool reach);
VOCABULARY Outcome unwritten_register();
