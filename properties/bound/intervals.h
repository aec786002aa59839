// For given inputs: between which two numbers each output of a conforming kernel lies. That is far less than
// a tolerance allows, most elements of bf16 have one value or two.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "corpus/case.h"
#include "oracle/policy.h"

namespace normproof::bound {

struct Intervals {
  // Bits of the smallest and the largest output, in the order of the numbers; both NaN where nothing is said.
  Outputs low, high;
  std::int64_t elements = 0;
  std::int64_t single = 0;      // elements that have one value
  std::int64_t neighbours = 0;  // that have two
  std::int64_t unbounded = 0;   // that may be NaN: nothing is said of them
  std::int64_t widest = 0;      // numbers between the two
  std::int64_t widest_row = 0, widest_column = 0;
};

// Of kernels that each follow one of the policies, in any order of summation that its model allows. For
// outputs alone; a stored sum is one number for each policy. Throws std::invalid_argument as the judges do.
Intervals output_intervals(const Case& test_case, const CaseTensors& tensors,
                           std::span<const oracle::Policy> policies);

}  // namespace normproof::bound
