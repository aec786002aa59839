// Weights on which the policies of a quantized output differ, found by trying candidates.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "corpus/case.h"
#include "corpus/random.h"

namespace normproof {

// An element whose inverse RMS is known whatever the order of summation.
struct KnownElement {
  double operand = 0;
  float root = 0;
};

// `count` weights, as numbers of the case's weight dtype. For each two policies, and each of the elements,
// some of them show which of the two gave the outputs, even if r is some ulp off, as far as the candidates
// allow. Reads the dtypes and the scale of `types`, which must have a weight and a quantized output. Without
// candidates that tell anything the result is empty.
std::vector<double> aimed_weights(const Case& types, std::span<const KnownElement> elements,
                                  std::size_t count, Random& random);

}  // namespace normproof
