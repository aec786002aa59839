// What a launcher of these tests returns: the values, and what the runtime says of the launches since the
// last one.
#pragma once

#include <cuda_runtime.h>

#include <utility>
#include <vector>

#include "vocabulary.h"

inline Outcome outcome_of(std::vector<float> values = {}) {
  Outcome outcome;
  const cudaError_t error = cudaGetLastError();
  outcome.error = error;
  outcome.message = cudaGetErrorString(error);
  outcome.values = std::move(values);
  return outcome;
}
