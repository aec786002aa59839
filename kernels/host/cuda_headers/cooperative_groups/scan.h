// Stands in for the scans of cooperative groups: rank after rank.
#pragma once

#include <cooperative_groups/reduce.h>

namespace cooperative_groups {

template <class Group, class T, class Operation = plus<T>>
T inclusive_scan(const Group& group, const T& value, Operation operation = {},
                 std::source_location site = std::source_location::current()) {
  T result = group.shfl(value, 0, site);
  for (unsigned rank = 1; rank < group.size(); ++rank) {
    const T other = group.shfl(value, rank, site);
    if (rank <= group.thread_rank()) result = operation(result, other);
  }
  return result;
}
// Rank 0 gets T(), as CUDA says of sums.
template <class Group, class T, class Operation = plus<T>>
T exclusive_scan(const Group& group, const T& value, Operation operation = {},
                 std::source_location site = std::source_location::current()) {
  const T inclusive = inclusive_scan(group, value, operation, site);
  const T before = group.shfl_up(inclusive, 1, site);
  return group.thread_rank() == 0 ? T() : before;
}

}  // namespace cooperative_groups
