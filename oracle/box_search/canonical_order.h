// The canonical order of a sum over a row, as CONTRACT.md states it: chunks of 16 bytes of T go in turn to
// 1024 lanes, each lane adds in increasing order from +0, and lanes are joined by a butterfly, 32 at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "oracle/canonical.h"

namespace normproof::oracle::box_search {

// `accumulate(sum, j)` adds element j; `add(a, b)` joins two lanes.
template <typename Number, typename Accumulate, typename Add>
Number canonical_sum(std::int64_t count, DType activation, const Accumulate& accumulate, const Add& add) {
  const std::int64_t per_chunk = elements_per_chunk(activation);
  std::vector<Number> lanes(kLanes);
  for (std::int64_t j = 0; j < count; ++j) {
    Number& lane = lanes[static_cast<std::size_t>(j / per_chunk % kLanes)];
    lane = accumulate(lane, j);
  }
  const auto join = [&](Number* values) {
    for (std::int64_t distance = kGroupLanes / 2; distance > 0; distance /= 2) {
      for (std::int64_t i = 0; i < distance; ++i) values[i] = add(values[i], values[i + distance]);
    }
    return values[0];
  };
  std::vector<Number> groups;
  for (std::int64_t lane = 0; lane < kLanes; lane += kGroupLanes) groups.push_back(join(lanes.data() + lane));
  return join(groups.data());
}

}  // namespace normproof::oracle::box_search
