// Honest fp32 evaluations of the inverse RMS, as kernels do them: many orders of summation, with and without
// fma, division or multiplication by 1 / H, roots off by a few ulp.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "oracle/test/case_builder.h"

namespace normproof::oracle::test {

enum class SummationOrder : std::uint8_t {
  serial,
  reverse,
  pairwise,
  blocked,
  serial_fma,
  blocked_fma,
  random_tree
};
inline constexpr std::array kSummationOrders = {SummationOrder::serial,     SummationOrder::reverse,
                                                SummationOrder::pairwise,   SummationOrder::blocked,
                                                SummationOrder::serial_fma, SummationOrder::blocked_fma,
                                                SummationOrder::random_tree};

inline float pairwise_sum(std::span<const float> terms) {
  if (terms.empty()) return 0;
  if (terms.size() == 1) return terms[0];
  const std::size_t half = terms.size() / 2;
  return pairwise_sum(terms.first(half)) + pairwise_sum(terms.subspan(half));
}

inline float sum_of_squares(std::span<const float> x, SummationOrder order, RandomCases& random) {
  std::vector<float> squares;
  for (const float value : x) squares.push_back(value * value);
  float sum = 0;
  switch (order) {
    case SummationOrder::serial:
      for (const float square : squares) sum += square;
      return sum;
    case SummationOrder::reverse:
      for (std::size_t i = squares.size(); i > 0; --i) sum += squares[i - 1];
      return sum;
    case SummationOrder::pairwise:
      return pairwise_sum(squares);
    case SummationOrder::blocked:
    case SummationOrder::blocked_fma: {
      // A block of threads with a stride, then a butterfly.
      const std::size_t threads = std::size_t{1} << random.below(9);
      std::vector<float> partial(threads, 0.0f);
      for (std::size_t i = 0; i < x.size(); ++i) {
        float& own = partial[i % threads];
        own = order == SummationOrder::blocked ? own + squares[i] : std::fma(x[i], x[i], own);
      }
      for (std::size_t distance = threads / 2; distance > 0; distance /= 2) {
        for (std::size_t i = 0; i < distance; ++i) partial[i] += partial[i + distance];
      }
      return partial[0];
    }
    case SummationOrder::serial_fma:
      for (const float value : x) sum = std::fma(value, value, sum);
      return sum;
    case SummationOrder::random_tree:
      while (squares.size() > 1) {
        const std::size_t i = random.below(static_cast<std::uint32_t>(squares.size()));
        std::swap(squares[i], squares.back());
        const float last = squares.back();
        squares.pop_back();
        squares[random.below(static_cast<std::uint32_t>(squares.size()))] += last;
      }
      return squares.empty() ? 0.0f : squares[0];
  }
  return 0;
}

// r as a kernel with this order would have it, up to `ulp` representable numbers off the correctly rounded
// root.
inline float honest_root(std::span<const float> x, float epsilon, SummationOrder order, int ulp,
                         RandomCases& random) {
  const auto count = static_cast<float>(x.size());
  const float sum = sum_of_squares(x, order, random);
  const float mean = random.one_in(2) ? sum / count : sum * (1.0f / count);
  const float m = mean + epsilon;
  const float r = static_cast<float>(1.0 / std::sqrt(static_cast<double>(m)));
  if (!(r > 0) || std::isinf(r)) return r;
  const int step = static_cast<int>(random.below(static_cast<std::uint32_t>(2 * ulp + 1))) - ulp;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(r) + static_cast<std::uint32_t>(step));
}

}  // namespace normproof::oracle::test
