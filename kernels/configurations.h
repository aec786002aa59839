// Configurations: which shape of kernel runs on how many threads, by operation, dtype, row length and number
// of rows. Performance only: every configuration gives the same bits.
#pragma once

#include <cstdint>

#include "kernels/arguments.h"

namespace normproof::kernels {

// The shapes that kernels are compiled in; see Shape in norm_kernel.cuh.
enum class ShapeKind : std::int32_t {
  within_warp,  // rows of at most 32 chunks, several per block
  cached_1,     // a row per block, kept in registers: 1 chunk per thread
  cached_2,
  cached_4,
  two_pass,  // a row per block, read twice; any row
};

struct Configuration {
  ShapeKind shape = ShapeKind::two_pass;
  int threads_per_block = 32;
  int rows_per_block = 1;
  std::int64_t blocks = 0;
};

// The configuration of the problem, which has at least one row. `threads_per_block` is 0 for automatic, else
// valid.
Configuration choose_configuration(const Problem& problem, int threads_per_block);

}  // namespace normproof::kernels
