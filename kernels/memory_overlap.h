// Whether strided tensors share memory.
#pragma once

#include <array>
#include <cstdint>

namespace normproof::kernels {

// The bytes of a tensor: rows of `row_bytes` bytes at begin + the sum of index[k] * strides[k], with index[k]
// from 0 to sizes[k] - 1. All in bytes. Strides are positive and the extent fits in 63 bits; a size of 0
// means no rows.
struct MemoryView {
  std::uintptr_t begin = 0;
  std::int64_t row_bytes = 0;
  int leading_dimensions = 0;
  std::array<std::int64_t, 3> sizes{};
  std::array<std::int64_t, 3> strides{};
};

// Bytes from the first to behind the last.
std::int64_t extent_of(const MemoryView& view);

// True where a byte belongs to both views. Exact where the strides of the two agree and nest (each at least
// the extent of all smaller ones), as for views of one packed tensor; strides that would take a long search
// count as sharing memory when the views' extents do.
bool share_memory(const MemoryView& a, const MemoryView& b);

// True where a byte belongs to two rows of the view. Exact in the same cases.
bool overlaps_itself(const MemoryView& view);

}  // namespace normproof::kernels
