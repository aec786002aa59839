// Random: the one source of randomness for cases, with the same numbers on every machine and compiler.
#pragma once

#include <bit>
#include <cstdint>
#include <iterator>

namespace normproof {

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014): the state
// advances by the golden gamma, the output is a bijective mix of it. Distributions are written here because
// the standard library's may differ between implementations. Draw one number per statement: the order in
// which a call's arguments, or the operands of + and |, are evaluated is left to the compiler.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) : state_(mix(seed)) {}

  // 64 uniform bits.
  constexpr std::uint64_t next() {
    state_ += kGamma;
    return mix(state_);
  }

  // Uniform in [0, bound), without bias; 0 for a bound of 0 or 1.
  constexpr std::uint64_t below(std::uint64_t bound) {
    if (bound < 2) return 0;
    if (bound <= ~std::uint32_t{0}) {
      // Lemire: "Fast random integer generation in an interval", 2019: the high half of draw * bound.
      std::uint64_t product = (next() >> 32) * bound;
      if (static_cast<std::uint32_t>(product) < bound) {
        const std::uint64_t excess = (std::uint64_t{1} << 32) % bound;
        while (static_cast<std::uint32_t>(product) < excess) product = (next() >> 32) * bound;
      }
      return product >> 32;
    }
    // Numbers beyond the last whole multiple of `bound` are drawn again.
    const std::uint64_t excess = (~std::uint64_t{0} % bound + 1) % bound;
    std::uint64_t draw = next();
    while (draw > ~std::uint64_t{0} - excess) draw = next();
    return draw % bound;
  }

  // Uniform in [low, high]; requires low <= high.
  constexpr std::int64_t between(std::int64_t low, std::int64_t high) {
    const auto span = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
    const std::uint64_t draw = span == ~std::uint64_t{0} ? next() : below(span + 1);
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + draw);
  }

  // In [low, high], every binade equally likely; requires 1 <= low <= high.
  constexpr std::int64_t log_between(std::int64_t low, std::int64_t high) {
    const auto low_binade = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(low))) - 1;
    const auto high_binade = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(high))) - 1;
    const std::int64_t first = std::int64_t{1} << between(low_binade, high_binade);
    const std::int64_t from = first < low ? low : first;
    const std::int64_t to = first - 1 > high - first ? high : first + (first - 1);
    return between(from, to);
  }

  // True with probability numerator / denominator.
  constexpr bool chance(std::uint64_t numerator, std::uint64_t denominator) {
    return below(denominator) < numerator;
  }

  // An element of a non-empty array, vector or span.
  template <typename Range>
  constexpr const auto& pick(const Range& range) {
    return *(std::begin(range) + static_cast<std::ptrdiff_t>(below(std::size(range))));
  }

  // An independent generator for `key`; the same for the same state and key. Does not advance this one.
  constexpr Random split(std::uint64_t key) const { return Random(state_ ^ mix(key + kGamma)); }

 private:
  static constexpr std::uint64_t kGamma = 0x9e3779b97f4a7c15;

  static constexpr std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }

  std::uint64_t state_;
};

}  // namespace normproof
