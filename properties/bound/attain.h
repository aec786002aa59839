// Inputs on which two conforming kernels differ as much as a bound says, or as much as could be found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "corpus/case.h"
#include "oracle/sum_tree.h"
#include "properties/bound/bound.h"

namespace normproof::bound {

// A kernel that conforms to its policy: it sums in one order, and its root is off by a few numbers.
struct HonestKernel {
  oracle::Policy policy;                        // of the question
  std::string order = "canonical";              // in words
  std::shared_ptr<const oracle::SumTree> tree;  // nothing: the canonical order
  int root_off = 0;  // numbers of fp32 that r (or rms) lies above the root rounded once
};
// "policy native, serial order, r 2 numbers above the root rounded once".
std::string to_text(const HonestKernel& kernel);

// The sum of squares of the first row, rounded as the kernel's policy says; and from it the bits of r (or
// rms). The formula is the case's.
oracle::Value sum_of(const HonestKernel& kernel, const oracle::Formula& formula, const CaseTensors& tensors);
std::uint32_t unknown_of(const HonestKernel& kernel, const oracle::Formula& formula,
                         const oracle::Value& sum);

// One row, and what two such kernels give of it.
struct Example {
  Case test_case;  // with its data
  HonestKernel first, second;
  Outputs first_outputs, second_outputs;
  std::int64_t column = 0;  // of the difference
  std::int64_t apart = 0;   // numbers of the output's dtype
  double ratio = 1;         // of the larger to the smaller output; infinity where one is 0
};

struct Attainment {
  std::optional<Example> by_apart, by_rtol;  // both or neither
  // The one that shows more of both, if there is one. Requires that there are any.
  const Example& shown() const { return by_rtol->apart >= by_apart->apart ? *by_rtol : *by_apart; }
};

// Searches. Outputs of what it finds conform under the policies of the question, which is made sure of by the
// witness judge. Throws std::logic_error should that not be so.
Attainment attain(const Question& question, const PairBound& bound);

// The number of T next to the value, on the side of 0.
double floor_to(DType dtype, double value);

// Carries out a kernel on the case's data, every output.
Outputs outputs_of(const HonestKernel& kernel, const Case& test_case, const CaseTensors& tensors);
// The example's two outputs of the case, and what they show at its column.
Example example_of(const Case& test_case, const CaseTensors& tensors, const HonestKernel& first,
                   const HonestKernel& second, std::int64_t column);

}  // namespace normproof::bound
