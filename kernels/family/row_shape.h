// How a row is cut into chunks of 16 bytes and groups of lanes (row_reduction.cuh), as kernels are told it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace normproof::kernels {

struct RowShape {
  std::int64_t hidden = 0;
  std::int64_t chunks = 0;   // the last one perhaps partial
  int groups = 0;            // of 32 lanes that the row reaches
  int group_tree_width = 0;  // `groups` rounded up to a power of two
  int row_threads_log2 = 0;  // 2 to it is the number of lanes of a row within a warp
  float hidden_as_float = 0;
};

inline RowShape row_shape(std::int64_t hidden, std::int64_t element_bytes) {
  constexpr std::int64_t kChunkBytes = 16, kLanesOfGroup = 32, kMostGroups = 32;
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

}  // namespace normproof::kernels
