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

// Names that begin with two underscores and are functions, types or macros of the stand-in headers or of the
// sources themselves. Add to it what `tokens` have: every such name of a header, else only those defined
// there.
using Names = std::set<std::string, std::less<>>;
void add_names_of_header(const std::vector<Token>& tokens, Names& known);
void add_defined_names(const std::vector<Token>& tokens, Names& known);

// Edits the tokens in place; whether anything changed. Every text keeps its line.
bool rewrite(std::vector<Token>& tokens, const Names& known);

// Calls path(name, quoted) for every #include of a file by name and puts what it returns, if anything, in its
// place; whether anything changed.
bool rewrite_includes(std::vector<Token>& tokens,
                      const std::function<std::string(std::string_view name, bool quoted)>& path);

std::string text_of(const std::vector<Token>& tokens);

}  // namespace normproof::source_pass
