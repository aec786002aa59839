#include "properties/order/families.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <vector>

namespace normproof::order {
namespace {

// Builds a tree addition by addition. A number of kNothing is an accumulator that is still empty.
class Builder {
 public:
  static constexpr std::int32_t kNothing = -1;

  explicit Builder(std::int32_t leaves) : leaves_(leaves) {
    nodes_.reserve(static_cast<std::size_t>(leaves) - 1);
  }
  std::int32_t add(std::int32_t a, std::int32_t b) {
    if (a == kNothing || b == kNothing) return a == kNothing ? b : a;
    nodes_.push_back({a, b});
    return leaves_ + static_cast<std::int32_t>(nodes_.size()) - 1;
  }
  // One after the other.
  std::int32_t in_turn(std::span<const std::int32_t> values) {
    std::int32_t sum = kNothing;
    for (const std::int32_t value : values) sum = add(sum, value);
    return sum;
  }
  // values[i] takes values[i + d] for d = n / 2, n / 4, ..., 1; n is a power of two.
  std::int32_t by_falling_distance(std::vector<std::int32_t> values) {
    for (std::size_t distance = values.size() / 2; distance > 0; distance /= 2)
      for (std::size_t i = 0; i < distance; ++i) values[i] = add(values[i], values[i + distance]);
    return values.front();
  }
  // values[i] takes values[i + d] for d = 1, 2, 4, ...; any n.
  std::int32_t by_rising_distance(std::vector<std::int32_t> values) {
    for (std::size_t distance = 1; distance < values.size(); distance *= 2)
      for (std::size_t i = 0; i + distance < values.size(); i += 2 * distance)
        values[i] = add(values[i], values[i + distance]);
    return values.front();
  }
  SumTree tree() { return oracle::make_tree(leaves_, std::move(nodes_)); }

 private:
  std::int32_t leaves_;
  std::vector<SumTree::Node> nodes_;
};

constexpr std::int32_t kNothing = Builder::kNothing;
constexpr std::size_t kWarp = 32;

// What each of the threads has summed of its chunks, its elements one after the other.
std::vector<std::int32_t> thread_sums(Builder& builder, std::int32_t leaves, std::int32_t threads,
                                      std::int32_t width) {
  std::vector<std::int32_t> sums(static_cast<std::size_t>(threads), kNothing);
  for (std::int32_t j = 0; j < leaves; ++j) {
    std::int32_t& sum = sums[static_cast<std::size_t>(j / width % threads)];
    sum = builder.add(sum, j);
  }
  return sums;
}

std::vector<std::int32_t> padded_to(std::vector<std::int32_t> values, std::size_t count) {
  values.resize(std::max(count, values.size()), kNothing);
  return values;
}

// Warps by falling distance, then their sums.
std::int32_t join_by_shuffles(Builder& builder, const std::vector<std::int32_t>& sums) {
  std::vector<std::int32_t> warps;
  for (std::size_t first = 0; first < sums.size(); first += kWarp) {
    const std::size_t count = std::min(kWarp, sums.size() - first);
    const auto begin = sums.begin() + static_cast<std::ptrdiff_t>(first);
    warps.push_back(
        builder.by_falling_distance(padded_to({begin, begin + static_cast<std::ptrdiff_t>(count)}, kWarp)));
  }
  return builder.by_falling_distance(padded_to(std::move(warps), kWarp));
}

std::int32_t pairwise_of(Builder& builder, std::int32_t first, std::int32_t count, std::int32_t rounding) {
  if (count == 1) return first;
  const std::int32_t half = (count + rounding) / 2;
  const std::int32_t left = pairwise_of(builder, first, half, rounding);
  return builder.add(left, pairwise_of(builder, first + half, count - half, rounding));
}

constexpr std::int32_t kNumpyBlock = 128;
constexpr std::int32_t kNumpyAccumulators = 8;

std::int32_t numpy_of(Builder& builder, std::int32_t first, std::int32_t count) {
  if (count < kNumpyAccumulators) {
    std::vector<std::int32_t> elements(static_cast<std::size_t>(count));
    std::iota(elements.begin(), elements.end(), first);
    return builder.in_turn(elements);
  }
  if (count > kNumpyBlock) {
    const std::int32_t half = count / 2 - count / 2 % kNumpyAccumulators;
    const std::int32_t left = numpy_of(builder, first, half);
    return builder.add(left, numpy_of(builder, first + half, count - half));
  }
  std::vector<std::int32_t> r(kNumpyAccumulators, kNothing);
  const std::int32_t whole = count - count % kNumpyAccumulators;
  for (std::int32_t j = 0; j < whole; ++j) {
    std::int32_t& sum = r[static_cast<std::size_t>(j % kNumpyAccumulators)];
    sum = builder.add(sum, first + j);
  }
  std::int32_t sum = builder.by_rising_distance(r);
  for (std::int32_t j = whole; j < count; ++j) sum = builder.add(sum, first + j);
  return sum;
}

SumTree serial_of(std::int32_t leaves, std::int32_t, std::int32_t) { return serial(leaves); }
SumTree reverse_of(std::int32_t leaves, std::int32_t, std::int32_t) { return reverse(leaves); }
SumTree pairwise_family(std::int32_t leaves, std::int32_t, std::int32_t) { return pairwise(leaves); }
SumTree larger_first_family(std::int32_t leaves, std::int32_t, std::int32_t) {
  return pairwise_larger_first(leaves);
}
SumTree numpy_family(std::int32_t leaves, std::int32_t, std::int32_t) { return numpy_pairwise(leaves); }
SumTree canonical_family(std::int32_t leaves, std::int32_t, std::int32_t width) {
  return canonical(leaves, width);
}

std::vector<Family> make_families() {
  std::vector<Family> table = {
      {"serial", "one element after the other", serial_of},
      {"reverse serial", "one element after the other, from the last", reverse_of},
      {"canonical of bf16 and fp16", "normproof's own order: 1024 lanes of 8 elements", canonical_family,
       1024, 8},
      {"canonical of fp32", "normproof's own order: 1024 lanes of 4 elements", canonical_family, 1024, 4},
      {"pairwise", "halves down to single elements", pairwise_family},
      {"pairwise, larger half first", "halves down to single elements", larger_first_family},
      {"numpy pairwise", "numpy's sum: blocks of 128 with 8 accumulators", numpy_family},
  };
  for (const std::int32_t width : {8, 4, 1, 2, 16}) {
    for (const std::int32_t threads : {1024, 512, 256, 128, 64, 32, 768}) {
      const auto name = [&](std::string_view what) {
        return fmt::format("{}, {} threads x {}", what, threads, width);
      };
      table.push_back({name("warp shuffles"), "xor or down shuffles, within warps and then over them",
                       warp_shuffles, threads, width});
      table.push_back({name("CUB block reduce"), "cub::BlockReduce, BLOCK_REDUCE_WARP_REDUCTIONS",
                       cub_block_reduce, threads, width});
      if ((threads & (threads - 1)) == 0)
        table.push_back({name("shared-memory halves"), "a tree over all threads in shared memory",
                         shared_memory_halves, threads, width});
      if (width > 1)
        table.push_back({name("warp shuffles of lanes"), "an accumulator for each element of a vector",
                         warp_shuffles_of_lanes, threads, width});
    }
  }
  for (const std::int32_t lanes : {2, 4, 8, 16, 32, 64}) {
    table.push_back({fmt::format("{} accumulators, joined in turn", lanes), "vector units and unrolled loops",
                     lanes_then_serial, lanes, 1});
    table.push_back({fmt::format("{} accumulators, joined by halves", lanes), "vector units",
                     lanes_then_halves, lanes, 1});
  }
  return table;
}

}  // namespace

std::span<const Family> families() {
  static const std::vector<Family> table = make_families();
  return table;
}

SumTree serial(std::int32_t leaves) {
  Builder builder(leaves);
  std::int32_t sum = kNothing;
  for (std::int32_t j = 0; j < leaves; ++j) sum = builder.add(sum, j);
  return builder.tree();
}

SumTree reverse(std::int32_t leaves) {
  Builder builder(leaves);
  std::int32_t sum = kNothing;
  for (std::int32_t j = leaves; j-- > 0;) sum = builder.add(sum, j);
  return builder.tree();
}

SumTree serial_of_blocks(std::int32_t leaves, std::int32_t width) {
  Builder builder(leaves);
  builder.in_turn(thread_sums(builder, leaves, (leaves + width - 1) / width, width));
  return builder.tree();
}

SumTree pairwise(std::int32_t leaves) {
  Builder builder(leaves);
  pairwise_of(builder, 0, leaves, 0);
  return builder.tree();
}

SumTree pairwise_larger_first(std::int32_t leaves) {
  Builder builder(leaves);
  pairwise_of(builder, 0, leaves, 1);
  return builder.tree();
}

SumTree numpy_pairwise(std::int32_t leaves) {
  Builder builder(leaves);
  numpy_of(builder, 0, leaves);
  return builder.tree();
}

SumTree canonical(std::int32_t leaves, std::int32_t per_chunk) {
  return warp_shuffles(leaves, 1024, per_chunk);
}

SumTree warp_shuffles(std::int32_t leaves, std::int32_t threads, std::int32_t width) {
  Builder builder(leaves);
  join_by_shuffles(builder, thread_sums(builder, leaves, threads, width));
  return builder.tree();
}

SumTree cub_block_reduce(std::int32_t leaves, std::int32_t threads, std::int32_t width) {
  Builder builder(leaves);
  const std::vector<std::int32_t> sums = thread_sums(builder, leaves, threads, width);
  std::vector<std::int32_t> warps;
  for (std::size_t first = 0; first < sums.size(); first += kWarp) {
    const std::size_t count = std::min(kWarp, sums.size() - first);
    const auto begin = sums.begin() + static_cast<std::ptrdiff_t>(first);
    warps.push_back(builder.by_rising_distance({begin, begin + static_cast<std::ptrdiff_t>(count)}));
  }
  builder.in_turn(warps);
  return builder.tree();
}

SumTree shared_memory_halves(std::int32_t leaves, std::int32_t threads, std::int32_t width) {
  Builder builder(leaves);
  builder.by_falling_distance(thread_sums(builder, leaves, threads, width));
  return builder.tree();
}

SumTree lanes_then_serial(std::int32_t leaves, std::int32_t lanes, std::int32_t width) {
  Builder builder(leaves);
  builder.in_turn(thread_sums(builder, leaves, lanes, width));
  return builder.tree();
}

SumTree lanes_then_halves(std::int32_t leaves, std::int32_t lanes, std::int32_t width) {
  Builder builder(leaves);
  builder.by_falling_distance(thread_sums(builder, leaves, lanes, width));
  return builder.tree();
}

SumTree warp_shuffles_of_lanes(std::int32_t leaves, std::int32_t threads, std::int32_t width) {
  Builder builder(leaves);
  std::vector<std::vector<std::int32_t>> lanes(
      static_cast<std::size_t>(threads),
      std::vector<std::int32_t>(static_cast<std::size_t>(width), kNothing));
  for (std::int32_t j = 0; j < leaves; ++j) {
    std::int32_t& sum =
        lanes[static_cast<std::size_t>(j / width % threads)][static_cast<std::size_t>(j % width)];
    sum = builder.add(sum, j);
  }
  std::vector<std::int32_t> sums;
  for (const auto& of_thread : lanes) sums.push_back(builder.in_turn(of_thread));
  join_by_shuffles(builder, sums);
  return builder.tree();
}

}  // namespace normproof::order
