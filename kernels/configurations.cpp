#include "kernels/configurations.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <limits>
#include <optional>
#include <span>

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
#include "kernels/norm_arguments.h"
#include "kernels/register_shape.h"
#endif

namespace normproof::kernels {
namespace {

// Of norm_kernel.cuh: the shape that holds a row in the registers of so many warps, where there is one.
ShapeKind shape_of(const Problem& problem, bool within_warp, int warps) {
  constexpr std::int64_t kLanes = 1024;
  if (within_warp) return ShapeKind::within_warp;
  const int slots = (problem.arguments.groups + warps - 1) / warps;
  // The scalar path is compiled in the general shape only.
  if (!problem.vectorized || problem.arguments.chunks > kLanes || slots > 4) return ShapeKind::two_pass;
  return slots == 1 ? ShapeKind::cached_1 : slots == 2 ? ShapeKind::cached_2 : ShapeKind::cached_4;
}

}  // namespace

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
namespace {

constexpr std::int64_t kMaximumBlocks = std::numeric_limits<std::int32_t>::max();

// In the order of ShapeKind, where two_pass comes before them.
constexpr ShapeLimits kRegisterShapes[] = {
#define NORMPROOF_SHAPE(name, ...) limits_of<RegisterShape<__VA_ARGS__>>(),
#include "kernels/register_shapes.inc"
// Behind them, as in ShapeKind.
#include "kernels/family/further_shapes.inc"
#undef NORMPROOF_SHAPE
};
// Whether operations that give each row a scale have it.
constexpr bool kScalesRows[] = {
#define NORMPROOF_SHAPE(...) true,
#define NORMPROOF_FURTHER_SHAPE(...) false,
#include "kernels/register_shapes.inc"
#undef NORMPROOF_SHAPE
};
// Those of the operations of rms_norm.h come first.
constexpr std::size_t kNormShapes = std::size(kScalesRows);
constexpr std::size_t kFirstRegisterShape = static_cast<std::size_t>(ShapeKind::two_pass) + 1;

// The shape that takes rows of any length in a full one's place: with as many chunks per thread, and
// otherwise as like it as there is one.
constexpr ShapeKind shape_for_any_row(const ShapeLimits& full, bool scales_rows) {
  ShapeKind best = ShapeKind::two_pass;
  int best_likeness = -1;
  for (const ShapeLimits& each : std::span(kRegisterShapes).first<kNormShapes>()) {
    if ((scales_rows && !kScalesRows[&each - kRegisterShapes]) || each.full || each.team != full.team ||
        each.slots != full.slots || each.rounds != full.rounds || each.last_slots != full.last_slots)
      continue;
    const int likeness = (each.weights == full.weights) + (each.eviction == full.eviction) +
                         (each.maximum_threads == full.maximum_threads);
    if (likeness > best_likeness)
      best = static_cast<ShapeKind>(kFirstRegisterShape + (&each - kRegisterShapes));
    best_likeness = std::max(best_likeness, likeness);
  }
  return best;
}
constexpr auto shapes_for_any_row(bool scales_rows) {
  std::array<ShapeKind, kNormShapes> found{};
  std::transform(std::begin(kRegisterShapes), std::begin(kRegisterShapes) + kNormShapes, found.begin(),
                 [&](const ShapeLimits& full) { return shape_for_any_row(full, scales_rows); });
  return found;
}
constexpr auto kForAnyRow = shapes_for_any_row(false), kForAnyScaledRow = shapes_for_any_row(true);
static_assert(std::find(kForAnyRow.begin(), kForAnyRow.end(), ShapeKind::two_pass) == kForAnyRow.end());

// Blocks of rows that are smaller than a block have this many threads.
constexpr int kSmallRowThreads = 128;

// Of those that every GPU with clusters has.
constexpr int kLargestCluster = 8;

// The blocks of `threads` that share a row.
int blocks_per_row(const ShapeLimits& shape, int groups, int threads) {
  const int warps = threads / kWarpThreads;
  return shape.team == Team::cluster ? (shape.warps_for(groups) + warps - 1) / warps : 1;
}

int own_threads(const ShapeLimits& shape, int groups) {
  const int warps = shape.warps_for(groups);
  if (shape.team == Team::block) return warps * kWarpThreads;
  if (shape.team == Team::cluster) return (warps + 3) / 4 * kWarpThreads;
  return kSmallRowThreads;
}

bool fits(const ShapeLimits& shape, const Problem& problem, int threads) {
  const NormArguments& arguments = problem.arguments;
  if (!problem.vectorized || threads > shape.maximum_threads) return false;
  // The other formats are computed without help from the hardware, in the general shapes, and so are scales
  // that have an upper bound.
  if (problem.quantizes && (!is_hardware_format(arguments.codes) || arguments.scale_ub != nullptr))
    return false;
  switch (shape.team) {
    case Team::part_of_warp:
      return shape.holds_in_part_of_warp(arguments.chunks, arguments.row_threads_log2);
    case Team::warp:
      return shape.holds(arguments.chunks, 1);
    case Team::block:
    case Team::cluster:
      const int blocks = blocks_per_row(shape, arguments.groups, threads);
      if (blocks > kLargestCluster || (shape.team == Team::cluster && !supports_clusters())) return false;
      return shape.holds(arguments.chunks, blocks * threads / kWarpThreads);
  }
  return false;
}

// The fastest configurations that were measured, by kind of operation, chunks of 16 bytes per row, number of
// rows and dtype of the activations: the first line that reaches the numbers and has the dtype or any.
struct Line {
  std::int64_t chunks;
  std::int64_t rows;
  std::optional<DType> dtype;
  WantedConfiguration wanted;
};
constexpr std::int64_t kAnyRows = std::numeric_limits<std::int64_t>::max();
constexpr std::optional<DType> kAnyDtype;
struct Table {
  std::span<const Line> plain, added, quantized, added_and_quantized, scaled, added_and_scaled;
};

// One table for each GPU that was measured. What matters is how much memory outruns the multiprocessors.
namespace h100 {
#include "kernels/configuration_table_h100.inc"
}
namespace h200 {
#include "kernels/configuration_table_h200.inc"
}
// On an H100 a scale for each row was not measured: the lines of one that is given serve.
constexpr Table kForMemoryOfH100 = {h100::kPlain,     h100::kAdded,
                                    h100::kQuantized, h100::kAddedAndQuantized,
                                    h100::kQuantized, h100::kAddedAndQuantized};
constexpr Table kForMemoryOfH200 = {h200::kPlain,     h200::kAdded,
                                    h200::kQuantized, h200::kAddedAndQuantized,
                                    h200::kScaled,    h200::kAddedAndScaled};
constexpr double kBetweenThem = 4e12;  // bytes per second; an H100 has 3.35e12, an H200 4.9e12

const Line* find_line(const Problem& problem) {
  const Table& table = memory_speed() > kBetweenThem ? kForMemoryOfH200 : kForMemoryOfH100;
  const std::span<const Line> lines =
      problem.scales_rows     ? problem.adds_residual ? table.added_and_scaled : table.scaled
      : problem.quantizes     ? problem.adds_residual ? table.added_and_quantized : table.quantized
      : problem.adds_residual ? table.added
                              : table.plain;
  const auto found = std::find_if(lines.begin(), lines.end(), [&](const Line& line) {
    return problem.arguments.chunks <= line.chunks && problem.arguments.rows <= line.rows &&
           line.dtype.value_or(problem.dtype) == problem.dtype;
  });
  return found == lines.end() ? nullptr : &*found;
}

// What a caller who demands a number of threads gets, and rows whose line names a shape that does not take
// them: the first that fits.
constexpr ShapeKind kInTurn[] = {
    ShapeKind::part_1_early,     ShapeKind::block_1_early, ShapeKind::block_2_early,
    ShapeKind::block_4_early,    ShapeKind::block_2x2,     ShapeKind::block_1x4_early,
    ShapeKind::block_4x2_middle, ShapeKind::block_2x4,     ShapeKind::block_2x4_early};

Configuration register_configuration(ShapeKind kind, const ShapeLimits& shape, const Problem& problem,
                                     int threads) {
  Configuration configuration;
  configuration.shape = kind;
  configuration.threads_per_block = threads;
  if (shape.team == Team::part_of_warp)
    configuration.rows_per_block = (threads * shape.slots) >> problem.arguments.row_threads_log2;
  if (shape.team == Team::warp) configuration.rows_per_block = threads / kWarpThreads;
  configuration.blocks_per_row = blocks_per_row(shape, problem.arguments.groups, threads);
  const std::int64_t rows_per_block = configuration.rows_per_block;
  configuration.blocks = ((problem.arguments.rows - 1) / rows_per_block + 1) * configuration.blocks_per_row;
  return configuration;
}

std::optional<Configuration> try_shape(const Problem& problem, const WantedConfiguration& wanted) {
  const ShapeLimits* shape = register_shape(wanted.shape);
  if (shape == nullptr || (problem.scales_rows && !kScalesRows[shape - kRegisterShapes])) return {};
  const int threads = wanted.threads != 0 ? wanted.threads : own_threads(*shape, problem.arguments.groups);
  if (!fits(*shape, problem, threads)) return {};
  Configuration configuration = register_configuration(wanted.shape, *shape, problem, threads);
  if (configuration.blocks > kMaximumBlocks) return {};
  configuration.dependent = wanted.dependent;
  return configuration;
}

// Rows of any length and alignment.
Configuration general_configuration(const Problem& problem, int threads) {
  const NormArguments& arguments = problem.arguments;
  Configuration configuration;
  const bool within_warp = arguments.chunks <= kWarpThreads;
  constexpr int kGeneralThreads = 512;
  const int own = within_warp ? kSmallRowThreads : std::min(kGeneralThreads, arguments.groups * kWarpThreads);
  configuration.threads_per_block = threads != 0 ? threads : own;
  configuration.shape = within_warp ? ShapeKind::within_warp : ShapeKind::two_pass;
  if (problem.scales_rows)
    configuration.shape = shape_of(problem, within_warp, configuration.threads_per_block / kWarpThreads);
  if (within_warp)
    configuration.rows_per_block = configuration.threads_per_block >> arguments.row_threads_log2;
  const std::int64_t rows_per_block = configuration.rows_per_block;
  // A grid that cannot cover all rows at once goes over them in rounds.
  configuration.blocks = std::min((arguments.rows - 1) / rows_per_block + 1, kMaximumBlocks);
  return configuration;
}

thread_local std::optional<WantedConfiguration> forced_configuration;
thread_local Configuration last;

std::optional<Configuration> try_line(const Problem& problem, const Line& line) {
  if (auto found = try_shape(problem, line.wanted)) return found;
  const ShapeLimits* shape = register_shape(line.wanted.shape);
  if (shape == nullptr || !shape->full) return {};
  const auto& of_shape = problem.scales_rows ? kForAnyScaledRow : kForAnyRow;
  WantedConfiguration for_any_row = line.wanted;
  for_any_row.shape = of_shape[static_cast<std::size_t>(shape - kRegisterShapes)];
  return try_shape(problem, for_any_row);
}

Configuration choose(const Problem& problem, int threads) {
  if (forced_configuration) {
    const ShapeLimits* shape = register_shape(forced_configuration->shape);
    const bool is_compiled = shape == nullptr || shape < kRegisterShapes + kNormShapes;
    return (is_compiled ? try_shape(problem, *forced_configuration) : std::nullopt)
        .value_or(general_configuration(problem, threads));
  }
  if (const Line* line = threads == 0 ? find_line(problem) : nullptr) {
    if (auto found = try_line(problem, *line)) return *found;
  }
  for (const ShapeKind kind : kInTurn) {
    if (auto found = try_shape(problem, {kind, threads, true})) return *found;
  }
  return general_configuration(problem, threads);
}

}  // namespace

const ShapeLimits* register_shape(ShapeKind kind) {
  const auto index = static_cast<std::size_t>(kind) - kFirstRegisterShape;
  return index < std::size(kRegisterShapes) ? &kRegisterShapes[index] : nullptr;
}

Configuration choose_configuration(const Problem& problem, int threads_per_block) {
  last = choose(problem, threads_per_block);
  return last;
}

void force_configuration(const WantedConfiguration* wanted) {
  forced_configuration = wanted == nullptr ? std::nullopt : std::optional(*wanted);
}

Configuration choose_general_configuration(const Problem& problem, int threads_per_block) {
  last = general_configuration(problem, threads_per_block);
  return last;
}

Configuration choose_among(const Problem& problem, int threads_per_block,
                           std::span<const WantedConfiguration> wanted,
                           const std::function<bool(const Configuration&)>& can_run) {
  const auto attempt = [&](WantedConfiguration each) -> std::optional<Configuration> {
    if (threads_per_block != 0) each.threads = threads_per_block;
    const std::optional<Configuration> configuration = try_shape(problem, each);
    return configuration && can_run(*configuration) ? configuration : std::nullopt;
  };
  std::optional<Configuration> found;
  if (forced_configuration) {
    found = attempt(*forced_configuration);
  } else {
    for (const WantedConfiguration& each : wanted)
      if (found = attempt(each); found) break;
  }
  last = found.value_or(general_configuration(problem, threads_per_block));
  return last;
}

Configuration last_configuration() { return last; }

const char* const* shape_names() {
  static constexpr const char* kNames[] = {"within_warp", "cached_1", "cached_2", "cached_4", "two_pass",
#define NORMPROOF_SHAPE(name, ...) #name,
#include "kernels/register_shapes.inc"
// Behind them, as in ShapeKind.
#include "kernels/family/further_shapes.inc"
#undef NORMPROOF_SHAPE
                                           nullptr};
  return kNames;
}

#else
namespace {

// Starting the fibers of a block costs as much as a short row, so blocks go over many rows.
constexpr std::int64_t kMaximumBlocks = 16;
}  // namespace

Configuration choose_configuration(const Problem& problem, int threads_per_block) {
  const NormArguments& arguments = problem.arguments;
  const bool within_warp = arguments.chunks <= kWarpThreads;
  Configuration configuration;
  // A fiber costs about as much as the arithmetic of a hundred elements, so
  // the smallest block is the fastest.
  configuration.threads_per_block = threads_per_block != 0 ? threads_per_block : kWarpThreads;
  configuration.shape = shape_of(problem, within_warp, configuration.threads_per_block / kWarpThreads);
  if (within_warp)
    configuration.rows_per_block = configuration.threads_per_block >> arguments.row_threads_log2;
  const std::int64_t rows_per_block = configuration.rows_per_block;
  configuration.blocks = std::min((arguments.rows - 1) / rows_per_block + 1, kMaximumBlocks);
  return configuration;
}

Configuration choose_general_configuration(const Problem& problem, int threads_per_block) {
  return choose_configuration(problem, threads_per_block);
}
#endif

}  // namespace normproof::kernels
