// Shard: the part of a run that one of several machines does.
#pragma once

#include <cstdint>

namespace normproof {

// Part `index` of `count`, from 1. Of every sequence that a run goes through (case files, properties, random
// cases, mutants, runs of a fuzzer), numbered from 0, it takes the items index - 1, index - 1 + count, and so
// on: the parts do not overlap, and together they are the run.
struct Shard {
  std::int64_t index = 1;
  std::int64_t count = 1;

  bool is_whole() const { return count == 1; }
  bool takes(std::int64_t item) const { return item % count == index - 1; }
  // The item that it takes as its `turn`-th, from 0.
  std::int64_t item(std::int64_t turn) const { return turn * count + index - 1; }
};

}  // namespace normproof
