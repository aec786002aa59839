// --version: what a bug report needs to know of the program.
#pragma once

#include <string>

namespace normproof {

// "normproof 0.1.0 (commit 36fe2c3abc, clang 19.1.7, no CUDA, corpus 0123456789abcdef: 190 files)".
std::string version_text();

}  // namespace normproof
