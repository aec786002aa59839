#include "kernels/row_shape.h"

#include <algorithm>
#include <bit>

namespace normproof::kernels {
namespace {

constexpr std::int64_t kLanesOfGroup = 32;
constexpr std::int64_t kMostGroups = 32;

}  // namespace

RowShape row_shape(std::int64_t hidden, std::int64_t element_bytes) {
  RowShape shape;
  shape.hidden = hidden;
  const std::int64_t chunk_elements = kChunkBytes / element_bytes;
  shape.chunks = hidden / chunk_elements + (hidden % chunk_elements != 0);
  shape.groups = static_cast<int>(std::min((shape.chunks + kLanesOfGroup - 1) / kLanesOfGroup, kMostGroups));
  shape.group_tree_width = static_cast<int>(std::bit_ceil(static_cast<unsigned>(shape.groups)));
  const auto row_threads = static_cast<unsigned>(std::min(shape.chunks, kLanesOfGroup));
  shape.row_threads_log2 = std::bit_width(std::bit_ceil(row_threads)) - 1;
  shape.hidden_as_float = static_cast<float>(hidden);
  return shape;
}

void set_row_shape(NormArguments& arguments, const RowShape& shape) {
  arguments.hidden = shape.hidden;
  arguments.chunks = shape.chunks;
  arguments.groups = shape.groups;
  arguments.group_tree_width = shape.group_tree_width;
  arguments.row_threads_log2 = shape.row_threads_log2;
  arguments.hidden_as_float = shape.hidden_as_float;
}

}  // namespace normproof::kernels
