// Stands in for cooperative_groups::reduce: over tiles every lane gets the result of a butterfly, the far
// lanes first; over other groups that of rank 0, 1, 2, ... . No order is promised by CUDA.
#pragma once

#include <cooperative_groups.h>

namespace cooperative_groups {

#define NORMPROOF_GROUP_OPERATION(name, expression)                   \
  template <class T = void>                                           \
  struct name {                                                       \
    T operator()(const T& a, const T& b) const { return expression; } \
  };                                                                  \
  template <>                                                         \
  struct name<void> {                                                 \
    template <class T>                                                \
    T operator()(const T& a, const T& b) const {                      \
      return expression;                                              \
    }                                                                 \
  };
NORMPROOF_GROUP_OPERATION(plus, a + b)
NORMPROOF_GROUP_OPERATION(greater, a < b ? b : a)
NORMPROOF_GROUP_OPERATION(less, b < a ? b : a)
NORMPROOF_GROUP_OPERATION(bit_and, a& b)
NORMPROOF_GROUP_OPERATION(bit_or, a | b)
NORMPROOF_GROUP_OPERATION(bit_xor, a ^ b)
#undef NORMPROOF_GROUP_OPERATION

template <unsigned Size, class Parent, class T, class Operation>
T reduce(const thread_block_tile<Size, Parent>& tile, const T& value, Operation operation,
         std::source_location site = std::source_location::current()) {
  T reduced = value;
  for (unsigned lanes = Size / 2; lanes > 0; lanes /= 2)
    reduced = operation(reduced, tile.shfl_xor(reduced, lanes, site));
  return reduced;
}
template <class T, class Operation>
T reduce(const coalesced_group& group, const T& value, Operation operation,
         std::source_location site = std::source_location::current()) {
  T reduced = group.shfl(value, 0, site);
  for (unsigned rank = 1; rank < group.size(); ++rank)
    reduced = operation(reduced, group.shfl(value, rank, site));
  return reduced;
}

}  // namespace cooperative_groups
