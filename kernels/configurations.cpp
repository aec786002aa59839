#include "kernels/configurations.h"

#include <algorithm>
#include <limits>

namespace normproof::kernels {
namespace {

constexpr int kWarpThreads = 32;
constexpr std::int64_t kLanes = 1024;

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
constexpr std::int64_t kMaximumBlocks = std::numeric_limits<std::int32_t>::max();

// Threads per row by the number of 32-lane groups in it, the first line that reaches it. With few rows
// (decode) the GPU is idle otherwise, so a row gets a thread per chunk; with many (prefill) several chunks
// per thread keep more loads in flight.
struct Line {
  int groups;
  int few_rows_threads;
  int many_rows_threads;
};
constexpr Line kThreadsPerRow[] = {
    {2, 64, 32}, {4, 128, 64}, {8, 256, 128}, {16, 512, 256}, {20, 320, 256}, {32, 512, 512},
};
constexpr std::int64_t kFewRows = 256;
constexpr int kWithinWarpThreads = 128;

int automatic_threads(const Problem& problem, bool within_warp) {
  if (within_warp) return problem.arguments.rows < kFewRows ? kWarpThreads : kWithinWarpThreads;
  const auto* line = std::find_if(std::begin(kThreadsPerRow), std::end(kThreadsPerRow),
                                  [&](const Line& each) { return problem.arguments.groups <= each.groups; });
  return problem.arguments.rows < kFewRows ? line->few_rows_threads : line->many_rows_threads;
}
#else
// Starting the fibers of a block costs as much as a short row, so blocks go over many rows.
constexpr std::int64_t kMaximumBlocks = 16;

// A fiber costs about as much as the arithmetic of a hundred elements, so the smallest block is the fastest.
int automatic_threads(const Problem&, bool) { return kWarpThreads; }
#endif

ShapeKind shape_of(const Problem& problem, bool within_warp, int warps) {
  if (within_warp) return ShapeKind::within_warp;
  const int slots = (problem.arguments.groups + warps - 1) / warps;
  // The scalar path is compiled in the general shape only.
  if (!problem.vectorized || problem.arguments.chunks > kLanes || slots > 4) return ShapeKind::two_pass;
  return slots == 1 ? ShapeKind::cached_1 : slots == 2 ? ShapeKind::cached_2 : ShapeKind::cached_4;
}

}  // namespace

Configuration choose_configuration(const Problem& problem, int threads_per_block) {
  const NormArguments& arguments = problem.arguments;
  const bool within_warp = arguments.chunks <= kWarpThreads;
  Configuration configuration;
  configuration.threads_per_block =
      threads_per_block != 0 ? threads_per_block : automatic_threads(problem, within_warp);
  configuration.shape = shape_of(problem, within_warp, configuration.threads_per_block / kWarpThreads);
  if (within_warp)
    configuration.rows_per_block = configuration.threads_per_block >> arguments.row_threads_log2;
  const std::int64_t rows_per_block = configuration.rows_per_block;
  // A grid that cannot cover all rows at once goes over them in rounds.
  configuration.blocks = std::min((arguments.rows - 1) / rows_per_block + 1, kMaximumBlocks);
  return configuration;
}

}  // namespace normproof::kernels
