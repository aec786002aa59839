#include "kernels/tensor_checks.h"

#include <array>
#include <limits>

#include "kernels/memory_overlap.h"

namespace normproof::kernels {
namespace {

const char* name_of(DType dtype) {
  constexpr std::array kNames = {"fp32",         "fp16",         "bf16", "fp8_e4m3fn", "fp8_e5m2",
                                 "fp8_e4m3fnuz", "fp8_e5m2fnuz", "int8", "uint8"};
  return kNames[static_cast<std::size_t>(dtype)];
}

MemoryView view_of(const Argument& argument) {
  const Tensor& tensor = *argument.tensor;
  MemoryView view;
  view.begin = argument.address();
  view.row_bytes = argument.hidden() * argument.element_bytes();
  for (int i = 0; i < argument.leading(); ++i) {
    if (tensor.sizes[i] == 1) continue;
    view.sizes[view.leading_dimensions] = tensor.sizes[i];
    view.strides[view.leading_dimensions] =
        tensor.sizes[i] == 0 ? 0 : tensor.strides[i] * argument.element_bytes();
    ++view.leading_dimensions;
  }
  return view;
}

bool same_memory(const MemoryView& a, const MemoryView& b) {
  return a.begin == b.begin && a.row_bytes == b.row_bytes && a.sizes == b.sizes && a.strides == b.strides;
}

}  // namespace

bool is_known(DType dtype) { return dtype >= DType::fp32 && dtype <= DType::uint8; }
bool is_activation(DType dtype) { return is_known(dtype) && dtype <= DType::bf16; }
bool is_fp8(DType dtype) { return dtype >= DType::fp8_e4m3fn && dtype <= DType::fp8_e5m2fnuz; }

std::string text_of(DType dtype) {
  return is_known(dtype) ? name_of(dtype) : "dtype " + std::to_string(static_cast<std::int32_t>(dtype));
}

std::int64_t size_of(DType dtype) { return dtype == DType::fp32 ? 4 : is_activation(dtype) ? 2 : 1; }

Status check_rank(const Argument& argument, int lowest, int highest) {
  const int rank = argument.tensor->rank;
  if (rank >= lowest && rank <= highest) return {};
  if (lowest == highest)
    return refusal(StatusCode::invalid_rank, argument.name, ": rank is ", rank, ", must be ", lowest);
  return refusal(StatusCode::invalid_rank, argument.name, ": rank is ", rank, ", must be ", lowest, " to ",
                 highest);
}

Status check_no_negative_size(const Argument& argument) {
  for (int i = 0; i < argument.tensor->rank; ++i) {
    const std::int64_t size = argument.tensor->sizes[i];
    if (size < 0)
      return refusal(StatusCode::invalid_size, argument.name, ": sizes[", i, "] is ", size,
                     ", must not be negative");
  }
  return {};
}

Status check_sizes(const Argument& argument) {
  if (Status status = check_no_negative_size(argument); !status.ok()) return status;
  if (argument.hidden() == 0)
    return refusal(StatusCode::invalid_size, argument.name, ": sizes[", argument.leading(),
                   "], the hidden size, is 0, must be at least 1");
  return {};
}

Status check_equal_shape(const Argument& argument, const Argument& input) {
  if (argument.tensor->rank != input.tensor->rank)
    return refusal(StatusCode::invalid_rank, argument.name, ": rank is ", argument.tensor->rank,
                   ", but that of ", input.name, " is ", input.tensor->rank);
  for (int i = 0; i < input.tensor->rank; ++i) {
    if (argument.tensor->sizes[i] != input.tensor->sizes[i])
      return refusal(StatusCode::invalid_size, argument.name, ": sizes[", i, "] is ",
                     argument.tensor->sizes[i], ", but that of ", input.name, " is ", input.tensor->sizes[i]);
  }
  return {};
}

Status check_strides(const Argument& argument) {
  const Tensor& tensor = *argument.tensor;
  if (tensor.strides[argument.leading()] != 1)
    return refusal(StatusCode::invalid_stride, argument.name, ": strides[", argument.leading(), "] is ",
                   tensor.strides[argument.leading()], ", must be 1 in the last dimension");
  for (int i = 0; i < argument.leading(); ++i) {
    if (tensor.sizes[i] > 1 && tensor.strides[i] < argument.hidden())
      return refusal(StatusCode::invalid_stride, argument.name, ": strides[", i, "] is ", tensor.strides[i],
                     ", less than the row of ", argument.hidden(), " elements");
  }
  return {};
}

Status check_extent(const Argument& argument) {
  const Tensor& tensor = *argument.tensor;
  const auto too_large = [&](const char* what) {
    std::ostringstream shape;
    for (int i = 0; i < tensor.rank; ++i)
      shape << (i == 0 ? "" : ", ") << tensor.sizes[i] << " x stride " << tensor.strides[i];
    return refusal(StatusCode::size_overflow, argument.name, ": ", what, " (sizes ", shape.str(), ")");
  };
  if (argument.empty()) return {};
  std::optional<std::int64_t> elements = argument.hidden();
  std::optional<std::int64_t> extent = argument.hidden();
  for (int i = 0; i < argument.leading(); ++i) {
    elements = product(*elements, tensor.sizes[i]);
    if (!elements) return too_large("the number of elements does not fit in 63 bits");
    if (tensor.sizes[i] == 1) continue;
    const auto span = product(tensor.sizes[i] - 1, tensor.strides[i]);
    extent = span ? sum(*extent, *span) : std::nullopt;
    if (!extent) return too_large("the extent in elements does not fit in 63 bits");
  }
  const auto bytes = product(*extent, argument.element_bytes());
  if (!bytes || !product(*elements, argument.element_bytes()))
    return too_large("the extent in bytes does not fit in 63 bits");
  if (static_cast<std::uintptr_t>(*bytes) > std::numeric_limits<std::uintptr_t>::max() - argument.address())
    return refusal(StatusCode::size_overflow, argument.name, ": ", *bytes, " bytes from ",
                   argument.tensor->data, " on run past the end of the address space");
  return {};
}

Status check_data(const Argument& argument) {
  const void* data = argument.tensor->data;
  if (data == nullptr && !argument.empty())
    return refusal(StatusCode::null_pointer, argument.name, ": data is null (0x0)");
  if (argument.address() % argument.element_bytes() != 0)
    return refusal(StatusCode::misaligned_pointer, argument.name, ": data ", data,
                   " is not a multiple of the element size ", argument.element_bytes());
  return {};
}

Status check_overlap(
    const std::vector<Argument>& arguments,
    const std::function<bool(const Argument& written, const Argument& other)>& may_be_the_same) {
  for (const Argument& written : arguments) {
    if (!written.written || written.empty()) continue;
    const MemoryView view = view_of(written);
    if (overlaps_itself(view))
      return refusal(StatusCode::overlap, written.name, ": its rows from ", written.tensor->data,
                     " on share memory with each other");
    for (const Argument& other : arguments) {
      if (&other == &written) continue;
      const MemoryView other_view = view_of(other);
      if (may_be_the_same(written, other) && same_memory(view, other_view)) continue;
      if (share_memory(view, other_view))
        return refusal(StatusCode::overlap, written.name, ": ", extent_of(view), " bytes from ",
                       written.tensor->data, " on share memory with ", other.name, ", ",
                       extent_of(other_view), " bytes from ", other.tensor->data, " on");
    }
  }
  return {};
}

MergedDimensions merge_leading_dimensions(const std::vector<LeadingDimension>& dimensions) {
  std::vector<LeadingDimension> merged;
  for (LeadingDimension next : dimensions) {
    if (next.size == 1) continue;
    bool even = !merged.empty();
    for (std::size_t i = 0; even && i < kMostTensors; ++i)
      even = product(next.size, next.strides[i]) == merged.back().strides[i];
    if (even) {
      next.size *= merged.back().size;
      merged.pop_back();
    }
    merged.push_back(next);
  }
  merged.insert(merged.begin(), 3 - merged.size(), LeadingDimension{});
  MergedDimensions result;
  result.rows = {merged[0].size * merged[1].size * merged[2].size, merged[1].size, merged[2].size};
  for (std::size_t i = 0; i < kMostTensors; ++i)
    result.strides[i] = {merged[0].strides[i], merged[1].strides[i], merged[2].strides[i]};
  return result;
}

Status check_launch(const Launch& launch) {
  const auto path = static_cast<std::int32_t>(launch.path);
  if (path < 0 || path > static_cast<std::int32_t>(Path::scalar))
    return refusal(StatusCode::invalid_launch, "launch: path is ", path, ", must be 0 to 2");
  const int threads = launch.threads_per_block;
  if (threads < 0 || threads > 1024 || threads % kWarpThreads != 0)
    return refusal(StatusCode::invalid_launch, "launch: threads_per_block is ", threads,
                   ", must be 0 or a multiple of 32 up to 1024");
  return {};
}

Status check_vectorizable(const std::vector<Argument>& arguments) {
  const Argument& input = arguments.front();
  const std::int64_t chunk_elements = kChunkBytes / input.element_bytes();
  if (input.hidden() % chunk_elements != 0)
    return refusal(StatusCode::invalid_launch, "launch: path is vectorized, but the hidden size ",
                   input.hidden(), " of input is not a multiple of ", chunk_elements);
  for (const Argument& argument : arguments) {
    if (!argument.in_chunks) continue;
    const std::int64_t alignment =
        std::min<std::int64_t>(kChunkBytes, chunk_elements * argument.element_bytes());
    if (argument.address() % alignment != 0)
      return refusal(StatusCode::misaligned_pointer, argument.name, ": data ", argument.tensor->data,
                     " is not a multiple of ", alignment, " bytes, as the vectorized path demands");
    for (int i = 0; i < argument.leading(); ++i) {
      const std::int64_t stride = argument.tensor->strides[i];
      if (argument.tensor->sizes[i] > 1 && stride % (alignment / argument.element_bytes()) != 0)
        return refusal(StatusCode::misaligned_pointer, argument.name, ": strides[", i, "] is ", stride,
                       " elements, not a multiple of ", alignment, " bytes, as the vectorized path demands");
    }
  }
  return {};
}

}  // namespace normproof::kernels
