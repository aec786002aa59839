// Which r give a block its scale and some of its elements: the search over intervals of r. It reads a source
// of values, in hardware arithmetic where it looks for a certificate, in exact arithmetic where it replays
// one; so both carry out the same steps.
//
// For one factor of the codes, the scale and every element of a block rise or fall with r, or have two
// phases (feasible.h); the r of each are an interval, and so are those that all have in common. A stored
// scale may go with several factors: then the r of a block are a union.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "oracle/blocks/block_scale.h"
#include "oracle/feasible.h"

namespace normproof::oracle {

using RootIntervals = std::vector<RootInterval>;  // in order, without common points

inline RootIntervals united(RootIntervals intervals) {
  std::ranges::sort(intervals, {}, &RootInterval::low);
  RootIntervals result;
  for (const RootInterval& each : intervals) {
    if (each.empty()) continue;
    if (!result.empty() && each.low <= result.back().high + 1) {
      result.back().high = std::max(result.back().high, each.high);
    } else {
      result.push_back(each);
    }
  }
  return result;
}

inline RootIntervals common(const RootIntervals& a, const RootIntervals& b) {
  RootIntervals result;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const RootInterval both = intersection(a[i], b[j]);
    if (!both.empty()) result.push_back(both);
    ++(a[i].high < b[j].high ? i : j);
  }
  return result;
}

// One element of a row: its code, or the unquantized number that came out beside it.
struct BlockElement {
  std::int64_t column = 0;
  bool is_code = true;
  friend bool operator==(const BlockElement&, const BlockElement&) = default;
};

inline constexpr std::int64_t kNanRoot = 0x7fc00000;  // fp32 bits
inline bool is_nan_bits(std::uint32_t bits) { return bits > 0x7f800000u; }

// The r of `range` for which the block's maximum is one of the factor's.
template <typename Source>
RootIntervals roots_of_scale(Source& source, std::int64_t block, const RootInterval& range,
                             const BlockFactor& factor) {
  const auto maximum = [&](std::int64_t r) { return source.maximum(r, block); };
  RootIntervals result;
  RootInterval numbers = range;
  std::uint32_t low = maximum(range.low), high = maximum(range.high);
  if (is_nan_bits(low) || is_nan_bits(high)) {
    numbers = roots_of_numbers(range, source.begin(block), source.end(block),
                               [&](std::int64_t r, std::int64_t column) { return source.is_nan(r, column); });
    if (numbers.empty()) return factor.with_nan ? RootIntervals{range} : RootIntervals();
    if (factor.with_nan) {
      result.push_back({range.low, numbers.low - 1});
      result.push_back({numbers.high + 1, range.high});
    }
    low = maximum(numbers.low);
    high = maximum(numbers.high);
  }
  for (const MaximumInterval& maxima : factor.maxima) {
    const std::int64_t first =
        low >= maxima.low ? numbers.low : first_where(numbers.low, numbers.high, [&](std::int64_t r) {
          return maximum(r) >= maxima.low;
        });
    if (first > numbers.high) continue;
    const std::int64_t beyond =
        high <= maxima.high
            ? numbers.high + 1
            : first_where(first, numbers.high, [&](std::int64_t r) { return maximum(r) > maxima.high; });
    result.push_back({first, beyond - 1});
  }
  return united(std::move(result));
}

// The r of `range` that give the elements their bits with one factor.
template <typename Source>
RootInterval roots_of_elements(Source& source, std::span<const BlockElement> elements, RootInterval range,
                               const BlockFactor& factor) {
  for (const BlockElement& element : elements) {
    if (range.empty()) return range;
    const auto output = [&](std::int64_t r) { return source.output(r, element, factor); };
    range = feasible_interval(source.format(element), source.got(element), range, output);
  }
  return range;
}

// The r of `range` that explain the elements, with a factor of the stored scale, and the scale if asked.
template <typename Source>
RootIntervals roots_of_block(Source& source, std::int64_t block, bool with_scale,
                             std::span<const BlockElement> elements, const RootInterval& range) {
  RootIntervals result;
  if (range.empty()) return result;
  for (const BlockFactor& factor : source.factors(block)) {
    const RootIntervals pieces =
        with_scale ? roots_of_scale(source, block, range, factor) : RootIntervals{range};
    for (const RootInterval& piece : pieces)
      result.push_back(roots_of_elements(source, elements, piece, factor));
  }
  return united(std::move(result));
}

// Whether the block gets the factor's scale where r is NaN.
template <typename Source>
bool is_scale_of_nan(Source& source, std::int64_t block, const BlockFactor& factor) {
  const std::uint32_t maximum = source.maximum(kNanRoot, block);
  if (is_nan_bits(maximum)) return factor.with_nan;
  return std::ranges::any_of(factor.maxima, [&](const MaximumInterval& each) {
    return each.low <= maximum && maximum <= each.high;
  });
}

// Whether the block is as it is where r is NaN.
template <typename Source>
bool nan_explains(Source& source, std::int64_t block, bool with_scale,
                  std::span<const BlockElement> elements) {
  return std::ranges::any_of(source.factors(block), [&](const BlockFactor& factor) {
    return (!with_scale || is_scale_of_nan(source, block, factor)) &&
           std::ranges::all_of(elements, [&](const BlockElement& element) {
             return same(source.format(element), source.output(kNanRoot, element, factor),
                         source.got(element));
           });
  });
}

}  // namespace normproof::oracle
