// What of CUDA cannot be had on the CPU, or is not here yet, and why: the source pass makes each use an error
// of the compiler, and cuda_surface.py, which compares the stand-in headers with a toolkit, takes the reasons
// from here.
#pragma once

#include <span>
#include <string_view>

namespace normproof::source_pass {

struct Unavailable {
  std::string_view names;  // separated by spaces; a * at the end of one stands for anything
  std::string_view why;
  std::string_view instead;    // what to write; empty where there is nothing
  bool only_if_called = true;  // a word that a source may use for something else
};

std::span<const Unavailable> all_unavailable();
// The row of this name; null where there is none.
const Unavailable* find_unavailable(std::string_view name);

}  // namespace normproof::source_pass
