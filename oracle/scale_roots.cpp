// From a row's scale back to its unknown.
#include "oracle/scale_roots.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <span>
#include <utility>

#include "oracle/feasible.h"

namespace normproof::oracle {
namespace {

std::int64_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }

}  // namespace

ScaleRoots::ScaleRoots(const Formula& formula)
    : formula_(formula), rule_(formula), factor_follows_(follows_from_maximum(formula)) {}

void ScaleRoots::aim_at(std::uint32_t scale_bits) {
  chosen_ = 0;
  if (scale_bits_ == scale_bits) return;
  scale_bits_ = scale_bits;
  factors_ = code_factors(formula_, &rule_, scale_bits);
}

bool ScaleRoots::is_scale_at(FastRow& fast, float r) const {
  const float maximum = fast.row_maximum(r);
  const float scale = rule_.of(maximum);
  if (!same(DType::fp32, std::bit_cast<std::uint32_t>(scale), *scale_bits_)) return false;
  if (!factor_follows_ || chosen() == nullptr) return true;
  const float factor = rule_.factor_of(maximum), wanted = chosen()->factor;
  return factor == wanted || (std::isnan(factor) && std::isnan(wanted));
}

RootInterval ScaleRoots::gap(FastRow& fast) const {
  // As the maximum rises the scale rises, and among maxima of one scale the factor falls.
  const auto at = [&](std::int64_t r) {
    const float maximum = fast.row_maximum(root_value(r));
    const float factor = factor_follows_ && chosen() != nullptr ? rule_.factor_of(maximum) : 0.0f;
    return std::pair(bits_of(rule_.of(maximum)), -factor);
  };
  const std::pair wanted(std::int64_t{*scale_bits_},
                         factor_follows_ && chosen() != nullptr ? -chosen()->factor : -0.0f);
  const RootInterval none{kInfiniteRoot + 1, -1};
  RootInterval numbers{0, kInfiniteRoot};
  if (std::isnan(fast.row_maximum(root_value(0))) || std::isnan(fast.row_maximum(root_value(kInfiniteRoot))))
    numbers = without_nan(fast, numbers);
  if (numbers.empty() || is_nan(DType::fp32, *scale_bits_)) return none;
  const bool falls = at(numbers.high) < at(numbers.low);
  const auto beyond = [&](std::int64_t r) { return falls ? at(r) < wanted : at(r) > wanted; };
  if (beyond(numbers.low) || !beyond(numbers.high)) return none;
  const std::int64_t first = first_where(numbers.low, numbers.high, beyond);
  return {first, first - 1};
}

RootInterval ScaleRoots::without_nan(FastRow& fast, const RootInterval& range) const {
  return roots_of_numbers(range, 0, formula_.hidden_size, [&](std::int64_t r, std::int64_t column) {
    return std::isnan(fast.magnitude(root_value(r), column));
  });
}

void ScaleRoots::collect_largest(FastRow& fast, const RootInterval& range, float least) {
  constexpr std::int64_t kPiece = 512;
  std::array<float, kPiece> low, high;
  columns_.clear();
  for (std::int64_t begin = 0; begin < formula_.hidden_size; begin += kPiece) {
    const std::int64_t count = std::min(kPiece, formula_.hidden_size - begin);
    fast.magnitudes(root_value(range.low), begin, count, low.data());
    fast.magnitudes(root_value(range.high), begin, count, high.data());
    for (std::int64_t i = 0; i < count; ++i) {
      const auto place = static_cast<std::size_t>(i);
      if (std::max(low[place], high[place]) >= least) columns_.push_back(begin + i);
    }
  }
}

float ScaleRoots::largest_of_collected(const FastRow& fast, std::int64_t r) const {
  float largest = 0;
  for (const std::int64_t column : columns_)
    largest = std::max(largest, fast.magnitude(root_value(r), column));
  return largest;
}

// `low` and `high` are the maxima at the ends of the range, which has no NaN.
RootInterval ScaleRoots::interval_of(FastRow& fast, const RootInterval& range, const MaximumInterval& maxima,
                                     float low, float high) const {
  const bool falls = high < low;
  const auto before = [&](std::int64_t maximum) {  // whether it lies before the interval, as r grows
    return falls ? maximum > std::int64_t{maxima.high} : maximum < std::int64_t{maxima.low};
  };
  const auto beyond = [&](std::int64_t maximum) {
    return falls ? maximum < std::int64_t{maxima.low} : maximum > std::int64_t{maxima.high};
  };
  const auto maximum = [&](std::int64_t r) { return bits_of(largest_of_collected(fast, r)); };
  const std::int64_t first =
      !before(bits_of(low))
          ? range.low
          : first_where(range.low, range.high, [&](std::int64_t r) { return !before(maximum(r)); });
  if (first > range.high) return {range.high + 1, range.high};
  const std::int64_t end =
      !beyond(bits_of(high))
          ? range.high + 1
          : first_where(first, range.high, [&](std::int64_t r) { return beyond(maximum(r)); });
  return {first, end - 1};
}

std::vector<RootInterval> ScaleRoots::within(FastRow& fast, const RootInterval& range) {
  if (range.empty()) return {};
  float low = fast.row_maximum(root_value(range.low));
  float high = fast.row_maximum(root_value(range.high));
  RootInterval numbers = range;
  std::vector<RootInterval> result;
  if (std::isnan(low) || std::isnan(high)) {
    numbers = without_nan(fast, range);
    if (numbers.empty()) return nan_gives_it() ? std::vector{range} : std::vector<RootInterval>();
    if (nan_gives_it() && range.low < numbers.low) result.push_back({range.low, numbers.low - 1});
    low = fast.row_maximum(root_value(numbers.low));
    high = fast.row_maximum(root_value(numbers.high));
  }
  const auto whole = [&](const MaximumInterval& maxima) {
    return maxima.contains(low) && maxima.contains(high);
  };
  const std::span<const MaximumInterval> all =
      chosen() == nullptr ? std::span<const MaximumInterval>() : chosen()->maxima;
  if (std::ranges::any_of(all, whole)) {
    result.push_back(numbers);
  } else if (!all.empty()) {
    collect_largest(fast, numbers, std::min(low, high));
    std::vector<RootInterval> found;
    for (const MaximumInterval& maxima : all) {
      const RootInterval interval = interval_of(fast, numbers, maxima, low, high);
      if (!interval.empty()) found.push_back(interval);
    }
    std::ranges::sort(found, {}, &RootInterval::low);
    result.insert(result.end(), found.begin(), found.end());
  }
  if (nan_gives_it() && numbers.high < range.high) result.push_back({numbers.high + 1, range.high});
  return result;
}

}  // namespace normproof::oracle
