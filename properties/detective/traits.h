// What a kernel does that its rounding policy does not say: found by running it
// on inputs made for the question.
#pragma once

#include <string>
#include <vector>

#include "properties/detective/discriminate.h"
#include "properties/targets/target.h"

namespace normproof {

struct Trait {
  std::string question;  // "the same row alone and among 300"
  std::string answer;    // "same bits"
};

// Runs the target on shapes like `shape` (its operation and dtypes; rows and hidden size are the questions'
// own): whether a row's bits depend on the number of rows and on the alignment, what becomes of NaN,
// infinity, rows of zeros and no rows at all, where epsilon is added and by what the sum is divided.
std::vector<Trait> observe_traits(Target& target, const DiscriminatingShape& shape);

}  // namespace normproof
