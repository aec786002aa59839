// Stands in for cooperative_groups::reduce over tiles: every lane gets the result of a butterfly, the far
// lanes first. No order is promised by CUDA.
#pragma once

#include <cooperative_groups.h>

namespace cooperative_groups {

template <class T>
struct plus {
  T operator()(const T& a, const T& b) const { return a + b; }
};
template <class T>
struct greater {
  T operator()(const T& a, const T& b) const { return a < b ? b : a; }
};
template <class T>
struct less {
  T operator()(const T& a, const T& b) const { return b < a ? b : a; }
};

template <unsigned Size, class Parent, class T, class Operation>
T reduce(const thread_block_tile<Size, Parent>& tile, const T& value, Operation operation,
         std::source_location site = std::source_location::current()) {
  T reduced = value;
  for (unsigned lanes = Size / 2; lanes > 0; lanes /= 2)
    reduced = operation(reduced, tile.shfl_xor(reduced, static_cast<int>(lanes), site));
  return reduced;
}

}  // namespace cooperative_groups
