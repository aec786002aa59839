// Inputs outside the conditions of a bound, on which conforming kernels differ without one.
#pragma once

#include <string>
#include <vector>

#include "properties/bound/attain.h"

namespace normproof::bound {

struct Boundless {
  std::string condition;  // that does not hold: "epsilon < 0"
  std::string reason;
  Example example;
};

// One for each condition that inputs of the question's types can break, for its first policy. Rows of fewer
// than 16 elements, and policies that sum otherwise than in fp32, have fewer of them. All outputs conform, by
// the witness judge.
std::vector<Boundless> boundless_examples(const Question& question);

}  // namespace normproof::bound
