// What computes with floats rounds to nearest and keeps subnormals, whatever the process that Python runs in
// has set: some libraries set flush-to-zero for all, and callers their own rounding mode.
#pragma once

#include <nanobind/nanobind.h>

#include "oracle/row_kernels.h"

namespace normproof::python {

inline constexpr nanobind::call_guard<oracle::StandardFloatEnvironment> kStandardFloats;

}  // namespace normproof::python
