// Which r explain one output element. For fixed x and w the output is monotone in r (a chain of monotone
// roundings), or it has two phases, NaN and one constant: infinity times zero appears or disappears only
// where the other factor is constant. Either way the r that give the element's bits form an interval, found
// by bisection.
#pragma once

#include <algorithm>
#include <cstdint>

#include "oracle/admissible.h"
#include "oracle/formats.h"

namespace normproof::oracle {

// The order of outputs along r, from the outputs at both ends of a range of r.
class ElementOrder {
 public:
  ElementOrder(const Format& format, std::uint32_t got, std::uint32_t at_low, std::uint32_t at_high)
      : format_(format), got_(got), at_low_(at_low) {
    if (same(format, at_low, at_high)) {
      impossible_ = !same(format, got, at_low);
    } else if (is_nan(format, at_low) || is_nan(format, at_high)) {
      two_phases_ = true;
      impossible_ = !same(format, got, at_low) && !same(format, got, at_high);
    } else {
      impossible_ = is_nan(format, got);
      falls_ = line_position(format, at_high) < line_position(format, at_low);
    }
  }

  // No r of the range gives the bits, and no order says on which side they are missing.
  bool impossible() const { return impossible_; }

  // Where an r with this output lies: -1 below the r that give the bits, 0 among them,
  // 1 above. Not where impossible().
  int compare(std::uint32_t output) const {
    if (same(format_, output, got_)) return 0;
    if (two_phases_) return same(format_, output, at_low_) ? -1 : 1;
    const bool lower = line_position(format_, output) < line_position(format_, got_);
    return lower != falls_ ? -1 : 1;
  }

 private:
  const Format& format_;
  std::uint32_t got_;
  std::uint32_t at_low_;
  bool two_phases_ = false;
  bool falls_ = false;
  bool impossible_ = false;
};

// The first bits in [low, high] with predicate(bits), high + 1 if none; the
// predicate must not turn false again.
template <typename Predicate>
std::int64_t first_where(std::int64_t low, std::int64_t high, Predicate predicate) {
  ++high;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (predicate(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// The r of `range` for which no column from `begin` on before `end` is NaN: is_nan(r, column).
template <typename IsNan>
RootInterval roots_of_numbers(const RootInterval& range, std::int64_t begin, std::int64_t end, IsNan is_nan) {
  RootInterval numbers = range;
  for (std::int64_t column = begin; column < end; ++column) {
    const auto nan_at = [&](std::int64_t r) { return is_nan(r, column); };
    const bool at_low = nan_at(range.low), at_high = nan_at(range.high);
    if (at_low && at_high) return {range.high + 1, range.low - 1};
    if (at_low)
      numbers.low = std::max(numbers.low,
                             first_where(range.low, range.high, [&](std::int64_t r) { return !nan_at(r); }));
    if (at_high) numbers.high = std::min(numbers.high, first_where(range.low, range.high, nan_at) - 1);
  }
  return numbers;
}

// The r of `range` for which output(r) is `got`. An empty result says where the bits are skipped:
// output(high) lies before them, output(low) behind; or {range.high + 1, range.low - 1} where no output of
// the range comes near.
template <typename Output>
RootInterval feasible_interval(const Format& format, std::uint32_t got, const RootInterval& range,
                               Output output) {
  const std::uint32_t at_low = output(range.low);
  const std::uint32_t at_high = output(range.high);
  const ElementOrder order(format, got, at_low, at_high);
  if (order.impossible()) return {range.high + 1, range.low - 1};
  const auto first = [&](std::int64_t from, int least) {
    return first_where(from, range.high, [&](std::int64_t r) { return order.compare(output(r)) >= least; });
  };
  const std::int64_t low = same(format, at_low, got) ? range.low : first(range.low, 0);
  const std::int64_t beyond = same(format, at_high, got) ? range.high + 1 : first(low, 1);
  return {low, beyond - 1};
}

// What the elements of a row have in common.
struct CommonRoots {
  RootInterval interval;         // the r that explain every element; empty: none does
  std::int64_t begins_last = 0;  // the element whose interval begins last,
  std::int64_t ends_first = 0;   // and the one whose interval ends first: if these two meet, all do (Helly)
  std::int64_t impossible = -1;  // an element that no r explains, found before the others were looked at
};

// The r of `all` for which output(r, column) is got(column) in every column.
template <typename Got, typename Output>
CommonRoots common_roots(const Format& format, std::int64_t columns, const RootInterval& all, Got got,
                         Output output_of) {
  CommonRoots common{all};
  RootInterval& roots = common.interval;
  for (std::int64_t j = 0; j < columns; ++j) {
    const auto output = [&](std::int64_t r) { return output_of(r, j); };
    const ElementOrder order(format, got(j), output(all.low), output(all.high));
    if (!order.impossible()) {
      // One evaluation each says whether this element moves an end; only then the end is searched.
      if (order.compare(output(roots.low)) < 0) {
        roots.low =
            first_where(roots.low, all.high, [&](std::int64_t r) { return order.compare(output(r)) >= 0; });
        common.begins_last = j;
      }
      if (order.compare(output(roots.high)) > 0) {
        roots.high =
            first_where(all.low, roots.high, [&](std::int64_t r) { return order.compare(output(r)) > 0; }) -
            1;
        common.ends_first = j;
      }
    }
    if (order.impossible() || roots.low > all.high || roots.high < all.low) {
      common.impossible = j;
      roots = {all.high + 1, all.low - 1};
      break;
    }
  }
  return common;
}

}  // namespace normproof::oracle
