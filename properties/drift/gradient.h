// The backward pass through a stack.
#pragma once

#include <vector>

#include "oracle/judged/operation.h"
#include "properties/drift/numbers.h"

namespace normproof::drift {

// What a layer leaves for the backward pass: what its norm read, and what its ReLU gave.
struct LayerTrace {
  Bytes residual, inner;
};
// The traces of both runs, and what they have in common.
struct Trace {
  std::vector<LayerTrace> first, second;
  struct Layer {
    std::uint64_t first_tensor;  // the number of U, which D follows
    Bytes weight;
  };
  std::vector<Layer> layers;
};

// The gradients of both runs at each layer, and how they differ.
std::vector<GradientDrift> measure_gradient(Numbers& numbers, const Trace& trace,
                                            const oracle::judged::Policy& policy);

}  // namespace normproof::drift
