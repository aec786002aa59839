// Whether what stands here about the values of an operation holds for it: relations between calls, bounds,
// the plain kernel of the studies. Each was derived for the steps below and no others; the judges need none
// of them.
#pragma once

#include <algorithm>

#include "corpus/operation.h"

namespace normproof {

// The compiler stops at a step that is new.
inline bool is_known(NormStep step) {
  switch (step) {
    case NormStep::add_residual:
    case NormStep::normalize:
    case NormStep::quantize:
    case NormStep::quantize_by_row:
      return true;
  }
  return false;
}

inline bool has_known_steps(Operation operation) {
  return std::ranges::all_of(spec_of(operation).steps, is_known);
}

}  // namespace normproof
