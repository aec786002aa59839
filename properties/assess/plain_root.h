// How honest kernels of any policy arrive at a row's unknown: r, or rms where they divide. Written from the
// contract's formulas a second time, in fp64 with one explicit rounding each.
#pragma once

#include <span>

#include "corpus/case.h"
#include "corpus/random.h"
#include "oracle/honest_root.h"
#include "oracle/policy.h"

namespace normproof::assess {

struct RootInputs {
  std::span<const float> operands;  // rounded to T where the variance is in T
  float epsilon;
  DType dtype;
  const oracle::Policy& policy;
};
float honest_unknown(const RootInputs& inputs, oracle::SummationOrder order, Random& random);

}  // namespace normproof::assess
