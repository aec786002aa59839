// rms_norm_backward and layer_norm_backward: from a call by name to launches.
#include "kernels/family/norm_gradient.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "kernels/arguments.h"
#include "kernels/compiled.h"
#include "kernels/family/affine_call.h"
#include "kernels/family/norm_gradient_kernel.cuh"
#include "kernels/family/norm_gradient_ring.cuh"
#include "kernels/family/row_statistics.h"
#include "kernels/family/workspace.h"
#include "kernels/launch_kernel.h"
#include "kernels/quick_operands.h"
#include "kernels/tensor_checks.h"

namespace normproof::kernels {
namespace {

constexpr TensorRule kX = {"x", false, TensorShape::elements, kAnyActivation, false, {}, true};
constexpr TensorRule kDy = {"dy", false, TensorShape::elements, kLikeX, false, {}, true};
constexpr TensorRule kWeight = {"weight", false, TensorShape::hidden, kLikeXOrFp32, true, {}, true};
constexpr TensorRule kMean = {"mean", false, TensorShape::row, kLikeXOrFp32};
constexpr TensorRule kRstd = {"rstd", false, TensorShape::row, kLikeXOrFp32};
constexpr TensorRule kDresidual = {"dresidual", false, TensorShape::elements, kLikeX, true, {}, true};
constexpr TensorRule kDx = {"dx", true, TensorShape::elements, kLikeX, true, "dy", true};
constexpr TensorRule kDweight = {"dweight", true, TensorShape::hidden, kLikeXOrFp32, true};
constexpr TensorRule kDbias = {"dbias", true, TensorShape::hidden, kLikeXOrFp32, true};
constexpr std::array kRmsRules = {kX, kDy, kWeight, kRstd, kDresidual, kDx, kDweight};
constexpr std::array kLayerRules = {kX, kDy, kWeight, kMean, kRstd, kDresidual, kDx, kDweight, kDbias};
constexpr std::array<std::string_view, 1> kEpsilon = {"epsilon"};  // of a call without statistics

constexpr std::int64_t kMostBlocks = (std::int64_t{1} << 31) - 1;

// A call and what it needs besides.
struct GradientProblem {
  CheckedCall checked;
  bool centred = false;
  NormGradientArguments arguments;
  JoinArguments join;
  Stream stream = nullptr;

  bool has_sums = false;
  bool is_to_join() const { return join.of[0].out.data != nullptr || join.of[1].out.data != nullptr; }
  std::int64_t chunks() const { return arguments.shape.chunks; }
  // What is read and written of rows.
  std::int64_t bytes() const {
    const int tensors =
        (arguments.dx.data != nullptr ? 3 : 2) + (arguments.dresidual.data != nullptr ? 1 : 0);
    return tensors * arguments.rows.count * checked.hidden * size_of(checked.dtype);
  }
  std::int64_t units(int unit_rows_log2) const {
    return (arguments.rows.count + (std::int64_t{1} << unit_rows_log2) - 1) >> unit_rows_log2;
  }
};

GradientProblem problem_of(const NamedCall& call, NormBackwardOperation operation, const CheckedCall& checked,
                           Stream stream) {
  GradientProblem problem;
  problem.checked = checked;
  problem.centred = operation.centred;
  problem.stream = stream;
  NormGradientArguments& arguments = problem.arguments;
  arguments.rows = checked.rows;
  arguments.shape = row_shape(checked.hidden, size_of(checked.dtype));
  checked.place("dy", arguments.dy.data, arguments.dy.strides);
  checked.place("x", arguments.x.data, arguments.x.strides);
  checked.place("dresidual", arguments.dresidual.data, arguments.dresidual.strides);
  checked.place("dx", arguments.dx.data, arguments.dx.strides);
  arguments.weight = affine_of(call, "weight", checked.dtype);
  arguments.mean = statistic_of(call, "mean", checked);
  arguments.rstd = statistic_of(call, "rstd", checked);
  problem.join.hidden = checked.hidden;
  for (int i = 0; i < 2; ++i) {
    if (const Tensor* out = call.find(i == 0 ? "dweight" : "dbias"); out != nullptr)
      problem.join.of[i].out = {out->data, out->dtype == checked.dtype};
  }
  problem.has_sums = problem.is_to_join();
  return problem;
}

// --- The device. ---

#if defined(__CUDACC__)
bool has_bulk_copies() { return supports_clusters(); }
constexpr int kClusterBlocks = 2;
#else
// As many as make a block take several units in a test.
int multiprocessors() { return 3; }
constexpr int kClusterBlocks = 1;
#endif

// --- Kernels. ---

template <typename T, bool kCentred, bool kVectorized, bool kBlockPerRow>
GradientKernel row_kernel_of() {
  constexpr int kShape = (kVectorized ? 2 : 0) + (kBlockPerRow ? 1 : 0);
  if constexpr (is_compiled<3>(kShape, kCombination<T, T, kCentred>))
    return row_gradient_kernel<T, kCentred, kVectorized, kBlockPerRow, 1>;
  return nullptr;
}

template <typename T, bool kCentred>
GradientKernel row_kernel(bool vectorized, bool block_per_row) {
  if (vectorized)
    return block_per_row ? row_kernel_of<T, kCentred, true, true>()
                         : row_kernel_of<T, kCentred, true, false>();
  return block_per_row ? row_kernel_of<T, kCentred, false, true>()
                       : row_kernel_of<T, kCentred, false, false>();
}

struct RingKernel {
  GradientKernel kernel = nullptr;
  int blocks_of_row = 1;
  int pieces = 1, sums = 1;
};

template <class V, GradientKernels kKind>
RingKernel ring_kernel_of() {
  GradientKernel kernel = nullptr;
  if constexpr (is_compiled<3>(kKind, kCombination<typename V::T, typename V::T, V::kCentred>))
    kernel = ring_gradient_kernel<V>;
  return {kernel, V::kTeam == Team::cluster ? kClusterBlocks : 1, V::kPieces, V::kSums};
}

template <typename T, bool kCentred>
RingKernel ring_kernel(GradientKernels kernels) {
  switch (kernels) {
    case GradientKernels::one_slot:
      return ring_kernel_of<RingVariant<T, kCentred, Team::block, 1, 1, 1024>, GradientKernels::one_slot>();
    case GradientKernels::two_slots:
      return ring_kernel_of<RingVariant<T, kCentred, Team::block, 2, 1, 512>, GradientKernels::two_slots>();
    default:
      return ring_kernel_of<RingVariant<T, kCentred, Team::cluster, 1, 2, 1024 / kClusterBlocks>,
                            GradientKernels::two_rounds>();
  }
}

struct Kernels {
  GradientKernel rows = nullptr;
  GradientKernel columns = nullptr;
  RingKernel ring;
  void (*join)(JoinArguments) = nullptr;
};

// Whether rows of sums are aligned for four columns at a time, as a workspace is.
bool joins_four_columns(const GradientProblem& problem) { return problem.checked.hidden % 4 == 0; }

template <typename T, bool kCentred>
Kernels kernels_of(const GradientProblem& problem, GradientKernels kernels) {
  return {row_kernel<T, kCentred>(problem.checked.vectorized, problem.chunks() > kWarpThreads),
          column_sums_kernel<T, kCentred>, ring_kernel<T, kCentred>(kernels),
          joins_four_columns(problem) ? join_kernel<T, 4> : join_kernel<T, 1>};
}

template <typename T>
Kernels kernels_of(const GradientProblem& problem, GradientKernels kernels) {
  return problem.centred ? kernels_of<T, true>(problem, kernels) : kernels_of<T, false>(problem, kernels);
}

Kernels find_kernels(const GradientProblem& problem, GradientKernels kernels) {
  switch (problem.checked.dtype) {
    case DType::bf16:
      return kernels_of<Bf16>(problem, kernels);
    case DType::fp16:
      return kernels_of<Fp16>(problem, kernels);
    default:
      return kernels_of<float>(problem, kernels);
  }
}

// --- Choice. ---

[[maybe_unused]] constexpr std::int64_t kSharedBytesOfProcessor = 227 * 1024;

// The steps of the ring's tree over groups whose sums wait in shared memory.
int shared_steps(const GradientProblem& problem, const GradientChoice& choice) {
  return problem.has_sums ? std::max(0, choice.unit_rows_log2 - kGroupRowsLog2) - choice.workspace_steps : 0;
}

// Of a block.
std::int64_t shared_bytes(const GradientProblem& problem, const GradientChoice& choice,
                          const RingKernel& ring) {
  const std::int64_t chunks = std::int64_t{ring.pieces} * choice.threads;
  const int tensors = problem.arguments.dresidual.data != nullptr ? 3 : 2;
  const std::int64_t elements = kChunkBytes / size_of(problem.checked.dtype);
  return choice.stages * tensors * chunks * kChunkBytes +
         shared_steps(problem, choice) * ring.sums * chunks * elements * std::int64_t{sizeof(float)};
}

// The blocks, or clusters, that the device has room for.
std::int64_t row_teams(const GradientChoice& choice, int blocks_of_row) {
  return std::max<std::int64_t>(1,
                                std::int64_t{multiprocessors()} * choice.blocks_of_processor / blocks_of_row);
}

// Those that walk through the units.
std::int64_t walking_teams(const GradientProblem& problem, const GradientChoice& choice,
                           const RingKernel& ring) {
  return std::min(problem.units(choice.unit_rows_log2), row_teams(choice, ring.blocks_of_row));
}

GradientChoice general_choice(const GradientProblem& problem, int threads) {
  GradientChoice choice;
#if defined(__CUDACC__)
  constexpr int kThreads = 256;
#else
  constexpr int kThreads = 32;  // every fiber costs
#endif
  choice.threads = threads != 0 ? threads : kThreads;
  // Units of 64 rows where there are enough of them.
  choice.unit_rows_log2 = problem.arguments.rows.count >= 2048 ? 6 : kGroupRowsLog2;
  return choice;
}

// The blocks of a cluster that has a group.
int blocks_of_group(const GradientProblem& problem, const GradientChoice& choice) {
  return static_cast<int>((problem.chunks() + choice.threads - 1) / choice.threads);
}

// A group, or one row, in registers; rows have no more chunks than there are lanes.
[[maybe_unused]] GradientChoice group_choice(const GradientProblem& problem) {
  const auto chunks = static_cast<int>(problem.chunks());
  const bool is_row = problem.arguments.rows.count == 1 || !problem.has_sums;
  const int most_threads = is_row && chunks <= 512 ? 64 : 128;
  const int blocks = (chunks + most_threads - 1) / most_threads;
  GradientChoice choice;
  choice.kernels = GradientKernels::group;
  choice.threads = ((chunks + blocks - 1) / blocks + kWarpThreads - 1) / kWarpThreads * kWarpThreads;
  choice.unit_rows_log2 = is_row ? 0 : kGroupRowsLog2;
  return choice;
}

// The rows of a unit, as a power of two, by which the block that has most is done first; a unit's sums, which
// are stored and joined, cost as much as two rows.
[[maybe_unused]] int best_unit(const GradientProblem& problem, std::int64_t teams) {
  constexpr int kLongestLog2 = 10;
  const auto rows_of_longest = [&](int unit_rows_log2) {
    const std::int64_t units_of_longest = (problem.units(unit_rows_log2) + teams - 1) / teams;
    return units_of_longest * ((std::int64_t{1} << unit_rows_log2) + 2);
  };
  int best = kGroupRowsLog2;
  for (int each = best + 1; each <= kLongestLog2; ++each) {
    if (rows_of_longest(each) < rows_of_longest(best)) best = each;
  }
  return best;
}

GradientChoice choose(const GradientProblem& problem, const Launch& launch) {
  GradientChoice choice = general_choice(problem, launch.threads_per_block);
#if defined(__CUDACC__)
  constexpr std::int64_t kMostChunks = 2048;
  const bool has_one_stride = problem.checked.rows.inner_size == problem.checked.rows.count;
  if (!problem.checked.vectorized || !has_one_stride || launch.threads_per_block != 0 ||
      problem.chunks() > kMostChunks || !has_bulk_copies())
    return choice;
  const auto chunks = static_cast<int>(problem.chunks());
  if (chunks <= kLanes) {
    constexpr std::int64_t kMostBlocksOfGroups = 256;  // measured: more take longer than the ring
    choice = group_choice(problem);
    if (problem.units(choice.unit_rows_log2) * blocks_of_group(problem, choice) <= kMostBlocksOfGroups)
      return choice;
  }
  choice = {};
  choice.kernels = chunks > kLanes ? GradientKernels::two_rounds : GradientKernels::two_slots;
  choice.threads = chunks > kLanes ? kLanes / kClusterBlocks : (chunks + 63) / 64 * kWarpThreads;
  // As many blocks as registers last for.
  choice.blocks_of_processor = std::clamp(512 / choice.threads, 1, 8);
  if (problem.has_sums)
    choice.unit_rows_log2 = best_unit(problem, row_teams(choice, chunks > kLanes ? kClusterBlocks : 1));
  const RingKernel ring = find_kernels(problem, choice.kernels).ring;
  const auto fits = [&] {
    return choice.blocks_of_processor * (shared_bytes(problem, choice, ring) + 2048) <=
           kSharedBytesOfProcessor;
  };
  // Measured: more do not help long rows.
  choice.stages = choice.threads >= 256 ? 2 : 3;
  while (!fits() && choice.stages > 2) --choice.stages;
  while (!fits() && shared_steps(problem, choice) > 0) ++choice.workspace_steps;
  // Eviction::last of register_shape.h.
  choice.evicts_last = problem.bytes() >= cache_bytes();
#endif
  return choice;
}

// --- Launches. ---

Status launch_ring(GradientProblem& problem, const GradientChoice& choice, const RingKernel& ring,
                   LaunchReport& report) {
  NormGradientArguments arguments = problem.arguments;
  arguments.stages = choice.stages;
  arguments.evicts_last = choice.evicts_last;
  arguments.inverse_hidden = quick_inverse_hidden(problem.checked.hidden, 0.0f);
  arguments.shared_steps = shared_steps(problem, choice);
  report = {Path::vectorized, choice.threads, 1, walking_teams(problem, choice, ring) * ring.blocks_of_row};
  return launch_kernel(
      ring.kernel, arguments,
      Grid{report.blocks, choice.threads, ring.blocks_of_row, true, shared_bytes(problem, choice, ring)},
      problem.stream);
}

Status launch_group(GradientProblem& problem, const GradientChoice& choice, LaunchReport& report) {
  NormGradientArguments arguments = problem.arguments;
  arguments.inverse_hidden = quick_inverse_hidden(problem.checked.hidden, 0.0f);
  const int blocks = blocks_of_group(problem, choice);
  report = {Path::vectorized, choice.threads, 1, problem.units(choice.unit_rows_log2) * blocks};
  return launch_kernel(
      find_group_gradient(problem.checked.dtype, problem.centred, choice.unit_rows_log2 == 0), arguments,
      Grid{report.blocks, choice.threads, blocks, true}, problem.stream);
}

// Columns first: dx may lie over dy.
Status launch_general(GradientProblem& problem, const GradientChoice& choice, const Kernels& kernels,
                      LaunchReport& report) {
  const std::int64_t rows = problem.arguments.rows.count, hidden = problem.checked.hidden;
  report = {problem.checked.vectorized ? Path::vectorized : Path::scalar, choice.threads, 1, 0};
  if (problem.has_sums) {
    const std::int64_t strips = (hidden + choice.threads - 1) / choice.threads;
    const std::int64_t units = problem.units(choice.unit_rows_log2);
    report.blocks = units > kMostBlocks / strips ? kMostBlocks : strips * units;
    if (Status status = launch_kernel(kernels.columns, problem.arguments, Grid{report.blocks, choice.threads},
                                      problem.stream);
        !status.ok())
      return status;
  }
  if (problem.arguments.dx.data == nullptr) return {};
  if (problem.chunks() <= kWarpThreads)
    report.rows_per_block = choice.threads >> problem.arguments.shape.row_threads_log2;
  report.blocks = std::min((rows - 1) / report.rows_per_block + 1, kMostBlocks);
  return launch_kernel(kernels.rows, problem.arguments, Grid{report.blocks, choice.threads}, problem.stream);
}

Status launch_rows(GradientProblem& problem, const GradientChoice& choice, const Kernels& kernels,
                   LaunchReport& report) {
  if (choice.kernels == GradientKernels::general) return launch_general(problem, choice, kernels, report);
  if (choice.kernels == GradientKernels::group) return launch_group(problem, choice, report);
  return launch_ring(problem, choice, kernels.ring, report);
}

Status launch_join(GradientProblem& problem, const GradientChoice& choice, const Kernels& kernels) {
  JoinArguments& join = problem.join;
  join.units = problem.arguments.rows.count == 0 ? 0 : problem.units(choice.unit_rows_log2);
  join.run_log2 = kJoinedAtOnceLog2;
  const bool by_fours = joins_four_columns(problem);
  const std::int64_t most_runs = by_fours ? kJoinRuns<4> : kJoinRuns<1>;
  while (join.units > most_runs << join.run_log2) ++join.run_log2;
  const std::int64_t strips = (join.hidden + kJoinColumns - 1) / kJoinColumns;
  const int gradients = (join.of[0].out.data != nullptr ? 1 : 0) + (join.of[1].out.data != nullptr ? 1 : 0);
  const std::int64_t runs = (join.units + (std::int64_t{1} << join.run_log2) - 1) >> join.run_log2;
  const int threads_of_run = by_fours ? kJoinThreadsOfRun<4> : kJoinThreadsOfRun<1>;
  const int threads = std::max(threads_of_run * static_cast<int>(runs), kJoinColumns);
  Grid grid{strips * gradients, threads};
  grid.dependent = true;
  // Measured: with few rows it takes longer than it saves.
  join.discards = choice.evicts_last && join.hidden % kJoinColumns == 0;
  return launch_kernel(kernels.join, join, grid, problem.stream);
}

// Where the sums of units go: to the gradients at once, where there is one unit and they can be stored in
// chunks; otherwise to the workspace, which also has the ring's sums that wait outside shared memory.
Status place_sums(GradientProblem& problem, const GradientChoice& choice, const RingKernel& ring,
                  Workspace& workspace) {
  const std::int64_t units = problem.units(choice.unit_rows_log2), hidden = problem.checked.hidden;
  UnitSums(&of)[2] = problem.join.of;
  NormGradientArguments::Sums* const targets[2] = {&problem.arguments.weight_sums,
                                                   &problem.arguments.bias_sums};
  const auto is_aligned = [](const UnitSums& sums) {
    return reinterpret_cast<std::uintptr_t>(sums.out.data) % kChunkBytes == 0;
  };
  if (units == 1 && is_aligned(of[0]) && is_aligned(of[1])) {
    for (int i = 0; i < 2; ++i) *targets[i] = std::exchange(of[i].out, {});
  }
  const int joined = (of[0].out.data != nullptr ? 1 : 0) + (of[1].out.data != nullptr ? 1 : 0);
  const std::int64_t waiting =
      choice.workspace_steps == 0
          ? 0
          : choice.workspace_steps * ring.sums * walking_teams(problem, choice, ring) * hidden;
  const std::int64_t size = joined * units * hidden + waiting;
  if (size == 0) return {};
  if (Status status = workspace.allocate(static_cast<std::size_t>(size) * sizeof(float)); !status.ok())
    return status;
  auto* next = static_cast<float*>(workspace.data());
  problem.arguments.waiting = next;
  next += waiting;
  for (int i = 0; i < 2; ++i) {
    if (of[i].out.data == nullptr) continue;
    of[i].sums = next;
    targets[i]->data = next;
    next += units * hidden;
  }
  return {};
}

Status run_problem(GradientProblem& problem, const GradientChoice& choice, LaunchReport& report) {
  const Kernels kernels = find_kernels(problem, choice.kernels);
  Workspace workspace(problem.stream);
  problem.arguments.unit_rows_log2 = choice.unit_rows_log2;
  if (problem.arguments.rows.count > 0) {
    if (problem.has_sums) {
      if (Status status = place_sums(problem, choice, kernels.ring, workspace); !status.ok()) return status;
    }
    if (Status status = launch_rows(problem, choice, kernels, report); !status.ok()) return status;
  }
  return problem.is_to_join() ? launch_join(problem, choice, kernels) : Status{};
}

std::span<const TensorRule> rules_of(NormBackwardOperation operation) {
  return operation.centred ? std::span<const TensorRule>(kLayerRules) : kRmsRules;
}

// A call with neither the statistics of the forward pass nor, yet, memory for them.
Status check_without_statistics(const NamedCall& call, NormBackwardOperation operation,
                                CheckedCall& checked) {
  if (call.find("mean") != nullptr)
    return refusal(StatusCode::null_pointer, "rstd: the call has a mean, and no rstd");
  if (std::ranges::find(call.numbers, "epsilon", &NamedNumber::name) == call.numbers.end())
    return refusal(StatusCode::null_pointer, "rstd: the call has neither it nor an epsilon to compute it by");
  std::vector<TensorRule> rules;
  for (const TensorRule& rule : rules_of(operation))
    if (rule.shape != TensorShape::row) rules.push_back(rule);
  return check(call, rules, kEpsilon, checked);
}

// Computes them first.
Status run_with_own_statistics(const NamedCall& call, NormBackwardOperation operation,
                               const GradientChoice* forced, Stream stream, LaunchReport* report) {
  CheckedCall checked;
  if (Status status = check_without_statistics(call, operation, checked); !status.ok()) return status;
  RowStatistics statistics(stream);
  if (checked.rows.count > 0) {
    if (Status status = statistics.compute(checked, call.number("epsilon"), operation.centred); !status.ok())
      return status;
  }
  const Tensor& x = *call.find("x");
  std::vector<NamedTensor> tensors(call.tensors.begin(), call.tensors.end());
  tensors.push_back({"rstd", statistics.rstd(x)});
  if (operation.centred) tensors.push_back({"mean", statistics.mean(x)});
  NamedCall given = call;
  given.tensors = tensors;
  given.numbers = {};
  return run_norm_backward(given, operation, forced, stream, report);
}

}  // namespace

Status run_norm_backward(const NamedCall& call, NormBackwardOperation operation, const GradientChoice* forced,
                         Stream stream, LaunchReport* report) {
  if (call.find("dx") == nullptr && call.find("dweight") == nullptr && call.find("dbias") == nullptr)
    return refusal(StatusCode::null_pointer, "dx: the call has no output");
  if (call.find("rstd") == nullptr) return run_with_own_statistics(call, operation, forced, stream, report);
  CheckedCall checked;
  if (Status status = check(call, rules_of(operation), {}, checked); !status.ok()) return status;
  GradientProblem problem = problem_of(call, operation, checked, stream);
  LaunchReport done;
  const Status status =
      run_problem(problem, forced != nullptr ? *forced : choose(problem, call.launch), done);
  if (status.ok() && report != nullptr) *report = done;
  return status;
}

Status run_norm_backward(const NamedCall& call, NormBackwardOperation operation, Stream stream,
                         LaunchReport* report) {
  return run_norm_backward(call, operation, nullptr, stream, report);
}

}  // namespace normproof::kernels
