// Orders of summation that libraries are known to use, by name, for any number of elements.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "oracle/sum_tree.h"

namespace normproof::order {

using oracle::SumTree;

struct Family {
  std::string name;         // "warp shuffles, 256 threads x 8"
  std::string description;  // who sums so
  SumTree (*make)(std::int32_t leaves, std::int32_t threads, std::int32_t width) = nullptr;
  std::int32_t threads = 0;
  std::int32_t width = 0;  // elements that a thread takes at a time
  SumTree tree(std::int32_t leaves) const { return make(leaves, threads, width); }
};

// The table. Trees of different families may be the same tree, for short rows above all; the first name that
// fits is given.
std::span<const Family> families();

// Each element after the other, from the first or from the last.
SumTree serial(std::int32_t leaves);
SumTree reverse(std::int32_t leaves);
// The sums of blocks of `width` elements, each element after the other, and block after block.
SumTree serial_of_blocks(std::int32_t leaves, std::int32_t width);
// Halves, the first of floor(n / 2) elements, or of ceil(n / 2), down to single elements.
SumTree pairwise(std::int32_t leaves);
SumTree pairwise_larger_first(std::int32_t leaves);
// numpy's pairwise sum: blocks of up to 128 elements with 8 accumulators, joined as
// ((0+1)+(2+3))+((4+5)+(6+7)), and halves that are multiples of 8 above that.
SumTree numpy_pairwise(std::int32_t leaves);
// The canonical order of oracle/CONTRACT.md, for dtypes of so many elements per 16-byte chunk.
SumTree canonical(std::int32_t leaves, std::int32_t per_chunk);
// Chunks of `width` elements go to `threads` threads in turn; a thread sums its elements one after the other.
// Threads are joined within warps of 32 by shuffles of falling distance, 16 to 1 (xor and down give lane 0
// the same sum), and the warps' sums in the same way.
SumTree warp_shuffles(std::int32_t leaves, std::int32_t threads, std::int32_t width);
// The same chunks; warps are joined with rising distance, 1 to 16, as CUB's WarpReduce does, and the warps'
// sums one after the other, as its BlockReduce does.
SumTree cub_block_reduce(std::int32_t leaves, std::int32_t threads, std::int32_t width);
// The same chunks; all threads are joined by halves through shared memory: thread i takes thread i + n / 2.
SumTree shared_memory_halves(std::int32_t leaves, std::int32_t threads, std::int32_t width);
// `lanes` accumulators that take the elements in turn, joined one after the other (0 + 1) + 2 + ...
SumTree lanes_then_serial(std::int32_t leaves, std::int32_t lanes, std::int32_t width);
// The same, joined by halves: lane i takes lane i + n / 2, as vector units do.
SumTree lanes_then_halves(std::int32_t leaves, std::int32_t lanes, std::int32_t width);
// One accumulator per element of a thread's chunk, all `width` of them joined one after the other at the end;
// threads as in warp_shuffles: vectorized reductions such as PyTorch's row-wise moments.
SumTree warp_shuffles_of_lanes(std::int32_t leaves, std::int32_t threads, std::int32_t width);

}  // namespace normproof::order
