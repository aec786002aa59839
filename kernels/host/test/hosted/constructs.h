// What constructs_test.cpp calls: constructs of published kernels, each in a kernel of its own.
#pragma once

#include "vocabulary.h"

// A pair of halves from a constant of its raw type: the value of both, after 3 was there.
VOCABULARY Outcome raw_pair();
VOCABULARY Outcome pragma_in_a_macro();
VOCABULARY Outcome underscored_struct();
VOCABULARY Outcome ptx_that_nobody_calls();
VOCABULARY Outcome ptx_that_nobody_knows();
// Lanes add what their neighbour has, as half and as bf16 pairs; and the sum over 8 lanes of unsigned bytes.
VOCABULARY Outcome shuffles_of_small_types();
VOCABULARY Outcome tile_of_a_named_block();
// The larger of 3 and 7, by cuda::maximum and by cuda::std's function objects.
VOCABULARY Outcome function_objects();
// __reduce_*_sync over the even lanes, whose values are lane - 16; and __match_any_sync of lane / 8.
VOCABULARY Outcome reductions_of_a_warp();
