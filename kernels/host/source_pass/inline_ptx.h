// Inline PTX, asm("..." : outputs : inputs : clobbers), becomes a call that carries out what kernels/host
// knows (kernels/host/inline_assembly.h) and names anything else once it is reached.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "kernels/host/source_pass/tokens.h"

namespace normproof::source_pass {

// asm, __asm and __asm__.
bool is_assembler(std::string_view name);
// tokens[at] is such a name. Whether anything changed; what is no statement of PTX stays as it is.
bool rewrite_inline_ptx(std::vector<Token>& tokens, std::size_t at, bool in_function);

}  // namespace normproof::source_pass
