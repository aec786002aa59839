// layer_norm, alone or of a sum with a residual, as it is or quantized: from a call by name to a launch.
#include "kernels/family/layer_norm.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <vector>

#include "kernels/arguments.h"
#include "kernels/family/affine_call.h"
#include "kernels/family/layer_norm_shapes.h"
#include "kernels/family/rows.h"
#include "kernels/family/weight_rows.h"
#include "kernels/launch_kernel.h"
#include "kernels/quick_operands.h"
#include "kernels/register_shape.h"
#include "kernels/tensor_checks.h"

namespace normproof::kernels {

namespace {

constexpr TensorRule kX = {"x", false, TensorShape::elements, kAnyActivation, false, {}, true};
constexpr TensorRule kResidual = {"residual", false, TensorShape::elements, kLikeX, false, {}, true};
constexpr TensorRule kWeight = {"weight", false, TensorShape::hidden, kLikeXOrFp32, true, {}, true, true};
constexpr TensorRule kBias = {"bias", false, TensorShape::hidden, kLikeXOrFp32, true, {}, true, true};
constexpr TensorRule kOut = {"out", true, TensorShape::elements, kLikeX, false, "x", true};
constexpr TensorRule kResidualOut = {"residual_out", true, TensorShape::elements, kLikeX, false,
                                     "residual",     true};
constexpr TensorRule kMean = {"mean", true, TensorShape::row, kLikeXOrFp32, true};
constexpr TensorRule kRstd = {"rstd", true, TensorShape::row, kLikeXOrFp32, true};
constexpr TensorRule kFp8Out = {"out", true, TensorShape::elements, kAnyFp8, false, {}, true};
constexpr TensorRule kCodesOut = {"out", true, TensorShape::elements, kAnyFp8OrInt8, false, {}, true};
constexpr TensorRule kScale = {"scale", false, TensorShape::one, dtypes(DType::fp32)};
constexpr TensorRule kScaleUb = {"scale_ub", false, TensorShape::one, dtypes(DType::fp32), true};
constexpr TensorRule kScales = {"scales", true, TensorShape::row, dtypes(DType::fp32)};

std::vector<TensorRule> rules_of(LayerNormOperation operation) {
  using Output = LayerNormOperation::Output;
  std::vector<TensorRule> rules = {kX, kWeight, kBias, kMean, kRstd};
  if (operation.adds_residual) rules.insert(rules.end(), {kResidual, kResidualOut});
  switch (operation.output) {
    case Output::values:
      rules.push_back(kOut);
      break;
    case Output::codes_by_given_scale:
      rules.insert(rules.end(), {kFp8Out, kScale});
      break;
    case Output::codes_by_own_scales:
      rules.insert(rules.end(), {kCodesOut, kScales, kScaleUb});
      break;
  }
  return rules;
}
constexpr std::array<std::string_view, 1> kNumbers = {"epsilon"};

LayerNormArguments arguments_of(const NamedCall& call, const CheckedCall& checked) {
  LayerNormArguments arguments;
  arguments.rows = checked.rows;
  arguments.shape = row_shape(checked.hidden, size_of(checked.dtype));
  checked.place("x", arguments.x, arguments.x_strides);
  checked.place("residual", arguments.residual, arguments.residual_strides);
  checked.place("residual_out", arguments.residual_out, arguments.residual_out_strides);
  checked.place("out", arguments.out, arguments.out_strides);
  arguments.weight = affine_of(call, "weight", checked.dtype);
  arguments.bias = affine_of(call, "bias", checked.dtype);
  arguments.mean = statistic_of(call, "mean", checked);
  arguments.rstd = statistic_of(call, "rstd", checked);
  arguments.has_statistics = arguments.mean.data != nullptr || arguments.rstd.data != nullptr;
  arguments.epsilon = call.number("epsilon");
  arguments.scale = call.address_of_number("scale");
  arguments.scale_ub = call.address_of_number("scale_ub");
  arguments.scales = statistic_of(call, "scales", checked);
  if (call.find("out")->dtype != checked.dtype) {
    arguments.codes = codes_of(call.find("out")->dtype);
    arguments.range = range_of(arguments.codes);
    arguments.least_scale = least_scale_of(arguments.codes);
  }
  return arguments;
}

// As configurations.h reads it.
Problem problem_of(const CheckedCall& checked, const LayerNormArguments& arguments) {
  Problem problem;
  problem.dtype = checked.dtype;
  problem.adds_residual = arguments.residual != nullptr;
  problem.quantizes = arguments.range != 0;
  if (arguments.codes <= CodeFormat::e5m2fnuz) problem.arguments.codes = arguments.codes;
  problem.vectorized = checked.vectorized;
  problem.arguments.rows = arguments.rows.count;
  set_row_shape(problem.arguments, arguments.shape);
  return problem;
}

LayerNormKernel find_kernel(DType dtype, const LayerNormSelection& selection) {
  switch (dtype) {
    case DType::bf16:
      return layer_norm_kernel_of_bf16(selection);
    case DType::fp16:
      return layer_norm_kernel_of_fp16(selection);
    default:
      return layer_norm_kernel_of_fp32(selection);
  }
}

bool is_like_x(const LayerNormArguments& arguments) {
  return arguments.weight.kind == AffineKind::like_x && arguments.bias.kind == AffineKind::like_x;
}

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
// What runs rows of up to so many chunks where there are up to so many rows: the first line that reaches
// both, and in it the first shape that fits.
struct Line {
  std::int64_t chunks, rows;
  std::array<WantedConfiguration, 2> wanted;
};
constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();
constexpr Line kLines[] = {
    {32, kAny, {{{ShapeKind::part_1_early, 256, true}}}},
    {64, kAny, {{{ShapeKind::warp_2_early, 128, true}}}},
    {128, 1024, {{{ShapeKind::block_1_full_early, 0, true}}}},
    {128, kAny, {{{ShapeKind::warp_4_full, 128, true}}}},
    {256, 1024, {{{ShapeKind::block_2_full_early, 0, true}}}},
    {512, 256, {{{ShapeKind::block_4_full_early, 0, true}}}},
    {1024, 16, {{{ShapeKind::cluster_1_full_early, 128, true}, {ShapeKind::cluster_1_early, 128, true}}}},
    {1024, 256, {{{ShapeKind::block_4_full_early, 0, true}}}},
    {1024, kAny, {{{ShapeKind::block_4_full_evict_last, 0, true}}}},
    {2048, 64, {{{ShapeKind::cluster_1x2_full_early, 128, true}, {ShapeKind::cluster_1x2_early, 128, true}}}},
    {2048, kAny, {{{ShapeKind::block_4x2_full_evict_last, 0, true}}}},
};
// Of sums with a residual, which take the registers of more rows at once.
constexpr Line kAddingLines[] = {
    {128, kAny, {{{ShapeKind::block_1_full_early, 0, true}}}},
    {256, kAny, {{{ShapeKind::block_2_full_early, 0, true}}}},
    {512, 256, {{{ShapeKind::block_2_full_early, 0, true}}}},
    {512, kAny, {{{ShapeKind::block_2_early_evict_last, 0, true}}}},
};
constexpr Line kQuantizingLines[] = {
    {32, kAny, {{{ShapeKind::part_1_early, 256, true}}}},
    {128, kAny, {{{ShapeKind::warp_4_early, 128, true}}}},
    {512, 16, {{{ShapeKind::block_4_early, 128, true}}}},
    {1024, 16, {{{ShapeKind::cluster_1_early, 128, true}}}},
    {2048, 64, {{{ShapeKind::cluster_1x2_early, 128, true}}}},
};
// Without a residual, and of sums with one, where no line of all that are quantized has a shape that fits.
constexpr Line kQuantizingAloneLines[] = {
    {1024, 2048, {{{ShapeKind::block_4_full_evict_last, 0, true}}}},
    {1024, kAny, {{{ShapeKind::block_7_full_evict_last, 0, true}}}},
};
constexpr Line kQuantizingSumLines[] = {
    {1024, kAny, {{{ShapeKind::block_4_full_roomy_evict_last, 0, true}}}},
};
// Where no line has a shape that fits and is compiled.
constexpr WantedConfiguration kInTurn[] = {
    {ShapeKind::part_1_early, 256, true},      {ShapeKind::warp_4_early, 128, true},
    {ShapeKind::block_4_early, 64, true},      {ShapeKind::block_4_early, 128, true},
    {ShapeKind::block_4_early, 256, true},     {ShapeKind::block_4x2_evict_last, 0, true},
    {ShapeKind::block_2x4_evict_last, 0, true}};

// Whether rows of so many chunks can be folded, see layer_norm_registers.cuh.
bool folds(const Problem& problem, const ShapeLimits& shape, int warps) {
  constexpr int kMostWarps = 8;
  return std::has_single_bit(static_cast<unsigned>(warps)) && warps <= kMostWarps &&
         (!shape.full || std::has_single_bit(static_cast<std::uint64_t>(problem.arguments.chunks)));
}
#endif

// Which kernel, in which configuration; selection has all but the shape.
Configuration choose(const Problem& problem, int threads, [[maybe_unused]] LayerNormSelection& selection) {
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  // Lines of the problem's own, then those of all, then the rest in turn.
  std::vector<WantedConfiguration> wanted;
  const auto add_line = [&](std::span<const Line> lines) {
    const auto line = std::ranges::find_if(lines, [&](const Line& each) {
      return problem.arguments.chunks <= each.chunks && problem.arguments.rows <= each.rows;
    });
    if (line != lines.end()) wanted.insert(wanted.end(), line->wanted.begin(), line->wanted.end());
  };
  if (problem.quantizes) add_line(kQuantizingLines);
  if (problem.quantizes && problem.adds_residual) add_line(kQuantizingSumLines);
  if (problem.quantizes && !problem.adds_residual) add_line(kQuantizingAloneLines);
  if (problem.adds_residual && !problem.quantizes) add_line(kAddingLines);
  add_line(kLines);
  wanted.insert(wanted.end(), std::begin(kInTurn), std::end(kInTurn));
  const auto can_run = [&](const Configuration& configuration) {
    const ShapeLimits& shape = *register_shape(configuration.shape);
    // A cluster of one block is none: without others there is nobody to send to.
    if (shape.team == Team::cluster && configuration.blocks_per_row == 1) return false;
    selection.shape = configuration.shape;
    const int warps = configuration.threads_per_block / ShapeLimits::kWarpLanes;
    const bool can_fold = shape.team == Team::block && shape.rounds == 1 &&
                          std::has_single_bit(static_cast<unsigned>(shape.slots));
    selection.folded = !can_fold || folds(problem, shape, warps);
    return (selection.folded || selection.shape == kUnfoldedShape) &&
           find_kernel(problem.dtype, selection) != nullptr;
  };
  const Configuration configuration = choose_among(problem, threads, wanted, can_run);
#else
  const Configuration configuration = choose_general_configuration(problem, threads);
#endif
  selection.shape = configuration.shape;
  return configuration;
}

}  // namespace

Status run_layer_norm(const NamedCall& call, LayerNormOperation operation, Stream stream,
                      LaunchReport* report) {
  CheckedCall checked;
  const std::vector<TensorRule> rules = rules_of(operation);
  if (Status status = check(call, rules, kNumbers, checked); !status.ok()) return status;
  if (checked.rows.count == 0) return {};
  if (checked.has_rows_of_weights)
    return run_by_weight_rows(
        call, rules, [&](const NamedCall& part) { return run_layer_norm(part, operation, stream, report); });
  LayerNormArguments arguments = arguments_of(call, checked);
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  if (goes_quick_ways()) {
    arguments.inverse_hidden = quick_inverse_hidden(checked.hidden, arguments.epsilon);
    if (arguments.range != 0) arguments.inverse_range = 1.0f / arguments.range;
  }
#endif
  const Problem problem = problem_of(checked, arguments);
  LayerNormSelection selection;
  selection.vectorized = problem.vectorized;
  selection.adds_residual = problem.adds_residual;
  selection.quantizes = problem.quantizes;
  selection.like_x = is_like_x(arguments);
  const Configuration configuration = choose(problem, call.launch.threads_per_block, selection);
  const LayerNormKernel kernel = find_kernel(checked.dtype, selection);
  if (Status status = launch_kernel(kernel, arguments, grid_of(configuration), stream); !status.ok())
    return status;
  if (report != nullptr)
    *report = {checked.vectorized ? Path::vectorized : Path::scalar, configuration.threads_per_block,
               configuration.rows_per_block, configuration.blocks};
  return {};
}

}  // namespace normproof::kernels
