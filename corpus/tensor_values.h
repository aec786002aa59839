// The values of a random case's tensors, and the scalars that depend on them.
#pragma once

#include <cstdint>

#include "corpus/case.h"
#include "corpus/random.h"

namespace normproof {

// Gives a case that is complete but for its data, epsilon and scale those too. Most rows are scaled at
// random, and some have specials sprinkled over them (`special_percent`). In a quarter of the cases that are
// short enough the inverse RMS is a known power of two and weights, residuals and scale are solved for so
// that products, sums and quantized values lie on rounding midpoints or right beside them.
void draw_values(Random& random, int special_percent, Case& test_case);

// An upper bound of scales: mostly near what most rows reach, sometimes below the least scale, or any.
std::uint32_t draw_upper_bound(Random& random);

}  // namespace normproof
