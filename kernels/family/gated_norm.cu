// gated_rms_norm: from a call by name to a launch.
#include "kernels/family/gated_norm.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "kernels/arguments.h"
#include "kernels/family/affine_call.h"
#include "kernels/family/rows.h"
#include "kernels/family/weight_rows.h"
#include "kernels/launch_kernel.h"
#include "kernels/quick_operands.h"
#include "kernels/register_shape.h"
#include "kernels/tensor_checks.h"

namespace normproof::kernels {
namespace {

constexpr std::array kRules = {
    TensorRule{"x", false, TensorShape::elements, kAnyActivation, false, {}, true},
    TensorRule{"gate", false, TensorShape::elements, kLikeX, false, {}, true},
    TensorRule{"weight", false, TensorShape::hidden, kLikeXOrFp32, true, {}, true, true},
    TensorRule{"out", true, TensorShape::elements, kLikeX, false, "x", true},
};
constexpr std::array<std::string_view, 1> kNumbers = {"epsilon"};

GatedNormArguments arguments_of(const NamedCall& call, const CheckedCall& checked) {
  GatedNormArguments arguments;
  arguments.rows = checked.rows;
  arguments.shape = row_shape(checked.hidden, size_of(checked.dtype));
  checked.place("x", arguments.x, arguments.x_strides);
  checked.place("gate", arguments.gate, arguments.gate_strides);
  checked.place("out", arguments.out, arguments.out_strides);
  arguments.weight = affine_of(call, "weight", checked.dtype);
  arguments.epsilon = call.number("epsilon");
  return arguments;
}

// As configurations.h reads it.
Problem problem_of(const CheckedCall& checked, const GatedNormArguments& arguments) {
  Problem problem;
  problem.dtype = checked.dtype;
  problem.vectorized = checked.vectorized;
  problem.arguments.rows = arguments.rows.count;
  set_row_shape(problem.arguments, arguments.shape);
  return problem;
}

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
// What runs rows of up to so many chunks where there are up to so many rows, the first that fits; then
// whatever fits.
struct Line {
  std::int64_t chunks, rows;
  WantedConfiguration wanted;
};
constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();
constexpr Line kLines[] = {
    {32, kAny, {ShapeKind::part_1_early, 256, true}},
    {256, 512, {ShapeKind::block_1_early, 0, true}},
    {1024, 32, {ShapeKind::cluster_1_early, 128, true}},
    {1024, 256, {ShapeKind::block_1_early, 0, true}},
    {1024, kAny, {ShapeKind::block_4_full_evict_last, 0, true}},
    {256, kAny, {ShapeKind::block_2_early, 0, true}},
    {1024, kAny, {ShapeKind::block_4_early, 0, true}},
    {2048, 64, {ShapeKind::cluster_1x2_early, 128, true}},
    {2048, kAny, {ShapeKind::block_4x2_evict_last, 0, true}},
};
#endif

// Which kernel, in which configuration; selection has all but the shape.
Configuration choose(const Problem& problem, int threads, [[maybe_unused]] GatedNormSelection& selection) {
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  std::vector<WantedConfiguration> wanted;
  for (const Line& line : kLines)
    if (problem.arguments.chunks <= line.chunks && problem.arguments.rows <= line.rows)
      wanted.push_back(line.wanted);
  const auto can_run = [&](const Configuration& configuration) {
    const bool shares = register_shape(configuration.shape)->team == Team::cluster;
    if (shares && configuration.blocks_per_row == 1) return false;  // there is nobody to send to
    selection.shape = configuration.shape;
    return find_gated_norm(problem.dtype, selection) != nullptr;
  };
  const Configuration configuration = choose_among(problem, threads, wanted, can_run);
#else
  const Configuration configuration = choose_general_configuration(problem, threads);
#endif
  selection.shape = configuration.shape;
  return configuration;
}

}  // namespace

Status run_gated_norm(const NamedCall& call, Stream stream, LaunchReport* report) {
  CheckedCall checked;
  if (Status status = check(call, kRules, kNumbers, checked); !status.ok()) return status;
  if (checked.rows.count == 0) return {};
  if (checked.has_rows_of_weights)
    return run_by_weight_rows(call, kRules,
                              [&](const NamedCall& part) { return run_gated_norm(part, stream, report); });
  GatedNormArguments arguments = arguments_of(call, checked);
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  if (goes_quick_ways()) arguments.inverse_hidden = quick_inverse_hidden(checked.hidden, arguments.epsilon);
#endif
  GatedNormSelection selection;
  selection.vectorized = checked.vectorized;
  selection.like_x = arguments.weight.kind == AffineKind::like_x;
  const Configuration configuration =
      choose(problem_of(checked, arguments), call.launch.threads_per_block, selection);
  if (Status status =
          launch_kernel(find_gated_norm(checked.dtype, selection), arguments, grid_of(configuration), stream);
      !status.ok())
    return status;
  if (report != nullptr)
    *report = {checked.vectorized ? Path::vectorized : Path::scalar, configuration.threads_per_block,
               configuration.rows_per_block, configuration.blocks};
  return {};
}

}  // namespace normproof::kernels
