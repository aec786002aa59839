// Exact sums of squares.
#include "oracle/square_sum.h"

#include <algorithm>
#include <array>
#include <bit>

namespace normproof::oracle {
namespace {

__extension__ using Wide = unsigned __int128;

cpp_int to_integer(Wide value) {
  return (cpp_int(static_cast<std::uint64_t>(value >> 64)) << 64) + static_cast<std::uint64_t>(value);
}

void note_term(SquareSum& result, std::int64_t lowest_bit, std::int64_t top) {
  result.lowest_bit = std::min(result.lowest_bit.value_or(lowest_bit), lowest_bit);
  result.smallest_top = std::min(result.smallest_top.value_or(top), top);
}

}  // namespace

SquareSum exact_square_sum(std::span<const float> operands) {
  SquareSum result;
  result.count = static_cast<std::int64_t>(operands.size());
  std::array<Wide, 255> by_exponent{};  // sums of squared mantissas, less than 2^48 each: room for 2^80 terms
  std::array<std::uint32_t, 255> all_bits{};
  std::uint32_t largest = 0;
  std::uint32_t smallest = ~0u;
  for (const float operand : operands) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(operand) & 0x7fffffffu;
    const std::uint32_t field = magnitude >> 23;
    if (field == 255) {
      (magnitude == 0x7f800000u ? result.has_infinity : result.has_nan) = true;
      continue;
    }
    if (magnitude == 0) continue;
    const std::uint32_t mantissa = field == 0 ? magnitude : (magnitude & 0x7fffffu) | 0x800000u;
    const std::size_t bucket = field == 0 ? 1 : field;
    by_exponent[bucket] += static_cast<std::uint64_t>(mantissa) * mantissa;
    all_bits[bucket] |= mantissa;
    largest = std::max(largest, magnitude);
    smallest = std::min(smallest, magnitude);
  }
  if (largest == 0) return result;
  const auto square_of = [](std::uint32_t magnitude) {
    const Value value = decode(DType::fp32, magnitude);
    return value * value;
  };
  const std::size_t last = std::max<std::size_t>(1, largest >> 23);
  for (std::size_t bucket = last; bucket >= 1; --bucket) {
    if (by_exponent[bucket] == 0) continue;
    const std::int64_t exponent = 2 * (static_cast<std::int64_t>(bucket) - 150);
    result.sum = result.sum + Value::finite(false, to_integer(by_exponent[bucket]), exponent);
    note_term(result, exponent + 2 * std::countr_zero(all_bits[bucket]), 1 << 20);
  }
  result.largest = square_of(largest);
  const Value least = square_of(smallest);
  result.smallest_top =
      least.exponent() + static_cast<std::int64_t>(boost::multiprecision::msb(least.magnitude()));
  return result;
}

SquareSum exact_square_sum(std::span<const Value> operands) {
  SquareSum result;
  result.count = static_cast<std::int64_t>(operands.size());
  for (const Value& operand : operands) {
    result.has_nan = result.has_nan || operand.is_nan();
    result.has_infinity = result.has_infinity || operand.is_infinite();
    if (!operand.is_finite() || operand.is_zero()) continue;
    const Value square = operand * operand;
    result.sum = result.sum + square;
    if (square > result.largest) result.largest = square;
    note_term(result,
              square.exponent() + static_cast<std::int64_t>(boost::multiprecision::lsb(square.magnitude())),
              square.exponent() + static_cast<std::int64_t>(boost::multiprecision::msb(square.magnitude())));
  }
  return result;
}

}  // namespace normproof::oracle
