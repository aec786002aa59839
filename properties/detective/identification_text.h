// What the detective found, as text for people.
#pragma once

#include <string>

#include "corpus/case.h"
#include "properties/detective/identify.h"

namespace normproof {

// A line for a verdict "conforms" that says little, because so large a share of wrong outputs would conform
// as well (wrong_outputs_accepted()); empty where it says something.
std::string says_little_text(double wrong_accepted);

// The policy, then axis by axis what survives and why the rest does not.
// Every line is indented by two spaces.
std::string to_text(const Identification& found, const Case& test_case);

}  // namespace normproof
