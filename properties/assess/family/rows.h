// What the plain kernels of the studies have in common: rows of floats, in memory and altered.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include "corpus/random.h"
#include "oracle/box_search/random_rows.h"
#include "oracle/box_search/row_search.h"
#include "oracle/formats.h"

namespace normproof::assess::family {

using oracle::box_search::Box;
using oracle::box_search::number_at;
using oracle::box_search::packed;
using oracle::box_search::Position;
using oracle::box_search::position_of;
using oracle::box_search::random_row;
using oracle::box_search::random_weight;
using oracle::box_search::round_to_format;
using oracle::box_search::RowClass;

inline RowClass any_class(Random& random) {
  return static_cast<RowClass>(random.below(oracle::box_search::kRowClasses));
}
inline RowClass ordinary_class(Random& random) {
  return static_cast<RowClass>(random.below(oracle::box_search::kOrdinaryRowClasses));
}
// Of two kinds whether it is the first one's turn, where both are asked for.
inline bool draws_first(Random& random, bool first, bool second) {
  return first && second ? random.chance(1, 2) : first;
}

inline float rounded_to(float value, DType dtype) {
  std::vector<float> one = {value};
  round_to_format(one, dtype);
  return one[0];
}
// Packed where there is a dtype.
inline std::vector<std::byte> packed_if(const std::vector<float>& values, const std::optional<DType>& dtype) {
  return dtype ? packed(values, *dtype) : std::vector<std::byte>();
}

// How many points there are to try.
inline double points_of(const std::vector<Box>& window) {
  const auto width = [](const auto& side) { return static_cast<double>(side.high) - side.low + 1; };
  double points = 0;
  for (const Box& box : window) points += width(box.first) * width(box.second);
  return points;
}
// Whether `explains` holds of some point.
template <typename Explains>
bool any_point(const std::vector<Box>& window, const Explains& explains) {
  for (const Box& box : window) {
    for (Position p = box.first.low; p <= box.first.high; ++p) {
      for (Position q = box.second.low; q <= box.second.high; ++q)
        if (explains(number_at(p), number_at(q))) return true;
    }
  }
  return false;
}
// Bit for bit, but any NaN is like any other.
inline bool same_numbers(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(a, b, [](float p, float q) { return position_of(p) == position_of(q); });
}

// Of a row that does not conform: how many elements its certificate has.
inline std::optional<std::size_t> certificate_of(const oracle::box_search::RowVerdict& verdict) {
  if (verdict.conforms) return std::nullopt;
  return verdict.refutation.size();
}

// A few numbers away from `value`.
inline float near(float value, std::int64_t most, Random& random) {
  return number_at(position_of(value) + static_cast<Position>(random.between(-most, most)));
}
inline float one_number_up(float value, DType dtype) {
  const oracle::Format& format = oracle::format_of(dtype);
  const std::uint64_t bits =
      oracle::round_bits(format, oracle::decode(DType::fp32, std::bit_cast<std::uint32_t>(value)));
  const oracle::Value next = oracle::decode(format, oracle::next_up(format, bits));
  return next.is_nan() ? NAN : static_cast<float>(oracle::to_double(next));
}
inline std::vector<float> with_second_half(std::vector<float> row, const std::vector<float>& other) {
  const auto half = static_cast<std::ptrdiff_t>(row.size() / 2);
  std::copy(other.begin() + half, other.end(), row.begin() + half);
  return row;
}

}  // namespace normproof::assess::family
