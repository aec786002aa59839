// From CUDA C++ to C++: kernel<<<...>>>(...) and __shared__ declarations, which no plain compiler takes,
// become calls of kernels/host. What cannot run on the CPU becomes an error of the compiler, at its place in
// the source.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/host/source_pass/tokens.h"

namespace normproof::source_pass {

// Functions and macros of the sources themselves that have the name of something that CUDA has and we have
// not (unavailable.h): theirs is meant. Adds those that are defined in `tokens`.
using Names = std::set<std::string, std::less<>>;
void add_defined_names(const std::vector<Token>& tokens, Names& defined);

// Edits the tokens in place; whether anything changed. Every text keeps its line.
bool rewrite(std::vector<Token>& tokens, const Names& defined);

// Calls path(name, quoted) for every #include of a file by name and puts what it returns, if anything, in its
// place; whether anything changed.
bool rewrite_includes(std::vector<Token>& tokens,
                      const std::function<std::string(std::string_view name, bool quoted)>& path);

std::string text_of(const std::vector<Token>& tokens);

}  // namespace normproof::source_pass
