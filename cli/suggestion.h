// "did you mean ...?": the name that was probably meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace normproof {

// The name that is fewest insertions, deletions, replacements and swaps away from
// `word`; empty where none is near.
std::string nearest_name(std::string_view word, const std::vector<std::string>& names);

// "; did you mean 'verify'?", or nothing.
std::string suggestion(std::string_view word, const std::vector<std::string>& names);

}  // namespace normproof
