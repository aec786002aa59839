// The part of validate() that the JSON reader needs before it can read data.
#pragma once

#include <string>
#include <vector>

#include "corpus/case.h"

namespace normproof {

// Reasons why everything but the tensors' data and the outputs is not well-formed. Empty: rows(), elements()
// and hidden_size() are meaningful and within the limits.
std::vector<std::string> validate_all_but_data(const Case& test_case);

}  // namespace normproof
