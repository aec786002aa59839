// qk_norm_rope: from a call by name to a launch.
#include "kernels/family/qk_norm_rope.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "kernels/arguments.h"
#include "kernels/configurations.h"
#include "kernels/family/affine_call.h"
#include "kernels/family/rows.h"
#include "kernels/launch_kernel.h"
#include "kernels/quick_operands.h"
#include "kernels/tensor_checks.h"

namespace normproof::kernels {
namespace {

constexpr std::array kRules = {
    TensorRule{"x", false, TensorShape::elements, kAnyActivation, false, {}, true},
    TensorRule{"weight", false, TensorShape::hidden, kLikeXOrFp32, true, {}, true},
    TensorRule{"cos", false, TensorShape::token, kLikeXOrFp32},
    TensorRule{"sin", false, TensorShape::token, kLikeXOrFp32},
    TensorRule{"out", true, TensorShape::elements, kLikeX, false, "x", true},
};
constexpr std::array<std::string_view, 2> kNumbers = {"epsilon", "interleaved"};

// What the rules do not say: heads, and two tables that fit each other and the head.
Status check_rotation(const NamedCall& call) {
  const Tensor &x = *call.find("x"), &cosine = *call.find("cos"), &sine = *call.find("sin");
  const std::int64_t pairs = cosine.sizes[cosine.rank - 1], size = x.sizes[x.rank - 1];
  if (x.rank < 2)
    return refusal(StatusCode::invalid_rank, "x: rank is ", x.rank, ", must be 2 to 4: heads of one size");
  if (2 * pairs > size)
    return refusal(StatusCode::invalid_size, "cos: sizes[", cosine.rank - 1, "] is ", pairs,
                   ", must be at most ", size / 2, ", half the head size: one for each pair");
  if (sine.sizes[sine.rank - 1] != pairs)
    return refusal(StatusCode::invalid_size, "sin: sizes[", sine.rank - 1, "] is ", sine.sizes[sine.rank - 1],
                   ", must be ", pairs, " as that of cos");
  if (sine.dtype != cosine.dtype)
    return refusal(StatusCode::unsupported_dtype, "sin: dtype is ", text_of(sine.dtype), ", must be ",
                   text_of(cosine.dtype), " as that of cos");
  const float interleaved = call.number("interleaved");
  if (interleaved != 0.0f && interleaved != 1.0f)
    return refusal(StatusCode::invalid_size, "interleaved: is ", interleaved, ", must be 0 or 1");
  return {};
}

QkNormRopeArguments arguments_of(const NamedCall& call, const CheckedCall& checked) {
  QkNormRopeArguments arguments;
  arguments.rows = checked.rows;
  arguments.shape = row_shape(checked.hidden, size_of(checked.dtype));
  const Tensor& cosine = *call.find("cos");
  arguments.pairs = cosine.sizes[cosine.rank - 1];
  arguments.interleaved = call.number("interleaved") != 0.0f;
  checked.place("x", arguments.x, arguments.x_strides);
  checked.place("out", arguments.out, arguments.out_strides);
  checked.place("cos", arguments.cosine, arguments.cosine_strides);
  checked.place("sin", arguments.sine, arguments.sine_strides);
  arguments.rotation_is_fp32 = cosine.dtype == DType::fp32;
  arguments.weight = affine_of(call, "weight", checked.dtype);
  arguments.epsilon = call.number("epsilon");
  return arguments;
}

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
// Whether a thread may read the numbers of a chunk's pairs by the widest accesses.
bool is_aligned(const void* data, const RowStrides& strides, std::int64_t bytes, std::int64_t element_bytes) {
  const std::int64_t width = std::min<std::int64_t>(bytes, 16);
  for (const std::int64_t stride : {strides.outer, strides.middle, strides.inner})
    if (stride * element_bytes % width != 0) return false;
  return reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(width) == 0;
}

// Whether qk_norm_rope_registers.cuh takes the call, and by which kernel; it fills in the units.
bool choose_registers(const CheckedCall& checked, QkNormRopeArguments& arguments,
                      QkNormRopeSelection& selection) {
  const std::int64_t elements = 16 / size_of(checked.dtype), chunks = arguments.shape.chunks;
  const std::int64_t cosines = arguments.interleaved ? elements / 2 : elements;
  const std::int64_t element_bytes = arguments.rotation_is_fp32 ? 4 : size_of(checked.dtype);
  if (!checked.vectorized || chunks > 32 || arguments.pairs == 0 || arguments.pairs % cosines != 0)
    return false;
  for (const auto& [data, strides] : {std::pair(arguments.cosine, arguments.cosine_strides),
                                      std::pair(arguments.sine, arguments.sine_strides)})
    if (!is_aligned(data, strides, cosines * element_bytes, element_bytes)) return false;
  const bool whole_head = 2 * arguments.pairs == arguments.shape.hidden &&
                          std::has_single_bit(static_cast<std::uint64_t>(chunks));
  selection.in_registers = true;
  selection.weight_like_x = arguments.weight.kind == AffineKind::like_x;
  selection.pairing = arguments.interleaved ? Pairing::same_chunk
                      : whole_head          ? Pairing::own_chunks
                                            : Pairing::other_chunk;
  // With few heads as many threads as possible; otherwise what they have in common is read less often. They
  // have it in common where the innermost rows are the heads of a token.
  // A thread with two chunks has work enough for longer.
  const std::int64_t few_chunks = selection.pairing == Pairing::own_chunks ? 1 << 21 : 1 << 17;
  const bool share = arguments.cosine_strides.inner == 0 && arguments.sine_strides.inner == 0;
  const bool few = arguments.rows.count * chunks < few_chunks;
  selection.heads = share && !few && arguments.rows.inner_size >= kHeadsOfUnit ? kHeadsOfUnit : 1;
  const std::int64_t units_per_token = (arguments.rows.inner_size - 1) / selection.heads + 1;
  const std::int64_t units = arguments.rows.count / arguments.rows.inner_size * units_per_token;
  if (arguments.rows.count > std::numeric_limits<std::int32_t>::max()) return false;
  arguments.units = static_cast<std::uint32_t>(units);
  arguments.units_per_token = static_cast<std::uint32_t>(units_per_token);
  return true;
}

Configuration register_configuration(const QkNormRopeArguments& arguments,
                                     const QkNormRopeSelection& selection, int threads) {
  Configuration configuration;
  configuration.threads_per_block = threads != 0 ? threads : 128;
  const int width_log2 =
      arguments.shape.row_threads_log2 - (selection.pairing == Pairing::own_chunks ? 1 : 0);
  const int units_per_block = configuration.threads_per_block >> width_log2;
  configuration.rows_per_block = units_per_block * selection.heads;
  configuration.blocks = (arguments.units - 1) / units_per_block + 1;
  configuration.dependent = true;
  return configuration;
}
#endif

Configuration general_configuration(const CheckedCall& checked, const QkNormRopeArguments& arguments,
                                    int threads) {
  Problem problem;
  problem.dtype = checked.dtype;
  problem.arguments.rows = arguments.rows.count;
  set_row_shape(problem.arguments, arguments.shape);
  return choose_general_configuration(problem, threads);
}

}  // namespace

Status run_qk_norm_rope(const NamedCall& call, Stream stream, LaunchReport* report) {
  CheckedCall checked;
  if (Status status = check(call, kRules, kNumbers, checked); !status.ok()) return status;
  if (Status status = check_rotation(call); !status.ok()) return status;
  if (checked.rows.count == 0) return {};
  QkNormRopeArguments arguments = arguments_of(call, checked);
  QkNormRopeSelection selection;
  selection.dtype = checked.dtype;
  const int threads = call.launch.threads_per_block;
  Configuration configuration;
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  if (goes_quick_ways()) arguments.inverse_hidden = quick_inverse_hidden(checked.hidden, arguments.epsilon);
  if (threads <= 256 && choose_registers(checked, arguments, selection))
    configuration = register_configuration(arguments, selection, threads);
#endif
  if (!selection.in_registers) {
    configuration = general_configuration(checked, arguments, threads);
    selection.block_per_row = configuration.shape != ShapeKind::within_warp;
  }
  if (Status status = launch_kernel(find_qk_norm_rope(selection), arguments, grid_of(configuration), stream);
      !status.ok())
    return status;
  if (report != nullptr)
    *report = {selection.in_registers ? Path::vectorized : Path::scalar, configuration.threads_per_block,
               configuration.rows_per_block, configuration.blocks};
  return {};
}

}  // namespace normproof::kernels
