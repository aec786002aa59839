// Honest fp32 evaluations of the inverse RMS, off by a few representable numbers, drawn from a test's source
// of randomness.
#pragma once

#include <span>

#include "oracle/honest_root.h"
#include "oracle/test/case_builder.h"

namespace normproof::oracle::test {

// r as a kernel with this order would have it, up to `ulp` representable
// numbers off the correctly rounded root.
inline float honest_root(std::span<const float> x, float epsilon, SummationOrder order, int ulp,
                         RandomCases& random) {
  Random draws(random.draw());
  const float r = oracle::honest_root(x, epsilon, order, draws);
  return root_off_by(r, static_cast<int>(draws.between(-ulp, ulp)));
}

}  // namespace normproof::oracle::test
