// rms_norm_block_quant, rms_norm_mx_quant, rms_norm_nvfp4_quant, each also with a fused add: from a call by
// name to a launch.
#include "kernels/family/block_quant.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <vector>

#include "kernels/family/call_checks.h"
#include "kernels/family/rows.h"
#include "kernels/launch_kernel.h"
#include "kernels/norm_arguments.h"
#include "kernels/register_shape.h"
#include "kernels/row_shape.h"
#include "kernels/tensor_checks.h"

namespace normproof::kernels {
namespace {

constexpr std::int64_t kGridLimit = 0x7fffffff;

using Family = BlockQuantOperation::Family;

// --- Checks. ---

std::vector<TensorRule> rules_of(const NamedCall& call, BlockQuantOperation operation) {
  const auto [family, adds] = operation;
  const Tensor* out = call.find("out");
  const bool is_packed =
      family == Family::nvfp4 || (family == Family::mx && out != nullptr && out->dtype == DType::uint8);
  std::vector<TensorRule> rules = {{"x", false, TensorShape::elements, kAnyActivation, false, {}, true}};
  if (adds) rules.push_back({"residual", false, TensorShape::elements, kLikeX, false, {}, true});
  rules.push_back({"weight", false, TensorShape::hidden, kLikeXOrFp32, true, {}, true});
  const DTypes fp32 = dtypes(DType::fp32), bytes = dtypes(DType::uint8);
  switch (family) {
    case Family::block:
      rules.push_back({"scale_ub", false, TensorShape::one, fp32, true});
      rules.push_back({"out", true, TensorShape::elements, kAnyFp8OrInt8, false, {}, true});
      rules.push_back({"scales", true, TensorShape::table, fp32 | bytes});
      break;
    case Family::mx:
      rules.push_back({"out",
                       true,
                       is_packed ? TensorShape::pairs : TensorShape::elements,
                       dtypes(DType::fp8_e4m3fn, DType::fp8_e5m2, DType::uint8),
                       false,
                       {},
                       true});
      rules.push_back({"scales", true, TensorShape::table, fp32 | bytes});
      break;
    case Family::nvfp4:
      rules.push_back({"global_scale", false, TensorShape::one, fp32});
      rules.push_back({"out", true, TensorShape::pairs, bytes, false, {}, true});
      rules.push_back({"scales", true, TensorShape::table, bytes | dtypes(DType::fp8_e4m3fn)});
      break;
  }
  if (adds) rules.push_back({"residual_out", true, TensorShape::elements, kLikeX, false, "residual", true});
  rules.push_back({"normalized", true, TensorShape::elements, kLikeX, true, {}, true});
  return rules;
}

// Rows of a column-major view are its columns: [rows, blocks] with strides [1, n] becomes [blocks, rows].
Tensor with_rows_last(Tensor tensor) {
  const bool is_column_major = tensor.rank == 2 && tensor.strides[0] == 1 && tensor.strides[1] != 1 &&
                               tensor.strides[1] >= tensor.sizes[0];
  if (!is_column_major) return tensor;
  std::swap(tensor.sizes[0], tensor.sizes[1]);
  std::swap(tensor.strides[0], tensor.strides[1]);
  return tensor;
}

// --- Where scales lie. ---

struct ScaleTable {
  std::int64_t block = 0, blocks = 0;
  std::int64_t row_stride = 0, block_stride = 0, tiles = 0;
};

std::int64_t round_up(std::int64_t number, std::int64_t multiple) {
  return (number + multiple - 1) / multiple * multiple;
}

// The stride from row to row where the leading dimensions of the scales are those of x, or all rows in one,
// and step evenly; else nothing.
std::optional<std::int64_t> row_stride_of(const Tensor& scales, const Tensor& x, std::int64_t rows) {
  const bool like_x = scales.rank == x.rank &&
                      std::equal(x.sizes.begin(), x.sizes.begin() + x.rank - 1, scales.sizes.begin());
  if (!like_x && !(scales.rank == 2 && scales.sizes[0] == rows)) return {};
  std::optional<std::int64_t> inner;
  std::int64_t even = 0;
  for (int i = scales.rank - 1; i-- > 0;) {
    if (scales.sizes[i] <= 1) continue;
    if (!inner) inner = even = scales.strides[i];
    if (scales.strides[i] != even) return {};
    even *= scales.sizes[i];
  }
  return inner.value_or(scales.sizes[scales.rank - 1]);
}

// The elements of a block where it is left open: 128, 64, or an even division; 0: it stays open.
std::int64_t block_by_count(std::int64_t hidden, std::int64_t blocks) {
  for (const std::int64_t block : {128, 64})
    if ((hidden - 1) / block + 1 == blocks) return block;
  return blocks > 0 && hidden % blocks == 0 ? hidden / blocks : 0;
}

std::optional<ScaleTable> table_of(const Tensor& scales, bool transposed, const Tensor& x, std::int64_t rows,
                                   Family family) {
  const std::int64_t hidden = x.sizes[x.rank - 1];
  const auto row_stride = transposed ? std::nullopt : row_stride_of(scales, x, rows);
  const std::int64_t last = scales.sizes[scales.rank - 1];
  ScaleTable table;
  table.block = family == Family::mx ? 32 : family == Family::nvfp4 ? 16 : 0;
  table.blocks = table.block != 0 ? (hidden - 1) / table.block + 1 : row_stride ? last : scales.sizes[0];
  if (table.block == 0) table.block = block_by_count(hidden, table.blocks);
  if (table.block == 0) return {};
  if (row_stride && last == table.blocks) {
    table.row_stride = *row_stride;
    table.block_stride = 1;
    return table;
  }
  const bool is_column = scales.rank == 2 && scales.sizes[0] == table.blocks &&
                         (last == rows || last == round_up(rows, 4) || last == round_up(rows, 16));
  if (is_column) {
    table.row_stride = 1;
    table.block_stride = scales.strides[0];
    return table;
  }
  const std::int64_t padded_rows = round_up(rows, 128), padded_blocks = round_up(table.blocks, 4);
  const bool is_swizzled =
      family != Family::block && ((scales.rank == 1 && last == padded_rows * padded_blocks) ||
                                  (scales.rank == 2 && scales.sizes[0] == padded_rows &&
                                   last == padded_blocks && scales.strides[0] == padded_blocks));
  if (!is_swizzled) return {};
  table.block_stride = 1;
  table.tiles = padded_blocks / 4;
  return table;
}

Status wrong_scales(const Tensor& scales, const Tensor& x, std::int64_t rows, Family family) {
  std::string sizes;
  for (int i = 0; i < scales.rank; ++i)
    sizes += (i == 0 ? "" : ", ") + std::to_string(scales.sizes[i]) + " x stride " +
             std::to_string(scales.strides[i]);
  const std::string block = family == Family::block ? "64, 128 or an even part"
                            : family == Family::mx  ? "32"
                                                    : "16";
  return refusal(StatusCode::invalid_size, "scales: sizes (", sizes, "), must be one for each of ", rows,
                 " rows and each block of ", block, " of ", x.sizes[x.rank - 1],
                 " elements: [rows, blocks], [blocks, rows] with rows padded to 4 or 16",
                 family == Family::block ? "" : ", or padded to tiles of 128 rows and 4 blocks");
}

// --- What a kernel is told. ---

NormArguments norm_arguments(const NamedCall& call, const CheckedCall& checked) {
  NormArguments norm;
  norm.rows = checked.rows.count;
  norm.middle_size = checked.rows.middle_size;
  norm.inner_size = checked.rows.inner_size;
  set_row_shape(norm, row_shape(checked.hidden, size_of(checked.dtype)));
  checked.place("x", norm.input, norm.input_strides);
  checked.place("residual", norm.residual, norm.residual_strides);
  checked.place("out", norm.out, norm.out_strides);
  const Tensor* weight = call.find("weight");
  norm.weight = weight == nullptr ? nullptr : weight->data;
  norm.epsilon = call.number("epsilon");
  return norm;
}

void set_scales(const NamedCall& call, Family family, const ScaleTable& table,
                BlockQuantArguments& arguments) {
  const Tensor& scales = *call.find("scales");
  arguments.block = table.block;
  arguments.blocks = table.blocks;
  arguments.scales = scales.data;
  const std::int64_t bytes = size_of(scales.dtype);
  arguments.scale_row_bytes = table.row_stride * bytes;
  arguments.scale_block_bytes = table.block_stride * bytes;
  arguments.scale_group_bytes = table.tiles != 0 ? 512 * bytes : 4 * arguments.scale_block_bytes;
  arguments.scale_tiles = table.tiles;
  arguments.scaling.range = range_of(arguments.codes);
  if (family == Family::nvfp4) {
    arguments.scaling.rule = BlockScaleRule::global;
    arguments.scaling.storage = BlockScaleStorage::e4m3;
    return;
  }
  const bool in_bytes = scales.dtype == DType::uint8;
  arguments.scaling.rule =
      family == Family::mx || in_bytes ? BlockScaleRule::power : BlockScaleRule::quotient;
  arguments.scaling.storage = in_bytes ? BlockScaleStorage::e8m0 : BlockScaleStorage::fp32;
  if (family == Family::block) arguments.scaling.least_scale = least_scale_of(arguments.codes);
  arguments.power = power_rule(arguments.scaling.range, arguments.scaling.least_scale);
}

BlockQuantArguments arguments_of(const NamedCall& call, const CheckedCall& checked, Family family,
                                 const ScaleTable& table) {
  BlockQuantArguments arguments;
  arguments.norm = norm_arguments(call, checked);
  checked.place("residual_out", arguments.residual_out, arguments.residual_out_strides);
  checked.place("normalized", arguments.normalized, arguments.normalized_strides);
  arguments.weight = weight_kind(call.find("weight"), checked.dtype);
  arguments.codes = codes_of(call.find("out")->dtype);
  arguments.scale_ub = call.address_of_number("scale_ub");
  arguments.global_scale = call.address_of_number("global_scale");
  set_scales(call, family, table, arguments);
  return arguments;
}

// --- Which kernel. ---

struct Choice {
  BlockQuantKernel kernel = nullptr;
  Grid grid;
  int rows_per_block = 1;
  bool vectorized = false;
};

Choice general_choice(const CheckedCall& checked, int threads, BlockQuantArguments& arguments) {
  Choice choice;
  choice.vectorized = checked.vectorized;
  choice.kernel = general_block_quant_kernel(checked.dtype, checked.vectorized);
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  const int own = std::clamp(arguments.norm.groups * kWarpThreads, 64, 512);
  arguments.block_threads_log2 = arguments.block >= 128 ? 5 : arguments.block >= 64 ? 4 : 3;
#else
  const int own = kWarpThreads;  // every fiber costs
  arguments.block_threads_log2 = 0;
#endif
  choice.grid.threads = threads != 0 ? threads : own;
  choice.grid.blocks = std::min(arguments.norm.rows, kGridLimit);
  return choice;
}

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
constexpr ShapeLimits kShapes[] = {
#define NORMPROOF_BLOCK_SHAPE(name, ...) limits_of<RegisterShape<__VA_ARGS__>>(),
#include "kernels/family/block_quant_shapes.inc"
#undef NORMPROOF_BLOCK_SHAPE
};

// Threads of a multiprocessor, by the launch bounds; 0 of a shape that is not of block_quant_ring.cuh.
constexpr int threads_of_ring(BlockQuantShape shape) {
  switch (shape) {
#define NORMPROOF_BLOCK_SHAPE(...)
#define NORMPROOF_RING_BLOCK_SHAPE(name, ...) \
  case BlockQuantShape::name:                 \
    return RegisterShape<__VA_ARGS__>::kMaximumThreads * RegisterShape<__VA_ARGS__>::kBlocks;
#include "kernels/family/block_quant_shapes.inc"
#undef NORMPROOF_BLOCK_SHAPE
    default:
      return 0;
  }
}

thread_local std::optional<ForcedBlockQuantShape> forced_shape;
thread_local BlockQuantShape last_shape = BlockQuantShape::general;

// Whether blocks are powers of two of chunks, as many as the kernels share among threads, in a format that
// the hardware has.
bool fits_registers(const CheckedCall& checked, const BlockQuantArguments& arguments) {
  const std::int64_t elements = 16 / size_of(checked.dtype);
  const std::int64_t chunks = arguments.block / elements;
  const bool is_power = arguments.block % elements == 0 && std::has_single_bit(static_cast<unsigned>(chunks));
  // RegisterBlockRow knows the size of the blocks of e2m1; of others it has four makers and up to 128
  // elements.
  const bool is_shared = arguments.codes == CodeFormat::e2m1 || (chunks >= 4 && arguments.block <= 128);
  return checked.vectorized && is_power && is_shared && arguments.codes != CodeFormat::int8 &&
         arguments.codes != CodeFormat::e4m3fnuz && arguments.codes != CodeFormat::e5m2fnuz &&
         arguments.weight == WeightKind::same_as_activation;
}

// Fills in the steps of rows in bytes; false where they do not step evenly or too far.
bool set_even_steps(const CheckedCall& checked, BlockQuantArguments& arguments) {
  const NormArguments& norm = arguments.norm;
  bool fits =
      norm.inner_size == norm.rows && norm.rows <= 0x7fffffff && arguments.scale_group_bytes <= 0x7fffffff;
  const auto narrow = [&](std::int64_t elements, std::int64_t bytes_of_each) {
    fits = fits && elements <= 0x7fffffff / bytes_of_each;
    return fits ? static_cast<std::uint32_t>(elements * bytes_of_each) : 0;
  };
  const std::int64_t bytes = size_of(checked.dtype);
  arguments.even = {narrow(norm.input_strides.inner, bytes),
                    narrow(norm.residual_strides.inner, bytes),
                    narrow(arguments.residual_out_strides.inner, bytes),
                    narrow(norm.out_strides.inner, 1),
                    narrow(arguments.normalized_strides.inner, bytes),
                    narrow(arguments.scale_row_bytes, 1)};
  return fits;
}

BlockQuantKernel register_kernel_of(DType dtype, const BlockQuantSelection& selection) {
  switch (dtype) {
    case DType::bf16:
      return bf16_block_quant_kernel(selection);
    case DType::fp16:
      return fp16_block_quant_kernel(selection);
    default:
      return fp32_block_quant_kernel(selection);
  }
}

BlockQuantSelection selection_of(BlockQuantShape shape, const BlockQuantArguments& arguments) {
  return {shape, arguments.norm.residual != nullptr, arguments.codes, arguments.scaling.rule};
}

// The grid of a shape on so many threads, 0: its own number; no threads where it does not take the rows.
Choice try_shape(BlockQuantShape shape, int threads, const NormArguments& norm) {
  const ShapeLimits& limits = kShapes[static_cast<int>(shape)];
  Choice choice;
  choice.vectorized = true;
  const bool whole_blocks = limits.team == Team::block || limits.team == Team::cluster;
  const int warps = limits.warps_for(norm.groups);
  int blocks_per_row = 1;
  if (limits.team == Team::part_of_warp) {
    if (!limits.holds_in_part_of_warp(norm.chunks, norm.row_threads_log2)) return {};
    if (threads == 0) threads = 256;
    choice.rows_per_block = (threads * limits.slots) >> norm.row_threads_log2;
  } else if (limits.team == Team::warp) {
    if (!limits.holds(norm.chunks, 1)) return {};
    if (threads == 0) threads = 128;
    choice.rows_per_block = threads / kWarpThreads;
  } else if (limits.team == Team::block) {
    threads = warps * kWarpThreads;
    if (!limits.holds(norm.chunks, warps)) return {};
  } else {
    if (threads == 0) threads = 128;
    blocks_per_row = (warps * kWarpThreads + threads - 1) / threads;
    if (!supports_clusters() || blocks_per_row > 8 ||
        std::has_single_bit(unsigned(blocks_per_row)) == false ||
        !limits.holds(norm.chunks, blocks_per_row * threads / kWarpThreads))
      return {};
  }
  if (threads > limits.maximum_threads || (whole_blocks && warps > 32)) return {};
  choice.grid.threads = threads;
  choice.grid.blocks_per_cluster = blocks_per_row;
  choice.grid.blocks = ((norm.rows - 1) / choice.rows_per_block + 1) * blocks_per_row;
  choice.grid.dependent = true;
  if (choice.grid.blocks > kGridLimit) return {};
  if (const int ring = threads_of_ring(shape); ring != 0) {
    if (!supports_clusters()) return {};  // nor bulk copies
    choice.grid.blocks = std::min(norm.rows, std::int64_t{multiprocessors()} * (ring / threads));
    choice.grid.shared_bytes = kRowStages * norm.chunks * kChunkBytes;
  }
  return choice;
}

// Shapes in the order in which they are tried, by what was fastest on an H200.
struct Wanted {
  BlockQuantShape shape;
  int threads = 0;
};
std::vector<Wanted> wanted_shapes(const BlockQuantArguments& arguments) {
  using enum BlockQuantShape;
  const NormArguments& norm = arguments.norm;
  const bool adds = norm.residual != nullptr, packs = arguments.codes == CodeFormat::e2m1;
  constexpr std::int64_t kManyRows = 2048;
  std::vector<Wanted> wanted = {{part_1}};
  const auto then = [&](std::initializer_list<Wanted> more) {
    wanted.insert(wanted.end(), more.begin(), more.end());
  };
  if (norm.chunks <= 64) then({{warp_2}});
  if (norm.rows <= 64) {
    if (norm.chunks <= 256) then({{block_1}});
    if (norm.chunks <= 512) then({{block_4_full}});
    if (adds || norm.chunks > 900) then({{cluster_1, 128}, {cluster_1, 256}});
    then({{block_4_full}, {block_2_full}});
  } else if (adds) {
    then({{block_4_full_late_evict_last}, {block_4x2_full_late_evict_last}});
  } else if (norm.chunks > 128) {
    constexpr std::int64_t kFewChunks = std::int64_t{1} << 21;  // measured
    if (packs && norm.chunks <= 512 && norm.rows * norm.chunks <= kFewChunks)
      then({{block_4_full_late_evict_last}});
    if (arguments.scaling.rule == BlockScaleRule::global) then({{ring_7}, {ring_4}});
    if (norm.rows > kManyRows) then({{block_7_packed_late}});
    if (packs && norm.chunks <= 512) then({{block_8_full_late}});
    if (norm.chunks <= 256) then({{block_4_full_late}});
    then({{block_4_packed_late_evict_last}, {block_4x2_packed_late_evict_last}, {block_2_full}});
  } else {
    if (packs || norm.rows >= 1024) then({{warp_4_full_late, 64}});
    if (!packs) then({{warp_4, 64}});
  }
  then({{warp_4}, {block_4}, {block_2x2_tight_evict_last}, {block_2x2}});
  return wanted;
}

std::optional<Choice> register_choice(const CheckedCall& checked, BlockQuantArguments& arguments) {
  if (!fits_registers(checked, arguments) || !set_even_steps(checked, arguments)) return {};
  std::vector<Wanted> wanted = wanted_shapes(arguments);
  if (forced_shape) wanted = {{forced_shape->shape, forced_shape->threads}};
  for (const Wanted& each : wanted) {
    if (each.shape == BlockQuantShape::general) break;
    Choice choice = try_shape(each.shape, each.threads, arguments.norm);
    if (choice.grid.threads == 0) continue;
    choice.kernel = register_kernel_of(checked.dtype, selection_of(each.shape, arguments));
    if (choice.kernel == nullptr) continue;
    last_shape = each.shape;
    const std::int64_t chunks = arguments.block * size_of(checked.dtype) / 16;
    arguments.block_threads_log2 = std::bit_width(static_cast<unsigned>(chunks)) - 1;
    return choice;
  }
  return {};
}
#endif

Choice choose(const NamedCall& call, const CheckedCall& checked, BlockQuantArguments& arguments) {
#if defined(NORMPROOF_KERNELS_ON_DEVICE)
  last_shape = BlockQuantShape::general;
  if (call.launch.threads_per_block == 0) {
    if (const auto found = register_choice(checked, arguments)) return *found;
  }
#endif
  return general_choice(checked, call.launch.threads_per_block, arguments);
}

}  // namespace

Status run_block_quant(const NamedCall& given, BlockQuantOperation operation, Stream stream,
                       LaunchReport* report) {
  std::vector<NamedTensor> tensors(given.tensors.begin(), given.tensors.end());
  bool transposed = false;
  for (NamedTensor& each : tensors) {
    if (each.role != "scales") continue;
    const Tensor before = each.tensor;
    each.tensor = with_rows_last(before);
    transposed = each.tensor.strides != before.strides;
  }
  NamedCall call = given;
  call.tensors = tensors;
  constexpr std::array<std::string_view, 1> kNumbers = {"epsilon"};
  CheckedCall checked;
  const std::vector<TensorRule> rules = rules_of(call, operation);
  if (Status status = check(call, rules, kNumbers, checked); !status.ok()) return status;
  const Tensor& x = *call.find("x");
  const Tensor& scales = *call.find("scales");
  const auto table = table_of(scales, transposed, x, checked.rows.count, operation.family);
  if (!table) return wrong_scales(scales, x, checked.rows.count, operation.family);
  if (checked.rows.count == 0) return {};
  BlockQuantArguments arguments = arguments_of(call, checked, operation.family, *table);
  const Choice choice = choose(call, checked, arguments);
  const Status status = launch_block_quant(choice.kernel, arguments, choice.grid, stream);
  if (status.ok() && report != nullptr)
    *report = {choice.vectorized ? Path::vectorized : Path::scalar, choice.grid.threads,
               choice.rows_per_block, choice.grid.blocks};
  return status;
}

#if defined(NORMPROOF_KERNELS_ON_DEVICE)
void force_block_quant_shape(const ForcedBlockQuantShape* shape) {
  forced_shape = shape == nullptr ? std::nullopt : std::optional(*shape);
}
bool holds_rows(const ForcedBlockQuantShape& shape, DType dtype, const BlockQuantArguments& arguments) {
  return try_shape(shape.shape, shape.threads, arguments.norm).grid.threads != 0 &&
         register_kernel_of(dtype, selection_of(shape.shape, arguments)) != nullptr;
}
BlockQuantShape last_block_quant_shape() { return last_shape; }
#endif

}  // namespace normproof::kernels
