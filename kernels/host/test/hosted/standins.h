// What standins_test.cpp calls: CUB, cooperative groups, cuda::std, asynchronous copies and libraries.
#pragma once

#include "vocabulary.h"

// Of 96 threads with the values 1, 2, 3, ...: inclusive sum, exclusive maximum from 5, the aggregate; and of
// two items a thread the exclusive sum of the second.
VOCABULARY Outcome block_scans();
// Over 16 lanes: inclusive and exclusive sum.
VOCABULARY Outcome warp_scans();
// 32 threads with 4 items each, loaded so that the first 100 of 128 are valid, else -1, and stored in reverse
// sign; with a pointer that so many floats lie above an aligned one, vectorized.
VOCABULARY Outcome block_load_and_store(bool vectorized, int offset);
// Labels lane % 3 in a tile of 16: rank, size, number of the group, sum of the ranks' lanes, inclusive sum.
VOCABULARY Outcome labeled_groups();
VOCABULARY Outcome limits_of_small_types();
// A row through shared memory by asynchronous copies, with and without waiting for them.
enum class Wait { pipeline, primitives, libcu, never };
VOCABULARY Outcome copied_asynchronously(Wait wait);
VOCABULARY Outcome library_call(const char* library);
VOCABULARY Outcome random_numbers();
VOCABULARY Outcome matrix_operation();
VOCABULARY Outcome launch_attributes();
VOCABULARY Outcome occupancy();
// A constant copied to and read back, a copied rectangle of 2 by 3 floats, a copy of more bytes than a symbol
// has.
VOCABULARY Outcome symbols_and_rectangles();
VOCABULARY Outcome too_much_for_a_symbol();
// ceil_div(9, 4), round_up(9, 4), round_down(9, 4), and what a pair and a tuple of Thrust hold.
VOCABULARY Outcome small_helpers();
VOCABULARY Outcome barrier_of_libcu();
