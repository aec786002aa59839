// What violating outputs are, in one sentence: whose rounding, or where they are wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/given_outputs.h"
#include "properties/judging/difference_histogram.h"

namespace normproof {

// "all 3 violating rows follow policy weight=fp32, pytorch.rms_norm (PyTorch F.rms_norm, CUDA)". Asks the
// detective about some of the violating rows, and says about which. `rows`: those that violate, at least one.
std::string diagnosis_of(const GivenOutputs& given, const std::vector<std::int64_t>& rows,
                         const DifferenceHistogram& histogram);

// "all in columns 3 modulo 8", "all in the last 5 columns, which fill no vector of 8": what the columns that
// differ have in common; empty where it is nothing that a kernel would do. `by_column`: how many rows differ.
std::string column_pattern(const std::vector<std::int64_t>& by_column);

}  // namespace normproof
