// RapidCheck's view of cases: a generator whose values shrink lazily along corpus/shrink.h.
#pragma once

#include <rapidcheck/Gen.h>

#include <functional>

#include "corpus/case.h"
#include "corpus/random.h"

namespace normproof {

// Cases that `draw` makes from a seeded Random, each with all its shrink candidates, and theirs, computed
// only when RapidCheck asks for them.
rc::Gen<Case> case_generator(std::function<Case(Random&)> draw);

// For RapidCheck's own output, which this project does not print.
void showValue(const Case& test_case, std::ostream& stream);

}  // namespace normproof
