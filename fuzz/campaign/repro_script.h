// repro.py: a finding as a script that needs Python and numpy alone.
#pragma once

#include <string>

#include "corpus/case.h"

namespace normproof::campaign {

// The source of a script that computes the contract's outputs of a case by itself, compares them with
// `wanted` and with `got`, prints the elements that differ, and exits with 1 where some do. `target` is named
// in its text.
std::string repro_script(const Case& test_case, const Outputs& got, const Outputs& wanted,
                         const std::string& target);

}  // namespace normproof::campaign
