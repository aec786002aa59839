// Configurations: which shape of kernel runs on how many threads, by operation, dtype, row length and number
// of rows. Performance only: every configuration gives the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "kernels/arguments.h"

namespace normproof::kernels {

// The shapes that kernels are compiled in; see Shape in norm_kernel.cuh. On the GPU the shapes of
// register_kernel.cuh take the place of those that keep a row in registers.
enum class ShapeKind : std::int32_t {
  within_warp,  // rows of at most 32 chunks, several per block
  cached_1,     // a row per block, kept in registers: 1 chunk per thread
  cached_2,
  cached_4,
  two_pass,  // a row per block, read twice; any row
#define NORMPROOF_SHAPE(name, ...) name,
#include "kernels/register_shapes.inc"
// Not of the six operations of rms_norm.h.
#include "kernels/family/further_shapes.inc"
#undef NORMPROOF_SHAPE
};

struct Configuration {
  ShapeKind shape = ShapeKind::two_pass;
  int threads_per_block = 32;
  int rows_per_block = 1;
  int blocks_per_row = 1;  // GPU: more than one are a cluster
  std::int64_t blocks = 0;
  bool dependent = false;  // GPU: start while the kernel before still runs (programmatic dependent launch)
};

// The configuration of the problem, which has at least one row.
// `threads_per_block` is 0 for automatic, else valid.
Configuration choose_configuration(const Problem& problem, int threads_per_block);

// The same for a kernel that takes rows of any length and alignment and shares them as norm_kernel.cuh does:
// within_warp, or all threads of a block for a row.
Configuration choose_general_configuration(const Problem& problem, int threads_per_block);

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
// Whether the calling thread's device has clusters of blocks.
bool supports_clusters();
// Whether row_numbers.cuh has been proved on it.
bool goes_quick_ways();
// At least 1.
int multiprocessors();
// Of its L2 cache.
std::int64_t cache_bytes();
// The bytes per second that its memory can deliver at most; 0 where it does not tell.
double memory_speed();

// What rows a shape of register_kernel.cuh takes; null for the shapes of other kernels.
struct ShapeLimits;
const ShapeLimits* register_shape(ShapeKind kind);

// A configuration before it is known whether it fits a problem. `threads` is 0 for the shape's own number.
struct WantedConfiguration {
  ShapeKind shape = ShapeKind::two_pass;
  int threads = 0;
  bool dependent = false;
};
// The configuration of a kernel with shapes and rules of its own: the first of `wanted` that fits and that it
// can run, or the general one. A number of threads that is not 0 takes the place of all others.
Configuration choose_among(const Problem& problem, int threads_per_block,
                           std::span<const WantedConfiguration> wanted,
                           const std::function<bool(const Configuration&)>& can_run);
// For benchmarks and tests: what the calling thread's later calls use wherever it fits their problem, instead
// of the table's choice. Null: the table again.
void force_configuration(const WantedConfiguration* wanted);
// What the calling thread's last call was given.
Configuration last_configuration();
// The names of the shapes by number, ended by null.
const char* const* shape_names();
#endif

}  // namespace normproof::kernels
