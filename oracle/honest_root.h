// How honest kernels arrive at the inverse RMS: many orders of summation, with and without fma, division by H
// or multiplication by 1 / H. Nothing here judges: it makes the rows that a judge must not reject.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "corpus/random.h"

namespace normproof::oracle {

enum class SummationOrder : std::uint8_t {
  serial,
  reverse,
  pairwise,
  blocked,  // a block of threads with a stride, then a butterfly
  random_tree,
  serial_fma,
  blocked_fma
};
inline constexpr std::array kSummationOrders = {SummationOrder::serial,      SummationOrder::reverse,
                                                SummationOrder::pairwise,    SummationOrder::blocked,
                                                SummationOrder::random_tree, SummationOrder::serial_fma,
                                                SummationOrder::blocked_fma};
std::string_view name_of(SummationOrder order);

// The roundings of a sum of squares in hardware fp32.
struct Fp32Steps {
  float square(float x) const { return x * x; }
  float add(float a, float b) const { return a + b; }
  float add_square(float x, float accumulator) const { return std::fma(x, x, accumulator); }
};

// A block of `threads` threads (a power of two) with a stride, then a butterfly: no term passes through more
// than x.size() / threads (rounded up) + log2(threads) additions.
template <typename Steps>
float blocked_sum_of_squares(std::span<const float> x, std::size_t threads, bool fma, const Steps& steps) {
  std::vector<float> partial(threads, 0.0f);
  for (std::size_t i = 0; i < x.size(); ++i) {
    float& own = partial[i % threads];
    own = fma ? steps.add_square(x[i], own) : steps.add(own, steps.square(x[i]));
  }
  for (std::size_t distance = threads / 2; distance > 0; distance /= 2) {
    for (std::size_t i = 0; i < distance; ++i) partial[i] = steps.add(partial[i], partial[i + distance]);
  }
  return partial[0];
}

// The sum of squares of x in the given order, each operation by `steps`. Orders that leave something open
// draw it.
template <typename Steps>
float sum_of_squares(std::span<const float> x, SummationOrder order, Random& random, const Steps& steps) {
  std::vector<float> terms;
  const auto square_all = [&] {
    for (const float value : x) terms.push_back(steps.square(value));
  };
  float sum = 0;
  switch (order) {
    case SummationOrder::serial:
      for (const float value : x) sum = steps.add(sum, steps.square(value));
      return sum;
    case SummationOrder::reverse:
      for (std::size_t i = x.size(); i > 0; --i) sum = steps.add(sum, steps.square(x[i - 1]));
      return sum;
    case SummationOrder::pairwise:
      square_all();
      for (std::size_t size = terms.size(); size > 1; size = (size + 1) / 2) {
        for (std::size_t i = 0; i < size / 2; ++i) terms[i] = steps.add(terms[2 * i], terms[2 * i + 1]);
        if (size % 2 != 0) terms[size / 2] = terms[size - 1];
      }
      return terms.empty() ? 0 : terms[0];
    case SummationOrder::blocked:
    case SummationOrder::blocked_fma:
      return blocked_sum_of_squares(x, std::size_t{1} << random.below(11),
                                    order == SummationOrder::blocked_fma, steps);
    case SummationOrder::random_tree:
      square_all();
      while (terms.size() > 1) {
        std::swap(terms[random.below(terms.size())], terms.back());
        const float last = terms.back();
        terms.pop_back();
        float& other = terms[random.below(terms.size())];
        other = steps.add(other, last);
      }
      return terms.empty() ? 0 : terms[0];
    case SummationOrder::serial_fma:
      for (const float value : x) sum = steps.add_square(value, sum);
      return sum;
  }
  return 0;
}

// 1 / sqrt(sum / count + epsilon) in fp32, root and quotient rounded correctly; `multiplies`: by the rounded
// 1 / count instead of the division.
float inverse_root_of(float sum, std::size_t count, float epsilon, bool multiplies);

// r as a kernel with this order computes it in fp32.
float honest_root(std::span<const float> x, float epsilon, SummationOrder order, Random& random);

// r as a root that is off by `steps` representable numbers gives it; zero, infinity and NaN stay.
float root_off_by(float r, int steps);

}  // namespace normproof::oracle
