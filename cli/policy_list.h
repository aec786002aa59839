// Several policies in one option.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oracle/policy.h"

namespace normproof {

// "native,weight=fp32+sum=fp32": policies separated by commas, the axes of one by +. Throws UsageError naming
// the option.
std::vector<oracle::Policy> policies_from_list(const std::string& text, std::string_view option);

}  // namespace normproof
