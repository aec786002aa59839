// Whether the smallest case of a killed mutant, replayed alone, violates there and
// conforms on the production kernels.
#pragma once

#include <cstdint>
#include <string>

#include "properties/matrix/matrix.h"

namespace normproof::matrix {

// `verify` is the cell of `normproof verify` on `target`, run with `seed`. The
// replays are processes of their own.
Repro check_repro(const std::string& target, const Cell& verify, std::uint64_t seed);

}  // namespace normproof::matrix
