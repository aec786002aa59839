// The fp32 numbers as integers in the order of the numbers, so that a range of floats is a range of integers
// that can be halved, counted and enumerated: -infinity, ..., -0, +0, ..., +infinity, and NaN beyond them.
#pragma once

#include <bit>
#include <cstdint>

#include "oracle/exact.h"

namespace normproof::oracle::box_search {

using Position = std::int32_t;
inline constexpr Position kPlusInfinity = 0x7f800000;
inline constexpr Position kMinusInfinity = -0x7f800001;
inline constexpr Position kPlusZero = 0;
inline constexpr Position kMinusZero = -1;
inline constexpr Position kNanPosition = 0x7fc00000;  // of every NaN

// The order alone; a NaN lies beyond the infinity of its sign.
constexpr Position order_of(float value) {
  const auto bits = std::bit_cast<Position>(value);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}
constexpr float number_at(Position position) {
  return std::bit_cast<float>(position ^ ((position >> 31) & 0x7fffffff));
}
constexpr Position position_of(float value) { return value != value ? kNanPosition : order_of(value); }

inline Position position_of(const Value& fp32_value) {
  return position_of(
      std::bit_cast<float>(static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), fp32_value))));
}
inline Value value_at(Position position) {
  return decode(DType::fp32, std::bit_cast<std::uint32_t>(number_at(position)));
}

}  // namespace normproof::oracle::box_search
