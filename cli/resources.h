// The files that belong to the program: beside it in ../share/normproof, in a build
// folder as where it is installed.
#pragma once

#include <filesystem>
#include <string_view>

namespace normproof {

// The path of `name` there ("corpus", "mutants", "peers.csv", "fuzzers"), links followed as far as they lead;
// it need not exist. Empty where the program's own path cannot be told.
std::filesystem::path resource(std::string_view name);

}  // namespace normproof
